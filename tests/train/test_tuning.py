"""Tuning finds the numbers that score best, computes each score once, and parts pictures without leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from tests.train.drawn import disks

from nucleate.errors import DataError
from nucleate.post.recipe import PostRecipe
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import ModelCard
from nucleate.score.images import score_image
from nucleate.train import tuning
from nucleate.train.tuning import StoredMaps, Trials, each, parts_of, store_maps, tune

GRID = {"level": (0.2, 0.5, 0.8), "min_area": (0, 4)}


def _stored(count: int = 4) -> list[StoredMaps]:
    """Maps whose mask is right above 0.7, with a specks of three pixels and a halo below."""
    found = []
    for sample in disks(count):
        mask = np.where(sample.labels > 0, 0.9, 0.6).astype(np.float16)
        mask[0, :3] = 0.9
        found.append(StoredMaps(sample.image_id, sample.group, "", mask[None], sample.labels))
    return found


def test_the_best_numbers_are_found() -> None:
    recipe, score = tune(PostRecipe(), Trials(("mask",), _stored()), grid=GRID)
    assert (recipe.level, recipe.min_area) == (0.8, 4)
    assert score == 1.0


@pytest.mark.parametrize(("spare", "level"), [(0.0, 0.8), (0.2, 0.8), (0.3, 0.5)])
def test_levels_are_lowered_as_far_as_the_score_can_be_spared(spare: float, level: float) -> None:
    one, *others = _stored()
    clear = [replace(other, maps_CHW=np.where(other.maps_CHW > 0.7, other.maps_CHW, 0)) for other in others]
    # At 0.5 all of the one picture in four that has a halo is a nucleus.
    recipe, score = tune(
        PostRecipe(), Trials(("mask",), [one, *clear]), grid={**GRID, "level": (0.5, 0.8)}, spare=spare
    )
    assert (recipe.level, score) == (level, 1.0 if level == 0.8 else 0.75)


@pytest.mark.parametrize(("spare", "smoothing"), [(0.0, 0.0), (0.01, 1.0), (1.0, 20.0)])
def test_maps_are_smoothed_as_far_as_the_score_can_be_spared(spare: float, smoothing: float) -> None:
    labels = np.zeros((40, 80), np.int32)
    labels[8:32, 10:34], labels[8:32, 46:70] = 1, 2
    labels[18:22, 34:46] = 1  # a bridge, which much smoothing makes one with both
    depth = distance_transform_edt(labels > 0) / 12
    one = StoredMaps("a", "a", "", np.stack([labels > 0, depth]).astype(np.float16), labels)
    trials = Trials(("mask", "distance"), [one])
    start = PostRecipe(split="markers", smoothing=0.0)
    recipe, _ = tune(start, trials, grid={"smoothing": (0.0, 1.0, 20.0)}, spare=spare)
    assert recipe.smoothing == smoothing


def test_many_pictures_give_the_same_by_way_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_FEW", 4)
    trials = Trials(("mask",), _stored(9))
    recipe, score = tune(PostRecipe(), trials, grid=GRID)
    assert (recipe.level, recipe.min_area, score) == (0.8, 4, 1.0)
    assert recipe in [tried for tried, _ in trials.table()]


def test_a_number_that_does_not_matter_stays() -> None:
    start = PostRecipe(level=0.75, marker_level=0.33)
    recipe, _ = tune(start, Trials(("mask",), _stored()), grid={"marker_level": (0.1, 0.9)})
    assert recipe.marker_level == 0.33


def test_maps_are_kept_with_the_scale_they_were_made_at() -> None:
    card = ModelCard(name="x", maps=("mask",), recipe=PostRecipe(), sha256="0" * 64)
    segmenter = Segmenter(lambda batch_NCHW: batch_NCHW, card, settings=SegmentSettings(scale=2.0))
    for one, sample in zip(store_maps(segmenter, disks(2)), disks(2), strict=True):
        assert one.scale == 2.0
        assert np.array_equal(one.nuclei(card.recipe, card.maps), segmenter.segment_plane(sample.image)[0])


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("min_area", [0, 4, 40])
def test_scores_are_those_of_the_whole_recipe(jobs: int, scale: float, min_area: int) -> None:
    stored = [replace(one, scale=scale) for one in _stored(3)]
    recipe = PostRecipe(level=0.7, min_area=min_area)
    got = Trials(("mask",), stored, jobs=jobs).kaggle(recipe, [2, 0])
    expected = [score_image(stored[i].labels, stored[i].nuclei(recipe, ["mask"])).kaggle for i in (2, 0)]
    np.testing.assert_allclose(got, expected)


def test_light_and_dark_backgrounds_have_levels_of_their_own() -> None:
    dark, light = _stored(4)[:2], [
        replace(one, light=True, maps_CHW=np.where(one.labels > 0, 0.5, 0.1).astype(np.float16)[None])
        for one in _stored(4)[2:]
    ]  # fmt: skip
    grid = {"level": (0.3, 0.8), "light_level": (0.3, 0.8), "min_area": (4,)}
    recipe, score = tune(PostRecipe(), Trials(("mask",), [*dark, *light]), grid=grid)
    assert (recipe.level, recipe.light_level, score) == (0.8, 0.3, 1.0)
    alone, _ = tune(PostRecipe(), Trials(("mask",), dark), grid=grid)
    assert alone.light_level is None


def test_each_recipe_is_run_once_on_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[PostRecipe] = []
    apply = PostRecipe.apply

    def counted(recipe: PostRecipe, *words: object) -> object:
        runs.append(recipe)
        return apply(recipe, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(PostRecipe, "apply", counted)
    trials = Trials(("mask",), _stored(2))
    for among in ([0], [0, 1], [1]):
        tune(PostRecipe(), trials, among=among, grid=GRID)
    # Three levels; one run serves for both areas.
    assert len(runs) == 2 * 3


def test_nothing_to_tune_on_is_one_line() -> None:
    with pytest.raises(DataError, match="no held-out pictures"):
        Trials(("mask",), [])


def test_parts_are_the_folds() -> None:
    stored = [replace(one, fold=fold) for one, fold in zip(_stored(5), (3, 1, 3, 0, 1), strict=True)]
    assert parts_of(stored) == [([3], [0, 1, 2, 4]), ([1, 4], [0, 2, 3]), ([0, 2], [1, 3, 4])]


def test_one_fold_is_parted_in_halves_of_whole_groups() -> None:
    stored = [replace(one, group=group, fold=1) for one, group in zip(_stored(5), "abbca", strict=True)]
    parts = parts_of(stored)
    assert sorted(parts[0][0] + parts[1][0]) == [0, 1, 2, 3, 4]
    assert [sorted(own) for own, _ in parts] == [sorted(others) for _, others in reversed(parts)]
    for own, others in parts:
        assert not {stored[i].group for i in own} & {stored[i].group for i in others}


def test_one_group_cannot_be_parted() -> None:
    with pytest.raises(DataError, match="3 held-out pictures of one field of view"):
        parts_of([replace(one, group="one") for one in _stored(3)])


def test_threads_keep_the_order() -> None:
    assert each(lambda number: number**2, list(range(20)), jobs=3) == [number**2 for number in range(20)]
