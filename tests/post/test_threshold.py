"""Thresholds against scikit-image and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import apply_hysteresis_threshold, threshold_otsu

from nucleate.post.threshold import above, hysteresis, otsu_level, otsu_level_of_pieces

pytestmark = pytest.mark.base


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.floats(0.01, 0.3))
def test_otsu_agrees_with_scikit_image(seed: int, share: float, spread: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((30, 40)) < share, 0.2, 0.8) + rng.normal(0, spread, (30, 40))
    values = np.clip(values, 0, 1).astype(np.float32)
    theirs = float(threshold_otsu(values))  # type: ignore[no-untyped-call]

    def between(level: float) -> float:
        low, high = values[values <= level], values[values > level]
        return low.size * high.size * float(low.mean() - high.mean()) ** 2

    # Rounding may put single values into the neighbouring bin, and two levels may be as good as each other.
    assert between(otsu_level(values)) == pytest.approx(between(theirs), rel=0.01)


def test_otsu_parts_two_groups() -> None:
    values = np.array([[0.1, 0.15, 0.12, 0.8, 0.85]], np.float32)
    assert above(values, otsu_level(values)).tolist() == [[False, False, False, True, True]]


@pytest.mark.parametrize("value", [0.0, 0.7, 1.0])
def test_nothing_lies_above_otsus_level_of_a_constant_map(value: float) -> None:
    values = np.full((4, 4), value, np.float32)
    assert not above(values, otsu_level(values)).any()


def test_otsu_leaves_out_what_is_not_finite() -> None:
    values = np.array([[0.1, 0.1, 0.9, np.nan, np.inf]], np.float32)
    assert otsu_level(values) == otsu_level(values[:, :3])
    assert otsu_level(np.full((2, 2), np.nan, np.float32)) == 0.0


def test_above_is_strict_and_leaves_out_nan() -> None:
    assert above(np.array([0.5, 0.51, np.nan], np.float32), 0.5).tolist() == [False, True, False]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_hysteresis_agrees_with_scikit_image(seed: int, first: float, second: float) -> None:
    low, high = sorted((float(np.float32(first)), float(np.float32(second))))
    values = np.random.default_rng(seed).random((12, 15)).astype(np.float32)
    theirs = apply_hysteresis_threshold(values, low, high)  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(hysteresis(values, low=low, high=high, connectivity=1), theirs)


def test_hysteresis_joins_corners_only_when_told() -> None:
    values = np.array([[0.9, 0.0], [0.0, 0.4]], np.float32)
    assert hysteresis(values, low=0.3, high=0.8).sum() == 1
    assert hysteresis(values, low=0.3, high=0.8, connectivity=2).sum() == 2


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 60), max_size=5))
def test_otsus_level_does_not_care_for_pieces(seed: int, cuts: list[int]) -> None:
    values = np.random.default_rng(seed).random((60, 5), np.float32) ** 2
    values[3, 2] = np.nan
    assert otsu_level_of_pieces(lambda: np.split(values, sorted(cuts))) == otsu_level(values)
    assert otsu_level_of_pieces(list) == 0.0
