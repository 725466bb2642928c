"""Pictures by image id, out of a folder or zip in any of the data layouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nucleate.core.endings import matcher
from nucleate.core.names import picture_id, tree_id
from nucleate.data import kaggle
from nucleate.data.outlined import names_in
from nucleate.data.pixels import read_picture, read_size
from nucleate.data.source import open_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nucleate.data.source import Source

__all__ = ["open_pictures", "open_sizes"]

_Read = TypeVar("_Read")


def open_pictures(path: Path | str) -> Callable[[str], NDArray[Any] | None]:
    """List the pictures in a folder (recursed) or zip; each is read when it is asked for.

    Parameters
    ----------
    path : path-like
        A Kaggle layout ``<id>/images/<name>.png``, or files ``<id>.png`` anywhere; label images and overlays are left
        out (`nucleate.core.names`).

    Returns
    -------
    callable
        Image id -> (H, W) or (H, W, 3) array in the file's dtype, or None if there is no such picture; ``a`` also finds
        ``a.ome`` or ``a_img`` if there is only one of these. Raises DataError if the file is damaged.

    Raises
    ------
    DataError
        If the folder or zip cannot be opened.
    """
    return _each(path, read_picture)


def open_sizes(path: Path | str) -> Callable[[str], tuple[int, int] | None]:
    """List pictures as `open_pictures` does, but read only their rows and columns, also those of stacks.

    Raises
    ------
    DataError
        As `open_pictures`.
    """
    return _each(path, read_size)


def _each(path: Path | str, read: Callable[[Source, str], _Read]) -> Callable[[str], _Read | None]:
    source = open_source(Path(path))
    named = {entry.image_id: entry.image for entry in kaggle.find_entries(source)}
    if not named:
        named = {found.image_id: name for name, found in names_in(source).items() if not found.is_label}
        for name in [*named.values()]:
            for image_id in (picture_id(name), tree_id(name)):
                named.setdefault(image_id, name)
    find = matcher(named)

    def read_named(image_id: str) -> _Read | None:
        found = find(image_id)
        return None if found is None else read(source, named[found])

    return read_named
