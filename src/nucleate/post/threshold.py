"""From a probability map to the mask of all nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

__all__ = ["above", "hysteresis", "otsu_level", "otsu_level_of_pieces", "structure"]

_BINS = 256


def structure(connectivity: int) -> NDArray[np.bool_]:
    """Give the 3 × 3 neighbourhood: 1 for pixels that share an edge, 2 for corners too."""
    return np.asarray(ndimage.generate_binary_structure(2, connectivity), bool)


def above(values: NDArray[np.floating[Any]], level: float) -> NDArray[np.bool_]:
    """Mark the pixels above a fixed level; NaN is never above."""
    return np.asarray(values > np.float32(level), bool)


def otsu_level(values: NDArray[np.floating[Any]]) -> float:
    """Find the level that separates a map best into two groups.

    Parameters
    ----------
    values : (H, W) float ndarray
        Any range; pixels that are not finite are left out.

    Returns
    -------
    float
        Middle of the histogram bin (256 between minimum and maximum) after which the variance between the groups is
        largest, the first such bin on ties. The value itself for a constant map, so that nothing lies above it.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9 (1979),
    doi:10.1109/TSMC.1979.4310076.

    Examples
    --------
    >>> round(otsu_level(np.array([[0.0, 0.1, 0.9, 1.0]], np.float32)), 3)
    0.1
    """
    return otsu_level_of_pieces(lambda: [values])


def otsu_level_of_pieces(pieces: Callable[[], Iterable[NDArray[np.floating[Any]]]]) -> float:
    """Find the same level for a map that comes in pieces.

    Parameters
    ----------
    pieces : callable
        Gives the pieces, any float arrays, from the first to the last; called twice, for the range and the counts.

    Returns
    -------
    float
        See `otsu_level`.
    """
    low, high = np.inf, -np.inf
    for values in pieces():
        finite = values[np.isfinite(values)]
        low, high = min(low, float(finite.min(initial=np.inf))), max(high, float(finite.max(initial=-np.inf)))
    width = (high - low) / _BINS
    if not width > 0:
        return high if np.isfinite(high) else 0.0
    counts = np.zeros(_BINS)
    for values in pieces():
        finite = values[np.isfinite(values)]
        counts += np.bincount(np.minimum(((finite - low) / width).astype(np.int32), _BINS - 1), minlength=_BINS)
    centres = low + (np.arange(_BINS) + 0.5) * width
    below = np.cumsum(counts)[:-1]
    over = counts.sum() - below
    moments = np.cumsum(counts * centres)
    gap = moments[:-1] / below - (moments[-1] - moments[:-1]) / over
    return float(centres[np.argmax(below * over * gap**2)])


def hysteresis(
    values: NDArray[np.floating[Any]], *, low: float, high: float, connectivity: int = 1
) -> NDArray[np.bool_]:
    """Mark the connected regions above `low` that reach above `high` somewhere.

    Faint specks disappear while sure nuclei keep their faint rims.

    References
    ----------
    J. Canny, "A computational approach to edge detection", IEEE TPAMI 8 (1986), doi:10.1109/TPAMI.1986.4767851.

    Examples
    --------
    >>> hysteresis(np.array([[0.4, 0.9, 0.4, 0.0, 0.4]]), low=0.3, high=0.8)
    array([[ True,  True,  True, False, False]])
    """
    regions, count = ndimage.label(above(values, low), structure(connectivity))
    sure = np.zeros(count + 1, bool)
    sure[regions[above(values, high)]] = True
    sure[0] = False
    return np.asarray(sure[regions], bool)
