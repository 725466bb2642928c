"""What stands after the network, chosen and scored without letting any picture judge itself.

After the network come the recipe, the predicted IoU of each nucleus and the limit under which nuclei are left out: an
`Ending`. It is fitted to some held-out pictures and scored on others (`cross_fit`); the model that is shipped gets one
fitted to all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.labels import relabel
from nucleate.post.confidence import FEATURES, ConfidenceModel, describe, rate
from nucleate.post.recipe import PostRecipe
from nucleate.score.images import kaggle_of_iou, score_image
from nucleate.train.confidence import FEWEST, Nuclei, calibration_error, fit_confidence, true_iou
from nucleate.train.tuning import each, parts_of, tune

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nucleate.score.images import ImageScore
    from nucleate.train.tuning import StoredMaps, Trials

__all__ = ["LIMITS", "CrossFit", "Ending", "EndingFitter", "cross_fit"]

LIMITS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
"""Limits of confidence among which the best is chosen."""


@dataclass(frozen=True)
class Ending:
    """From maps to the nuclei that a user gets.

    Parameters
    ----------
    recipe : PostRecipe
        From maps to nuclei.
    confidence : ConfidenceModel or None
        Predicts the IoU of each; None where there were too few nuclei to fit it.
    min_confidence : float
        Nuclei with a lower predicted IoU are left out.
    """

    recipe: PostRecipe
    confidence: ConfidenceModel | None = None
    min_confidence: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, ready for JSON."""
        fitted = None if self.confidence is None else vars(self.confidence)
        return {"recipe": self.recipe.to_dict(), "confidence": fitted, "min_confidence": self.min_confidence}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ending:
        """Build it again from `to_dict`."""
        fitted = values["confidence"]
        if fitted is not None:
            fitted = {name: tuple(value) if isinstance(value, list) else value for name, value in fitted.items()}
            fitted = ConfidenceModel(**fitted)
        return cls(PostRecipe.from_dict(values["recipe"]), fitted, values["min_confidence"])

    def facts(self) -> dict[str, Any]:
        """Give the fields of the model's card beside the recipe."""
        return {"confidence": self.confidence, "min_confidence": self.min_confidence}

    def nuclei(self, one: StoredMaps, *, names: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Find the nuclei of a stored picture as `nucleate.run.segmenter.Segmenter` does.

        Returns
        -------
        found, kept : (H, W) int32 ndarray
            All that the recipe finds, and without those under the limit.
        """
        found = one.nuclei(self.recipe, names)
        confidence = rate(found, one.maps_CHW.astype(np.float32), names=names, model=self.confidence)
        keep = np.append(False, confidence >= np.float32(self.min_confidence))
        return found, relabel(np.where(keep[found], found, 0))


class EndingFitter:
    """Fits endings to pictures and keeps the described nuclei of each recipe for the next.

    Parameters
    ----------
    trials : Trials
        The pictures, and scores of recipes.
    start : PostRecipe
        Where tuning begins.
    tuned : bool
        Whether the recipe is tuned; else `start` is taken.
    """

    def __init__(self, trials: Trials, start: PostRecipe, *, tuned: bool = True) -> None:
        self.trials, self.start, self.tuned = trials, start, tuned
        self._nuclei: dict[PostRecipe, list[Nuclei]] = {}

    def nuclei(self, recipe: PostRecipe) -> list[Nuclei]:
        """Find and describe the nuclei of every picture by one recipe."""
        if recipe not in self._nuclei:
            names = self.trials.names

            def look(one: StoredMaps) -> Nuclei:
                found = one.nuclei(recipe, names)
                described = describe(found, one.maps_CHW.astype(np.float32), names=names)
                return Nuclei(described, true_iou(one.labels, found))

            self._nuclei[recipe] = each(look, self.trials.stored, jobs=self.trials.jobs)
        return self._nuclei[recipe]

    def fit(self, among: Sequence[int]) -> Ending:
        """Choose recipe, confidence and limit by some of the pictures, named by their places."""
        recipe = tune(self.start, self.trials, among=among)[0] if self.tuned else self.start
        nuclei = self.nuclei(recipe)
        pooled = _pooled([nuclei[place] for place in among])
        if len(pooled.iou) < 2 * FEWEST:
            return Ending(recipe)
        model = fit_confidence(pooled)
        limits = self.limits(recipe, model, among=among)
        return Ending(recipe, model, max(limits, key=lambda limit: limits[limit]))

    def limits(self, recipe: PostRecipe, model: ConfidenceModel, *, among: Sequence[int]) -> dict[float, float]:
        """Give the mean Kaggle score on some pictures for each of `LIMITS`."""
        nuclei = self.nuclei(recipe)
        rated = {place: model.predict(nuclei[place].described) for place in among}

        def mean(limit: float) -> float:
            least = np.float32(limit)
            return float(
                np.mean(
                    [
                        kaggle_of_iou(nuclei[place].iou[rated[place] >= least], self.trials.true_counts[place])
                        for place in among
                    ]
                )
            )

        return {limit: mean(limit) for limit in LIMITS}


@dataclass(frozen=True, eq=False)
class CrossFit:
    """What is known of pictures that had no say in how they are scored.

    Parameters
    ----------
    endings : tuple of Ending
        One a part: fitted to the other parts.
    parts : tuple of tuple of int
        Places of the pictures each ending was applied to.
    plain, kept : tuple of ImageScore
        Of each picture, in order: no nucleus left out, and those under the limit left out.
    predicted, iou : (n,) ndarray
        Of every found nucleus, before any is left out: the IoU it is expected to have, and the one it has.
    place : (n,) int ndarray
        The picture it is in.
    """

    endings: tuple[Ending, ...]
    parts: tuple[tuple[int, ...], ...]
    plain: tuple[ImageScore, ...]
    kept: tuple[ImageScore, ...]
    predicted: NDArray[np.float32]
    iou: NDArray[np.float64]
    place: NDArray[np.int64]

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error of the predicted IoU; None where none was predicted."""
        return calibration_error(self.predicted, self.iou) if len(self.predicted) else None


def cross_fit(fitter: EndingFitter) -> CrossFit:
    """Score every picture with the ending that was fitted to the other parts (see `parts_of`)."""
    trials = fitter.trials
    endings, parts = [], []
    scores: dict[int, tuple[ImageScore, ImageScore]] = {}
    predicted, overlaps, places = [np.zeros(0, np.float32)], [np.zeros(0)], [np.zeros(0, np.int64)]
    for own, others in parts_of(trials.stored):
        ending = fitter.fit(others)

        def judge(place: int, ending: Ending = ending) -> tuple[ImageScore, ImageScore]:
            one = trials.stored[place]
            found, kept = ending.nuclei(one, names=trials.names)
            plain = score_image(one.labels, found, image_id=one.image_id)
            return plain, score_image(one.labels, kept, image_id=one.image_id)

        scores |= zip(own, each(judge, own, jobs=trials.jobs), strict=True)
        if ending.confidence is not None:
            for place in own:
                nuclei = fitter.nuclei(ending.recipe)[place]
                predicted.append(ending.confidence.predict(nuclei.described))
                overlaps.append(nuclei.iou)
                places.append(np.full(len(nuclei.iou), place))
        endings.append(ending)
        parts.append(tuple(own))
    ordered = [scores[place] for place in range(len(trials.stored))]
    return CrossFit(
        tuple(endings), tuple(parts), tuple(plain for plain, _ in ordered), tuple(kept for _, kept in ordered),
        np.concatenate(predicted), np.concatenate(overlaps), np.concatenate(places),
    )  # fmt: skip


def _pooled(nuclei: Sequence[Nuclei]) -> Nuclei:
    described = np.concatenate([np.zeros((0, len(FEATURES))), *(one.described for one in nuclei)])
    return Nuclei(described, np.concatenate([np.zeros(0), *(one.iou for one in nuclei)]))
