"""Pictures by image id, out of a folder or zip in any of the data layouts."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nucleate.data import kaggle
from nucleate.data.folders import picture_id
from nucleate.data.pixels import PICTURE_SUFFIXES, decode_image
from nucleate.data.source import open_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["open_pictures"]

_NOT_PICTURES = {"masks", "labels"}


def open_pictures(path: Path | str) -> Callable[[str], NDArray[Any] | None]:
    """List the pictures in a folder (recursed) or zip; each is read when it is asked for.

    Parameters
    ----------
    path : path-like
        A Kaggle layout ``<id>/images/<name>.png``, or files ``<id>.png`` anywhere; what lies in folders called masks
        or labels, and label images ``<id>.labels.tif``, are passed over.

    Returns
    -------
    callable
        Image id -> (H, W) or (H, W, 3) array in the file's dtype, or None when there is no such picture. Raises
        DataError when the file is damaged.

    Raises
    ------
    DataError
        If the folder or zip cannot be opened.
    """
    source = open_source(Path(path))
    named = {entry.image_id: entry.image for entry in kaggle.find_entries(source)}
    for name in [] if named else source.names:
        place = PurePosixPath(name)
        is_picture = place.suffix.lower() in PICTURE_SUFFIXES and not place.stem.endswith(".labels")
        if is_picture and not _NOT_PICTURES & set(place.parts[:-1]):
            named.setdefault(picture_id(name), name)

    def read(image_id: str) -> NDArray[Any] | None:
        name = named.get(image_id)
        return None if name is None else decode_image(source.read(name), f"{source}/{name}")

    return read
