"""Better, worse, or not to be told: by hand."""

from __future__ import annotations

import pytest

from nucleate.train.verdict import compare

GROUPS = [str(number) for number in range(10)]


def test_a_gain_on_every_image_is_better() -> None:
    verdict = compare([0.5] * 10, [0.6, 0.7] * 5, groups=GROUPS, start="old")
    assert verdict.word == "better"
    assert verdict.gain == pytest.approx(0.15)
    assert verdict.gain_low is not None
    assert verdict.gain_high is not None
    assert 0.1 <= verdict.gain_low < 0.15 < verdict.gain_high <= 0.2
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


def test_one_group_tells_nothing() -> None:
    verdict = compare([0.1, 0.1], [0.9, 0.9], groups=["field", "field"], start="old")
    assert verdict.word == "no clear difference"
    assert "too few groups" in verdict.line()
    assert verdict.rounded()["gain_low"] is None
