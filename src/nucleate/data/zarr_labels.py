"""Label images in OME-Zarr folders: beside their picture under ``labels/``, or the folder itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core.endings import without_ending, without_extras
from nucleate.core.files import absolute
from nucleate.data import source as limits
from nucleate.data.parsing import damage
from nucleate.data.pixels import whole_numbers
from nucleate.data.source import is_stored
from nucleate.data.stacks import number_planes
from nucleate.errors import DataError, InputError, UnfitDataError
from nucleate.io.faults import check_size
from nucleate.io.images import is_zarr, open_image
from nucleate.io.omezarr import label_images, name_in_collection, pictures, stem_in_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["find_zarr_labels"]

_OURS = "labels/nuclei"


def find_zarr_labels(path: Path | str, *, like: Collection[str] = ()) -> dict[str, Callable[[], NDArray[np.int32]]]:
    """List the label images of an OME-Zarr folder, or of the OME-Zarr folders in a folder.

    Parameters
    ----------
    path : path-like
    like : collection of str
        Ids of the other side of a comparison: a damaged plate or well fails the ids that begin with its name, unless
        they begin with a longer known name.

    Returns
    -------
    dict of str to callable
        One function for each label image, by the name of its folder without ``.ome.zarr``; fields of a plate are named
        like results. Empty if there are none.

    Raises
    ------
    DataError
        If the metadata of the only folder are damaged. Other damage is raised by the function of that label image.
    UnfitDataError
        If an image has several label images and none is `nuclei`.
    """
    top = Path(path)
    if not top.is_dir():
        return {}
    found: dict[str, Callable[[], NDArray[np.int32]]] = {}
    failed: dict[str, DataError] = {}
    stems: set[str] = set()
    for folder in [top] if is_zarr(top) else sorted(filter(is_stored, top.iterdir())):
        stem = Path(absolute(folder)).name.removesuffix(".zarr").removesuffix(".ome")
        stems.add(stem)
        try:
            fields = _listed(pictures, folder)
        except DataError as error:
            if folder == top:
                raise
            plate = stem_in_collection(folder.name)  # only the other side tells whether it is one
            failed[plate if any(str(one).startswith(f"{plate}_") for one in like) else stem] = error
            continue
        for field in fields:
            name = name_in_collection(folder / field) or stem
            try:
                if read := _reader(folder / field):
                    found[name] = read
            except UnfitDataError:
                raise
            except DataError as error:
                failed[name] = error
    names = stems | failed.keys() | found.keys()
    owners = {one: _owner(one, names) for one in like}
    failing = {one: partial(_fail, error) for name, error in failed.items() for one in _ids_in(name, owners)}
    return dict(sorted((failing | found).items()))


def _owner(image_id: str, names: Collection[str]) -> tuple[str, bool]:
    """Find the longest name, of an image, plate or well, that an id begins with; and whether it is the whole id.

    As in `read_pair`, usual endings of pictures and label images do not count.
    """
    whole = str(image_id)
    left = whole = whole if whole in names else without_extras(without_ending(whole))
    while left and left not in names:
        left = left.rpartition("_")[0]
    return left, left == whole


def _ids_in(name: str, owners: Mapping[str, tuple[str, bool]]) -> list[str]:
    """List the ids that belong to a plate, a well or an image; the given name if there are none, or it is one."""
    fields = [one for one, (owner, _) in owners.items() if owner == name]
    return [name] if (name, True) in owners.values() or not fields else fields


def _reader(image: Path) -> Callable[[], NDArray[np.int32]] | None:
    names = _listed(label_images, image)
    if len(names) > 1 and _OURS not in names:
        raise UnfitDataError(f"{image} holds several label images: got {', '.join(names)}; name one of these folders")
    return partial(_read, image / (_OURS if len(names) > 1 else names[0])) if names else None


def _listed(what: Callable[[Path], list[str]], folder: Path) -> list[str]:
    with damage(f"read {folder}", cure="write it again"):
        return what(folder)


def _fail(error: DataError) -> NDArray[np.int32]:
    raise error


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
