"""Outlines that cannot be nuclei: beyond the picture, or round most of the others."""

from __future__ import annotations

import numpy as np
import pytest

from nucleate.data.regions import Region, enclosing, faults, paint_regions, region_of_rings, union

pytestmark = pytest.mark.base

SHAPE = (64, 64)


def box(top: float, left: float, side: float) -> Region:
    corners = [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]
    return region_of_rings([np.array(corners, float)], SHAPE)


NINE = [box(4 + 20 * row, 4 + 20 * col, 12) for row in range(3) for col in range(3)]


def test_what_lies_beyond_is_known_from_what_is_too_small() -> None:
    assert [box(*place).outside for place in ((70, 5, 3), (5, -9, 4), (60, 60, 9), (5.6, 5.6, 0.3))] == [
        True, True, False, False,
    ]  # fmt: skip


def test_few_outlines_beyond_the_picture_are_no_fault() -> None:
    beyond = box(99, 99, 5)
    assert faults([*NINE, beyond], SHAPE) == []
    assert faults([*NINE * 5, beyond, beyond], SHAPE) == []
    assert faults([*NINE, beyond, beyond], SHAPE) == [("outside the picture", "2 of 11 outlines beyond (64, 64)")]
    assert faults([beyond], SHAPE) == [("outside the picture", "1 of 1 outlines beyond (64, 64)")]
    twice = [box(8 + 40 * row, 8 + 40 * col, 24) for row in range(3) for col in range(3)]
    assert faults(twice, SHAPE) == [("outside the picture", "5 of 9 outlines beyond (64, 64)")]


def test_slivers_on_the_border_line_lie_in_the_picture() -> None:
    lines = [[[0, 10], [0, 15], [0, 12]], [[3, 0], [9, 0], [5, 0]], [[64, 3], [64, 9], [64, 5]], [[3, 64], [9, 64]]]
    slivers = [region_of_rings([np.array(line, float)], SHAPE) for line in lines]
    assert not any(sliver.mask.any() or sliver.outside for sliver in slivers)
    assert region_of_rings([np.array([[-9, 3], [-2, 9], [-5, 5.0]])], SHAPE).outside


def test_a_region_round_most_of_the_others_is_found() -> None:
    assert faults([*NINE, box(0, 0, 64)], SHAPE) == [("region", "outline 10 holds most of the others")]
    assert enclosing([box(2, 2, 40), *NINE]) == []  # four of nine
    assert enclosing([NINE[0]] * 5) == []  # the same again and again
    assert enclosing([box(0, 0, 30), NINE[0]]) == []
    around = [box(0, 0, 64), box(1, 1, 62)]
    ring = Region(0, 0, around[0].mask & ~np.pad(around[1].mask, 1))
    assert enclosing([ring, *NINE]) == []  # they lie within its box, not on it


def test_parts_are_put_together_in_a_box_of_their_own() -> None:
    whole = union([NINE[0], box(16, 4, 3), box(99, 99, 3)])
    assert (whole.top, whole.left, whole.mask.shape, whole.mask.sum()) == (4, 4, (15, 12), 153)
    assert paint_regions([whole], SHAPE).sum() == 153
    assert union([box(99, 0, 3), box(0, 99, 3)]).outside
    assert not union([]).mask.size
