"""Planes that hold hardly anything but noise: which brightness counts as white there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["above_noise", "is_noise"]

# A plane may be all noise if its brightest pixels are no more than this many times as far from the median as its
# darkest.
_EVEN = 2.0
# Things are told from noise if they are more than this many times as far from the median as the high end.
_FAR = 3.0
_NUCLEUS, _FEWEST = 100, 4  # pixels that such things have at least, as many as a nucleus, and the same on a coarse grid
_LAG = 2  # noise that was smoothed a little still differs between pixels this far apart
# A part is noise if pixels differ by this many times as much as a pixel lies off the slope of its surroundings; in
# nuclei they differ by less.
_ROUGH = 0.7
_FULL = 0.9  # share of a part that must hold something for the part to count


def above_noise(sample_HW: NDArray[Any], *, ends: tuple[float, float, float], step: int = 1) -> float:
    """Choose the brightness of white: the high end of a plane, or that of a few things if all else may be noise.

    Parameters
    ----------
    sample_HW : (H, W) real ndarray
        The plane, or a sample of it on a grid.
    ends : (float, float, float)
        Its low end, its median and its high end.
    step : int
        Of the grid: the coarser it is, the fewer pixels a thing has. Lone pixels are no things.
    """
    low, middle, high = ends
    if high - middle > _EVEN * (middle - low):
        return high
    rows = np.minimum(sample_HW[1:], sample_HW[:-1])
    square = np.minimum(rows[:, 1:], rows[:, :-1])
    square = square[np.isfinite(square)]
    least = max(_FEWEST, _NUCLEUS // step**2)
    top = float(np.partition(square, -least)[-least]) if square.size > least else -np.inf
    return top if top - middle > _FAR * (high - middle) else high


def is_noise(windows: Iterable[NDArray[Any]]) -> bool:
    """Tell noise from nuclei by some whole parts (h, w) of a plane, as far as pixels alone can tell.

    Parts that are constant, or partly filled with a constant, say nothing. Where no other part is left, the answer is
    True.
    """
    found = [_roughness(window.astype(np.float64)) for window in windows]
    told = [one for one in found if one is not None]
    return not told or float(np.median(told)) > _ROUGH


def _roughness(window_HW: NDArray[np.float64]) -> float | None:
    """Tell how much near pixels differ, divided by how far pixels lie off a plane through all of their values."""
    known = np.isfinite(window_HW)
    if known.any():
        low = window_HW[known].min()
        filled = window_HW == low
        known &= ~filled if np.count_nonzero(filled) > (1 - _FULL) * filled.size else known
    if min(window_HW.shape) <= _LAG or np.count_nonzero(known) < _FULL * window_HW.size:
        return None
    rows, cols = np.nonzero(known)
    slope = np.stack([rows, cols, np.ones(rows.size)], axis=1)
    values = window_HW[known]
    flat_HW = np.full(window_HW.shape, np.nan)
    flat_HW[known] = values - slope @ np.linalg.lstsq(slope, values, rcond=None)[0]
    away = float(np.nanmean(np.abs(flat_HW)))
    steps = (np.abs(lines[_LAG:] - lines[:-_LAG]) for lines in (flat_HW, flat_HW.T))  # along stripes one is small
    means = [float(np.nanmean(one)) for one in steps if np.isfinite(one).any()]
    return max(means, default=0.0) / away if away > 0 else None
