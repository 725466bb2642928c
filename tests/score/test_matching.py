"""The matching: IoU known by arithmetic, brute force over all pairs, and what must not matter."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.score import brute
from tests.strategies import label_pairs

from nucleate.errors import DataError
from nucleate.score.matching import match

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pair = tuple[NDArray[np.int32], NDArray[np.int32]]

pytestmark = pytest.mark.base


def _square(row: int, col: int, side: int = 10) -> NDArray[np.int32]:
    labels = np.zeros((40, 40), np.int32)
    labels[row : row + side, col : col + side] = 1
    return labels


def _disk(col: float, radius: float = 120.0) -> NDArray[np.int32]:
    rows, cols = np.mgrid[:300, :500]
    return np.where((rows - 150) ** 2 + (cols - col) ** 2 < radius**2, 1, 0).astype(np.int32)


def _disk_iou(shift: float, radius: float = 120.0) -> float:
    lens = 2 * radius**2 * np.arccos(shift / (2 * radius)) - shift / 2 * np.sqrt(4 * radius**2 - shift**2)
    return float(lens / (2 * np.pi * radius**2 - lens))


@given(label_pairs())
def test_overlaps_are_those_of_brute_force(pair: Pair) -> None:
    true, pred = pair
    found = match(true, pred)
    got = {
        (int(found.true_ids[i]), int(found.pred_ids[j])): Fraction(int(n), int(u))
        for i, j, n, u in zip(found.true_index, found.pred_index, found.shared, found.union, strict=True)
    }
    assert got == {ids: value for ids, value in brute.iou(true, pred).items() if value}
    assert found.true_ids.tolist() == brute.ids(true)
    assert found.true_areas.tolist() == [int(np.sum(true == i)) for i in brute.ids(true)]
    assert found.pred_areas.tolist() == [int(np.sum(pred == j)) for j in brute.ids(pred)]
    assert found.pixels == true.size


@given(label_pairs(), st.sampled_from(range(50, 100, 5)))
def test_pairs_are_those_of_brute_force(pair: Pair, percent: int) -> None:
    found = match(*pair)
    chosen = found.pairs(percent / 100)
    assert len(chosen) == brute.true_positives(*pair, percent)
    assert len(np.unique(found.true_index[chosen])) == len(chosen) == len(np.unique(found.pred_index[chosen]))


@settings(max_examples=60)
@given(label_pairs(max_nuclei=3), st.sampled_from([0, 5, 10, 20, 30, 40, 45]))
def test_below_one_half_the_choice_is_the_best_of_all(pair: Pair, percent: int) -> None:
    found = match(*pair)
    chosen = found.pairs(percent / 100)
    count, total = brute.best_assignment(*pair, Fraction(percent, 100))
    assert len(chosen) == count
    assert found.iou[chosen].sum() == pytest.approx(total, abs=1e-12)
    assert len(np.unique(found.true_index[chosen])) == len(chosen) == len(np.unique(found.pred_index[chosen]))


@pytest.mark.parametrize("shift", range(11))
def test_shifted_square_just_under_and_over_its_iou(shift: int) -> None:
    # Sides of 10, shifted by s: (10 - s) * 10 shared of (10 + s) * 10.
    iou = Fraction(10 - shift, 10 + shift)
    found = match(_square(5, 5), _square(5, 5 + shift))
    assert len(found.pairs(float(iou) - 1e-9)) == (1 if shift < 10 else 0)
    assert len(found.pairs(float(iou))) == 0
    assert len(found.pairs(float(iou) + 1e-9)) == 0


@pytest.mark.parametrize("shift", [20, 60, 100])
def test_shifted_disk_just_under_and_over_its_iou(shift: int) -> None:
    found = match(_disk(200), _disk(200 + shift))
    assert len(found.pairs(_disk_iou(shift) - 0.003)) == 1
    assert len(found.pairs(_disk_iou(shift) + 0.003)) == 0


@pytest.mark.parametrize("percent", range(5, 100, 5))
def test_iou_equal_to_the_threshold_is_not_enough(percent: int) -> None:
    true = np.ones((1, 100), np.int32)
    pred = (np.arange(100) < percent).astype(np.int32)[None]
    assert match(true, pred).iou.tolist() == [percent / 100]
    assert len(match(true, pred).pairs(percent / 100)) == 0
    assert len(match(true, pred).pairs((percent - 1) / 100)) == 1


def test_two_halves_reach_one_half_and_do_not_count() -> None:
    true, pred = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])
    assert match(true, pred).iou.tolist() == [0.5, 0.5]
    assert len(match(true, pred).pairs(0.5)) == 0
    assert len(match(true, pred).pairs(0.49)) == 1


def test_more_pairs_go_before_one_good_pair() -> None:
    # True 1 overlaps predicted 1 best (.45), but then true 2 would have none: 1-2 and 2-1 are two pairs.
    true = np.array([[1] * 9 + [2] * 7 + [1] * 4])
    pred = np.array([[1] * 9 + [1] * 7 + [2] * 4])
    found = match(true, pred)
    chosen = found.pairs(0.3)
    assert {(int(a), int(b)) for a, b in zip(found.true_index, found.pred_index, strict=True)} == {
        (0, 0),
        (1, 0),
        (0, 1),
    }
    assert [(int(found.true_index[p]), int(found.pred_index[p])) for p in chosen] == [(0, 1), (1, 0)]
    assert len(found.pairs(0.43)) == 2 - (7 / 16 <= 0.43) - (4 / 13 <= 0.43)


def test_two_poor_pairs_go_before_one_that_is_nearly_whole() -> None:
    true = np.array([[1] * 18 + [2] * 2])
    pred = np.array([[1] * 16 + [2] * 2 + [1] * 2])
    found = match(true, pred)
    assert found.iou.tolist() == [16 / 20, 2 / 18, 2 / 18]
    assert found.pairs(0.1).tolist() == [1, 2]
    assert found.pairs(0.12).tolist() == [0]


@pytest.mark.parametrize("lengths", [(6, 3), (3, 6)])
def test_of_as_many_pairs_those_of_greater_iou_are_chosen(lengths: tuple[int, int]) -> None:
    pred = np.repeat([1, 2, 0], [*lengths, 1])[None]
    found = match(np.ones_like(pred), pred)
    assert found.iou[found.pairs(0.2)].tolist() == [0.6]


def test_a_long_chain_of_neighbours_is_solved() -> None:
    # Each true nucleus overlaps two predicted ones by half: a single component of 6,000 nuclei.
    true = np.repeat(np.arange(1, 3001), 4)[None]
    pred = np.roll(true, 2, axis=1)
    assert len(match(true, pred).pairs(0.3)) == 3000


@given(label_pairs())
def test_exchanging_truth_and_prediction_exchanges_the_pairs(pair: Pair) -> None:
    true, pred = pair
    one, other = match(true, pred), match(pred, true)
    for threshold in (0.5, 0.75):
        a, b = one.pairs(threshold), other.pairs(threshold)
        forward = list(zip(one.true_index[a].tolist(), one.pred_index[a].tolist(), strict=True))
        assert forward == sorted(zip(other.pred_index[b].tolist(), other.true_index[b].tolist(), strict=True))


def test_ids_with_gaps_and_other_dtypes() -> None:
    true = np.array([[0, 900, 900, 7]], np.uint16)
    found = match(true, (true > 0).astype(np.uint8) * 255)
    assert found.true_ids.tolist() == [7, 900]
    assert found.pred_ids.tolist() == [255]
    assert found.iou.tolist() == [1 / 3, 2 / 3]
    assert match(true > 0, true > 0).iou.tolist() == [1.0]


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint32, 400_000_000), (np.uint64, 2**40), (np.int64, 2**59)])
def test_ids_may_be_large(dtype: type[np.integer[Any]], factor: int) -> None:
    true, pred = np.array([[0, 1, 1, 3, 3, 0]]), np.array([[4, 4, 1, 3, 3, 0]])
    small, large = match(true, pred), match(true.astype(dtype) * dtype(factor), pred.astype(dtype) * dtype(factor))
    assert large.true_ids.tolist() == [factor, 3 * factor]
    assert large.pred_ids.tolist() == [factor, 3 * factor, 4 * factor]
    for name in ("true_areas", "pred_areas", "true_index", "pred_index", "shared"):
        assert getattr(large, name).tolist() == getattr(small, name).tolist()


@pytest.mark.parametrize(
    ("true", "pred", "words"),
    [
        (np.zeros((3, 4), int), np.zeros((4, 3), int), "shapes differ: truth 3 x 4, prediction 4 x 3"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "truth is not a label image: got dtype float64"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "prediction is not a label image: got dtype int64, -1 to -1"),
        (np.zeros((0, 2)), np.zeros((0, 2), int), "truth is not a label image: got dtype float64; give"),
        (np.full((1, 1), 2**63, np.uint64), np.zeros((1, 1), int), "truth is not a label image: .* uint64, 9223"),
        ([[1, 0]], np.zeros((1, 2), int), "truth is no plain NumPy array: got list"),
        (np.zeros((1, 2), int), np.ma.masked_array([[1, 0]], [[True, False]]), "prediction is no plain NumPy array"),
    ],
)
def test_what_cannot_be_compared_says_why(true: NDArray[Any], pred: NDArray[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        match(true, pred)


@pytest.mark.skipif(importlib.util.find_spec("stardist") is None, reason="stardist is not installed")
@settings(max_examples=50)
@given(label_pairs(), st.sampled_from([0.1, 0.3, 0.5, 0.75, 0.9]))
def test_as_many_as_stardist_finds(pair: Pair, threshold: float) -> None:
    matching: Any = pytest.importorskip("stardist.matching")
    # StarDist takes IoU >= threshold: the next float up makes that our rule.
    expected = matching.matching(*pair, thresh=float(np.nextafter(threshold, 1)))
    assert len(match(*pair).pairs(threshold)) == expected.tp
