"""Resampling: Pillow as oracle, constants and ranges kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nucleate.core.resample import resample, resample_labels

pytestmark = pytest.mark.base


@settings(deadline=None)
@given(st.tuples(*[st.integers(1, 40)] * 4), st.integers(0, 2**32 - 1))
def test_same_values_as_pillow(sizes: tuple[int, int, int, int], seed: int) -> None:
    rows, cols, new_rows, new_cols = sizes
    maps = np.random.default_rng(seed).random((2, rows, cols), np.float32)
    got = resample(maps, (new_rows, new_cols))
    want = [np.asarray(Image.fromarray(m).resize((new_cols, new_rows), Image.Resampling.BILINEAR)) for m in maps]
    np.testing.assert_allclose(got, np.stack(want), atol=2e-6)
    assert got.dtype == np.float32


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3), (64, 64)])
def test_constant_stays_constant(size: tuple[int, int]) -> None:
    np.testing.assert_allclose(resample(np.full((1, 20, 30), 0.7, np.float32), size), 0.7, rtol=1e-6)


def test_labels_take_the_nearest_pixel() -> None:
    labels = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.int32)
    assert resample_labels(labels, (2, 3)).tolist() == [[1, 3, 4], [5, 7, 8]]  # centres at 0.67, 2 and 3.33
    assert resample_labels(labels, (1, 2)).tolist() == [[6, 8]]
    np.testing.assert_array_equal(resample_labels(labels, (6, 8)), labels.repeat(3, axis=0).repeat(2, axis=1))


def test_same_size_is_the_same_array() -> None:
    maps = np.zeros((3, 5, 6), np.float32)
    assert resample(maps, (5, 6)) is maps


def test_halving_a_ramp_keeps_it_a_ramp_inside() -> None:
    ramp = np.arange(16, dtype=np.float32)[None, None]
    np.testing.assert_allclose(resample(ramp, (1, 8))[0, 0, 1:-1], np.arange(2.5, 14, 2), rtol=1e-6)
