"""PostRecipe: its fields, and whole recipes on maps drawn by hand."""

from __future__ import annotations

import itertools
import json
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from tests.joins import join_model

from nucleate.errors import ModelError, UsageError
from nucleate.post import split
from nucleate.post.recipe import PAPER_RECIPE, PostRecipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

NAMES = ("mask", "distance", "border")
RECIPES = [
    PostRecipe.from_dict({"threshold": t, "split": s, "connectivity": c, "min_distance": 2, "fill_holes": f})
    for t, s, c, f in itertools.product(
        ("fixed", "otsu", "hysteresis"), ("components", "distance", "markers"), (1, 2), (False, True)
    )
]
JOINED = PostRecipe(split="joined", marker_level=0.2, min_distance=3, join=join_model(passage=20.0, bias=-8.0))
RECIPES += [JOINED, replace(JOINED, connectivity=2, fill_holes=False)]


def two_discs(gap: float = 16.0) -> NDArray[np.float32]:
    """Two discs of radius 10, centres `gap` apart, with perfect mask, distance and border maps."""
    rows, cols = np.mgrid[:40, :60]
    near = np.stack([np.hypot(rows - 20, cols - 20), np.hypot(rows - 20, cols - 20 - gap)])
    mask = near.min(axis=0) <= 10
    distance = np.clip(1 - near.min(axis=0) / 10, 0, 1)
    border = (np.abs(near[0] - near[1]) < 2) & mask
    return np.stack([mask, distance, border]).astype(np.float32)


def test_dictionary_round_trip_is_exact() -> None:
    recipe = PostRecipe(threshold="hysteresis", low=0.2, high=0.7, split="markers", min_area=12, fill_holes=False)
    assert PostRecipe.from_dict(recipe.to_dict()) == recipe
    assert PostRecipe.from_dict(json.loads(json.dumps(JOINED.to_dict()))) == JOINED


def test_toml_values_are_taken() -> None:
    recipe = PostRecipe.from_dict(tomllib.loads('threshold = "fixed"\nlevel = 1\nmin_area = 3'))
    assert recipe == PostRecipe(level=1.0, min_area=3)
    assert isinstance(recipe.level, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": "mean"}, "use one of fixed, otsu, hysteresis"),
        ({"split": None}, "use one of components, distance, markers, joined"),
        ({"split": "joined"}, "needs the model join"),
        ({"split": "joined", "join": {"mean": [1.0]}}, "recipe: join"),
        ({"level": 1.5}, "a number from 0.0 to 1.0"),
        ({"level": float("nan")}, "a number from"),
        ({"level": True}, "a number from"),
        ({"min_area": -1}, "a whole number from 0"),
        ({"min_area": 2.5}, "a whole number"),
        ({"connectivity": 3}, "from 1 to 2"),
        ({"fill_holes": 1}, "use true or false"),
        ({"low": 0.8, "high": 0.2}, "exchange them"),
        ({"speed": 3}, "no field 'speed'"),
    ],
)
def test_bad_fields_are_named_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        PostRecipe.from_dict(values)
    assert "\n" not in str(caught.value)


def test_numpy_scalars_become_plain_numbers() -> None:
    recipe = PostRecipe(level=np.float32(0.25), min_area=np.int64(4))  # type: ignore[arg-type]
    assert recipe.to_dict()["level"] == 0.25
    assert type(recipe.to_dict()["min_area"]) is int


def test_a_light_background_has_a_level_of_its_own() -> None:
    both = PostRecipe(level=0.6, light_level=0.4)
    assert both.on(light=True) == PostRecipe(level=0.4)
    assert both.on(light=False) == PostRecipe(level=0.6)
    assert PostRecipe(level=0.6).on(light=True) == PostRecipe(level=0.6)
    assert PostRecipe.from_dict(both.to_dict()) == both


def test_paper_recipe_joins_touching_discs_and_splits_parted_ones() -> None:
    assert PAPER_RECIPE.apply(two_discs(16), NAMES).max() == 1
    assert PAPER_RECIPE.apply(two_discs(25), NAMES).max() == 2


@pytest.mark.parametrize("split", ["distance", "markers"])
def test_touching_discs_are_split_down_the_middle(split: Literal["distance", "markers"]) -> None:
    maps = two_discs(16)
    labels = PostRecipe(split=split, marker_level=0.3).apply(maps, NAMES)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels > 0, maps[0] > 0.5)
    cols = np.mgrid[:40, :60][1]
    assert set(np.unique(labels[(cols < 26) & (labels > 0)])) == {1}
    assert set(np.unique(labels[(cols > 30) & (labels > 0)])) == {2}
    upright = PostRecipe(split=split, marker_level=0.3).apply(maps.transpose(0, 2, 1), NAMES)
    np.testing.assert_array_equal((upright == 2)[:, 10:30], (labels == 2).T[:, 10:30])


