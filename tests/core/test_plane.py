"""Planes that are read part by part: every way gives what the array gives."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import strategies

from nucleate.core import plane as module
from nucleate.core.normalize import Normalizer, to_grey
from nucleate.core.plane import (
    ArrayPlane,
    GreyPlane,
    PartOfPlane,
    SampledPlane,
    as_grey,
    as_plane,
    grid_sample,
    in_float32,
)
from nucleate.core.resample import Resampler, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


@given(strategies.planes(), st.integers(1, 9), st.integers(1, 60))
def test_a_sample_is_the_arrays_own(pixels: NDArray[Any], step: int, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", piece)
        np.testing.assert_array_equal(grid_sample(as_plane(pixels), step), pixels[::step, ::step])


@dataclass(frozen=True)
class _Counted(ArrayPlane):
    """A plane that notes how large the parts are that are read of it."""

    parts: list[int] = field(default_factory=list)

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        part = super().read(rows, cols).copy()
        self.parts.append(part.size)
        return part


def test_samples_of_several_steps_take_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 1000)
    pixels = np.random.default_rng(0).integers(0, 99, (70, 90, 3))
    counted = _Counted(pixels)
    plane = SampledPlane(counted, (3, 5))
    for step in (3, 5):
        np.testing.assert_array_equal(grid_sample(plane, step), pixels[::step, ::step])
        np.testing.assert_array_equal(grid_sample(GreyPlane(plane, 1), step), pixels[::step, ::step, 1])
    assert counted.parts == [8 * 90 * 3] * 8 + [6 * 90 * 3]
    np.testing.assert_array_equal(grid_sample(plane, 7), pixels[::7, ::7])


def test_a_plane_that_is_spread_takes_the_samples_that_are_there() -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (70, 90)).astype(np.uint32) + 2**31
    counted = _Counted(pixels)
    spread = in_float32(SampledPlane(counted, (3, 5)), 3)
    everything = spread.read(slice(None), slice(None))
    for step in (3, 5):
        np.testing.assert_array_equal(grid_sample(spread, step), everything[::step, ::step])
    assert counted.parts == [70 * 90] * 2


def test_a_sample_holds_no_more_than_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 1 << 16)
    pixels = np.zeros((2048, 2048), np.uint8)
    tracemalloc.start()
    grid_sample(_Counted(pixels), 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < pixels.nbytes // 8


@pytest.mark.parametrize("at", [(0, 0), (299, 299), (100, 200), (101, 200), None])
@pytest.mark.parametrize("step", [1, 2])
def test_grey_is_what_has_no_colour_in_any_pixel_that_is_looked_at(at: tuple[int, int] | None, step: int) -> None:
    pixels = np.repeat(np.random.default_rng(1).integers(0, 256, (300, 300, 1), np.uint8), 3, axis=2)
    if at is not None:
        pixels[at][2] ^= 1
    grey = as_grey(ArrayPlane(pixels), step)
    if at is not None and (step == 1 or at != (101, 200)):  # neither in a window nor in a sample of every second
        assert grey is None
        return
    assert grey is not None
    assert (grey.shape, grey.dtype) == ((300, 300), pixels.dtype)
    np.testing.assert_array_equal(grey.read(slice(3, 9), slice(0, 300)), pixels[3:9, :, 0])


def test_grey_planes_and_planes_without_numbers_are_not_made_grey() -> None:
    assert as_grey(ArrayPlane(np.zeros((4, 5))), 1) is None
    assert as_grey(ArrayPlane(np.full((4, 5, 3), np.nan)), 1) is None


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(12, dtype=np.uint32).reshape(3, 4), np.arange(12.0).reshape(3, 4) + 1e5, np.full((3, 4), 1e300),
        np.full((3, 4), np.nan), np.zeros((0, 4)), np.arange(12, dtype=np.float32).reshape(3, 4) + np.float32(1e9),
    ],
)  # fmt: skip
def test_planes_that_float32_holds_or_that_are_flat_keep_their_values(pixels: NDArray[Any]) -> None:
    everything = (slice(None), slice(None))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(in_float32(pixels, 1).read(*everything), pixels.astype(np.float32))


def test_a_part_of_a_plane_is_not_spread_anew() -> None:
    pixels = np.arange(400.0).reshape(20, 20) + 1e6
    pixels[0, 0] = 1e7
    part = PartOfPlane(in_float32(pixels, 1), slice(10, 20), slice(0, 20))
    assert in_float32(part, 1) is part


def test_what_is_not_finite_stays_so_where_values_are_spread() -> None:
    spread = in_float32(np.array([[1e300, np.inf, 3e300, np.nan, 2e300, -np.inf]]), 1)
    assert spread.dtype == np.float32
    np.testing.assert_array_equal(spread.read(slice(0, 1), slice(0, 6)), [[0, np.inf, 1, np.nan, 0.5, -np.inf]])


@given(strategies.planes())
def test_scaling_does_not_care_how_a_plane_is_given(pixels: NDArray[Any]) -> None:
    assert Normalizer().measure(ArrayPlane(pixels)) == Normalizer().measure(pixels)
    assert as_plane(as_plane(pixels)).dtype == pixels.dtype


@given(st.integers(0, 2**32 - 1))
def test_grey_of_a_part_has_the_same_bits(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 33, 3), np.uint8)
    np.testing.assert_array_equal(to_grey(pixels[3:8, 5:6]), to_grey(pixels)[3:8, 5:6])


@given(strategies.shapes(40), strategies.shapes(40), st.data())
def test_a_part_of_a_resized_picture_has_the_same_bits(
    old: tuple[int, int], new: tuple[int, int], data: st.DataObject
) -> None:
    maps_CHW = np.random.default_rng(0).random((2, *old), np.float32)
    starts = [data.draw(st.integers(0, n - 1)) for n in new]
    rows, cols = (slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, new, strict=True))
    resampler = Resampler(old, new)
    down, across = resampler.source((rows, cols))
    part = resampler.apply(maps_CHW[:, down, across], (rows, cols))
    np.testing.assert_array_equal(part, resample(maps_CHW, new)[:, rows, cols])
