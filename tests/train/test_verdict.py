"""Better, worse, or not to be told: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nucleate.train.verdict import compare

GROUPS = [str(number) for number in range(10)]


def test_a_gain_on_every_image_is_better() -> None:
    verdict = compare([0.5] * 10, [0.6, 0.7] * 5, groups=GROUPS, start="old")
    assert verdict.word == "better"
    assert verdict.gain == pytest.approx(0.15)
    assert verdict.gain_low is not None
    assert verdict.gain_high is not None
    half = 2.2622 * np.std([0.1, 0.2] * 5, ddof=1) / np.sqrt(10)  # Student's t of nine degrees of freedom
    assert (verdict.gain_low, verdict.gain_high) == pytest.approx((0.15 - half, 0.15 + half), abs=1e-5)
    assert verdict.line().startswith(
        "better than old on 10 held-out images: 0.650 against 0.500, +0.150 (95 % interval"
    )


def test_a_loss_is_worse_and_a_tie_is_neither() -> None:
    assert compare([0.6, 0.7] * 5, [0.5] * 10, groups=GROUPS, start="old").word == "worse"
    assert compare([0.4, 0.6] * 5, [0.6, 0.4] * 5, groups=GROUPS, start="old").word == "no clear difference"


def test_a_gain_of_nothing_has_no_minus() -> None:
    assert (
        "0.500 against 0.500, +0.000 (95 % interval +0.000 to "
        in compare([0.50001] * 10, [0.5] * 10, groups=GROUPS, start="old").line()
    )


@pytest.mark.parametrize("groups", ["aa", "aabb"])
def test_one_group_or_two_tell_nothing(groups: str) -> None:
    verdict = compare([0.1] * len(groups), [0.9] * len(groups), groups=list(groups), start="old")
    assert verdict.word == "no clear difference"
    assert "too few groups" in verdict.line()
    assert verdict.rounded()["gain_low"] is None


@pytest.mark.parametrize("count", [2, 3, 5])
def test_chance_is_seldom_taken_for_a_gain(count: int) -> None:
    rng = np.random.default_rng(1)
    gains = rng.normal(0, 0.03, (400, count))
    words = [compare([0.0] * count, list(row), groups=GROUPS[:count], start="old").word for row in gains]
    assert words.count("no clear difference") >= 0.93 * len(words)
