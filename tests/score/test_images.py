"""Scores of one image: by hand, by brute force, and at the edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.score import brute
from tests.strategies import label_images, label_pairs

from nucleate.score.images import THRESHOLDS, ap_of_iou, score_image

if TYPE_CHECKING:
    from random import Random

    from numpy.typing import NDArray

    Pair = tuple[NDArray[np.int32], NDArray[np.int32]]

pytestmark = pytest.mark.base

EMPTY = np.zeros((4, 6), np.int32)
TWO = np.array([[0, 1, 1, 0, 2, 2]] * 4, np.int32)


@given(label_pairs())
def test_every_score_is_that_of_brute_force(pair: Pair) -> None:
    true, pred = pair
    score = score_image(true, pred)
    assert score.found == tuple(brute.true_positives(true, pred, percent) for percent in brute.PERCENTS)
    assert score.kaggle == pytest.approx(brute.kaggle(true, pred), abs=1e-12)
    assert score.aji == pytest.approx(brute.aji(true, pred), abs=1e-12)
    assert score.iou_sum == pytest.approx(brute.iou_sum(true, pred), abs=1e-12)
    assert score.pixel_accuracy == np.mean((true > 0) == (pred > 0))
    if pred.any():
        assert score.pixel_precision == np.mean(true[pred > 0] > 0)
    if pred.any() or true.any():
        assert score.pixel_iou == np.sum((true > 0) & (pred > 0)) / np.sum((true > 0) | (pred > 0))


@settings(max_examples=30)
@given(label_pairs())
def test_scores_of_counts_and_of_ious_are_those_of_brute_force(pair: Pair) -> None:
    score, table, trues, preds = score_image(*pair), brute.iou(*pair), brute.ids(pair[0]), brute.ids(pair[1])
    if trues or preds:
        halves = (len(trues) + len(preds)) / 2
        assert score.f1_50 == pytest.approx(brute.true_positives(*pair, 50) / halves, abs=1e-12)
        assert score.pq == pytest.approx(brute.iou_sum(*pair) / halves, abs=1e-12)
    best = [max((float(table[i, j]) for i in trues), default=0.0) for j in preds]
    assert ap_of_iou(np.array(best), len(trues)) == pytest.approx(brute.kaggle(*pair), abs=1e-12)


def test_thresholds_are_written_as_decimals() -> None:
    assert [round(threshold * 100) for threshold in THRESHOLDS] == list(brute.PERCENTS)
    assert all(threshold == percent / 100 for threshold, percent in zip(THRESHOLDS, brute.PERCENTS, strict=True))


@given(label_images())
def test_the_truth_itself_scores_one_everywhere(labels: NDArray[np.int32]) -> None:
    score = score_image(labels, labels)
    singles = (score.kaggle, score.f1_50, score.pq, score.aji)
    assert {*score.ap, *singles, score.pixel_accuracy, score.pixel_precision, score.pixel_iou} == {1.0}


@given(label_pairs(), st.randoms(use_true_random=False))
def test_other_ids_change_nothing(pair: Pair, random: Random) -> None:
    true, pred = pair
    # Of predicted nuclei with equal IoU the index takes the smallest id: only there do ids matter.
    table = brute.iou(true, pred)
    for i in brute.ids(true):
        met = [value for (a, _), value in table.items() if a == i and value]
        assume(len(set(met)) == len(met))
    shuffled = []
    for labels in (true, pred):
        names = [int(n) for n in range(1, 40)]
        random.shuffle(names)
        shuffled.append(np.array([0, *names], np.int32)[labels])
    assert score_image(true, pred) == score_image(shuffled[0], shuffled[1])


@given(label_pairs())
def test_symmetric_scores_do_not_tell_truth_from_prediction(pair: Pair) -> None:
    one, other = score_image(*pair), score_image(*pair[::-1])
    assert one.found == other.found
    assert (one.kaggle, one.f1_50, one.pixel_accuracy, one.pixel_iou) == (
        other.kaggle,
        other.f1_50,
        other.pixel_accuracy,
        other.pixel_iou,
    )
    assert one.pq == pytest.approx(other.pq, abs=1e-12)


@given(label_pairs())
def test_scores_lie_between_zero_and_one_and_fall_with_the_threshold(pair: Pair) -> None:
    score = score_image(*pair)
    assert all(0 <= value <= 1 for value in (*score.ap, score.kaggle, score.pq, score.aji, score.pixel_precision))
    assert list(score.ap) == sorted(score.ap, reverse=True)


def test_nothing_there_and_nothing_found_is_perfect() -> None:
    score = score_image(EMPTY, EMPTY)
    assert (score.nuclei_true, score.nuclei_pred) == (0, 0)
    assert (score.kaggle, score.f1_50, score.pq, score.aji) == (1.0, 1.0, 1.0, 1.0)
    assert (score.pixel_accuracy, score.pixel_precision, score.pixel_iou) == (1.0, 1.0, 1.0)


def test_nothing_found() -> None:
    score = score_image(TWO, EMPTY)
    assert (score.kaggle, score.f1_50, score.pq, score.aji) == (0.0, 0.0, 0.0, 0.0)
    assert (score.pixel_accuracy, score.pixel_precision, score.pixel_iou) == (8 / 24, 0.0, 0.0)


def test_found_where_nothing_is() -> None:
    score = score_image(EMPTY, TWO)
    assert (score.kaggle, score.f1_50, score.pq, score.aji) == (0.0, 0.0, 0.0, 0.0)
    assert (score.pixel_precision, score.pixel_iou) == (0.0, 0.0)


def test_no_pixels_at_all() -> None:
    score = score_image(EMPTY[:0], EMPTY[:0])
    assert (score.kaggle, score.pixel_accuracy) == (1.0, 1.0)


def test_two_nuclei_merged_into_one() -> None:
    # Areas 6 and 4, merged area 10: IoU .6 and .4. One of two found up to threshold .55.
    true = np.array([[1] * 6 + [2] * 4])
    score = score_image(true, np.ones_like(true))
    assert score.found == (1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    assert score.kaggle == pytest.approx(0.1 * (1 / 2 + 1 / 2))
    assert score.f1_50 == 2 / 3
    assert score.pq == pytest.approx(0.6 / 1.5)
    assert score.aji == pytest.approx(10 / 20)  # both take it: 6 + 4 shared of 10 + 10
    assert (score.pixel_accuracy, score.pixel_precision, score.pixel_iou) == (1.0, 1.0, 1.0)


def test_found_at_one_half_only() -> None:
    score = score_image(np.ones((1, 100), int), np.arange(100)[None] < 52)
    assert score.found == (1, *[0] * 9)
    assert (score.f1_50, score.pq, score.kaggle) == (1.0, 0.52, 0.1)


def test_one_nucleus_split_in_two() -> None:
    pred = np.array([[1] * 7 + [2] * 3])
    score = score_image(np.ones_like(pred), pred)
    assert score.found == (1, 1, 1, 1, 0, 0, 0, 0, 0, 0)
    assert score.kaggle == pytest.approx(0.1 * 4 / 2)
    assert score.pq == pytest.approx(0.7 / 1.5)
    assert score.aji == pytest.approx(7 / 13)  # 7 of 10, and the 3 of the part that nobody took


def test_pixel_scores_by_hand() -> None:
    true = np.array([[1, 1, 1, 0, 0, 0, 0, 2]])
    pred = np.array([[0, 3, 3, 3, 0, 0, 0, 0]])
    score = score_image(true, pred)
    assert (score.pixel_accuracy, score.pixel_precision, score.pixel_iou) == (5 / 8, 2 / 3, 2 / 5)


def test_stacks_are_scored_as_one_image() -> None:
    stack = np.stack([TWO, np.where(TWO > 0, TWO + 2, 0)])
    assert score_image(stack, stack).nuclei_true == 4
