"""Blocks against the whole plane: the same nuclei, to the pixel, whatever the size of the blocks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from nucleate.post.confidence import rate
from nucleate.post.recipe import PostRecipe
from nucleate.run.blocks import Blocks, Reading, label_in_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

NAMES = ("mask", "border", "distance")


def random_maps(shape: tuple[int, int], seed: int, *, grain: float) -> NDArray[np.float32]:
    """Draw smooth maps with regions of every form; rounded, so that ties are common."""
    rng = np.random.default_rng(seed)
    maps = ndimage.gaussian_filter(rng.random((3, *shape)), (0, grain, grain))
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    scaled = (maps - low) / np.maximum(high - low, 1e-9)
    return np.asarray(np.rint(scaled * 32) / 32, np.float32)


def whole(maps_CHW: NDArray[np.float32], recipe: PostRecipe) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    labels = recipe.apply(maps_CHW, NAMES)
    return labels, rate(labels, maps_CHW, names=NAMES, model=None)


def in_blocks(
    maps_CHW: NDArray[np.float32], recipe: PostRecipe, *, band: int, blocks: Blocks
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    def bands() -> Iterator[NDArray[np.float32]]:
        for top in range(0, maps_CHW.shape[1], band):
            yield maps_CHW[:, top : top + band]

    shape_HW = (maps_CHW.shape[1], maps_CHW.shape[2])
    labels = np.zeros(shape_HW, np.int32)
    reading = Reading(recipe, NAMES, partial(rate, names=NAMES, model=None))
    return labels, label_in_blocks(bands, labels, shape_HW=shape_HW, reading=reading, blocks=blocks)


recipes = st.builds(
    PostRecipe,
    threshold=st.sampled_from(["fixed", "otsu", "hysteresis"]),
    level=st.floats(0.2, 0.8),
    low=st.floats(0.1, 0.5),
    high=st.floats(0.5, 0.9),
    split=st.sampled_from(["components", "markers", "distance"]),
    connectivity=st.sampled_from([1, 2]),
    smoothing=st.sampled_from([0.0, 0.7, 1.5]),
    min_distance=st.integers(1, 4),
    marker_level=st.floats(0.05, 0.5),
    min_marker_area=st.integers(0, 4),
    keep_unmarked=st.booleans(),
    fill_holes=st.booleans(),
    min_area=st.integers(0, 12),
)


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(1, 140), st.integers(1, 140)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.6, 1.5, 4.0]),
    recipes,
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_blocks_equal_the_whole_plane(
    shape: tuple[int, int], seed: int, grain: float, recipe: PostRecipe, band: int, block: int
) -> None:
    maps_CHW = random_maps(shape, seed, grain=grain)
    want, sure = whole(maps_CHW, recipe)
    got, confidence = in_blocks(maps_CHW, recipe, band=band, blocks=Blocks(block, most_rows=1000))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(confidence, sure)
