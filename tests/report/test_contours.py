"""Outlines of truth and prediction over a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nucleate.report.contours import BOTH_COLOUR, PRED_COLOUR, TRUE_COLOUR, draw_contours

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _colours(picture: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}


def test_three_colours_tell_truth_and_prediction_apart() -> None:
    true, pred = np.zeros((2, 40, 40), np.int32)
    true[4:30, 4:20] = 1
    pred[4:30, 10:36] = 1
    picture = draw_contours(np.zeros((40, 40), np.uint8), true, pred=pred, side=40)
    assert picture.shape == (40, 40, 3)
    assert picture.dtype == np.uint8
    assert _colours(picture) == {TRUE_COLOUR, PRED_COLOUR, BOTH_COLOUR, (0, 0, 0)}
    assert tuple(picture[15, 4]) == TRUE_COLOUR
    assert tuple(picture[15, 35]) == PRED_COLOUR
    assert tuple(picture[4, 15]) == BOTH_COLOUR


def test_large_pictures_are_thinned_out_and_small_ones_enlarged() -> None:
    labels = np.zeros((30, 100), np.int32)
    plane = np.arange(3000, dtype=np.uint16).reshape(30, 100)
    assert draw_contours(plane, labels, pred=labels, side=60).shape == (15, 50, 3)
    assert draw_contours(plane, labels, pred=labels, side=250).shape == (60, 200, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pictures_of_any_kind_fill_the_grey_range(dtype: type[np.generic]) -> None:
    plane = np.linspace(0, 200, 400).reshape(20, 20).astype(dtype)
    labels = np.zeros((20, 20), np.int32)
    for picture in (plane, np.stack([plane] * 3, axis=-1)):
        drawn = draw_contours(picture, labels, pred=labels, side=20)
        assert drawn.min() == 0
        assert drawn.max() == 255
