"""What joins pieces is fitted to pictures with truth, and is taken only where it scores more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.joins import join_model

from nucleate.post.recipe import PostRecipe
from nucleate.train import joining
from nucleate.train.crossfit import Ending, EndingFitter
from nucleate.train.joining import seams_of, with_joining, without_joining
from nucleate.train.tuning import StoredMaps, Trials

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("mask", "distance")
MARKERS = PostRecipe(split="markers", smoothing=1.0, marker_level=0.4, keep_unmarked=False)


def _picture(seed: int) -> StoredMaps:
    """Long nuclei with two peaks each, and pairs of round ones that touch: the passes are alike, the shapes are not."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:100, :150].astype(np.float64)
    labels, distance = np.zeros((2, *rows.shape))
    for index in range(6):
        row, col = 25 + 50 * (index // 3), 25 + 50 * (index % 3)
        left, right = (np.hypot(rows - row, cols - col - side) / 10 for side in (-9, 9))
        round_ones = np.minimum(left, right)
        long_one = np.hypot((rows - row) / 10, (cols - col) / 19)
        far = long_one if index % 2 else round_ones
        inside = far < 1
        labels[inside] = 2 * index + 1
        if not index % 2:
            labels[inside & (right < left)] = 2 * index + 2
        pass_ = rng.uniform(0.3, 0.7)
        distance[inside] = (pass_ + (1 - pass_) * np.clip(1 - round_ones, 0, 1))[inside]
    maps = np.stack([labels > 0, distance]).astype(np.float16)
    return StoredMaps(f"drawn-{seed}", f"field-{seed}", "", maps, labels.astype(np.int32))


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_FEWEST", 8)


def _trials(count: int = 6) -> Trials:
    return Trials(NAMES, [_picture(seed) for seed in range(count)])


def _score(recipe: PostRecipe, trials: Trials) -> float:
    return float(trials.kaggle(recipe, range(len(trials.stored))).mean())


def test_seams_are_known_by_the_truth_on_both_sides() -> None:
    described, same = seams_of(_picture(0), MARKERS, names=NAMES)
    assert described.shape == (6, 12)
    assert same.sum() == 3


@pytest.mark.parametrize(
    ("truth", "same"),
    [
        pytest.param([[1, 1, 1, 1, 1, 1]], [True], id="one nucleus"),
        pytest.param([[1, 1, 1, 2, 2, 2]], [False], id="two"),
        pytest.param([[1, 1, 1, 0, 0, 0]], [False], id="one of them in the background"),
        pytest.param([[0, 0, 0, 0, 0, 0]], [], id="no nucleus at all"),
        pytest.param([[1, 1, 2, 2, 2, 2]], [False], id="the true seam lies elsewhere"),
        pytest.param([[2, 1, 1, 1, 1, 2]], [True], id="most of both in one"),
    ],
)
def test_a_piece_belongs_where_most_of_it_lies(truth: list[list[int]], same: list[bool]) -> None:
    distance = np.array([[0.6, 1.0, 0.5, 0.4, 1.0, 0.6]], np.float16).repeat(6, axis=0)
    one = StoredMaps("a", "a", "", np.stack([distance > 0, distance]), np.array(truth, np.int32).repeat(6, axis=0))
    found = seams_of(one, replace(MARKERS, smoothing=0.0, min_distance=1), names=NAMES)[1]
    assert found.tolist() == same


def test_joined_pieces_are_taken_where_no_level_of_markers_is_right() -> None:
    trials = _trials()
    recipe = with_joining(MARKERS, trials, among=range(6))
    assert recipe.split == "joined"
    assert _score(recipe, trials) == 1.0 > _score(MARKERS, trials) + 0.1
    unseen = Trials(NAMES, [_picture(seed) for seed in range(20, 24)])
    assert _score(recipe, unseen) == 1.0


def test_more_is_joined_as_far_as_the_score_can_be_spared_and_markers_are_not_better() -> None:
    stored = [_picture(seed) for seed in range(6)]
    stored += [replace(one, labels=(one.labels + 1) // 2) for one in (_picture(6), _picture(7))]  # pairs are one there
    trials = Trials(NAMES, stored)
    best, spared = (with_joining(MARKERS, trials, among=range(8), spare=spare) for spare in (0.0, 0.9))
    assert spared.join_level < best.join_level
    assert _score(best, trials) > _score(spared, trials) > _score(MARKERS, trials) - 0.02


def test_markers_stay_where_nothing_is_gained_or_little_can_be_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = _trials(2)
    perfect = replace(MARKERS, split="components")
    assert with_joining(perfect, trials, among=range(2)) == perfect
    monkeypatch.setattr(joining, "_FEWEST", 1000)
    assert with_joining(MARKERS, trials, among=range(2)) == MARKERS
    monkeypatch.setattr(joining, "_FEWEST", 1)
    far = [replace(one, labels=_apart(one)) for one in trials.stored]
    same = Trials(NAMES, far)
    assert with_joining(MARKERS, same, among=range(2)) == MARKERS


@pytest.mark.parametrize("taken", [True, False])
def test_what_another_model_learnt_stands_in_where_too_little_can_be_learnt(
    monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    monkeypatch.setattr(joining, "_FEWEST", 1000)
    stored = [_picture(seed) for seed in range(2)]
    trials = Trials(NAMES, stored if taken else [replace(one, labels=_apart(one)) for one in stored])
    other = replace(MARKERS, split="joined", join=join_model(bias=-30.0), join_level=0.3)  # which joins nothing
    found = with_joining(MARKERS, trials, among=range(2), known=other)
    assert found == (replace(other, min_distance=3, marker_level=0.3) if taken else MARKERS)
    assert with_joining(MARKERS, trials, among=range(2), known=MARKERS) == MARKERS


def _apart(one: StoredMaps) -> NDArray[np.int32]:
    """Give as truth what the markers find."""
    return one.nuclei(MARKERS, NAMES)


def test_an_ending_is_fitted_from_markers_whatever_the_card_has() -> None:
    joined = replace(MARKERS, split="joined", join=join_model(), join_level=0.3)
    assert without_joining(joined).split == "markers"
    assert without_joining(MARKERS) == MARKERS
    trials = _trials()
    for level, back in ((0.2, 0.2), (0.3, 0.3), (0.4, 0.3)):  # a higher level is told nowhere in a card
        before = replace(MARKERS, marker_level=level)
        fitted = with_joining(before, trials, among=range(6))
        same = replace(before, min_distance=3, join_level=fitted.join_level)
        assert fitted.split == "joined"
        assert without_joining(fitted) == replace(same, marker_level=back)
    known = Ending(joined, None, 0.25)
    ending = EndingFitter(trials, joined, known=known, only_joining=True).fit(range(6))
    assert ending == replace(known, recipe=with_joining(without_joining(joined), trials, among=range(6)))
    assert EndingFitter(trials, joined).fit(range(6)).recipe.split == "joined"
    assert EndingFitter(trials, joined, tuned=False).fit(range(6)).recipe == joined
