"""Reads parts of TIFF pages: only the tiles or strips that a window touches are read and decoded."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.image import AXES
from nucleate.io.faults import check_size, cut_short, fault
from nucleate.io.tiff_colours import colours_of
from nucleate.io.windows import windowed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffPage, TiffPageSeries

    from nucleate.core.lazy import LazyImage, Window

__all__ = ["lazy_series"]

_JPEG = {6, 7, 33007, 34892}
"""Codes of compressions whose tables may be stored outside of the tiles."""


_KEPT_BYTES = 1 << 26


def lazy_series(path: Path, series: TiffPageSeries, *, display_only: bool, names: tuple[str, ...]) -> LazyImage | None:
    """Make the lazy image of a series of pages; None if its layout has to be read as a whole.

    Parameters
    ----------
    path : Path
        The file, for messages and for mapping plain pixels into memory.
    series : TiffPageSeries
        The series, whose file stays open.
    display_only : bool
        As for `nucleate.io.tiff_colours.colours_of`.
    names : tuple of str
        Names of the channels.

    Returns
    -------
    LazyImage or None
        Without name, pixel size and levels.
    """
    page: Any = series.keyframe
    leading = len(series.axes) - len(page.axes)
    same = series.axes[leading:] == page.axes and tuple(series.shape[leading:]) == tuple(page.shape)
    if not same or leading < 0 or set(page.axes) - set("YXS") or page.shaped[1] != 1:
        return None
    stack = tuple(series.shape[:leading])
    letters = [letter if letter in AXES else "I" for letter in series.axes[:leading]]
    probe = np.zeros((1, 1, page.shape[page.axes.index("S")]) if "S" in page.axes else (1, 1), series.dtype)
    axes = "YXS" if "S" in page.axes else "YX"
    shown, shown_axes = colours_of(page, probe, axes=axes, display_only=display_only)
    if "C" in shown_axes and "C" in letters:
        return None
    plain = series.dataoffset is not None and all(one is None or one.parent is page.parent for one in series.pages)
    window = _mapped(path, series, stack=stack) if plain else _paged(path, series, stack=stack)
    places = {letter: [i for i, one in enumerate(letters) if one == letter] for letter in letters}
    sizes: dict[str, Any] = {letter: math.prod(stack[i] for i in places[letter]) for letter in places}

    def read(at: dict[str, int], rows: slice, cols: slice) -> NDArray[Any]:
        index = [0] * len(stack)
        for letter, where in places.items():
            for i, number in zip(where, np.unravel_index(at[letter], [stack[i] for i in where]), strict=True):
                index[i] = int(number)
        part, _ = colours_of(page, window(tuple(index), rows, cols), axes=axes, display_only=display_only)
        return part[..., at["C"]] if "C" in shown_axes else part

    sizes |= {"Y": page.shape[page.axes.index("Y")], "X": page.shape[page.axes.index("X")]}
    sizes |= dict.fromkeys(shown_axes[2:], shown.shape[-1])
    return windowed(sizes, shown.dtype.newbyteorder("="), read=read, names=names)


def _mapped(path: Path, series: TiffPageSeries, *, stack: tuple[int, ...]) -> Window:
    """Give windows of pixels that are stored uncompressed, one plane after the other."""
    parent: Any = series.parent
    start = series.dataoffset or 0
    size, needed = path.stat().st_size, start + series.nbytes
    if needed > size:
        raise cut_short(path, needed, size=size)
    dtype: np.dtype[Any] = series.dtype.newbyteorder(parent.byteorder)
    pixels = np.memmap(path, dtype, "r", offset=start, shape=tuple(series.shape))
    samples = series.keyframe.axes.find("S")

    def window(place: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        plane = pixels[place] if stack else pixels
        return np.array(np.moveaxis(plane, samples, -1)[rows, cols] if samples >= 0 else plane[rows, cols])

    return window


def _paged(path: Path, series: TiffPageSeries, *, stack: tuple[int, ...]) -> Window:
    """Give windows of pages that are stored separately, in tiles or strips."""
    keyframe = series.keyframe
    _, _, height, width, samples = keyframe.shaped
    down = min(keyframe.tilelength if keyframe.is_tiled else keyframe.rowsperstrip, height)
    across = min(keyframe.tilewidth, width) if keyframe.is_tiled else width
    if down < 1 or across < 1:
        raise fault(path, f"tiles of {down} x {across} pixels")
    check_size(path, (down, across, samples), itemsize=series.dtype.itemsize, max_bytes=None)
    tile = (keyframe.tilelength, keyframe.tilewidth) if keyframe.is_tiled else (down, width)

    kept = _Decoded(path)

    def window(place: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        page: Any = series.pages[int(np.ravel_multi_index(place, stack)) if stack else 0]
        part = _window_of(page, kept, window=(rows, cols), tile=tile)
        return part if "S" in keyframe.axes else part[..., 0]

    return window


class _Decoded:
    """Keeps the last decoded tiles and strips, since windows that overlap ask for the same ones again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: OrderedDict[tuple[int, int, int], NDArray[Any] | None] = OrderedDict()
        self._bytes = 0

    def get(self, page: TiffPage, number: int) -> NDArray[Any] | None:
        """Give a tile, (h, w, samples), or None if nothing was recorded in it."""
        key = (id(page.parent), int(page.offset), number)  # the file counts, since pages of a set lie in several
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        decoded = _decoded(self.path, page, number=number)
        self._kept[key] = decoded
        self._bytes += 0 if decoded is None else decoded.nbytes
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= 0 if oldest is None else oldest.nbytes
        return decoded


