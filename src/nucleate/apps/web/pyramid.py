"""A plane in several sizes, so that a tile of any zoom is made of few pixels.

The sizes are *levels*: the full size, the sizes that the file holds, and where these end or lie far apart, smaller ones
that are made by going once through the level before. The last level is small and in memory.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleate.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = [
    "IN_MEMORY",
    "Pyramid",
    "Read",
    "Shrink",
    "Steps",
    "Watch",
    "averaged",
    "picked",
    "steps_of",
]

Read: TypeAlias = Callable[[slice, slice], NDArray[Any]]
"""Gives rows and columns of a plane."""

_OVERVIEW = 4_000_000
"""Pixels of the last level at most; it is in memory, and so is any made level that is no larger."""

IN_MEMORY = 32_000_000
"""Pixels of a plane that is read once and kept."""

_PIECE = 16_000_000
"""Pixels read at once where a whole level is gone through."""

_NEAR, _FAR = 1.5, 8.0
"""How much smaller a level of the file is than the level before, at least and at most."""

_MADE = 4
"""How much smaller a level that is made is than the level before."""

_SPOTS, _SPOT = 10, 100
"""Windows down and across that are looked at in full size, and the pixels along each side of a window."""

_TURN = 100
"""Pixels that have to be added at once for adding rows to be quicker than `np.add.reduceat`."""

_SLACK = 1.01
"""How many times smaller than what is asked for a level may be, since files round their sizes."""


@dataclass(frozen=True)
class Steps:
    """Along one axis, which pixels of a level make the pixels of a view that is smaller.

    Parameters
    ----------
    part : slice
        The pixels of the level that have to be read.
    starts, middles : (n,) int64 ndarray
        For each pixel of the view, its first and its middle pixel within that part.
    end : float
        How much the last pixel of the part counts; less than 1 where it stands for fewer pixels of the full size.
    """

    part: slice
    starts: NDArray[np.int64]
    middles: NDArray[np.int64]
    end: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether each pixel of the view is one pixel of the level."""
        return bool(len(self.starts) == self.part.stop - self.part.start)


Shrink: TypeAlias = Callable[[NDArray[Any], tuple[Steps, Steps]], NDArray[Any]]
"""Makes what was read smaller, down and across."""

Watch: TypeAlias = Callable[[float], None]
"""Told which share of a plane that has to be gone through is done, 0..1; what it raises ends that."""


def steps_of(wanted: slice, ratio: float, *, length: int, end: float = 1.0) -> Steps:
    """Tell which pixels of a level of some length make the wanted pixels of a view that is smaller by `ratio`.

    Examples
    --------
    >>> steps = steps_of(slice(1, 3), 4, length=11)
    >>> steps.part, steps.starts.tolist(), steps.middles.tolist()
    (slice(4, 11, None), [0, 4], [2, 6])
    """
    places = np.arange(wanted.start, max(wanted.stop, wanted.start) + 1)
    edges = np.minimum(np.floor(places * ratio + 0.5).astype(np.int64), length)
    if len(edges) == 1:
        nothing = np.zeros(0, np.int64)
        return Steps(slice(length, length), nothing, nothing)
    starts = np.minimum(edges[:-1], length - 1)  # a level that was rounded down may lack the last one
    part = slice(int(starts[0]), max(int(edges[-1]), int(starts[-1]) + 1))
    middles = np.minimum(np.floor((places[:-1] + 0.5) * ratio).astype(np.int64), part.stop - 1)
    return Steps(part, starts - part.start, middles - part.start, end if part.stop == length else 1.0)


