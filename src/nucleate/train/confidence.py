"""Fitting the predicted IoU of nuclei to held-out truth, and saying how well it is calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nucleate.errors import DataError
from nucleate.post.confidence import ConfidenceModel
from nucleate.score.matching import match
from nucleate.train.logistic import fit_logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FEWEST", "Nuclei", "calibration_error", "fit_confidence", "true_iou"]

FEWEST = 50
"""Nuclei that a fit needs at least."""

_RIDGE = 1e-4
_DIGITS = 6  # of the numbers in the card
_BINS = 10  # of equal width, in which predicted and true IoU are compared


@dataclass(frozen=True, eq=False)
class Nuclei:
    """Found nuclei of held-out pictures, of one or of several.

    Parameters
    ----------
    described : (n, k) float64 ndarray
        From `nucleate.post.confidence.describe`.
    iou : (n,) float64 ndarray
        From `true_iou`.
    """

    described: NDArray[np.float64]
    iou: NDArray[np.float64]


def true_iou(truth: NDArray[np.int32], found: NDArray[np.int32]) -> NDArray[np.float64]:
    """Give the IoU of each found nucleus with the true nucleus it shares most with, 0 where it meets none.

    Parameters
    ----------
    truth, found : (H, W) int32 ndarray
        Label images; `found` has ids 1..n.

    Returns
    -------
    (n,) float64 ndarray
        0..1.
    """
    matching = match(truth, found)
    best = np.zeros(int(found.max(initial=0)) + 1)
    np.maximum.at(best, matching.pred_ids[matching.pred_index], matching.iou)
    return best[1:]


def fit_confidence(nuclei: Nuclei) -> ConfidenceModel:
    """Fit the model by the cross-entropy between predicted and true IoU.

    Parameters
    ----------
    nuclei : Nuclei
        Of pictures that the network was not trained on.

    Raises
    ------
    DataError
        If there are fewer than `FEWEST` nuclei.
    """
    described, iou = nuclei.described, nuclei.iou
    if len(iou) < FEWEST:
        raise DataError(f"too few held-out nuclei to fit a confidence: got {len(iou)}; {FEWEST} at least")
    mean = described.mean(0)
    spread = np.maximum(described.std(0), 1e-6)
    terms = ConfidenceModel.terms(described, mean=mean, spread=spread)
    weights, bias = fit_logistic(terms, iou, ridge=_RIDGE)
    return ConfidenceModel(
        tuple(mean.round(_DIGITS).tolist()), tuple(spread.round(_DIGITS + 2).tolist()), weights, bias
    )


def calibration_error(predicted: NDArray[np.float32], iou: NDArray[np.float64]) -> float:
    """Give the expected calibration error: the gap between predicted and true mean, averaged over bins by their size.

    Parameters
    ----------
    predicted, iou : (n,) ndarray
        0..1.

    Source: Naeini et al., AAAI 2015, for a predicted IoU in place of a probability.
    """
    place = np.minimum((np.asarray(predicted) * _BINS).astype(int), _BINS - 1)
    gaps = [abs(float((predicted[place == b] - iou[place == b]).sum())) for b in range(_BINS)]
    return sum(gaps) / max(1, len(iou))
