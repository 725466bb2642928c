"""Outlines: small pictures by hand, the round trip for any label image, areas and windings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray  # noqa: TC002 - hypothesis reads the annotations
from scipy import ndimage

from nucleate.core.outlines import Outline, trace

pytestmark = pytest.mark.base

pictures = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3))


def area(points: NDArray[np.float64]) -> float:
    after = np.roll(points, -1, axis=0)
    return float((points[:, 1] * after[:, 0] - after[:, 1] * points[:, 0]).sum() / 2)


def painted(outlines: list[Outline], shape: tuple[int, ...]) -> NDArray[np.int32]:
    steps = np.zeros((shape[0], shape[1] + 1), np.int32)
    for outline in outlines:
        corners = (outline.points + 0.5).astype(int)
        for (row, col), (after, _) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            # East of a northward edge the nucleus begins in each of its rows; at a southward one it ends.
            steps[min(row, after) : max(row, after), col] += np.sign(row - after) * outline.label
    return steps.cumsum(axis=1, dtype=np.int32)[:, :-1]


def test_one_pixel() -> None:
    (outline,) = trace(np.array([[7]]))
    assert outline.points.tolist() == [[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]
    assert (outline.label, outline.area) == (7, 1)


def test_ring_has_a_hole() -> None:
    labels = np.ones((3, 3), int)
    labels[1, 1] = 0
    outer, inner = trace(labels)
    assert area(outer.points) == outer.area == 9
    assert area(inner.points) == inner.area == -1


def test_pixels_joined_by_a_corner_are_one_polygon() -> None:
    (outline,) = trace(np.eye(2, dtype=int))
    assert area(outline.points) == 2
    assert len(outline.points) == 8


def test_nothing_to_trace() -> None:
    assert trace(np.zeros((4, 5), int)) == []


@settings(deadline=None)
@given(pictures)
def test_round_trip_is_exact(labels: NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(painted(trace(labels), labels.shape), labels)


@settings(deadline=None)
@given(pictures)
def test_polygons_count_as_the_regions_and_holes_do(labels: NDArray[np.int32]) -> None:
    outlines = trace(labels)
    for nucleus in range(1, int(labels.max()) + 1):
        mine = [o for o in outlines if o.label == nucleus]
        mask = np.pad(labels == nucleus, 1)
        regions = ndimage.label(mask, np.ones((3, 3)))[1]
        holes = ndimage.label(~mask)[1] - 1
        assert sum(o.area > 0 for o in mine) == regions
        assert sum(o.area < 0 for o in mine) == holes
        assert sum(area(o.points) for o in mine) == mask.sum()
        assert [o.area for o in mine] == [area(o.points) for o in mine]


@settings(deadline=None)
@given(pictures)
def test_every_step_turns_and_runs_along_one_axis(labels: NDArray[np.int32]) -> None:
    for outline in trace(labels):
        steps = np.roll(outline.points, -1, axis=0) - outline.points
        assert ((steps != 0).sum(axis=1) == 1).all()
        assert ((steps != 0) != (np.roll(steps, 1, axis=0) != 0)).all()
