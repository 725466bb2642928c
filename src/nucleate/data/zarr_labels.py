"""Label images in OME-Zarr folders: beside their picture under ``labels/``, or the folder itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core.files import in_file_name
from nucleate.data import source as limits
from nucleate.data.parsing import damage
from nucleate.data.pixels import whole_numbers
from nucleate.data.stacks import number_planes
from nucleate.errors import DataError, InputError
from nucleate.io.faults import check_size
from nucleate.io.images import is_zarr, open_image
from nucleate.io.omezarr import label_images, pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["find_zarr_labels"]

_OURS = "labels/nuclei"


def find_zarr_labels(path: Path | str) -> dict[str, Callable[[], NDArray[np.int32]]]:
    """List the label images of an OME-Zarr folder, or of those in a folder.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to callable
        A function a label image, by the name of its folder without ``.ome.zarr``; fields of a plate are called as
        results are. Empty where there is none.

    Raises
    ------
    DataError
        If metadata are damaged, or an image has several label images and none is `nuclei`.
    """
    top = Path(path)
    if not top.is_dir():
        return {}
    found: dict[str, Callable[[], NDArray[np.int32]]] = {}
    for folder in [top] if is_zarr(top) else sorted(one for one in top.iterdir() if one.is_dir() and is_zarr(one)):
        stem = folder.name.removesuffix(".zarr").removesuffix(".ome")
        with damage(f"read {folder}", cure="write it again"):
            fields = {name: label_images(folder / name) for name in pictures(folder)}
        for field, names in fields.items():
            here = folder / field
            if len(names) > 1 and _OURS not in names:
                raise DataError(f"{here} holds several label images: got {', '.join(names)}; name one of these folders")
            if names:
                chosen = here / (_OURS if len(names) > 1 else names[0])
                found[f"{stem}_{in_file_name(field)}" if field else stem] = partial(_read, chosen)
    return found


def _read(folder: Path) -> NDArray[np.int32]:
    try:
        with open_image(folder) as opened:
            if "C" in opened.axes or "S" in opened.axes:
                raise DataError(f"{folder} is no label image: got axes {opened.axes}; write one number a pixel")
            check_size(folder, opened.shape, itemsize=opened.dtype.itemsize, max_bytes=limits.MAX_FILE_BYTES)
            labels = whole_numbers(opened.load().pixels, str(folder))
    except InputError as error:
        raise DataError(str(error)) from error
    return number_planes(labels)
