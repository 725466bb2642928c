"""Intervals by Student's t: by hand, and as often right as they say, however few or uneven the groups are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nucleate.score.t_interval import half_width

pytestmark = pytest.mark.base


def test_single_values_have_the_interval_of_the_textbook() -> None:
    values = [0.1, 0.25, 0.2, 0.7]
    expected = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) / math.sqrt(4)
    assert half_width(values, range(4)) == pytest.approx(expected)


def test_units_of_one_size_are_single_values() -> None:
    assert half_width([0, 2, 1, 3, 4, 6], "aabbcc") == pytest.approx(half_width([1, 2, 5], "abc"))


@pytest.mark.parametrize("units", ["", "aaaa", "abab"])
def test_few_units_tell_nothing(units: str) -> None:
    assert half_width([0.5] * len(units), units) is None


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1,) * 6, (20, 1, 1), (10, *[1] * 10)])
@pytest.mark.parametrize(("between", "within"), [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
def test_at_most_one_in_twenty_misses_the_truth(sizes: tuple[int, ...], between: float, within: float) -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(len(sizes)), sizes)
    missed = 0
    for _ in range(500):
        values = between * rng.normal(size=len(sizes))[units] + within * rng.normal(size=len(units))
        half = half_width(values.tolist(), units.tolist())
        assert half is not None
        missed += abs(values.mean()) > half
    assert missed <= 500 * 0.07  # two standard errors over one in twenty