def averaged(pixels: NDArray[Any], steps: tuple[Steps, Steps]) -> NDArray[Any]:
    """Make each pixel the mean of those it is made of; a `Shrink`."""
    rows, cols = steps
    if (rows.plain and cols.plain) or not pixels.size:
        return pixels
    dtype = np.dtype(np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        down = _means(pixels, rows, dtype=dtype)
        return np.moveaxis(_means(np.moveaxis(down, 1, 0), cols, dtype=dtype), 0, 1)


def _means(pixels: NDArray[Any], steps: Steps, *, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Average along the first axis."""
    counted = np.ones(len(pixels), dtype)
    counted[-1] = steps.end
    totals = _sums(pixels, steps.starts, dtype=dtype)
    if steps.end < 1:
        totals[-1] -= pixels[-1] * dtype.type(1 - steps.end)
    counts = np.add.reduceat(counted, steps.starts)
    means: NDArray[Any] = totals / counts.reshape((-1, *[1] * (pixels.ndim - 1)))
    return means


def _sums(pixels: NDArray[Any], starts: NDArray[np.int64], *, dtype: np.dtype[Any]) -> NDArray[Any]:
    step = int(starts[1]) if len(starts) > 1 else len(pixels)
    even = 0 < step <= pixels.size // _TURN and -(-len(pixels) // step) == len(starts)
    if not even or not np.array_equal(starts, np.arange(len(starts)) * step):
        return np.asarray(np.add.reduceat(pixels, starts, axis=0, dtype=dtype))
    totals = pixels[::step].astype(dtype)  # the same, many times as fast
    for first in range(1, step):
        more = pixels[first::step]
        totals[: len(more)] += more
    return totals


def picked(labels: NDArray[Any], steps: tuple[Steps, Steps]) -> NDArray[Any]:
    """Make each pixel the one in the middle of those it is made of; a `Shrink`."""
    rows, cols = steps
    return labels if rows.plain and cols.plain else labels[np.ix_(rows.middles, cols.middles)]


@dataclass(frozen=True)
class _Level:
    """One size of a plane of `full_HW`; `scales` are the pixels of the full size for one of it, down and across."""

    read: Read
    shape_HW: tuple[int, int]
    full_HW: tuple[int, int]
    scales: tuple[float, float] = (1.0, 1.0)

    @property
    def size(self) -> int:
        return self.shape_HW[0] * self.shape_HW[1]

    @property
    def scale(self) -> float:
        return max(self.scales)

    def steps(self, axis: int, wanted: slice, *, factor: float) -> Steps:
        """Tell which pixels make the wanted pixels of a view that is smaller than the full size by `factor`."""
        length, scale = self.shape_HW[axis], self.scales[axis]
        end = min(self.full_HW[axis] / scale - (length - 1), 1.0)  # the last pixel may stand for fewer
        return steps_of(wanted, factor / scale, length=length, end=end)

    def whole(self) -> NDArray[Any]:
        return self.read(slice(0, self.shape_HW[0]), slice(0, self.shape_HW[1]))

    def held(self) -> _Level:
        """Give the same level in memory."""
        pixels = self.whole()
        return replace(self, read=lambda rows, cols: pixels[rows, cols])


class Pyramid:
    """A plane in all its sizes.

    Parameters
    ----------
    full : Read
    shape_HW : (int, int)
        Its rows and columns.
    shrink : Shrink
        `averaged` for pictures, `picked` for labels.
    levels : sequence of (Read, (int, int))
        Smaller sizes that the file holds, with their rows and columns.
    scratch : Path, optional
        Folder for levels that are made and do not fit the memory; they vanish with the pyramid.
    watch : Watch
        Told how far it is after each piece, unless no level has to be made.

    Raises
    ------
    OutputError
        If that folder has no room.
    """

    def __init__(
        self,
        full: Read,
        shape_HW: tuple[int, int],
        *,
        shrink: Shrink,
        levels: Sequence[tuple[Read, tuple[int, int]]] = (),
        scratch: Path | None = None,
        watch: Watch = lambda _: None,
    ) -> None:
        self.shape_HW, self._shrink, self._scratch = shape_HW, shrink, scratch
        self._watch, self._gone, self._all = watch, 0.0, 0.0
        used = [_Level(full, shape_HW, shape_HW)]
        if used[0].size <= IN_MEMORY:
            used = [used[0].held()]
        of_file = [_stored_level(read, shape, full=shape_HW) for read, shape in levels]
        of_file.sort(key=lambda one: one.scale)
        while used[-1].size > _OVERVIEW:
            last = used[-1]
            near = (one for one in of_file if _NEAR <= one.scale / last.scale <= _FAR)
            found = next(near, None) or self._made(last)
            used.append(found.held() if found.size <= _OVERVIEW else found)
        self._levels = used
        self.overview: NDArray[Any] = used[-1].whole()

    def sample(self) -> NDArray[Any]:
        """Give pixels that tell the contrast: all, or the last level and some of the full size, as (n, 1) or (n, 1, 3).

        The last level alone would not do: small bright things are far brighter in full size than in its means.
        """
        if self._levels[0].size <= IN_MEMORY:
            return self._levels[0].whole()
        tops, lefts = (np.linspace(0, max(n - _SPOT, 0), _SPOTS, dtype=int).tolist() for n in self.shape_HW)
        spots = [self.read(slice(top, top + _SPOT), slice(left, left + _SPOT)) for top in tops for left in lefts]
        seen = [self.overview, *spots]
        return np.concatenate([one.reshape(-1, 1, *one.shape[2:]) for one in seen])

    @property
    def is_costly(self) -> bool:
        """Whether it was made by going through more than would have been kept in memory."""
        return self._gone > IN_MEMORY

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part at full size."""
        return self._levels[0].read(rows, cols)

    def window(self, factor: int, rows: slice, *, cols: slice) -> NDArray[Any]:
        """Give rows and columns of the view that is smaller than the full size by `factor`; empty beyond its end.

        Means are not rounded, so the dtype is not necessarily that of the plane.
        """
        level = next(one for one in reversed(self._levels) if one.scale <= factor * _SLACK)
        down, across = (
            level.steps(axis, slice(part.start, min(part.stop, -(-n // factor))), factor=factor)
            for axis, (part, n) in enumerate(zip((rows, cols), self.shape_HW, strict=True))
        )
        return self._shrink(level.read(down.part, across.part), (down, across))

    def _made(self, last: _Level) -> _Level:
        """Go through a level once, in bands of rows, and make a smaller one."""
        by = 2 if last.size <= 4 * _OVERVIEW else _MADE
        height, width = (-(-n // by) for n in last.shape_HW)
        scales = (by * last.scales[0], by * last.scales[1])
        across = last.steps(1, slice(0, width), factor=scales[1])
        strip = max(_PIECE // last.shape_HW[1] // by, 1)
        wanted = [slice(top, min(top + strip, height)) for top in range(0, height, strip)]
        down = [last.steps(0, rows, factor=scales[0]) for rows in wanted]
        bands = self._bands(last, down, across=across)
        pixels = np.concatenate(list(bands)) if height * width <= _OVERVIEW else self._stored(bands, last)
        return _Level(lambda rows, cols: pixels[rows, cols], (height, width), self.shape_HW, scales)

    def _bands(self, last: _Level, down: Sequence[Steps], *, across: Steps) -> Iterator[NDArray[Any]]:
        self._all = self._all or last.size * _MADE**2 / (_MADE**2 - 1)  # with the smaller ones that come after
        for rows in down:
            self._watch(min(self._gone / self._all, 1.0))
            yield self._shrink(last.read(rows.part, across.part), (rows, across))
            self._gone += last.size / len(down)

    def _stored(self, bands: Iterable[NDArray[Any]], last: _Level) -> NDArray[Any]:
        """Write bands into a nameless file, whole numbers rounded, and give them as one array."""
        whole = last.read(slice(0, 1), slice(0, 1)).dtype
        height, samples, dtype = 0, (0,), whole
        with contextlib.ExitStack() as open_files:
            try:
                stream = open_files.enter_context(tempfile.TemporaryFile(dir=self._scratch))
                for band in bands:
                    kept = np.rint(band).astype(whole) if whole.kind in "ui" and band.dtype.kind == "f" else band
                    height, samples, dtype = height + len(kept), kept.shape[1:], kept.dtype
                    stream.write(np.ascontiguousarray(kept).data)
                stream.flush()
            except OSError as error:
                where = self._scratch or tempfile.gettempdir()
                reason = error.strerror or error
                raise OutputError(
                    f"no room to look at a plane this large: {where}: {reason}; free space there, or name another "
                    "folder in TMPDIR and start again"
                ) from error
            return np.memmap(stream, dtype, "r", shape=(height, *samples))


def _stored_level(read: Read, shape_HW: tuple[int, int], *, full: tuple[int, int]) -> _Level:
    """Tell the scales of a level that a file holds: whole numbers where its size was rounded up from these."""
    scales = []
    for whole, length in zip(full, shape_HW, strict=True):
        near = max(round(whole / length), 1)
        scales.append(float(near) if -(-whole // near) == length else whole / length)
    return _Level(read, shape_HW, full, (scales[0], scales[1]))
