"""The score of one image: numbers that the scores of a set are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.score.matching import match

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.score.matching import Matching

__all__ = ["THRESHOLDS", "ImageScore", "aji", "ap_of_iou", "pixel_scores", "score_image"]

THRESHOLDS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
"""IoU thresholds of the Data Science Bowl 2018."""


@dataclass(frozen=True)
class ImageScore:
    """The score of one image. If there was nothing to find and nothing was found, a score is 1.

    Parameters
    ----------
    image_id : str
        Name of the image.
    nuclei_true, nuclei_pred : int
        True and predicted nuclei.
    found : tuple of int
        True positives at each of `THRESHOLDS`.
    iou_sum : float
        Sum of the IoU of the nuclei found at 0.5.
    aji : float
        Aggregated Jaccard index, see `aji`.
    pixel_accuracy, pixel_precision, pixel_iou : float
        Scores of the merged masks, see `pixel_scores`.
    """

    image_id: str
    nuclei_true: int
    nuclei_pred: int
    found: tuple[int, ...]
    iou_sum: float
    aji: float
    pixel_accuracy: float
    pixel_precision: float
    pixel_iou: float

    @property
    def ap(self) -> tuple[float, ...]:
        """TP / (TP + FP + FN) at each of `THRESHOLDS`."""
        total = self.nuclei_true + self.nuclei_pred
        return tuple(_ratio(found, total - found) for found in self.found)

    @property
    def kaggle(self) -> float:
        """Mean of `ap`: the score of one image in the Data Science Bowl 2018.

        The competition's text leaves an image without true and predicted nuclei open (0 / 0): here it scores 1.
        """
        return sum(self.ap) / len(self.ap)

    @property
    def f1_50(self) -> float:
        """2 TP / (2 TP + FP + FN) at IoU 0.5."""
        return _ratio(2 * self.found[0], self.nuclei_true + self.nuclei_pred)

    @property
    def pq(self) -> float:
        """Panoptic quality, see `nucleate.score.scores.Scores`."""
        return _ratio(2 * self.iou_sum, self.nuclei_true + self.nuclei_pred)


def score_image(true: NDArray[Any], pred: NDArray[Any], *, image_id: str = "image") -> ImageScore:
    """Score one predicted label image.

    Parameters
    ----------
    true, pred : (...) int ndarray
        Label images or stacks of one shape; 0 is background.
    image_id : str
        Name of the image.

    Raises
    ------
    DataError
        If the shapes differ or the arrays hold no label images.
    """
    matching = match(true, pred)
    accuracy, precision, iou = pixel_scores(matching)
    return ImageScore(
        image_id=image_id,
        nuclei_true=matching.n_true,
        nuclei_pred=matching.n_pred,
        found=tuple(len(matching.pairs(threshold)) for threshold in THRESHOLDS),
        iou_sum=math.fsum(matching.iou[matching.pairs(0.5)].tolist()),  # whatever the order of ids
        aji=aji(matching),
        pixel_accuracy=accuracy,
        pixel_precision=precision,
        pixel_iou=iou,
    )


def ap_of_iou(iou: NDArray[np.float64], nuclei_true: int, *, thresholds: tuple[float, ...] = THRESHOLDS) -> float:
    """Give the mean average precision over some thresholds, `ImageScore.kaggle` by default, from IoUs alone.

    Parameters
    ----------
    iou : (n,) float ndarray
        Of each predicted nucleus with the true nucleus it shares most pixels with; 0 if it meets none. Above 0.5, no
        two predicted nuclei have the same true nucleus, so none need be chosen.
    nuclei_true : int
        True nuclei.
    thresholds : tuple of float
        Of IoU, 0.5 or above.

    Examples
    --------
    >>> ap_of_iou(np.array([0.96, 0.5]), 1)
    0.5
    >>> ap_of_iou(np.array([0.7]), 1, thresholds=(0.5,))
    1.0
    """
    found = (np.asarray(iou)[:, None] > np.array(thresholds)).sum(axis=0)
    total = nuclei_true + len(iou)
    return float((found / (total - found)).mean()) if total else 1.0


def aji(matching: Matching) -> float:
    """Give the aggregated Jaccard index of an image.

    Each true nucleus takes the predicted one of greatest IoU (of equal ones, that with the smallest id). The numerator
    is the sum of their intersections, the denominator the sum of their unions, plus the areas of true nuclei that meet
    no predicted one and of predicted nuclei that no true one took. As in the paper's algorithm, a predicted nucleus may
    be taken more than once (the program that its authors published later takes each once, in the order of ids). 1 for
    two images without nuclei.

    References
    ----------
    Kumar et al., A dataset and a technique for generalized nuclear segmentation for computational pathology, IEEE
    Transactions on Medical Imaging 36 (2017) 1550-1560, algorithm 1, doi:10.1109/TMI.2017.2677499.
    """
    order = np.lexsort((matching.pred_index, -matching.iou, matching.true_index))
    rows = matching.true_index[order]
    best = order[np.flatnonzero(np.diff(rows, prepend=-1))]
    untaken_true = np.delete(matching.true_areas, matching.true_index[best])
    untaken_pred = np.delete(matching.pred_areas, matching.pred_index[best])
    below = matching.union[best].sum() + untaken_true.sum() + untaken_pred.sum()
    return _ratio(float(matching.shared[best].sum()), float(below))


def pixel_scores(matching: Matching) -> tuple[float, float, float]:
    """Score the masks in which all nuclei are merged: nucleus or background, pixel by pixel.

    Returns
    -------
    accuracy : float
        Share of all pixels that are right; 1 for an image without pixels.
    precision : float
        TP / (TP + FP); without predicted pixels 1 if there are no true ones either, else 0.
    iou : float
        TP / (TP + FP + FN); 1 if no pixel is true or predicted.

    References
    ----------
    Pixel accuracy, precision and IoU of the Stanford CS230 (2018) report on this data's U-Net.
    """
    positive = int(matching.shared.sum())
    true, pred = int(matching.true_areas.sum()), int(matching.pred_areas.sum())
    wrong = true + pred - 2 * positive
    accuracy = _ratio(matching.pixels - wrong, matching.pixels)
    precision = _ratio(positive, pred) if pred else float(true == 0)
    return accuracy, precision, _ratio(positive, true + pred - positive)


def _ratio(above: float, below: float) -> float:
    # Nothing to find and nothing found is a perfect answer.
    return above / below if below else 1.0
