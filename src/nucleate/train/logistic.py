"""A logistic curve fitted to numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_logistic"]

_DIGITS = 6  # of the numbers in a model's card


def fit_logistic(
    terms: NDArray[np.float64], target: NDArray[np.float64], *, ridge: float
) -> tuple[tuple[float, ...], float]:
    """Fit ``1 / (1 + exp(-(terms @ weights + bias)))`` to targets by their cross-entropy.

    Parameters
    ----------
    terms : (n, k) float64 ndarray
        Of about unit spread.
    target : (n,) float64 ndarray
        0..1.
    ridge : float
        Keeps the weights of correlated numbers from growing against each other.

    Returns
    -------
    weights, bias : tuple of float, float
        Rounded for a model's card.
    """
    terms = np.concatenate([terms, np.ones((len(terms), 1))], axis=1)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = terms @ weights
        entropy = np.logaddexp(0.0, logits) - target * logits
        slope = terms.T @ (1 / (1 + np.exp(-logits)) - target) / len(target)
        return float(entropy.mean() + 0.5 * ridge * weights @ weights), slope + ridge * weights

    found = optimize.minimize(loss, np.zeros(terms.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    weights = found.x.round(_DIGITS).tolist()
    return tuple(weights[:-1]), weights[-1]
