"""Scores of a set of images: formulas over the matching, each with a bootstrap interval over images."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.errors import DataError
from nucleate.score.bootstrap import interval
from nucleate.score.images import THRESHOLDS, ImageScore, score_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["AP_KEYS", "SCORE_NAMES", "Scores", "evaluate_pairs", "summarise"]

AP_KEYS = tuple(f"{threshold:.2f}" for threshold in THRESHOLDS)
"""Names of the thresholds in `Scores.ap`: "0.50" to "0.95"."""

SCORE_NAMES = (
    "kaggle", "f1_50", "precision_50", "recall_50", "pq", "aji", "pixel_accuracy", "pixel_precision", "pixel_iou",
)  # fmt: skip
"""Scores that are one number for the set."""

_MEANS = ("kaggle", "aji", "pixel_accuracy", "pixel_precision", "pixel_iou")
_SUMS = len(THRESHOLDS) + 3


@dataclass(frozen=True)
class Scores:
    """How good a set of predicted label images is.

    A predicted nucleus is a true positive (TP) when its IoU with a true one is greater than the threshold (see
    `nucleate.score.matching.Matching.pairs`); other predicted nuclei are false positives (FP), true nuclei without a
    partner false negatives (FN). Pooled scores count over all images together, so that an image weighs as much as it
    has nuclei; in means over images each image weighs the same. With no true and no predicted nucleus in the whole set
    (or image) every score is 1.

    Parameters
    ----------
    kaggle : float
        Mean over images of the mean over IoU 0.50, 0.55 ... 0.95 of TP / (TP + FP + FN): the score of the Data
        Science Bowl 2018 (doi:10.1038/s41592-019-0612-7).
    ap : mapping
        Average precision at each threshold, pooled: TP / (TP + FP + FN), StarDist's definition (Schmidt et al. 2018,
        doi:10.1007/978-3-030-00934-2_30). Keys as in `AP_KEYS`.
    f1_50, precision_50, recall_50 : float
        2 TP / (2 TP + FP + FN), TP / (TP + FP), TP / (TP + FN) at IoU 0.5, pooled. Precision without predicted nuclei
        and recall without true ones are 0 when the other image has nuclei.
    pq : float
        Panoptic quality, pooled: sum of the IoU of the true positives at 0.5 / (TP + FP / 2 + FN / 2) (Kirillov et
        al. 2019, doi:10.1109/CVPR.2019.00963).
    aji : float
        Aggregated Jaccard index (Kumar et al. 2017, see `nucleate.score.images.aji`), mean over images.
    pixel_accuracy, pixel_precision, pixel_iou : float
        Scores of the merged masks (see `nucleate.score.images.pixel_scores`), mean over images.
    interval : mapping
        95 % bootstrap interval (low, high) of each score, under its name; those of `ap` under "ap 0.50" and so on.
        Empty when there are fewer than two images (or groups) to draw from.
    per_image : tuple of ImageScore
        The single images, in the order given.
    missing, ignored : tuple of str
        Images of the truth without prediction, counted as empty; predictions without truth, which do not count.
    binary : tuple of str
        Images of which one side, the true or the predicted, looks like a binary mask: its numbers do not
        tell its nuclei apart (see `nucleate.core.pieces.unnumbered`).
    failed : mapping
        Image id to the reason why it could not be compared: an image whose prediction is at fault counts as empty and
        is in `per_image`, an image whose truth is at fault is left out.
    """

    kaggle: float
    ap: Mapping[str, float]
    f1_50: float
    precision_50: float
    recall_50: float
    pq: float
    aji: float
    pixel_accuracy: float
    pixel_precision: float
    pixel_iou: float
    interval: Mapping[str, tuple[float, float]]
    per_image: tuple[ImageScore, ...]
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    binary: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Images scored."""
        return len(self.per_image)

    @property
    def ap_by_image(self) -> dict[str, float]:
        """Average precision at each threshold, mean over images: `ap` counts over all images together."""
        means = np.mean([image.ap for image in self.per_image], axis=0).tolist()
        return dict(zip(AP_KEYS, means, strict=True))

    @property
    def nuclei_true(self) -> int:
        """True nuclei in all images."""
        return sum(image.nuclei_true for image in self.per_image)

    @property
    def nuclei_pred(self) -> int:
        """Predicted nuclei in all images."""
        return sum(image.nuclei_pred for image in self.per_image)

    def to_json(self) -> dict[str, Any]:
        """Give the scores for a JSON file: kaggle, ap, f1_50 ... and "interval" with the same keys.

        An interval is [low, high], or None when there is none.
        """
        names = [name for name in SCORE_NAMES if name not in {"precision_50", "recall_50"}]
        bounds = {name: list(pair) for name, pair in self.interval.items()}
        content: dict[str, Any] = {"kaggle": self.kaggle, "ap": dict(self.ap)}
        content |= {name: getattr(self, name) for name in names}
        content |= {"images": self.images, "nuclei_true": self.nuclei_true, "nuclei_pred": self.nuclei_pred}
        intervals: dict[str, Any] = {"kaggle": bounds.get("kaggle")}
        intervals["ap"] = {key: bounds.get(f"ap {key}") for key in self.ap}
        intervals |= {name: bounds.get(name) for name in names}
        return content | {"interval": intervals}