def test_markers_work_without_border_and_without_distance() -> None:
    maps = two_discs(16)
    recipe = PostRecipe(split="markers", marker_level=0.4, smoothing=0.0)
    assert recipe.apply(maps[:2], ("mask", "distance")).max() == 2
    assert recipe.apply(maps[[0, 2]], ("mask", "border")).max() == 2


def test_regions_without_marker_are_kept_or_dropped() -> None:
    maps = two_discs(25)
    maps[1, :, :32] = 0
    keep = PostRecipe(split="markers").apply(maps, NAMES)
    drop = PostRecipe(split="markers", keep_unmarked=False).apply(maps, NAMES)
    assert keep.max() == 2
    assert drop.max() == 1
    assert not drop[:, :32].any()


def test_small_nuclei_go_and_leave_no_gap() -> None:
    mask = np.zeros((1, 6, 9), np.float32)
    mask[0, 0, 0] = mask[0, 2:4, 0:3] = mask[0, 0, 4:9] = 1
    labels = PostRecipe(min_area=5).apply(mask, ("mask",))
    assert list(np.bincount(labels.ravel())[1:]) == [5, 6]


def test_wrong_maps_are_refused() -> None:
    maps = np.zeros((1, 4, 4), np.float32)
    with pytest.raises(ModelError, match="do not fit the names"):
        PostRecipe().apply(maps, ("mask", "border"))
    with pytest.raises(ModelError, match="no map 'mask'"):
        PostRecipe().apply(maps, ("border",))
    with pytest.raises(ModelError, match="no map 'distance', 'border' or 'inside'"):
        PostRecipe(split="markers").apply(maps, ("mask",))


def test_a_splinter_that_is_too_small_leaves_no_hole_in_the_nucleus_around_it() -> None:
    distance = np.zeros((9, 9), np.float32)
    distance[1:8, 1:8] = 0.9
    distance[3:6, 3:6] = 0.1
    distance[4, 4] = 0.9
    recipe = PostRecipe(split="markers", smoothing=0.0, min_area=12)
    labels = recipe.apply(np.stack([np.ones((9, 9), np.float32), distance]), ("mask", "distance"))
    np.testing.assert_array_equal(labels, np.ones((9, 9)))


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 7), (7, 1), (3, 3)])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, np.nan, np.inf])
def test_constant_and_tiny_maps_work_without_warnings(shape: tuple[int, int], value: float) -> None:
    for recipe in RECIPES:
        labels = recipe.apply(np.full((3, *shape), value, np.float32), NAMES)
        assert labels.shape == shape
        assert labels.dtype == np.int32
        assert labels.max(initial=0) <= 1


maps_strategy = hnp.arrays(
    np.float32,
    st.tuples(st.just(3), st.integers(1, 14), st.integers(1, 14)),
    elements=st.sampled_from([0.0, 0.2, 0.4, 0.55, 0.7, 1.0]),
)


@settings(max_examples=60, deadline=None)
@given(maps=maps_strategy, recipe=st.sampled_from(RECIPES), min_area=st.integers(0, 4))
def test_every_recipe_keeps_the_promises_of_a_label_image(
    maps: NDArray[np.float32], recipe: PostRecipe, min_area: int
) -> None:
    recipe = PostRecipe.from_dict(recipe.to_dict() | {"min_area": min_area})
    labels = recipe.apply(maps, NAMES)
    np.testing.assert_array_equal(labels, recipe.apply(maps.copy(), NAMES))
    area = np.bincount(labels.ravel())[1:]
    assert (area >= max(1, min_area)).all()
    inside = recipe._mask(maps[0])
    if recipe.fill_holes:
        inside = ndimage.binary_fill_holes(inside)
        np.testing.assert_array_equal(split.fill_holes(labels), labels)
    assert not (labels > 0)[~inside].any()
    near = ndimage.generate_binary_structure(2, recipe.connectivity)
    for nucleus in range(1, len(area) + 1):
        assert ndimage.label(labels == nucleus, near)[1] == 1


@settings(max_examples=40, deadline=None)
@given(maps=maps_strategy, recipe=st.sampled_from(RECIPES))
def test_no_mask_pixel_is_lost_and_no_region_joined(maps: NDArray[np.float32], recipe: PostRecipe) -> None:
    labels = recipe.apply(maps, NAMES)
    mask = recipe._mask(maps[0])
    assert (labels[mask] > 0).all()
    regions = ndimage.label(mask, ndimage.generate_binary_structure(2, recipe.connectivity))[0]
    for nucleus in range(1, int(labels.max()) + 1):
        assert len(np.unique(regions[(labels == nucleus) & mask])) == 1


def test_pieces_are_joined_where_the_pass_between_their_peaks_is_high() -> None:
    for gap, nuclei in ((17.0, 2), (8.0, 1)):
        maps = two_discs(gap)[:2]
        labels, pieces = JOINED.pieces(maps, NAMES[:2])
        assert labels.max() == 2
        assert len(pieces.pairs) == 1
        assert JOINED.apply(maps, NAMES[:2]).max() == nuclei
        assert replace(JOINED, split="markers").apply(maps, NAMES[:2]).max() == 1  # at this level both hang together
