"""Scores of a set, their intervals, and what goes into the JSON file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.score import brute
from tests.strategies import label_pairs

from nucleate.errors import DataError
from nucleate.score.bootstrap import draw_weights, interval, mean_interval
from nucleate.score.images import score_image
from nucleate.score.scores import AP_KEYS, SCORE_NAMES, evaluate_pairs, summarise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pair = tuple[NDArray[np.int32], NDArray[np.int32]]

pytestmark = pytest.mark.base

JSON_KEYS = {
    "kaggle", "ap", "f1_50", "pq", "aji", "pixel_accuracy", "pixel_precision", "pixel_iou",
    "images", "nuclei_true", "nuclei_pred", "interval",
}  # fmt: skip


def _row(*lengths: int) -> NDArray[np.int32]:
    """Draw a row of 40 pixels with nuclei of these lengths, each at the start of a stretch of ten."""
    labels = np.zeros((1, 40), np.int32)
    for number, length in enumerate(lengths):
        labels[0, 10 * number : 10 * number + length] = number + 1
    return labels


@settings(max_examples=40)
@given(st.lists(label_pairs(), min_size=1, max_size=4))
def test_pooled_and_mean_scores_are_those_of_brute_force(pairs: list[Pair]) -> None:
    scores = evaluate_pairs((str(n), *pair) for n, pair in enumerate(pairs))
    n_true = sum(len(brute.ids(true)) for true, _ in pairs)
    n_pred = sum(len(brute.ids(pred)) for _, pred in pairs)
    assert (scores.images, scores.nuclei_true, scores.nuclei_pred) == (len(pairs), n_true, n_pred)
    assert scores.kaggle == pytest.approx(np.mean([brute.kaggle(*pair) for pair in pairs]), abs=1e-12)
    assert scores.aji == pytest.approx(np.mean([brute.aji(*pair) for pair in pairs]), abs=1e-12)
    for key, percent in zip(AP_KEYS, brute.PERCENTS, strict=True):
        found = sum(brute.true_positives(*pair, percent) for pair in pairs)
        total = n_true + n_pred - found
        assert scores.ap[key] == pytest.approx(found / total if total else 1.0, abs=1e-12)
    found = sum(brute.true_positives(*pair, 50) for pair in pairs)
    if n_true + n_pred:
        assert scores.f1_50 == pytest.approx(2 * found / (n_true + n_pred), abs=1e-12)
        quality = sum(brute.iou_sum(*pair) for pair in pairs) / ((n_true + n_pred) / 2)
        assert scores.pq == pytest.approx(quality, abs=1e-12)
    if n_true and n_pred:
        assert (scores.precision_50, scores.recall_50) == pytest.approx((found / n_pred, found / n_true), abs=1e-12)


def test_pooling_weighs_nuclei_and_means_weigh_images() -> None:
    # One image with four nuclei, all found; one with a single nucleus, missed.
    scores = evaluate_pairs([("a", _row(5, 5, 5, 5), _row(5, 5, 5, 5)), ("b", _row(5), _row())])
    assert scores.ap["0.50"] == pytest.approx(4 / 5)
    assert scores.ap_by_image["0.50"] == pytest.approx(1 / 2)
    assert scores.kaggle == 0.5
    assert scores.ap["0.50"] == scores.ap["0.95"] == 0.8
    assert (scores.precision_50, scores.recall_50) == (1.0, 0.8)
    assert scores.f1_50 == pytest.approx(8 / 9)
    assert scores.pq == pytest.approx(4 / 4.5)
    assert (scores.aji, scores.pixel_iou, scores.pixel_precision) == (0.5, 0.5, 0.5)
    assert scores.pixel_accuracy == pytest.approx((1 + 35 / 40) / 2)
    assert [image.image_id for image in scores.per_image] == ["a", "b"]
    third = evaluate_pairs([("a", _row(5), _row(5)), ("b", _row(5), _row()), ("c", _row(5), _row())])
    assert third.ap_by_image["0.50"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("true", "pred", "precision", "recall"),
    [(_row(), _row(), 1, 1), (_row(3), _row(), 0, 0), (_row(), _row(3), 0, 0)],
    ids=["nothing at all", "nothing found", "nothing there"],
)
def test_sets_without_nuclei(true: NDArray[np.int32], pred: NDArray[np.int32], precision: int, recall: int) -> None:
    scores = evaluate_pairs([("a", true, pred), ("b", true, pred)])
    assert (scores.precision_50, scores.recall_50) == (precision, recall)
    expected = float(not true.any() and not pred.any())
    assert {scores.kaggle, scores.f1_50, scores.pq, scores.aji, *scores.ap.values()} == {expected}


def test_json_has_the_keys_of_the_contract() -> None:
    scores = evaluate_pairs([("a", _row(5, 5), _row(5, 4)), ("b", _row(5), _row())])
    content = json.loads(json.dumps(scores.to_json()))
    assert set(content) == JSON_KEYS
    assert set(content["interval"]) == JSON_KEYS - {"images", "nuclei_true", "nuclei_pred", "interval"}
    assert list(content["ap"]) == ["0.50", "0.55", "0.60", "0.65", "0.70", "0.75", "0.80", "0.85", "0.90", "0.95"]
    assert list(content["interval"]["ap"]) == list(content["ap"])
    low, high = content["interval"]["kaggle"]
    assert low <= content["kaggle"] <= high
    assert content["images"] == 2


def test_a_single_image_has_no_interval() -> None:
    scores = evaluate_pairs([("a", _row(5, 5), _row(5, 4))])
    assert scores.interval == {}
    assert scores.to_json()["interval"]["kaggle"] is None
    assert scores.to_json()["interval"]["ap"]["0.50"] is None


def test_no_image_and_wrong_shapes_say_so() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        evaluate_pairs([])
    with pytest.raises(DataError, match="second: shapes differ"):
        evaluate_pairs([("first", _row(), _row()), ("second", _row(), _row().T)])


# --- intervals ------------------------------------------------------------------------------------------------------


def _images(count: int) -> list[Pair]:
    generator = np.random.default_rng(5)
    return [(_row(8, 8, 8), _row(*generator.integers(3, 9, 3).tolist())) for _ in range(count)]


def test_intervals_are_those_of_drawing_image_by_image() -> None:
    per_image = [score_image(*pair, image_id=str(n)) for n, pair in enumerate(_images(12))]
    scores = summarise(per_image, resamples=300, seed=7)
    draws = []
    for weights in next(iter(draw_weights(range(12), 300, seed=7))).astype(int):
        drawn = [image for image, times in zip(per_image, weights, strict=True) for _ in range(times)]
        plain = summarise(drawn, resamples=0)
        draws.append([getattr(plain, name) for name in SCORE_NAMES] + [plain.ap[key] for key in AP_KEYS])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    names = (*SCORE_NAMES, *(f"ap {key}" for key in AP_KEYS))
    np.testing.assert_allclose([scores.interval[n] for n in names], np.stack([low, high], axis=1), atol=1e-12)


def test_the_seed_decides() -> None:
    per_image = [score_image(*pair, image_id=str(n)) for n, pair in enumerate(_images(12))]
    assert summarise(per_image, seed=1).interval == summarise(per_image, seed=1).interval
    assert summarise(per_image, seed=1).interval != summarise(per_image, seed=2).interval


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=(400, 1))
    found = interval(lambda w: w @ values / w.sum(axis=1, keepdims=True), range(400), resamples=4000)
    assert found is not None
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose([found[0][0], found[1][0]], values.mean() + np.array([-half, half]), atol=0.01)


def test_the_interval_of_a_mean_weighs_values_and_draws_units() -> None:
    values = np.random.default_rng(0).normal(3, 1, 400)
    single = mean_interval(values, range(400))
    half = 1.96 * values.std() / 20
    assert single == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    # Four copies of each value are no more knowledge than one, and of one unit nothing is known.
    copies = mean_interval(np.tile(values[:100], 4), list(range(100)) * 4)
    half = 1.96 * values[:100].std() / 10
    assert copies == pytest.approx((values[:100].mean() - half, values[:100].mean() + half), abs=0.03)
    assert mean_interval(values, ["all"] * 400) is None


def test_whole_groups_are_drawn() -> None:
    units = ["a", "a", "b", "c", "c", "c"]
    weights = np.concatenate(list(draw_weights(units, 200, seed=0)))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_groups_widen_the_interval_and_one_group_has_none() -> None:
    # Five kinds of image, each eight times: grouped draws see five, single draws forty.
    pairs = [pair for pair in _images(5) for _ in range(8)]
    per_image = [score_image(*pair, image_id=str(n)) for n, pair in enumerate(pairs)]
    single = summarise(per_image).interval["kaggle"]
    grouped = summarise(per_image, groups={str(n): str(n // 8) for n in range(40)}).interval["kaggle"]
    assert grouped[1] - grouped[0] > 2 * (single[1] - single[0])
    named = [(str(n), *pair) for n, pair in enumerate(pairs)]
    assert evaluate_pairs(named, groups={str(n): str(n // 8) for n in range(40)}).interval["kaggle"] == grouped
    assert summarise(per_image, groups={str(n): "all" for n in range(40)}).interval == {}


def test_images_without_a_group_are_drawn_singly() -> None:
    per_image = [score_image(*pair, image_id=str(n)) for n, pair in enumerate(_images(6))]
    assert summarise(per_image, groups={"other": "x"}).interval == summarise(per_image).interval
    assert summarise(per_image, resamples=0).interval == {}


def test_many_images_are_drawn_in_blocks_of_bounded_size() -> None:
    blocks = list(draw_weights(range(1_000_000), 6, seed=0))
    assert [len(block) for block in blocks] == [4, 2]
    assert all((block.sum(axis=1) == 1_000_000).all() for block in blocks)
