"""Strips segmented apart and put together: the same nuclei, with the same numbers, as on the whole plane."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.run.test_large_planes import RECIPES, drawn, segmenter

from nucleate.core.plane import as_plane
from nucleate.post.recipe import PostRecipe
from nucleate.run.segmenter import SegmentSettings
from nucleate.run.strips import JoinedLabels, PlaneStrips, cut_plane, strip_folder, write_strip

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.run.segmenter import Segmenter

pytest.importorskip("zarr", reason="zarr is not installed (extra cluster)")

pytestmark = pytest.mark.base


def apart(found: Segmenter, pixels: NDArray[Any], *, folder: Path, count: int = 9) -> JoinedLabels:
    """Do the strips one by one, in no order."""
    plane = as_plane(pixels)
    scaling = found.card.normalizer.measure(plane)
    strips = cut_plane(found, (plane.shape[0], plane.shape[1]), count=count)
    for strip in random.Random(0).sample(strips, len(strips)):
        write_strip(found, plane, strip=strip, scaling=scaling, path=strip_folder(folder, strip), max_bytes=0)
    return JoinedLabels(folder, pixels.shape[:2], planes=[PlaneStrips((), scaling, 1.0, strips)])


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


def test_planes_of_a_stack_are_numbered_on(tmp_path: Path) -> None:
    found = segmenter(tile=96)
    planes, want, count = [], [], 0
    stack = np.stack([drawn((303, 117), 20), drawn((303, 117), 30)])
    for number, pixels in enumerate(stack):
        scaling = found.card.normalizer.measure(pixels)
        strips = cut_plane(found, (303, 117), count=4)
        for strip in strips:
            path = strip_folder(tmp_path, strip, at=(number,))
            write_strip(found, as_plane(pixels), strip=strip, scaling=scaling, path=path, max_bytes=0)
        planes.append(PlaneStrips((number,), scaling, 1.0, strips))
        labels, sure = found.segment_plane(pixels)
        want.append(np.where(labels > 0, labels + count, 0))
        count += len(sure)
    joined = JoinedLabels(tmp_path, stack.shape, planes=planes)
    assert len(joined.confidence) == count
    for number in (0, 1):
        np.testing.assert_array_equal(joined[number, slice(None), slice(None)], want[number])


def test_what_cannot_be_cut_is_one_strip() -> None:
    assert len(cut_plane(segmenter(recipe=RECIPES["otsu"], tile=96), (900, 100), count=4)) == 1
    assert len(cut_plane(segmenter(tile=96), (90, 100), count=4)) == 1


def test_strips_share_out_all_rows() -> None:
    strips = cut_plane(segmenter(tile=96), (2000, 100), count=5)
    assert [s.own.stop for s in strips[:-1]] == [s.own.start for s in strips[1:]]
    assert (strips[0].own.start, strips[-1].own.stop) == (0, 2000)
    assert all(s.start < s.own.start for s in strips[1:])
