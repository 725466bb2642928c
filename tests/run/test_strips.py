"""Strips segmented apart and put together: the same nuclei, with the same numbers, as on the whole plane."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.run.test_large_planes import RECIPES, LocalEngine, drawn, segmenter

from nucleate.core.plane import as_plane
from nucleate.post.recipe import PostRecipe
from nucleate.run.large import Plan
from nucleate.run.segmenter import SegmentSettings
from nucleate.run.strips import JoinedLabels, PlaneStrips, cut_plane, write_strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.run.segmenter import Segmenter

pytestmark = pytest.mark.base


def write(found: Segmenter, pixels: NDArray[Any], cut: PlaneStrips, *, folder: Path) -> int:
    """Do strips with as little memory as there can be; tell how many were not there."""
    return len(list(write_strips(found, as_plane(pixels), cut=cut, folder=folder, max_bytes=0, held_bytes=0)))


def apart(found: Segmenter, pixels: NDArray[Any], *, folder: Path) -> JoinedLabels:
    """Do the strips one by one, in no order."""
    cut = cut_plane(found, pixels)
    for strip in random.Random(0).sample(cut.strips, len(cut.strips)):
        write(found, pixels, replace(cut, strips=(strip,)), folder=folder)
    return JoinedLabels(folder, pixels.shape[:2], planes=[cut])


@pytest.mark.parametrize("recipe", ["markers", "distance", "hysteresis"])
def test_strips_equal_the_whole(recipe: str, tmp_path: Path) -> None:
    pixels = drawn((603, 217), 90)
    found = segmenter(recipe=RECIPES[recipe], tile=96)
    want, sure = found.segment_plane(pixels, max_bytes=10**12)
    joined = apart(found, pixels, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) >= 3
    assert want.max() > 20
    np.testing.assert_array_equal(joined[slice(None), slice(None)], want)
    np.testing.assert_array_equal(joined.confidence, sure)
    np.testing.assert_array_equal(joined[slice(100, 350), slice(7, 40)], want[100:350, 7:40])


def test_strips_of_values_that_float32_cannot_tell_apart_equal_the_whole(tmp_path: Path) -> None:
    pixels = drawn((403, 217), 60) + 1e9
    found = segmenter(tile=96)
    want, _ = found.segment_plane(pixels, max_bytes=10**12)
    assert want.max() > 20
    np.testing.assert_array_equal(apart(found, pixels, folder=tmp_path)[slice(None), slice(None)], want)


@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_strips_on_another_scale_equal_the_whole(scale: float, tmp_path: Path) -> None:
    pixels = drawn((403, 217), 60)
    found = segmenter(chosen=SegmentSettings(scale=scale), tile=96)
    want, sure = found.segment_plane(pixels, max_bytes=10**12)
    joined = apart(found, pixels, folder=tmp_path)
    np.testing.assert_array_equal(joined[slice(None), slice(None)], want)
    np.testing.assert_array_equal(joined.confidence, sure)


def test_a_region_over_many_strips_belongs_to_the_first(tmp_path: Path) -> None:
    pixels = np.full((603, 120), 10, np.uint8)
    pixels[90:500, 50:60] = 200  # a long one through several strips
    pixels[300:310, 20:50] = 200  # an arm that begins in a lower strip
    pixels[560:580, 80:100] = 200
    found = segmenter(recipe=PostRecipe(level=0.3), tile=96)
    want, _ = found.segment_plane(pixels, max_bytes=10**12)
    joined = apart(found, pixels, folder=tmp_path)
    assert want.max() == 2
    np.testing.assert_array_equal(joined[slice(None), slice(None)], want)


def test_uncertain_nuclei_leave_no_gap(tmp_path: Path) -> None:
    pixels = drawn((403, 217), 60)
    found = segmenter(tile=96)
    _, sure = found.segment_plane(pixels)
    limit = float(np.median(sure))
    picky = segmenter(chosen=SegmentSettings(min_confidence=limit), tile=96)
    want, kept = picky.segment_plane(pixels, max_bytes=10**12)
    joined = apart(picky, pixels, folder=tmp_path)
    assert 0 < len(kept) < len(sure)
    np.testing.assert_array_equal(joined[slice(None), slice(None)], want)


def test_a_finished_strip_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels = drawn((403, 217), 60)
    found = segmenter(tile=96)
    before = apart(found, pixels, folder=tmp_path)[slice(None), slice(None)]
    after = apart(segmenter(engine=_broken, tile=96), pixels, folder=tmp_path)[slice(None), slice(None)]
    np.testing.assert_array_equal(before, after)


def _broken(batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    raise AssertionError("computed again")


def test_neighbours_compute_no_tile_twice_and_those_that_are_left_one_row_more(tmp_path: Path) -> None:
    pixels, tiles = drawn((1103, 217), 150), 0

    def engine(batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal tiles
        tiles += len(batch_NCHW)
        return LocalEngine()(batch_NCHW)

    found = segmenter(engine, tile=160)
    want, _ = found.segment_plane(pixels, max_bytes=10**12)
    whole, tiles = tiles, 0
    cut = cut_plane(found, pixels)
    assert write(found, pixels, cut, folder=tmp_path / "all") == len(cut.strips) >= 5
    assert tiles == whole
    tiles = 0
    first = replace(cut, strips=cut.strips[:3])
    assert write(found, pixels, first, folder=tmp_path / "parts") == 3
    assert write(found, pixels, cut, folder=tmp_path / "parts") == len(cut.strips) - 3
    assert whole < tiles <= whole + 1 + whole // (len(cut.strips) - 1)
    joined = JoinedLabels(tmp_path / "parts", (1103, 217), planes=[cut])
    np.testing.assert_array_equal(joined[slice(None), slice(None)], want)


def test_planes_of_a_stack_are_numbered_on(tmp_path: Path) -> None:
    found = segmenter(tile=96)
    planes, want, count = [], [], 0
    stack = np.stack([drawn((303, 117), 20), drawn((303, 117), 30)])
    for number, pixels in enumerate(stack):
        planes.append(cut_plane(found, pixels, at=(number,)))
        write(found, pixels, planes[-1], folder=tmp_path)
        labels, sure = found.segment_plane(pixels)
        want.append(np.where(labels > 0, labels + count, 0))
        count += len(sure)
    joined = JoinedLabels(tmp_path, stack.shape, planes=planes)
    assert len(joined.confidence) == count
    for number in (0, 1):
        np.testing.assert_array_equal(joined[number, slice(None), slice(None)], want[number])


@pytest.mark.parametrize(("recipe", "size"), [("otsu", (900, 100)), ("markers", (90, 100))])
def test_what_cannot_be_cut_is_one_strip(recipe: str, size: tuple[int, int], tmp_path: Path) -> None:
    found, pixels = segmenter(recipe=RECIPES[recipe], tile=96), drawn(size, 20)
    assert len(cut_plane(found, pixels).strips) == 1
    want, sure = found.segment_plane(pixels)
    joined = apart(found, pixels, folder=tmp_path)
    assert want.max() > 1
    np.testing.assert_array_equal(joined[slice(None), slice(None)], want)
    np.testing.assert_array_equal(joined.confidence, sure)


def test_strips_share_out_all_rows() -> None:
    strips = cut_plane(segmenter(tile=96), np.zeros((2000, 100), np.uint8)).strips
    assert [s.own.stop for s in strips[:-1]] == [s.own.start for s in strips[1:]]
    assert (strips[0].own.start, strips[-1].own.stop) == (0, 2000)
    assert all(s.start < s.own.start for s in strips[1:])


def test_shares_hold_every_strip_once_and_neighbours_together() -> None:
    found = segmenter(tile=96)
    planes = tuple(cut_plane(found, np.zeros((2000, 100), np.uint8), at=(n,)) for n in (0, 1))
    plan = Plan(planes, Path("nowhere"))
    for workers in (1, 2, 7, 1000):
        shares = plan.shares(workers)
        assert [(s.at, strip) for s in shares for strip in s.strips] == [
            (plane.at, strip) for plane in planes for strip in plane.strips
        ]
        assert min(workers, len(plan)) <= len(shares) <= max(3 * workers, 2) + len(planes)


def test_where_memory_is_short_strips_are_lower_and_the_nuclei_the_same(tmp_path: Path) -> None:
    pixels = drawn((1203, 417), 150)
    found = segmenter(tile=1024, bytes_per_pixel=500)
    cuts = [cut_plane(found, pixels, max_bytes=limit) for limit in (None, 0)]
    assert [(cut.tile, len(cut.strips)) for cut in cuts] == [(None, 2), (256, 5)]
    write(found, pixels, cuts[1], folder=tmp_path)
    want, sure = found.segment_plane(pixels, max_bytes=10**12)
    joined = JoinedLabels(tmp_path, (1203, 417), planes=[cuts[1]])
    assert want.max() > 40
    np.testing.assert_array_equal(joined[slice(None), slice(None)], want)
    np.testing.assert_array_equal(joined.confidence, sure)
