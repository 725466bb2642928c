"""Lone bright pixels are found and cleared, nothing else is, and a part equals the same pixels of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate.core.plane import as_plane
from nucleate.core.specks import Cleared, cleared, specks

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _plane(*, colours: bool = False, dtype: str = "uint16") -> NDArray[Any]:
    """Draw noisy ground with a bright square, and lone bright pixels, at the edge, in a corner and in pairs too."""
    rng = np.random.default_rng(1)
    shape = (40, 50, 3) if colours else (40, 50)
    plane = rng.normal(100, 5, shape)
    plane[10:20, 10:22] += 300
    for at in ((0, 0), (0, 30), (39, 49), (15, 15), (30, 7), (30, 8), (25, 40)):
        plane[at] = 5000
    return plane.astype(dtype)


def test_lone_pixels_and_pairs_are_found_and_edges_of_nuclei_are_not() -> None:
    plane = _plane()
    assert set(zip(*(axis.tolist() for axis in specks(plane, 100.0)), strict=True)) == {
        (15, 15), (30, 7), (30, 8), (25, 40),
    }  # fmt: skip
    plane[29, 7] = 5000  # three together are a thing
    assert set(zip(*(axis.tolist() for axis in specks(plane, 100.0)), strict=True)) == {(15, 15), (25, 40)}


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "int32"])
def test_cleared_pixels_take_the_median_of_their_neighbours(dtype: str) -> None:
    plane = _plane(dtype=dtype)
    clear = cleared(plane, 100.0)
    assert clear.dtype == plane.dtype
    assert plane[15, 15] == 5000  # the plane itself stays
    assert clear.max() < 450
    assert clear[15, 15] > 350
    assert clear[25, 40] < 130
    assert np.count_nonzero(clear != plane) == 7
    assert cleared(plane, None) is plane


def test_colours_are_cleared_each_by_itself() -> None:
    plane = _plane(colours=True)
    plane[5, 5, 2] = 5000
    clear = cleared(plane, 100.0)
    assert clear.max() < 450
    assert np.array_equal(clear[5, 5, :2], plane[5, 5, :2])


def test_a_part_equals_the_same_pixels_of_the_whole() -> None:
    plane = _plane()
    whole = Cleared(as_plane(plane), 100.0)
    everything = whole.read(slice(None), slice(None))
    assert np.array_equal(everything, cleared(plane, 100.0))
    for rows, cols in (((0, 1), (0, 50)), ((15, 16), (15, 16)), ((30, 40), (7, 50)), ((29, 31), (8, 41))):
        assert np.array_equal(whole.read(slice(*rows), slice(*cols)), everything[slice(*rows), slice(*cols)])
    assert whole.shape == (40, 50)
    assert whole.dtype == np.uint16


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (1, 9), (2, 2), (2, 9)])
def test_small_planes_have_no_specks(shape: tuple[int, int]) -> None:
    plane = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert len(specks(plane, 1.0)[0]) == 0
    assert Cleared(as_plane(plane), 1.0).read(slice(None), slice(None)).shape == shape


def test_values_that_are_not_finite_are_no_specks() -> None:
    plane = _plane(dtype="float32")
    plane[5, 5], plane[5, 30] = np.nan, np.inf
    with np.errstate(all="raise"):
        clear = cleared(plane, 100.0)
    assert np.isnan(clear[5, 5])
    assert clear[15, 15] < 450
