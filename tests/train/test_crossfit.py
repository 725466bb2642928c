"""What stands after the network: fitted to some pictures, scored on others, the same as what a user gets."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.train.drawn import disks

from nucleate.post.confidence import FEATURES
from nucleate.post.recipe import PostRecipe
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import ModelCard
from nucleate.score.images import score_image
from nucleate.train import crossfit
from nucleate.train.crossfit import Ending, EndingFitter, at_own_scale, best_limit, cross_fit
from nucleate.train.tuning import StoredMaps, Trials

NAMES = ("mask",)


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.train.confidence.FEWEST", 4)
    monkeypatch.setattr(crossfit, "FEWEST", 4)


def _stored(count: int = 12) -> list[StoredMaps]:
    """Sure nuclei, and one pale one a picture that is not in the truth."""
    found = []
    for index, sample in enumerate(disks(count)):
        mask = (sample.labels > 0).astype(np.float16)
        mask[sample.labels == 2] *= 0.6
        truth = sample.labels * (sample.labels == 1)
        found.append(StoredMaps(sample.image_id, sample.group, "", mask[None], truth, index % 3))
    return found


def _fitter(stored: list[StoredMaps]) -> EndingFitter:
    return EndingFitter(Trials(NAMES, stored), PostRecipe(), tuned=False)


def test_nuclei_line_up_with_their_overlap() -> None:
    nuclei = _fitter(_stored(4)).nuclei(PostRecipe())
    for one in nuclei:
        bright = one.described[:, FEATURES.index("mask_inside")] > 0.9
        assert one.iou.tolist() == bright.tolist()
        assert bright.sum() == 1


def test_the_limit_that_scores_best_elsewhere_is_taken() -> None:
    found = cross_fit(_fitter(_stored()))
    assert {score.kaggle for score in found.plain} == {0.5}
    assert {score.kaggle for score in found.kept} == {1.0}
    assert all(0 < ending.min_confidence <= 0.6 for ending in found.endings)


@pytest.mark.parametrize(
    ("reached", "best"),
    [
        pytest.param([0.5, 0.6, 0.8, 0.6, 0.5], 0.4, id="a peak"),
        pytest.param([0.8757, 0.8757, 0.8757, 0.8744, 0.8763], 0.2, id="a peak at the end of a flat curve is chance"),
        pytest.param([0.7, 0.7, 0.7, 0.7, 0.7], 0.8, id="the highest of those that are as good"),
        pytest.param([0.4], 0.0, id="one"),
    ],
)
def test_a_limit_counts_with_its_neighbours(reached: list[float], best: float) -> None:
    assert best_limit(dict(zip((0.0, 0.2, 0.4, 0.6, 0.8), reached, strict=False))) == best


def test_every_picture_and_nucleus_is_judged_once_by_the_other_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    fit = EndingFitter.fit

    def noted(fitter: EndingFitter, among: list[int]) -> Ending:
        asked.append(list(among))
        return fit(fitter, among)

    monkeypatch.setattr(EndingFitter, "fit", noted)
    stored = _stored()
    found = cross_fit(_fitter(stored))
    assert [score.image_id for score in found.kept] == [one.image_id for one in stored]
    predicted, iou, place = found.nuclei()
    assert sorted(place.tolist()) == sorted([*range(12), *range(12)])
    assert predicted.shape == iou.shape == (24,)
    for among, part in zip(asked, found.parts, strict=True):
        assert set(among) | set(part) == set(range(12))
        assert not set(among) & set(part)
    assert found.calibration_error is not None
    assert found.calibration_error < 0.1


def test_too_few_nuclei_leave_the_confidence_out() -> None:
    found = cross_fit(_fitter(_stored(3)))
    assert [ending.confidence for ending in found.endings] == [None, None, None]
    assert found.calibration_error is None


def test_an_ending_is_what_a_user_gets() -> None:
    stored = _stored()
    ending = _fitter(stored).fit(range(len(stored)))
    one = stored[0]
    card = ModelCard(name="x", maps=NAMES, sha256="0" * 64, **ending.facts())
    maps_NCHW = one.maps_CHW.astype(np.float32)[None]
    segmenter = Segmenter(lambda batch_NCHW: maps_NCHW, card.model_copy(update={"multiple": 32, "tile": 32}))
    labels, confidence = segmenter.segment_plane(np.zeros(one.labels.shape, np.uint8))
    found, kept, rated = ending.nuclei(one, names=NAMES)
    np.testing.assert_array_equal(kept, labels)
    assert len(confidence) == kept.max() == 1
    assert confidence[0] == rated.max()
    assert found.max() == 2
    assert score_image(one.labels, kept).kaggle == 1.0


def test_endings_go_through_json() -> None:
    ending = _fitter(_stored()).fit(range(12))
    assert Ending.from_dict(json.loads(json.dumps(ending.to_dict()))) == ending
    bare = replace(ending, confidence=None)
    assert Ending.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_at_its_own_scale_a_picture_is_scored_as_a_user_gets_it(scale: float) -> None:
    fitter, samples = _fitter(_stored()), disks(12)
    at_1 = cross_fit(fitter)

    def opened(ending: Ending, fold: int | None) -> Segmenter:
        assert fold in {0, 1, 2}
        card = ModelCard(name="x", maps=NAMES, sha256="0" * 64, **ending.facts())
        # The network gives back what it sees.
        return Segmenter(lambda batch_NCHW: batch_NCHW, card, settings=SegmentSettings(scale=scale))

    stored, found = at_own_scale(at_1, fitter.trials, images=[one.image for one in samples], opened=opened)
    assert (found.judged == at_1.judged) is (scale == 1)
    if scale == 1:
        assert stored == fitter.trials.stored
        return
    for place, (sample, one) in enumerate(zip(samples, stored, strict=True)):
        labels, confidence = opened(found.ending_of(place), one.fold).segment_plane(sample.image)
        assert found.kept[place].kaggle == score_image(one.labels, labels).kaggle
        assert one.scale == scale
        predicted = found.judged[place].predicted
        limit = found.ending_of(place).min_confidence
        np.testing.assert_allclose(confidence, predicted[predicted >= limit], atol=1e-3)
