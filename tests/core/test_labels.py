"""Areas, renumbering and dropping of nuclei; the overlap table has a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import label_images

from nucleate.core.labels import (
    areas,
    drop_small,
    first_pixels,
    ids_and_areas,
    in_reading_order,
    recoded,
    relabel,
)

if TYPE_CHECKING:
    from random import Random

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def test_areas_by_hand() -> None:
    assert areas(np.array([[0, 1, 1], [4, 0, 1]])).tolist() == [3, 0, 0, 1]
    assert areas(np.zeros((3, 3), np.int32)).tolist() == []
    assert areas(np.array([[[2, 2]], [[2, 0]]], np.uint16)).tolist() == [0, 3]


@pytest.mark.parametrize(("dtype", "high"), [(np.uint8, 255), (np.int32, 2**31 - 1), (np.int64, 2**62)])
def test_ids_and_areas_by_hand(dtype: type[np.integer], high: int) -> None:
    ids, counts = ids_and_areas(np.array([[[high, 0, 3], [3, high, high]]], dtype))
    assert (ids.tolist(), counts.tolist()) == ([3, high], [2, 3])
    assert [one.tolist() for one in ids_and_areas(np.zeros((2, 2), dtype))] == [[], []]


@given(label_images(), st.integers(1, 1000), st.sampled_from([1, 100_000]))
def test_renumbering_undoes_any_spreading_of_the_ids(labels: NDArray[np.int32], factor: int, step: int) -> None:
    spread = labels.astype(np.int64) * (factor * step)
    again = relabel(spread)
    assert again.dtype == np.int32
    np.testing.assert_array_equal(again, labels)


@pytest.mark.parametrize("far", [5, 10**6])
def test_renumbering_keeps_the_order_with_and_without_background(far: int) -> None:
    assert relabel(np.array([[far, 2, 0]])).tolist() == [[2, 1, 0]]
    assert relabel(np.array([[far, 2]])).tolist() == [[2, 1]]
    assert relabel(np.zeros((0, 4), np.int64)).shape == (0, 4)


@given(label_images(), st.integers(0, 20))
def test_dropping_keeps_the_large_ones_as_they_are(labels: NDArray[np.int32], least: int) -> None:
    kept = drop_small(labels, least)
    sizes = areas(labels)
    assert areas(kept).tolist() == [size for size in sizes.tolist() if size >= least]
    large = np.isin(labels, np.flatnonzero(sizes >= least) + 1)
    np.testing.assert_array_equal(kept > 0, large & (labels > 0))


@given(label_images(), st.randoms())
def test_first_pixels_and_reading_order(labels: NDArray[np.int32], chance: Random) -> None:
    ids = list(range(1, int(labels.max()) + 1))
    chance.shuffle(ids)
    mixed = np.array([0, *ids], np.int32)[labels]
    flat = mixed.ravel().tolist()
    assert first_pixels(mixed).tolist() == [flat.index(n) for n in range(1, len(ids) + 1)]
    ordered = in_reading_order(mixed)
    assert np.all(np.diff(first_pixels(ordered)) > 0)
    assert len(set(zip(flat, ordered.ravel().tolist(), strict=True))) == len(set(flat)) == len(np.unique(ordered))


def test_ids_that_do_not_occur_leave_no_gap() -> None:
    assert first_pixels(np.array([[0, 3, 3], [1, 3, 0]])).tolist() == [3, 6, 1]
    assert in_reading_order(np.array([[0, 3, 3], [1, 3, 0]])).tolist() == [[0, 1, 1], [2, 1, 0]]
    assert in_reading_order(np.zeros((2, 2), np.int32)).tolist() == [[0, 0], [0, 0]]


def test_areas_of_a_large_image_are_counted_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(0).integers(0, 9, (30, 31))
    whole = areas(picture)
    monkeypatch.setattr("nucleate.core.labels._SLICE", 7)
    assert areas(picture).tolist() == whole.tolist() == np.bincount(picture.ravel())[1:].tolist()


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (4, 6), (2, 3, 5)])
def test_ids_are_replaced_piece_by_piece(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    labels, table = np.random.default_rng(0).integers(0, 3, shape), np.array([4, 9, 0], np.int32)
    monkeypatch.setattr("nucleate.core.labels._SLICE", 7)
    np.testing.assert_array_equal(recoded(labels, table), table[labels])


def test_a_mask_of_one_bit_is_one_nucleus() -> None:
    assert relabel(np.array([[False, True], [True, True]])).tolist() == [[0, 1], [1, 1]]
