"""Run-length codes: by hand, against a slow oracle, there and back."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nucleate.core import rle
from nucleate.errors import DataError

pytestmark = pytest.mark.base

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)


def slow_code(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> str:
    numbers: list[int] = []
    place = 0
    before = False
    for col in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            place += 1
            if mask[row, col] and before:
                numbers[-1] += 1
            elif mask[row, col]:
                numbers += [place, 1]
            before = bool(mask[row, col])
    return " ".join(map(str, numbers))


def test_counts_down_the_columns_from_one() -> None:
    mask = np.array([[0, 1, 1], [1, 1, 0], [0, 0, 1]])
    assert rle.encode_labels(mask) == ["2 1 4 2 7 1 9 1"]


def test_a_run_goes_on_over_the_end_of_a_column() -> None:
    assert rle.encode_labels(np.array([[0, 1], [1, 1]])) == ["2 3"]


def test_an_empty_code_has_no_pixels() -> None:
    assert rle.decode_positions("", (3, 4)).size == 0
    assert rle.decode_positions("  ", (3, 4)).size == 0


def test_touching_nuclei_stay_apart_and_missing_ids_are_empty() -> None:
    labels = np.array([[1, 3, 3], [1, 3, 0]])
    assert rle.encode_labels(labels) == ["1 2", "", "3 3"]
    assert rle.encode_labels(np.zeros((2, 2), dtype=np.int32)) == []
    assert rle.encode_labels(np.zeros((0, 0), dtype=np.int32)) == []


def test_runs_in_any_order_are_read() -> None:
    assert rle.decode_positions("4 1 1 2", (2, 2)).tolist() == [0, 1, 3]


def test_runs_that_touch_are_read() -> None:
    assert rle.decode_positions("1 2 3 1", (2, 2)).tolist() == [0, 1, 2]


@given(hnp.arrays(np.bool_, SHAPES))
def test_codes_are_read_back(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> None:
    positions = rle.decode_positions(slow_code(mask), mask.shape)
    np.testing.assert_array_equal(positions, np.flatnonzero(mask.ravel(order="F")))


@given(hnp.arrays(np.uint16, SHAPES, elements=st.integers(0, 5)))
def test_labels_code_as_their_masks_do(labels: np.ndarray[tuple[int, int], np.dtype[np.uint16]]) -> None:
    count = int(labels.max())
    assert rle.encode_labels(labels) == [slow_code(labels == number) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 2 3", "odd count"),
        ("1 x", "not whole numbers"),
        ("1.5 2", "not whole numbers"),
        ("99999999999999999999999 1", "not whole numbers"),
        ("0 1", "leaves the image"),
        ("5 1", "leaves the image"),
        ("4 2", "leaves the image"),
        ("1 1 4 2", "leaves the image"),
        ("1 0", "leaves the image"),
        ("2 -1", "leaves the image"),
        ("9223372036854775807 9223372036854775807", "leaves the image"),
        ("1 2 2 1", "covers a pixel twice"),
    ],
)
def test_bad_codes_say_what_is_wrong(code: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        rle.decode_positions(code, (2, 2))
    assert "\n" not in str(caught.value)


def test_a_hundred_thousand_nuclei_take_seconds() -> None:
    side = 317
    labels = np.zeros((side * 8, side * 8), dtype=np.int32)
    grid = labels.reshape(side, 8, side, 8)
    grid[:, 1:7, :, 1:7] = np.arange(1, side * side + 1).reshape(side, 1, side, 1)
    start = time.process_time()
    codes = rle.encode_labels(labels)
    assert time.process_time() - start < 10
    assert len(codes) == side * side > 100_000
    assert codes[70_000] == slow_code(labels == 70_001)
