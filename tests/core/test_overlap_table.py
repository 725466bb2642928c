"""The overlap table against counting by hand, in one slice and in many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import label_pairs

from nucleate.core import labels as module
from nucleate.core.labels import overlap_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _counted(first: NDArray[Any], second: NDArray[Any]) -> list[tuple[int, int, int]]:
    pairs = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
    return sorted((a, b, n) for (a, b), n in Counter(pairs).items())


def _rows(first: NDArray[Any], second: NDArray[Any]) -> list[tuple[int, int, int]]:
    pairs, counts = overlap_table(first, second)
    assert pairs.dtype == counts.dtype == np.int64
    return [(a, b, n) for (a, b), n in zip(pairs.tolist(), counts.tolist(), strict=True)]


def test_by_hand() -> None:
    first = np.array([[0, 1, 1], [2, 2, 0]])
    second = np.array([[0, 5, 0], [5, 5, 0]])
    assert _rows(first, second) == [(0, 0, 2), (1, 0, 1), (1, 5, 1), (2, 5, 2)]


@given(label_pairs(), st.integers(1, 9))
def test_slices_change_nothing(pair: tuple[NDArray[np.int32], NDArray[np.int32]], size: int) -> None:
    first, second = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SLICE", size)
        assert _rows(first, second) == _counted(first, second)
    assert _rows(first, second) == _counted(first, second)


def test_stack_and_view_that_is_not_contiguous() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.integers(0, 4, (2, 6, 5, 4)).astype(np.int32)
    assert _rows(first, second) == _counted(first, second)
    assert _rows(first[:, ::2].T, second[:, ::2].T) == _counted(first[:, ::2].T, second[:, ::2].T)


def test_large_ids() -> None:
    first = np.array([2**31 - 1, 0], np.int32)
    assert _rows(first, first) == [(0, 0, 1), (2**31 - 1, 2**31 - 1, 1)]


def test_no_pixels() -> None:
    pairs, counts = overlap_table(np.zeros((0, 4), np.int32), np.zeros((0, 4), np.int32))
    assert pairs.shape == (0, 2)
    assert counts.shape == (0,)
