"""Confidence: the mean of the mask's probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from nucleate.post.confidence import mean_probability

pytestmark = pytest.mark.base


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_means_agree_with_scipy(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(count + 1), rng.integers(0, count + 1, 200)]).astype(np.int32)
    values = rng.random(labels.shape, np.float32)
    got = mean_probability(labels[None], values[None])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, ndimage.mean(values, labels, np.arange(1, count + 1)), rtol=1e-5)


def test_no_nuclei_no_numbers() -> None:
    assert mean_probability(np.zeros((3, 3), np.int32), np.ones((3, 3), np.float32)).shape == (0,)


def test_ids_that_do_not_occur_and_nan_count_nothing() -> None:
    labels = np.array([[1, 1, 3]], np.int32)
    assert mean_probability(labels, np.array([[0.5, np.nan, 1.0]])).tolist() == [0.25, 0.0, 1.0]
