"""Planes in which hardly anything but noise is: what is white there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["above_noise", "is_noise"]

_EVEN = 2.0  # times as far from the middle as the darkest pixels: where the brightest are no farther, all is noise, ...
_FAR = 3.0  # ... but for the few that are so many times as far from it, ...
_NUCLEUS, _FEWEST = 100, 4  # ... as many as a nucleus has, and on a coarse grid at least
_LAG = 2  # pixels apart that differ in noise, smoothed a little, too, ...
_ROUGH = 0.7  # ... by this many times as much as a pixel lies off the slope of its surroundings; in nuclei by less
_FULL = 0.9  # of a window, that must hold something


def above_noise(sample_HW: NDArray[Any], *, ends: tuple[float, float, float], step: int = 1) -> float:
    """Choose what is white: the high end of a plane, or the brightness of its few things if all else may be noise.

    Parameters
    ----------
    sample_HW : (H, W) real ndarray
        The plane, or a sample of it on a grid.
    ends : (float, float, float)
        Its low end, its median and its high end.
    step : int
        Of the grid: a thing has as many pixels less as it is coarse. Lone ones are none.
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
    """Tell noise from nuclei by some whole parts (h, w) of a plane, as far as pixels alone can tell it.

    Parts that hold nothing but a constant, or have an edge of it, say nothing; where none is left, what there is lies
    on nothing.
    """
    found = [_roughness(window.astype(np.float64)) for window in windows]
    told = [one for one in found if one is not None]
    return not told or float(np.median(told)) > _ROUGH


def _roughness(window_HW: NDArray[np.float64]) -> float | None:
    """Tell how much pixels that are near each other differ, by how far they lie off a plane through all of them."""
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
    steps = (np.abs(lines[_LAG:] - lines[:-_LAG]) for lines in (flat_HW, flat_HW.T))  # of stripes one is small
    means = [float(np.nanmean(one)) for one in steps if np.isfinite(one).any()]
    return max(means, default=0.0) / away if away > 0 else None
