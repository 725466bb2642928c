"""Bootstrap over images: how far a score could move with another sample of the same kind of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["draw_weights", "interval", "mean_interval"]

_COVERAGE = 0.95  # share of the draws inside the interval
_CELLS = 4_000_000  # draws times images held at once


def interval(
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    units: Sequence[object],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Give the 95 % percentile interval of scores under resampling with replacement.

    Parameters
    ----------
    score : callable
        Takes weights (b, n), how often each image was drawn in each of b draws, and gives scores (b, s).
    units : sequence of n
        Unit to which each image belongs; whole units are drawn. All different: images are drawn singly.
    resamples : int
        Draws.
    seed : int
        Starts the generator: the same seed gives the same interval.

    Returns
    -------
    low, high : (s,) float64 ndarray, or None
        None with fewer than two units or no draws: nothing can be said then.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).
    """
    if len(set(units)) < 2 or resamples < 1:
        return None
    draws = np.concatenate([score(weights) for weights in draw_weights(units, resamples, seed=seed)])
    low, high = np.quantile(draws, [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2], axis=0)
    return low, high


def mean_interval(values: NDArray[np.float64], units: Sequence[object]) -> tuple[float, float] | None:
    """Give the 95 % interval of the mean of values (n,), each of a unit, by 2000 draws; see `interval`."""

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((weights @ values / weights.sum(1))[:, None])

    bounds = interval(mean, units, resamples=2000)
    return None if bounds is None else (float(bounds[0][0]), float(bounds[1][0]))


def draw_weights(units: Sequence[object], resamples: int, *, seed: int) -> Iterator[NDArray[np.float64]]:
    """Draw units with replacement, as many as there are; give the weights (b, n) in blocks of bounded size."""
    numbers: dict[object, int] = {}
    member = np.array([numbers.setdefault(unit, len(numbers)) for unit in units])
    generator = np.random.default_rng(seed)
    count = len(numbers)
    block = max(1, _CELLS // len(units))
    for start in range(0, resamples, block):
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=min(block, resamples - start))
        yield drawn[:, member].astype(np.float64)
