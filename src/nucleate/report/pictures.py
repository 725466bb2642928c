"""Pictures by image id, out of a folder or zip in any of the data layouts."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

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
        Plain files ``<id>.png``, a Kaggle layout ``<id>/images/<id>.png``, or ``images/`` beside ``labels/``; what
        lies in folders called masks or labels is passed over.

    Returns
    -------
    callable
        Image id -> (H, W) or (H, W, 3) array in the file's dtype, or None when there is no such picture. Raises
        DataError when the file is damaged.

    Raises
    ------
    DataError, UsageError
        If the folder or zip cannot be opened.
    """
    source = open_source(Path(path))
    named: dict[str, str] = {}
    for name in source.names:
        entry = PurePosixPath(name)
        if entry.suffix.lower() in PICTURE_SUFFIXES and not _NOT_PICTURES & set(entry.parts[:-1]):
            named.setdefault(entry.stem, name)

    def read(image_id: str) -> NDArray[Any] | None:
        name = named.get(image_id)
        return None if name is None else decode_image(source.read(name), name)

    return read
