"""A plane that is read piece by piece: an array in memory, or a picture in a file that is larger than memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = [
    "ArrayPlane",
    "ChangedPlane",
    "GreyPlane",
    "PartOfPlane",
    "Plane",
    "SampledPlane",
    "as_grey",
    "as_plane",
    "few_windows",
    "grid_sample",
    "grid_step",
    "in_float32",
    "in_whole",
]

_PIECE = 16_000_000  # pixels read at once where the whole plane is gone through
_WINDOW = 64  # pixels a side of each window that `few_windows` reads
_WINDOWS = 3  # number of these windows, down and across
_HIGHEST = 2.0**16  # times the range: float32 has fewer than 256 steps for a range that lies higher than this
_ENDS = (1e-30, 1e30)  # the smallest and the largest range that float32 can square


class Plane(Protocol):
    """Anything with a shape whose parts can be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, then 3 for a colour plane."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, real."""

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part, (h, w) or (h, w, 3)."""


@dataclass(frozen=True)
class ArrayPlane:
    """A plane in memory.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3) real ndarray
    """

    pixels: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, then 3 for a colour plane."""
        return self.pixels.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.pixels.dtype

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part as a view."""
        part: NDArray[Any] = self.pixels[rows, cols]
        return part


@dataclass(frozen=True)
class PartOfPlane:
    """A window of a plane, read as a plane.

    Parameters
    ----------
    whole : Plane
    rows, cols : slice
        Within the whole, with a start and a stop.
    """

    whole: Plane
    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, then 3 for a colour plane."""
        return (self.rows.stop - self.rows.start, self.cols.stop - self.cols.start, *self.whole.shape[2:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.whole.dtype

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part, (h, w) or (h, w, 3)."""
        return self.whole.read(in_whole(self.rows, rows), in_whole(self.cols, cols))


class ChangedPlane:
    """A base for planes that show another `plane` with changed pixels."""

    plane: Plane

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, then 3 for a colour plane."""
        return self.plane.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.plane.dtype

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part, (h, w) or (h, w, 3)."""
        return self.plane.read(rows, cols)

    def sample(self, step: int) -> NDArray[Any]:
        """Give every `step`-th pixel of every `step`-th row; see `grid_sample`."""
        return _samples(self, (step,))[step]


@dataclass(frozen=True)
class GreyPlane(ChangedPlane):
    """One colour of a plane (H, W, 3).

    Parameters
    ----------
    plane : Plane
    channel : int
        0..2 for red, green or blue; if all colours of the plane are grey, the channels are equal.
    """

    plane: Plane
    channel: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.plane.shape[:2]

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part, (h, w)."""
        return np.ascontiguousarray(self.plane.read(rows, cols)[..., self.channel])

    def sample(self, step: int) -> NDArray[Any]:
        """Give every `step`-th pixel of every `step`-th row, out of the plane's own sample."""
        return np.ascontiguousarray(grid_sample(self.plane, step)[..., self.channel])


class SampledPlane(ChangedPlane):
    """A plane that one pass takes all wanted samples from; the samples are kept.

    Parameters
    ----------
    plane : Plane
    steps : iterable of int
        Steps of the samples that will be wanted.
    """

    def __init__(self, plane: Plane, steps: Iterable[int]) -> None:
        self.plane, self._steps = plane, set(steps)
        self._samples: dict[int, NDArray[Any]] = {}

    def sample(self, step: int) -> NDArray[Any]:
        """Give every `step`-th pixel of every `step`-th row."""
        if step not in self._samples:
            self._samples |= _samples(self.plane, {step, *self._steps})
        return self._samples[step]


def as_grey(plane: Plane, step: int) -> GreyPlane | None:
    """Give a colour plane without colours as a grey plane; None if a colour is seen, or if it is a grey plane already.

    Windows, and then every `step`-th pixel, are searched for colours.

    Examples
    --------
    >>> as_grey(ArrayPlane(np.full((2, 2, 3), 7)), 1).read(slice(0, 1), slice(0, 2))
    array([[7, 7]])
    """
    if len(plane.shape) == 2:
        return None
    # Nearly every picture in colours shows one in a few windows, and need not be read as a whole.
    grey = all(map(_is_grey, few_windows(plane))) and _is_grey(grid_sample(plane, step))
    return GreyPlane(plane) if grey else None


def few_windows(plane: Plane) -> Iterator[NDArray[Any]]:
    """Read nine windows of up to 64 pixels a side, corners and middle among them; in small planes they overlap."""
    tops, lefts = (np.linspace(0, max(n - _WINDOW, 0), _WINDOWS, dtype=int).tolist() for n in plane.shape[:2])
    return (plane.read(slice(top, top + _WINDOW), slice(left, left + _WINDOW)) for top in tops for left in lefts)


def _is_grey(pixels: NDArray[Any]) -> bool:
    first = pixels[..., 0]
    return bool((first == pixels[..., 1]).all() and (first == pixels[..., 2]).all())


@dataclass(frozen=True)
class _SpreadPlane(ChangedPlane):
    """A plane whose values from `low` to ``low + span`` are spread over 0 to 1."""

    plane: Plane
    low: float
    span: float

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        return self._spread(self.plane.read(rows, cols))

    def sample(self, step: int) -> NDArray[Any]:
        return self._spread(grid_sample(self.plane, step))

    def _spread(self, pixels: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore", invalid="ignore"):  # infinite values stay so
            return ((pixels.astype(np.float64) - self.low) / self.span).astype(np.float32)


def in_float32(plane: NDArray[Any] | Plane, step: int) -> Plane:
    """Give a plane in float32 or fewer bytes that keeps values apart: values that lie close are spread over 0 to 1.

    Every `step`-th pixel is looked at to see whether values lie close.

    Examples
    --------
    >>> high = np.array([[2**31, 2**31 + 50, 2**31 + 100]], np.uint32)
    >>> in_float32(high, 1).read(slice(0, 1), slice(0, 3))
    array([[0. , 0.5, 1. ]], dtype=float32)
    """
    plane = as_plane(plane)
    if plane.dtype.itemsize < 4 or plane.dtype == np.float32 or 0 in plane.shape:
        return plane
    sample = grid_sample(plane, step).astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return plane
    low, high = float(sample.min()), float(sample.max())
    span = high - low
    fits = _ENDS[0] < span < _ENDS[1] and max(abs(low), abs(high)) <= _HIGHEST * span
    # Float32 in either case, so that a part of the plane, which has less span, is not spread anew.
    return _SpreadPlane(plane, 0.0, 1.0) if fits or not 0 < span < np.inf else _SpreadPlane(plane, low, span)


def in_whole(window: slice, part: slice) -> slice:
    """Tell where a part of a window lies in the whole.

    Examples
    --------
    >>> in_whole(slice(10, 20), slice(2, None))
    slice(12, 20, None)
    """
    start, stop, _ = part.indices(window.stop - window.start)
    return slice(window.start + start, window.start + stop)


def as_plane(plane: NDArray[Any] | Plane) -> Plane:
    """Wrap an array as a plane; a plane comes back as it is."""
    return ArrayPlane(plane) if isinstance(plane, np.ndarray) else plane


def grid_step(shape_HW: tuple[int, ...], most: int) -> int:
    """Tell how far apart the rows and columns of a grid must be so that it has about `most` pixels at most.

    Examples
    --------
    >>> grid_step((100, 100), 2500)
    2
    """
    return max(1, int(np.ceil(np.sqrt(shape_HW[0] * shape_HW[1] / most))))


def grid_sample(plane: Plane, step: int) -> NDArray[Any]:
    """Read every `step`-th pixel of every `step`-th row: ``pixels[::step, ::step]``, with bounded memory.

    Examples
    --------
    >>> grid_sample(ArrayPlane(np.arange(12).reshape(3, 4)), 2)
    array([[ 0,  2],
           [ 8, 10]])
    """
    return plane.sample(step) if isinstance(plane, ChangedPlane) else _samples(plane, (step,))[step]


def _samples(plane: Plane, steps: Iterable[int]) -> dict[int, NDArray[Any]]:
    """Go through a plane once for samples of several steps."""
    height, width = plane.shape[:2]
    # The rows of a strip are a power of two, as those of the tiles of a file mostly are: then each tile is read once.
    strip = 1 << (max(_PIECE // max(width, 1), 1).bit_length() - 1)
    parts: dict[int, list[NDArray[Any]]] = {step: [] for step in steps}
    for top in range(0, max(height, 1), strip):
        pixels = plane.read(slice(top, min(top + strip, height)), slice(0, width))
        for step, found in parts.items():
            part = pixels[-top % step :: step, ::step]
            found.append(part if step == 1 else part.copy())  # a view would hold all pixels
    return {step: found[0] if len(found) == 1 else np.concatenate(found) for step, found in parts.items()}