def evaluate_pairs(
    pairs: Iterable[tuple[str, NDArray[Any], NDArray[Any]]],
    *,
    groups: Mapping[str, str] | None = None,
    resamples: int = 1000,
) -> Scores:
    """Score predicted label images; each pair is used once and not kept.

    Parameters
    ----------
    pairs : iterable of (id, true, pred)
        Label images (H, W) of one shape, 0 background.
    groups, resamples
        As in `summarise`.

    Raises
    ------
    DataError
        If there is no pair, or the two label images of a pair do not fit (its id is named).

    Examples
    --------
    >>> labels = np.array([[0, 1, 1, 0, 2, 2]])
    >>> evaluate_pairs([("one", labels, labels)]).kaggle
    1.0
    """
    per_image = []
    for image_id, true, pred in pairs:
        try:
            per_image.append(score_image(true, pred, image_id=image_id))
        except DataError as error:
            raise DataError(f"{image_id}: {error}") from error
    return summarise(per_image, groups=groups, resamples=resamples)


def summarise(
    per_image: Sequence[ImageScore],
    *,
    groups: Mapping[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Join the scores of images to those of the set, with bootstrap intervals.

    Parameters
    ----------
    per_image : sequence of ImageScore
        At least one.
    groups : mapping, optional
        Image id to the group it belongs to (images of one field of view, of one patient): whole groups are drawn for
        the intervals, since their images resemble each other. An image that is not named is a group of its own.
    resamples : int
        Draws for the intervals; 0 for none.
    seed : int
        The same seed gives the same intervals.

    Raises
    ------
    DataError
        If there is no image.
    """
    if not per_image:
        raise DataError("nothing to score: got no pair of true and predicted labels; give at least one image")
    table = np.array(
        [
            [*s.found, s.nuclei_true, s.nuclei_pred, s.iou_sum, *(getattr(s, name) for name in _MEANS)]
            for s in per_image
        ],
        np.float64,
    )
    named = groups or {}
    units = [("group", named[s.image_id]) if s.image_id in named else ("image", i) for i, s in enumerate(per_image)]

    score = partial(_scores_of, table)
    names = (*SCORE_NAMES, *(f"ap {key}" for key in AP_KEYS))
    values = dict(zip(names, score(np.ones((1, len(table))))[0].tolist(), strict=True))
    bounds = interval(score, units, resamples=resamples, seed=seed)
    intervals: dict[str, tuple[float, float]] = {}
    if bounds is not None:
        intervals = {name: (float(low), float(high)) for name, low, high in zip(names, *bounds, strict=True)}
    return Scores(
        **{name: values[name] for name in SCORE_NAMES},
        ap={key: values[f"ap {key}"] for key in AP_KEYS},
        interval=intervals,
        per_image=tuple(per_image),
    )


def _scores_of(table: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute all scores (b, s) when the images, rows of `table`, count as often as `weights` (b, n) say."""
    sums = weights @ table[:, :_SUMS]
    found, (n_true, n_pred, iou_sum) = sums[:, :-3].T, sums[:, -3:].T
    total = n_true + n_pred
    means = dict(zip(_MEANS, (weights @ table[:, _SUMS:]).T / weights.sum(axis=1), strict=True))
    single = means | {
        "f1_50": _ratio(2 * found[0], total, empty=1.0),
        "precision_50": _ratio(found[0], n_pred, empty=n_true == 0),
        "recall_50": _ratio(found[0], n_true, empty=n_pred == 0),
        "pq": _ratio(2 * iou_sum, total, empty=1.0),
    }
    ap = [_ratio(tp, total - tp, empty=1.0) for tp in found]
    return np.stack([*(single[name] for name in SCORE_NAMES), *ap], axis=1)


def _ratio(
    above: NDArray[np.float64], below: NDArray[np.float64], *, empty: float | NDArray[np.bool_]
) -> NDArray[np.float64]:
    return np.where(below > 0, above / np.maximum(below, 1), empty)
