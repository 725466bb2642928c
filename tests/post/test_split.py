"""Splitting the mask and filling holes: by hand, and against slower ways of doing the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray  # noqa: TC002 - hypothesis reads the annotations
from scipy import ndimage
from skimage.segmentation import watershed

from nucleate.post import split

pytestmark = pytest.mark.base

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)
masks = hnp.arrays(bool, SHAPES)
label_images = hnp.arrays(np.int32, SHAPES, elements=st.sampled_from([0, 0, 1, 1, 2, 3]))


@given(masks, st.sampled_from([1, 2]))
def test_components_are_numbered_in_reading_order(mask: NDArray[np.bool_], connectivity: int) -> None:
    labels = split.components(mask, connectivity=connectivity)
    np.testing.assert_array_equal(labels > 0, mask)
    _, first = np.unique(labels[labels > 0], return_index=True)
    assert (np.diff(first) > 0).all()


@settings(deadline=None)
@given(label_images)
def test_holes_are_those_of_each_nucleus_by_itself(labels: NDArray[np.int32]) -> None:
    expected = labels.copy()
    for nucleus in range(1, 4):
        holes, count = ndimage.label(ndimage.binary_fill_holes(labels == nucleus) & (labels != nucleus))
        for hole in range(1, count + 1):
            if not labels[holes == hole].any():
                expected[holes == hole] = nucleus
    np.testing.assert_array_equal(split.fill_holes(labels), expected)


def test_a_gap_within_a_ring_of_nuclei_stays() -> None:
    labels = np.array([[1, 1, 2], [1, 0, 2], [3, 3, 2]], np.int32)
    np.testing.assert_array_equal(split.fill_holes(labels), labels)


def test_a_gap_that_reaches_the_border_stays() -> None:
    labels = np.array([[1, 0, 1], [1, 0, 1], [1, 1, 1]], np.int32)
    np.testing.assert_array_equal(split.fill_holes(labels), labels)


def test_a_flat_bar_has_one_peak() -> None:
    mask = np.zeros((9, 60), bool)
    mask[2:7, 3:57] = True
    distance = split.mask_distance(mask, 1.0)
    assert (split.distance_markers(mask, distance, min_distance=3) > 0).sum() == 1


def test_peaks_keep_their_distance() -> None:
    mask = np.ones((1, 30), bool)
    height = np.zeros((1, 30), np.float32)
    height[0, [5, 8, 20]] = 3, 4, 2
    found = np.flatnonzero(split.distance_markers(mask, height, min_distance=4))
    assert {8, 20} <= set(found.tolist())
    assert 5 not in found
    assert (np.diff(found) > 4).all()


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.int32, SHAPES, elements=st.integers(-1, 4)), st.integers(1, 3))
def test_peaks_are_those_of_looking_at_every_square(levels: NDArray[np.int32], reach: int) -> None:
    def highest(values: NDArray[np.int32], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        found = np.zeros_like(among)
        for row, col in np.argwhere(among):
            square = slice(max(row - reach, 0), row + reach + 1), slice(max(col - reach, 0), col + reach + 1)
            found[row, col] = values[row, col] == values[square].max()
        return found

    mask = levels >= 0
    peaks = highest(levels, mask)
    rank = np.where(peaks, np.arange(levels.size, dtype=np.int32).reshape(levels.shape), -1)
    expected = ndimage.label(highest(rank, peaks), np.zeros((3, 3)) + np.diag([0, 1, 0]))[0]
    height = levels.clip(0).astype(np.float32)
    np.testing.assert_array_equal(split.distance_markers(mask, height, min_distance=reach), expected)


def test_distance_is_measured_to_background_and_not_to_the_edge_of_the_picture() -> None:
    mask = np.array([[1, 1, 1, 0, 1, 1, 1, 1, 0]], bool)
    assert split.mask_distance(mask, 0).tolist() == [[3, 2, 1, 0, 1, 2, 2, 1, 0]]


def test_a_blur_is_a_gaussian_cut_off_at_four_sigmas_that_repeats_the_edge() -> None:
    values = np.random.default_rng(0).random(30).astype(np.float32)
    kernel = np.exp(-(np.arange(-6, 7) ** 2) / (2 * 1.5**2))
    expected = np.convolve(np.pad(values, 6, mode="edge"), kernel / kernel.sum(), mode="valid")
    assert split.BLUR_REACH * 1.5 == 6
    np.testing.assert_allclose(split.smooth(values[None], 1.5)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(split.smooth(values[:, None], 1.5)[:, 0], expected, rtol=1e-6)


def test_a_mask_without_background_has_no_distance() -> None:
    assert not split.mask_distance(np.ones((3, 4), bool), 1.0).any()


def test_small_markers_are_left_out() -> None:
    mask = np.ones((1, 9), bool)
    energy = np.array([[1, 0, 1, 1, 0, 1, 1, 1, 0]], np.float32)
    assert split.level_markers(mask, energy, level=0.5).tolist() == [[1, 0, 2, 2, 0, 3, 3, 3, 0]]
    assert split.level_markers(mask, energy, level=0.5, min_area=2).tolist() == [[0, 0, 1, 1, 0, 2, 2, 2, 0]]


@settings(deadline=None)
@given(masks, st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.booleans())
def test_growing_equals_one_watershed_over_everything(
    mask: NDArray[np.bool_], seed: int, connectivity: int, keep: bool
) -> None:
    height = np.random.default_rng(seed).random(mask.shape).astype(np.float32)
    markers = split.level_markers(mask, height, level=0.8, connectivity=connectivity)
    got = split.grow_markers(mask, markers, height=height, connectivity=connectivity, keep_unmarked=keep)
    want = watershed(-height, markers, mask=mask, connectivity=connectivity)  # type: ignore[no-untyped-call]
    marked = want > 0
    np.testing.assert_array_equal(got[marked], want[marked])
    bare = split.components(mask & ~marked, connectivity=connectivity)
    if keep:
        bare = np.where(bare > 0, bare + markers.max(initial=0), 0)
        np.testing.assert_array_equal(got[~marked], bare[~marked])
    else:
        assert not got[~marked].any()


@pytest.mark.parametrize("seed", range(3))
def test_many_regions_are_flooded_as_each_would_be_where_it_lies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(90, 110)), 2)
    mask, height = noise > 0.5 * noise.std(), rng.random(noise.shape).astype(np.float32)
    markers = split.level_markers(mask, height, level=0.95)
    first = np.unique(markers, return_index=True)[1][1:]
    assert (np.bincount(split.components(mask).ravel()[first]) > 1).sum() > 10
    got = split.grow_markers(mask, markers, height=height, keep_unmarked=False)
    np.testing.assert_array_equal(got, watershed(-height, markers, mask=mask))  # type: ignore[no-untyped-call]


def test_regions_alike_are_split_alike() -> None:
    # Twenty bars, each with two seeds of one height and a pixel midway: who gets it must not depend on the others.
    mask = np.zeros((40, 13), bool)
    mask[::2] = True
    height = np.full(mask.shape, 0.5, np.float32)
    height[:, [1, 11]] = 1
    labels = split.grow_markers(mask, split.level_markers(mask, height, level=0.9), height=height)[::2]
    np.testing.assert_array_equal(labels - labels[:, :1], np.tile([0] * 7 + [1] * 6, (20, 1)))
