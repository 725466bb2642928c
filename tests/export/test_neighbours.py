"""Neighbours: touching ones, near ones, the nearest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import label_images

from nucleate.export.measurements import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def test_by_hand() -> None:
    labels = np.zeros((9, 60), np.int32)
    labels[0:4, 0:4] = 1
    labels[4:8, 4:8] = 2  # touches the first by a corner
    labels[4:8, 8:12] = 3
    labels[0:2, 40:42] = 5
    table = measure(labels, {}, pixel_size_um=(0.5, 0.5))
    assert table["neighbors_touching"].tolist() == [1, 2, 1, 0]
    assert table["neighbors_near"].tolist() == [2, 2, 2, 0]
    distances = [math.hypot(4, 4), 4, 4, math.hypot(5, 31)]
    assert table["nearest_neighbor_px"].tolist() == pytest.approx(distances)
    assert table["nearest_neighbor_um"].tolist() == pytest.approx([d / 2 for d in distances])
    assert table["touches_border"].tolist() == [1, 0, 0, 1]
    assert table["neighbors_touching"].dtype == np.int64


def test_pixels_that_are_not_square_change_which_is_nearest() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[0, 0], labels[0, 10], labels[9, 0] = 1, 2, 3
    table = measure(labels, {}, pixel_size_um=(1.0, 0.1))
    assert table["nearest_neighbor_px"][0] == 9.0
    assert table["nearest_neighbor_um"][0] == pytest.approx(1.0)


@given(label_images())
@settings(max_examples=40)
def test_equal_to_a_search_over_all_pairs(labels: NDArray[np.int32]) -> None:
    table = measure(labels, {})
    pixels = {int(n): np.argwhere(labels == n) for n in table["label"]}
    centres = {n: p.mean(axis=0) for n, p in pixels.items()}
    for row, (one, own) in enumerate(pixels.items()):
        others = [p for n, p in pixels.items() if n != one]
        touching = sum(bool((np.abs(own[:, None] - p[None]).max(axis=2) <= 1).any()) for p in others)
        away = [float(np.hypot(*(centres[one] - c))) for n, c in centres.items() if n != one]
        assert table["neighbors_touching"][row] == touching
        assert table["nearest_neighbor_px"][row] == pytest.approx(min(away, default=math.nan), nan_ok=True)
        reach = 3 * table["equivalent_diameter_px"][row]
        assert (
            sum(d < reach - 1e-9 for d in away) <= table["neighbors_near"][row] <= sum(d < reach + 1e-9 for d in away)
        )
