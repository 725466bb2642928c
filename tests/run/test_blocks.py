"""Blocks against the whole plane: the same nuclei, to the pixel, whatever the size of the blocks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tests.joins import join_model

from nucleate.core.labels import in_reading_order
from nucleate.post.confidence import FEATURES, ConfidenceModel, rate
from nucleate.post.recipe import PostRecipe, Split
from nucleate.run.blocks import Blocks, Reading, label_in_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

pytestmark = [pytest.mark.base, pytest.mark.once]

NAMES = ("mask", "border", "distance")


def random_maps(shape: tuple[int, int], seed: int, *, grain: float) -> NDArray[np.float32]:
    """Draw smooth maps with regions of every form; rounded, so that ties are common."""
    rng = np.random.default_rng(seed)
    maps = ndimage.gaussian_filter(rng.random((3, *shape)), (0, grain, grain))
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    scaled = (maps - low) / np.maximum(high - low, 1e-9)
    return np.asarray(np.rint(scaled * 32) / 32, np.float32)


def whole(
    maps_CHW: NDArray[np.float32], recipe: PostRecipe, model: ConfidenceModel | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    labels = recipe.apply(maps_CHW, NAMES)
    return labels, rate(labels, maps_CHW, names=NAMES, model=model)


def in_blocks(
    maps_CHW: NDArray[np.float32],
    recipe: PostRecipe,
    *,
    band: int,
    blocks: Blocks,
    model: ConfidenceModel | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    def bands() -> Iterator[NDArray[np.float32]]:
        for top in range(0, maps_CHW.shape[1], band):
            yield maps_CHW[:, top : top + band]

    shape_HW = (maps_CHW.shape[1], maps_CHW.shape[2])
    labels = np.zeros(shape_HW, np.int32)
    reading = Reading(recipe, NAMES, partial(rate, names=NAMES, model=model))
    return labels, label_in_blocks(bands, labels, shape_HW=shape_HW, reading=reading, blocks=blocks)


recipes = st.builds(
    PostRecipe,
    threshold=st.sampled_from(["fixed", "otsu", "hysteresis"]),
    level=st.floats(0.2, 0.8),
    low=st.floats(0.1, 0.5),
    high=st.floats(0.5, 0.9),
    split=st.sampled_from(get_args(Split)),
    connectivity=st.sampled_from([1, 2]),
    smoothing=st.sampled_from([0.0, 0.7, 1.5]),
    min_distance=st.integers(1, 4),
    marker_level=st.floats(0.05, 0.5),
    min_marker_area=st.integers(0, 4),
    keep_unmarked=st.booleans(),
    fill_holes=st.booleans(),
    min_area=st.integers(0, 12),
    join_level=st.floats(0.1, 0.9),
    join=st.just(join_model(passage=4.0, depth=-3.0, ellipse_gain=2.0, log_apart=-1.0, log_contact=0.5)),
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


@pytest.mark.parametrize("seed", range(3))
def test_hardly_a_confidence_depends_on_what_a_window_cuts_off(seed: int) -> None:
    size = len(FEATURES)
    weights = [float(name in {"mask_outside", "contact"}) for name in FEATURES]  # what is beside a nucleus
    model = ConfidenceModel((0.0,) * size, (1.0,) * size, (*weights, *[0.0] * size), bias=0.0)
    recipe = PostRecipe(split="markers", marker_level=0.3, min_area=20)
    maps_CHW = random_maps((500, 600), seed, grain=3.0)
    want, sure = whole(maps_CHW, recipe, model)
    got, confidence = in_blocks(maps_CHW, recipe, band=64, blocks=Blocks(64), model=model)
    np.testing.assert_array_equal(got, want)
    assert len(sure) > 100
    assert np.count_nonzero(confidence != sure) <= len(sure) / 100
    np.testing.assert_allclose(confidence, sure, atol=0.01)


def tissue(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Draw maps of nuclei of some 12 pixels that all hang together: one region from end to end."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    bumps = np.abs(np.sin(rows / 4 + rng.random()) * np.sin(cols / 4 + rng.random()))
    distance = np.clip(bumps + ndimage.gaussian_filter(rng.normal(0, 0.3, shape), 2), 0, 1)
    return np.stack([np.full(shape, 0.9), 0.2 * (1 - distance), distance]).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_a_region_that_must_be_cut_loses_nothing_near_the_cuts(seed: int) -> None:
    recipe = PostRecipe(split="markers", marker_level=0.45, min_area=4)
    maps_CHW = tissue((300, 90), seed)
    want, sure = whole(maps_CHW, recipe)
    for blocks in (Blocks(64, most_rows=160), Blocks(64, most_pixels=90 * 180)):
        got, confidence = in_blocks(maps_CHW, recipe, band=16, blocks=blocks)
        assert got.max() == want.max() > 100
        # Equal depths are flooded in the order of a path that may come from far away, so single pixels may differ,
        # and with them which of two nuclei in one row comes first.
        same = np.array([0, *(np.bincount(want[got == index]).argmax() for index in range(1, got.max() + 1))])
        assert sorted(same) == list(range(want.max() + 1))
        assert np.count_nonzero(same[got] != want) <= want.size / 10_000
        np.testing.assert_allclose(confidence, sure[same[1:] - 1], atol=0.01)


@settings(max_examples=60, deadline=None)
@example((53, 9), 0, PostRecipe(split="distance", smoothing=0.0, min_distance=1, keep_unmarked=False), 1, 1, 1)
@given(
    st.tuples(st.integers(1, 140), st.integers(1, 100)),
    st.integers(0, 2**32 - 1),
    recipes,
    st.integers(1, 30),
    st.integers(1, 80),
    st.integers(1, 8000),
)
def test_cuts_keep_the_promises_of_a_label_image(
    shape: tuple[int, int], seed: int, recipe: PostRecipe, band: int, most_rows: int, most_pixels: int
) -> None:
    maps_CHW = random_maps(shape, seed, grain=1.5)
    got, confidence = in_blocks(maps_CHW, recipe, band=band, blocks=Blocks(16, most_rows, most_pixels))
    np.testing.assert_array_equal(got, in_reading_order(got))
    assert got.max(initial=0) == len(confidence)
    level = recipe.low if recipe.threshold == "hysteresis" else recipe.level
    if recipe.threshold != "otsu" and not recipe.fill_holes:
        assert not got[maps_CHW[0] <= np.float32(level)].any()
