"""Labels that are kept on disk while they are found, numbered and written out."""

from __future__ import annotations

import contextlib
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import make_folder
from nucleate.core.plane import in_whole
from nucleate.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["StoredLabels"]

_SIDE = 512


class StoredLabels:
    """A stack of label images in compressed blocks on disk; blocks used last are held in memory.

    It is read and written as an array is: ``labels[t, rows, cols]``, with an index for each axis before the last two.
    A block that was never written is background and takes no room.

    Parameters
    ----------
    folder : Path
        Where the blocks go; made if it is missing. Blocks that `flush` left there are taken up; nothing else may be in
        it.
    shape : tuple of int
        (..., H, W).
    held_bytes : int
        Memory for blocks, in addition to the block in use.

    Raises
    ------
    OutputError
        If the disk cannot be written or read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     labels = StoredLabels(pathlib.Path(folder), (600, 700))
    ...     labels[slice(500, 520), slice(0, 2)] = np.full((20, 2), 7, np.int32)
    ...     labels[slice(511, 513), slice(0, 3)]
    array([[7, 7, 0],
           [7, 7, 0]], dtype=int32)
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], *, held_bytes: int = 1 << 28) -> None:
        self.shape = tuple(shape)
        self.folder = make_folder(folder)
        self._most = held_bytes // (4 * _SIDE * _SIDE)
        self._held: OrderedDict[tuple[int, ...], NDArray[np.int32]] = OrderedDict()
        self._changed: set[tuple[int, ...]] = set()
        self._stored = {tuple(map(int, path.name.split("-"))) for path in self.folder.iterdir()}

    def __getitem__(self, key: tuple[Any, ...], /) -> NDArray[np.int32]:
        """Give a part of one plane, (h, w)."""
        at, rows, cols = self._place(key)
        part = np.zeros((max(rows.stop - rows.start, 0), max(cols.stop - cols.start, 0)), np.int32)
        for block, inside, there in _blocks(rows, cols):
            if (*at, *block) in self._held or (*at, *block) in self._stored:
                part[there] = self._block((*at, *block))[inside]
                self._make_room()
        return part

    def __setitem__(self, key: tuple[Any, ...], value: NDArray[np.integer[Any]], /) -> None:
        """Write a part of one plane."""
        at, rows, cols = self._place(key)
        for block, inside, there in _blocks(rows, cols):
            self._block((*at, *block))[inside] = value[there]
            self._changed.add((*at, *block))
            self._make_room()

    @property
    def stop(self) -> int:
        """The row from which on everything on disk, in every plane, is background."""
        return min(max((key[-2] + 1 for key in self._stored), default=0) * _SIDE, self.shape[-2])

    def flush(self) -> None:
        """Write the blocks that are in memory only."""
        for key in sorted(self._changed):
            self._save(key, self._held[key])

    def _place(self, key: tuple[Any, ...]) -> tuple[tuple[int, ...], slice, slice]:
        *at, rows, cols = key
        height, width = self.shape[-2:]
        return tuple(map(int, at)), in_whole(slice(0, height), rows), in_whole(slice(0, width), cols)

    def _block(self, key: tuple[int, ...]) -> NDArray[np.int32]:
        """Give a block, from memory or from disk."""
        found = self._held.get(key)
        if found is None:
            found = self._load(key) if key in self._stored else np.zeros((_SIDE, _SIDE), np.int32)
            self._held[key] = found
        self._held.move_to_end(key)
        return found

    def _make_room(self) -> None:
        """Let go of the blocks that have not been used for longest."""
        while len(self._held) > self._most:
            oldest, pixels = self._held.popitem(last=False)
            if oldest in self._changed:
                self._save(oldest, pixels)

    def _file(self, key: tuple[int, ...]) -> Path:
        return self.folder / "-".join(map(str, key))

    def _load(self, key: tuple[int, ...]) -> NDArray[np.int32]:
        with _told(self.folder, "read"):
            data = zlib.decompress(self._file(key).read_bytes())
        return np.frombuffer(data, np.int32).reshape(_SIDE, _SIDE).copy()

    def _save(self, key: tuple[int, ...], pixels: NDArray[np.int32]) -> None:
        self._changed.discard(key)
        if key in self._stored or pixels.any():
            with _told(self.folder, "written"):
                self._file(key).write_bytes(zlib.compress(pixels.data, 1))
            self._stored.add(key)


def _blocks(rows: slice, cols: slice) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
    """List the blocks that a part touches: the place of each, which part of it, and where that lies in the part."""
    for i in range(rows.start // _SIDE, -(-rows.stop // _SIDE) if rows.stop > rows.start else 0):
        inside, there = _cut(rows, i)
        for j in range(cols.start // _SIDE, -(-cols.stop // _SIDE) if cols.stop > cols.start else 0):
            across, beside = _cut(cols, j)
            yield (i, j), (inside, across), (there, beside)


def _cut(part: slice, number: int) -> tuple[slice, slice]:
    start, stop = max(part.start, number * _SIDE), min(part.stop, (number + 1) * _SIDE)
    return slice(start - number * _SIDE, stop - number * _SIDE), slice(start - part.start, stop - part.start)


@contextlib.contextmanager
def _told(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"labels cannot be {what} in {folder}: {reason}; free space, then add --resume") from error
