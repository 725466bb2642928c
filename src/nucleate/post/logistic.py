"""A logistic curve of numbers that describe something, as a model's card stores it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["curve", "in_spreads"]

_LIMIT = 4.0  # spreads from the mean at which a number is cut off


def in_spreads(
    described: NDArray[np.float64],
    *,
    mean: Sequence[float] | NDArray[np.float64],
    spread: Sequence[float] | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Bring numbers (n, k) to zero mean and unit spread, limited to four spreads."""
    scaled: NDArray[np.float64] = (described - np.asarray(mean)) / np.asarray(spread)
    return np.clip(scaled, -_LIMIT, _LIMIT)


def curve(terms: NDArray[np.float64], weights: Sequence[float], *, bias: float) -> NDArray[np.float64]:
    """Give ``1 / (1 + exp(-(terms @ weights + bias)))`` for each of n rows of terms (n, k); (n,) in 0..1."""
    # Row by row, since a matrix product rounds differently for each number of rows.
    logits: NDArray[np.float64] = (terms * np.asarray(weights)).sum(axis=1) + bias
    chance: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logits))
    return chance
