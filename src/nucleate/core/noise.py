"""Planes in which hardly anything but noise is: what is white there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

__all__ = ["above_noise"]

_EVEN = 2.0  # times as far from the middle as the darkest pixels: where the brightest are no farther, all is noise, ...
_FAR = 3.0  # ... but for the few that are so many times as far from it, ...
_NUCLEUS, _FEWEST = 100, 4  # ... as many as a nucleus has, and on a coarse grid at least
_LAG = 2  # pixels apart that differ in noise, smoothed a little, too, ...
_ROUGH = 0.7  # ... by this many times as much as a pixel does from the middle of its surroundings; in nuclei by less


def above_noise(
    sample_HW: NDArray[Any],
    *,
    ends: tuple[float, float, float],
    windows: Callable[[], Iterable[NDArray[Any]]],
    step: int = 1,
) -> float:
    """Choose what is white: the high end of a plane, or the brightness of its few things if all else is noise.

    Parameters
    ----------
    sample_HW : (H, W) real ndarray
        The plane, or a sample of it on a grid.
    ends : (float, float, float)
        Its low end, its median and its high end.
    windows : callable
        Gives some whole parts of the plane, (h, w) each, by which noise is told from nuclei.
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
    if top - middle <= _FAR * (high - middle):
        return high
    return top if np.median([_roughness(window) for window in windows()]) > _ROUGH else high


def _roughness(window_HW: NDArray[Any]) -> float:
    """Tell how much pixels that are near each other differ, by how far they lie from the middle of the window."""
    values = window_HW.astype(np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0
    away = float(np.abs(known - known.mean()).mean())
    with np.errstate(invalid="ignore"):  # of what is infinite
        steps = [np.abs(lines[_LAG:] - lines[:-_LAG]) for lines in (values, values.T)]  # of stripes one is small
    means = [float(one[np.isfinite(one)].mean()) for one in steps if np.isfinite(one).any()]
    return max(means, default=0.0) / away if away > 0 else 0.0
