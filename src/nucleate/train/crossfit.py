"""The steps after the network, chosen and scored without letting any picture judge itself.

These are the recipe, the predicted IoU of each nucleus, and the limit under which nuclei are left out: an `Ending`. It
is fitted to some held-out pictures and scored on others (`cross_fit`); the model that is shipped gets an ending that is
fitted to all of them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.labels import relabel
from nucleate.post.confidence import ConfidenceModel, describe_at, rate
from nucleate.post.recipe import PostRecipe
from nucleate.score.images import ap_of_iou, score_image
from nucleate.train.confidence import FEWEST, Nuclei, calibration_error, fit_confidence, true_iou
from nucleate.train.joining import with_joining, without_joining
from nucleate.train.tuning import each, parts_of, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nucleate.run.segmenter import Segmenter
    from nucleate.run.weights import ModelCard
    from nucleate.score.images import ImageScore
    from nucleate.train.tuning import StoredMaps, Trials

__all__ = ["LIMITS", "CrossFit", "Ending", "EndingFitter", "Judged", "at_own_scale", "best_limit", "cross_fit"]

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

    @classmethod
    def of_card(cls, card: ModelCard) -> Ending:
        """Take that of a model."""
        return cls(card.recipe, card.confidence, card.min_confidence)

    def facts(self) -> dict[str, Any]:
        """Give it as the fields of a model's card."""
        return {"recipe": self.recipe, "confidence": self.confidence, "min_confidence": self.min_confidence}

    def nuclei(
        self, one: StoredMaps, *, names: Sequence[str]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        """Find the nuclei of a stored picture as `nucleate.run.segmenter.Segmenter` does.

        Returns
        -------
        found, kept : (H, W) int32 ndarray
            All that the recipe finds, and without those under the limit.
        confidence : (n,) float32 ndarray
            Of each found nucleus.
        """
        found = one.nuclei(self.recipe, names)
        maps_CHW = one.maps_CHW.astype(np.float32)
        confidence = rate(found, maps_CHW, names=names, model=self.confidence, scale=one.scale)
        keep = np.append(False, confidence >= np.float32(self.min_confidence))
        return found, relabel(np.where(keep[found], found, 0)), confidence

    def judge(self, one: StoredMaps, *, names: Sequence[str]) -> Judged:
        """Find the nuclei of a stored picture and compare them with the truth."""
        found, kept, confidence = self.nuclei(one, names=names)
        plain = score_image(one.labels, found, image_id=one.image_id)
        return Judged(
            plain, score_image(one.labels, kept, image_id=one.image_id), confidence, true_iou(one.labels, found)
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """What an ending makes of one picture.

    Parameters
    ----------
    plain, kept : ImageScore
        No nucleus left out, and those under the limit left out.
    predicted : (n,) float32 ndarray
        Confidence of every found nucleus, before any is left out.
    iou : (n,) float64 ndarray
        The IoU each has.
    """

    plain: ImageScore
    kept: ImageScore
    predicted: NDArray[np.float32]
    iou: NDArray[np.float64]


class EndingFitter:
    """Fits endings to pictures and keeps the described nuclei of each recipe for the next.

    Parameters
    ----------
    trials : Trials
        The pictures, and scores of recipes.
    start : PostRecipe
        Where tuning begins.
    tuned : bool
        Whether the recipe is tuned, and nuclei joined of pieces where that scores more
        (`nucleate.train.joining.with_joining`); else `start` is taken.
    spare : float
        Score that a tuned recipe may give up for smoother maps and lower levels, see `tune`.
    known : Ending, optional
        Its confidence and limit are taken if there are too few nuclei to fit them, since even those of another model
        tell sure from unsure; and so is what joins pieces.
    only_joining : bool
        Whether all of `known` stays but for what joins pieces of nuclei. Where `start` joins pieces already, joining
        has to beat markers from the level at which those pieces begin: the level before that is not known
        (`nucleate.train.joining.without_joining`).
    """

    def __init__(
        self,
        trials: Trials,
        start: PostRecipe,
        *,
        tuned: bool = True,
        spare: float = 0.0,
        known: Ending | None = None,
        only_joining: bool = False,
    ) -> None:
        self.trials, self.tuned, self.spare, self.known = trials, tuned, spare, known
        self.start = without_joining(start) if tuned else start
        self.only_joining = only_joining
        self._nuclei: dict[PostRecipe, list[Nuclei]] = {}

    def nuclei(self, recipe: PostRecipe) -> list[Nuclei]:
        """Find and describe the nuclei of every picture by one recipe."""
        if recipe not in self._nuclei:
            names = self.trials.names

            def look(one: StoredMaps) -> Nuclei:
                found = one.nuclei(recipe, names)
                described = describe_at(found, one.maps_CHW.astype(np.float32), names=names, scale=one.scale)
                return Nuclei(described, true_iou(one.labels, found))

            self._nuclei[recipe] = each(look, self.trials.stored, jobs=self.trials.jobs)
        return self._nuclei[recipe]

    def fit(self, among: Sequence[int]) -> Ending:
        """Choose recipe, confidence and limit by some of the pictures, named by their places."""
        recipe = self._recipe(among)
        if self.only_joining and self.known is not None:
            return replace(self.known, recipe=recipe)
        nuclei = self.nuclei(recipe)
        some = [nuclei[place] for place in among]
        pooled = Nuclei(np.concatenate([one.described for one in some]), np.concatenate([one.iou for one in some]))
        if len(pooled.iou) < 2 * FEWEST:
            return Ending(recipe) if self.known is None else replace(self.known, recipe=recipe)
        model = fit_confidence(pooled)
        return Ending(recipe, model, best_limit(self.limits(recipe, model, among=among)))

    def _recipe(self, among: Sequence[int]) -> PostRecipe:
        if not self.tuned:
            return self.start
        start = self.start
        if not self.only_joining:
            start = tune(start, self.trials, among=among, spare=self.spare)[0]
        known = None if self.known is None else self.known.recipe
        return with_joining(start, self.trials, among=among, spare=self.spare, known=known)

    def limits(self, recipe: PostRecipe, model: ConfidenceModel, *, among: Sequence[int]) -> dict[float, float]:
        """Give the mean average precision at IoU 0.5 on some pictures for each of `LIMITS`.

        A limit decides what is a nucleus, not how well it is outlined. By the mean over strict thresholds, more nuclei
        would be left out; too many, if they look unlike those trained on and none is very sure.
        """
        nuclei = self.nuclei(recipe)
        rated = {place: model.predict(nuclei[place].described) for place in among}

        def precision(place: int, least: np.float32) -> float:
            kept = nuclei[place].iou[rated[place] >= least]
            return ap_of_iou(kept, self.trials.true_counts[place], thresholds=(0.5,))

        return {limit: float(np.mean([precision(place, np.float32(limit)) for place in among])) for limit in LIMITS}


def best_limit(limits: Mapping[float, float]) -> float:
    """Choose a limit by the score that was reached with each, in ascending order.

    If few nuclei are doubtful, the curve is flat and its peak is chance, so each limit is averaged with its neighbours;
    among limits that are equally good, to a ten-thousandth, the highest is taken.
    """
    reached = np.array(list(limits.values()))
    near = [round(float(reached[max(i - 1, 0) : i + 2].mean()), 4) for i in range(len(reached))]
    return max(zip(near, limits, strict=True))[1]


@dataclass(frozen=True, eq=False)
class CrossFit:
    """The results for pictures, each scored with an ending that was not fitted to it.

    Parameters
    ----------
    endings : tuple of Ending
        One a part: fitted to the other parts.
    parts : tuple of tuple of int
        Places of the pictures each ending was applied to.
    judged : tuple of Judged
        One a picture, in order.
    """

    endings: tuple[Ending, ...]
    parts: tuple[tuple[int, ...], ...]
    judged: tuple[Judged, ...]

    @property
    def plain(self) -> list[ImageScore]:
        """Scores with no nucleus left out."""
        return [one.plain for one in self.judged]

    @property
    def kept(self) -> list[ImageScore]:
        """Scores with the nuclei under the limit left out: what a user gets."""
        return [one.kept for one in self.judged]

    def nuclei(self) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
        """Give predicted IoU, true IoU and place of the picture of every found nucleus, (n,) each.

        No nucleus is left out for its confidence, but parts whose ending has no model of confidence are.
        """
        rated = {i for ending, part in zip(self.endings, self.parts, strict=True) if ending.confidence for i in part}
        some = [(place, one) for place, one in enumerate(self.judged) if place in rated]
        return (
            np.concatenate([np.zeros(0, np.float32), *(one.predicted for _, one in some)]),
            np.concatenate([np.zeros(0), *(one.iou for _, one in some)]),
            np.concatenate([np.zeros(0, np.int64), *(np.full(len(one.iou), place) for place, one in some)]),
        )

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error of the predicted IoU; None where none was predicted."""
        predicted, iou, _ = self.nuclei()
        return calibration_error(predicted, iou) if len(predicted) else None

    def ending_of(self, place: int) -> Ending:
        """Give the ending that a picture is scored with."""
        return next(ending for ending, part in zip(self.endings, self.parts, strict=True) if place in part)


def cross_fit(fitter: EndingFitter) -> CrossFit:
    """Score every picture with the ending that was fitted to the other parts (see `parts_of`)."""
    trials = fitter.trials
    endings, parts = [], []
    judged: dict[int, Judged] = {}
    for own, others in parts_of(trials.stored):
        ending = fitter.fit(others)

        def judge(place: int, ending: Ending = ending) -> Judged:
            return ending.judge(trials.stored[place], names=trials.names)

        judged |= zip(own, each(judge, own, jobs=trials.jobs), strict=True)
        endings.append(ending)
        parts.append(tuple(own))
    return CrossFit(tuple(endings), tuple(parts), tuple(judged[place] for place in range(len(judged))))


def at_own_scale(
    found: CrossFit,
    trials: Trials,
    *,
    images: Sequence[NDArray[Any]],
    opened: Callable[[Ending, int | None], Segmenter],
    jobs: int | None = None,
) -> tuple[list[StoredMaps], CrossFit]:
    """Let the rule of scales choose for each picture; if the scale is not 1, make its maps and judge it again.

    Parameters
    ----------
    found : CrossFit
        Of the pictures at scale 1.
    trials : Trials
        Their maps.
    images : sequence of ndarray
        The pictures themselves, in the same order.
    opened : callable
        Gives the segmenter for an ending and a fold that was held out.
    jobs : int, optional
        Pictures that a segmenter looks at beside each other; as many as `trials` when None.

    Returns
    -------
    stored, found : list of StoredMaps, CrossFit
        Maps and results, as a user gets them.
    """
    stored, judged = list(trials.stored), list(found.judged)
    looks = itertools.count(1)
    for ending, part in zip(found.endings, found.parts, strict=True):
        by_fold = {fold: opened(ending, fold) for fold in {stored[place].fold for place in part}}

        def look(place: int, by_fold: dict[int | None, Segmenter] = by_fold) -> StoredMaps:
            segmenter = by_fold[stored[place].fold]
            known = segmenter.survey(images[place])
            trials.tick("scales of images", next(looks), total=len(stored))
            if known.scale == 1:
                return stored[place]
            maps_CHW = segmenter.maps(images[place], known).astype(np.float16)
            return replace(stored[place], maps_CHW=maps_CHW, scale=known.scale)

        for place, one in zip(part, each(look, part, jobs=jobs or trials.jobs), strict=True):
            if one is not stored[place]:
                stored[place], judged[place] = one, ending.judge(one, names=trials.names)
    return stored, replace(found, judged=tuple(judged))
