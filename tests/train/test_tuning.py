"""Tuning finds the numbers that score best, and never scores a picture with numbers chosen on it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.train.drawn import disks

from nucleate.errors import DataError
from nucleate.post.recipe import PostRecipe
from nucleate.train.tuning import StoredMaps, apply_all, cross_fitted, tune

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
    recipe, score = tune(PostRecipe(), ("mask",), stored=_stored(), grid=GRID)
    assert (recipe.level, recipe.min_area) == (0.8, 4)
    assert score == 1.0


def test_a_number_that_does_not_matter_stays() -> None:
    recipe, _ = tune(
        PostRecipe(level=0.75, marker_level=0.33), ("mask",), stored=_stored(), grid={"marker_level": (0.1, 0.9)}
    )
    assert recipe.marker_level == 0.33


def test_each_recipe_is_tried_once() -> None:
    tried: list[PostRecipe] = []
    tune(PostRecipe(), ("mask",), stored=_stored(2), grid=GRID, report=lambda recipe, score: tried.append(recipe))
    assert len(tried) == len(set(tried)) <= 6


def test_every_picture_is_scored_once_by_the_other_half() -> None:
    stored = _stored(4)
    # In half of the pictures the right level is another one: tuned on all, both could not be right.
    for one in stored[:2]:
        one.maps_CHW[0][one.labels == 0] = 0.1
        one.maps_CHW[0][one.labels > 0] = 0.3
    scores = cross_fitted(PostRecipe(min_area=4), ("mask",), stored=stored, grid={"level": (0.2, 0.8)})
    assert sorted(score.image_id for score in scores) == sorted(one.image_id for one in stored)


def test_cross_fitting_keeps_groups_whole() -> None:
    stored = [StoredMaps(f"{i}", "one" if i < 3 else "two", "", s.maps_CHW, s.labels) for i, s in enumerate(_stored(5))]
    low = {"one": 0.1, "two": 0.1}
    for one in stored:
        one.maps_CHW[0][one.labels == 0] = low[one.group]
    scores = cross_fitted(PostRecipe(), ("mask",), stored=stored, grid=GRID)
    assert len(scores) == 5


def test_nothing_to_tune_on_is_one_line() -> None:
    with pytest.raises(DataError, match="no held-out pictures"):
        tune(PostRecipe(), ("mask",), stored=[])


def test_scores_come_in_the_order_of_the_pictures() -> None:
    stored = _stored(3)
    assert [score.image_id for score in apply_all(PostRecipe(), ("mask",), stored=stored)] == [
        s.image_id for s in stored
    ]
