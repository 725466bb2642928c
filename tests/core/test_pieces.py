"""Ids that are not those of single nuclei."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from nucleate.core.pieces import Ids, count_pieces, look_at_ids, unnumbered, unnumbered_set

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

NINE = np.zeros((64, 64), np.int32)
for _number in range(9):
    _row, _col = 4 + 20 * (_number // 3), 4 + 20 * (_number % 3)
    NINE[_row : _row + 12, _col : _col + 12] = _number + 1
INSIDE = ndimage.binary_erosion(NINE > 0)


@pytest.mark.parametrize(
    ("labels", "seen"),
    [
        (NINE > 0, "a sole id in several pieces"),
        (np.where(NINE > 0, 255, 0), "a sole id in several pieces"),
        (np.where(INSIDE, 1, 2 * (NINE > 0)), "1 of 2 ids in 9 pieces"),
        (np.where(NINE > 0, 0, 255), "a sole id round holes along the border"),
    ],
)
def test_masks_and_maps_of_classes_are_told(labels: NDArray[np.int32], seen: str) -> None:
    assert unnumbered(labels) == seen
    assert look_at_ids(labels).parted == ("pieces" in seen)


def test_soft_masks_and_photographs_are_told() -> None:
    soft = np.rint(ndimage.gaussian_filter(np.where(NINE > 0, 255.0, 0), 1)).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 2**16, (600, 600)).astype(np.uint16)
    begun = time.process_time()
    assert unnumbered(soft)
    assert unnumbered(noise // 256)
    assert time.process_time() - begun < 5


def test_numbered_nuclei_are_not() -> None:
    parted = NINE.copy()
    parted[8::20] = 0  # all in two pieces
    specks = NINE.copy()
    for number, (row, col) in enumerate(np.argwhere(NINE[1:-1, 1:-1] == 0)[::40], 1):
        specks[row + 1, col + 1] = number % 9 + 1
    alone = np.where(NINE == 1, 1, 0)
    alone[60, 60] = 1
    second = np.zeros((3, 3600), np.int32)
    for number in range(200):  # every second has three pieces
        second[1, 18 * number : 18 * number + 17 : 6 if number % 2 else 99] = number + 1
    crop = np.ones((24, 24), np.int32)
    crop[10:13, 10:13] = 0
    ring = np.zeros((20, 20), np.int32)
    ring[2:18, 2:18], ring[5:9, 5:9] = 1, 0
    stack = np.stack([NINE, np.where(NINE > 0, NINE + 9, 0)])
    for labels in (NINE, NINE.astype(np.uint64) * 10**12, parted, specks, alone, second, crop, ring, ring * 0, stack):
        assert unnumbered(labels) == ""


def test_pieces_of_a_stack_hang_together() -> None:
    stack = np.zeros((3, 4, 4), bool)
    stack[0, 0, 0] = stack[1, 1, 1] = stack[2, 3, 3] = True
    assert count_pieces(stack) == 2


def test_a_set_of_classes_of_sparse_nuclei_is_told() -> None:
    two_each = np.where(np.isin(NINE, (1, 9)), 1, np.where(np.isin(NINE, (3, 7)), 2, 0))
    one_each = np.where(NINE == 1, 1, np.where(NINE == 9, 2, 0))
    assert (unnumbered(two_each), look_at_ids(two_each)) == ("", Ids(2, parted=True))
    pieces, whole = look_at_ids(two_each), look_at_ids(one_each)
    told = unnumbered_set([*[pieces] * 4, *[whole] * 5, Ids(0)])
    assert [bool(reason) for reason in told] == [*[True] * 4, *[False] * 6]
    for images in ([pieces] * 7, [*[pieces] * 3, *[whole] * 6], [*[pieces] * 9, look_at_ids(NINE)], [Ids(0)] * 9, []):
        assert not any(unnumbered_set(images))


def test_a_set_of_masks_is_told_when_most_are() -> None:
    mask, numbered = look_at_ids(NINE > 0), look_at_ids(NINE)
    assert unnumbered_set([mask, mask, numbered, Ids(0), Ids(0)]) == [mask.reason, mask.reason, "", "", ""]
    assert unnumbered_set([mask, numbered, Ids(0)]) == [""] * 3