def _window_of(page: TiffPage, kept: _Decoded, *, window: tuple[slice, slice], tile: tuple[int, int]) -> NDArray[Any]:
    """Read a window (h, w, samples) of one page, whether its samples are planar or not."""
    keyframe: Any = page.keyframe
    rows, cols = window
    planes, _, height, width, samples = keyframe.shaped
    part = np.full((rows.stop - rows.start, cols.stop - cols.start, planes * samples), keyframe.nodata, keyframe.dtype)
    grid = -(-height // tile[0]), -(-width // tile[1])
    for plane in range(planes):
        for i in range(rows.start // tile[0], -(-rows.stop // tile[0])):
            for j in range(cols.start // tile[1], -(-cols.stop // tile[1])):
                decoded = kept.get(page, (plane * grid[0] + i) * grid[1] + j)
                if decoded is None:  # nothing was recorded here, since slides leave out empty tiles
                    continue
                top, left = i * tile[0], j * tile[1]
                inside = min(tile[0], height - top), min(tile[1], width - left), samples
                if decoded.shape not in {inside, (*tile, samples)}:
                    raise fault(kept.path, f"a tile of {decoded.shape} where {(*tile, samples)} was said to be")
                decoded = decoded[: inside[0], : inside[1]]
                above, before = max(rows.start - top, 0), max(cols.start - left, 0)
                seen = decoded[above : rows.stop - top, before : cols.stop - left]
                row, col = top + above - rows.start, left + before - cols.start
                channels = slice(plane * samples, (plane + 1) * samples)
                part[row : row + seen.shape[0], col : col + seen.shape[1], channels] = seen
    return part


def _decoded(path: Path, page: TiffPage, *, number: int) -> NDArray[Any] | None:
    """Read and decode one tile or strip, (h, w, samples)."""
    keyframe: Any = page.keyframe
    file = page.parent.filehandle
    offset, count = page.dataoffsets[number], page.databytecounts[number]
    if not count:
        return None
    if offset + count > file.size:
        raise cut_short(path, offset + count, size=file.size)
    was_closed = file.closed  # the other files of an OME set are opened only for a moment
    if was_closed:
        file.open()
    try:
        file.seek(offset)
        data = file.read(count)
    finally:
        if was_closed:
            file.close()
    tables = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader} if keyframe.compression in _JPEG else {}
    decoded, _, _ = keyframe.decode(data, number, **tables)
    return None if decoded is None else decoded[0]
