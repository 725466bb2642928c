"""The contrast in which a plane is looked at where a few things, or grains in nuclei, are far brighter than these."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from nucleate.api import load_segmenter
from nucleate.core.normalize import Scaling
from nucleate.core.plane import ArrayPlane
from nucleate.data.synth import Scene, draw
from nucleate.run import contrast, survey
from nucleate.run.contrast import (
    above_cells,
    dimmer,
    flatter,
    halved,
    is_doubtful,
    is_surer,
    shows_better,
    shows_more,
)
from nucleate.score.images import score_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = [pytest.mark.base, pytest.mark.once]

WHOLE = Scaling(0.0, 1000.0, invert=False, channels=1)


def disks(levels: list[float], side: int = 200) -> NDArray[np.float32]:
    """Draw disks of 12 pixels in a row, each of one brightness, on a black ground."""
    rows, cols = np.mgrid[:side, :side]
    plane = np.zeros((side, side), np.float32)
    for number, level in enumerate(levels):
        plane[(rows - 20 - 20 * (number % 8)) ** 2 + (cols - 20 - 20 * (number // 8)) ** 2 < 36] = level
    return plane


@pytest.mark.parametrize("bright", [1, 2, 3])
def test_most_things_become_bright_however_many_are_far_brighter(bright: int) -> None:
    proposed = dimmer(halved(disks([200.0] * 7 + [1000.0] * bright)), WHOLE)
    assert proposed is not None
    assert proposed.high == pytest.approx(200 / 0.9)


def test_a_thing_counts_once_however_large_it_is() -> None:
    plane = disks([200.0] * 7)
    plane[:, 100:] = 1000.0
    proposed = dimmer(halved(plane), WHOLE)
    assert proposed is not None
    assert proposed.high == pytest.approx(200 / 0.9)


def test_noise_is_no_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(0, 70, (200, 200))
    plane = np.maximum(disks([700.0] * 9) + noise, 0).astype(np.float32)
    assert dimmer(halved(plane), WHOLE) is None
    monkeypatch.setattr(contrast, "_CLEAR", 0.0)
    assert dimmer(halved(plane), WHOLE) is not None


@pytest.mark.parametrize(
    ("plane", "scaling"),
    [
        pytest.param(disks([600.0] * 7 + [1000.0]), WHOLE, id="bright already"),
        pytest.param(disks([200.0, 1000.0]), WHOLE, id="hardly anything"),
        pytest.param(disks([30.0] * 9 + [1000.0]), WHOLE, id="no brighter than the ground"),
        pytest.param(disks([200.0] * 9), replace(WHOLE, invert=True), id="light ground"),
        pytest.param(np.full((50, 50), 100.0), WHOLE, id="one thing"),
        pytest.param(np.zeros((0, 9)), WHOLE, id="no pixel"),
        pytest.param(np.full((1, 1), 100.0), WHOLE, id="one pixel"),
        pytest.param(np.full((50, 50), np.inf), WHOLE, id="infinite"),
    ],
)
def test_nothing_is_proposed(plane: NDArray[np.float32], scaling: Scaling) -> None:
    assert dimmer(halved(plane), scaling) is None


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ((10, 0.8), (20, 0.8), True),
        ((10, 0.8), (20, 0.65), True),
        ((10, 0.9), (20, 0.65), False),  # far less sure
        ((0, 0.0), (20, 0.55), False),  # doubtful
        ((0, 0.0), (5, 0.9), True),
        ((0, 0.0), (4, 0.9), False),  # hardly any
        ((100, 0.8), (105, 0.8), False),  # hardly more
        ((10, 0.8), (0, 0.0), False),
    ],
)
def test_a_look_must_show_clearly_more(old: tuple[int, float], new: tuple[int, float], *, more: bool) -> None:
    sized = [(np.full(count, 100), np.full(count, sure, np.float32)) for count, sure in (new, old)]
    assert shows_more(*sized) == more


def _with_spots(times: float) -> tuple[NDArray[np.uint16], int]:
    """Draw nuclei, and three disks so many times as bright as the brightest of them."""
    plane, labels = draw(Scene(size=(400, 400), nuclei=60), np.random.default_rng(5))
    rows, cols = np.mgrid[:400, :400]
    spots = plane.astype(np.float64)
    for row, col in ((60, 330), (200, 60), (350, 220)):
        spots[(rows - row) ** 2 + (cols - col) ** 2 < 100] = times * float(plane.max())
    return (spots * (65535 / spots.max())).astype(np.uint16), int(labels.max())


@pytest.mark.parametrize("scale", ["auto", 1.0])
def test_nuclei_beside_far_brighter_spots_are_found(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = load_segmenter("nucleate", threads=1)
    segmenter = segmenter.with_settings(replace(segmenter.settings, scale=scale))
    plane, count = _with_spots(12)
    assert segmenter.segment_plane(plane)[1].size > 0.9 * count
    monkeypatch.setattr(survey, "dimmer", lambda *_: None)
    assert segmenter.segment_plane(plane)[1].size < 0.3 * count


def test_nuclei_beside_a_large_bright_thing_are_found() -> None:
    segmenter = load_segmenter("nucleate", threads=1)
    plane, labels = draw(Scene(size=(400, 400), nuclei=60), np.random.default_rng(5))
    shown = plane.astype(np.uint16) * 20
    shown[:, 170:230] = 65535  # a fibre over 15 % of the plane
    beside = np.unique(np.delete(labels, slice(165, 235), axis=1))
    assert segmenter.segment_plane(shown)[1].size > 0.8 * len(beside)


def test_noise_with_a_few_burnt_pixels_shows_no_nuclei() -> None:
    segmenter = load_segmenter("nucleate", threads=1)
    noise = np.random.default_rng(0).normal(500, 50, (300, 300))
    noise[10:14, 10:90] = 20000
    assert segmenter.segment_plane(noise.astype(np.uint16))[1].size <= 2


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_what_was_seen_in_the_contrast_that_is_taken_is_not_computed_again(scale: float) -> None:
    segmenter = load_segmenter("nucleate", threads=1)
    calls, engine = [0], segmenter.engine

    def counting(batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        calls[0] += 1
        return engine(batch_NCHW)

    segmenter.engine = counting
    segmenter = segmenter.with_settings(replace(segmenter.settings, scale=scale))
    plane, _ = _with_spots(12)
    known = segmenter.survey(plane)
    assert known.seen is not None
    assert known.scaling.high < 0.2 * segmenter.card.normalizer.measure(ArrayPlane(plane)).high
    before = calls[0]
    segmenter.segment_into(plane, np.zeros(plane.shape, np.int32))
    assert calls[0] == 2 * before


def test_the_bodies_of_things_full_of_grains_become_bright() -> None:
    plane = disks([200.0] * 7)
    assert flatter(halved(plane), WHOLE) is None
    plane[(plane > 0) & (np.indices(plane.shape).sum(axis=0) % 10 < 2)] = 1000.0
    proposed = flatter(halved(plane), WHOLE)
    assert proposed is not None
    assert proposed.high == pytest.approx(200 / 0.95, rel=0.3)
    assert flatter(halved(plane), replace(WHOLE, invert=True)) is None
    assert flatter(halved(np.zeros((50, 50))), WHOLE) is None


@pytest.mark.parametrize(
    ("old", "new", "surer"),
    [
        ((30, 0.5), (20, 0.8), True),
        ((30, 0.5), (20, 0.64), False),  # hardly surer
        ((30, 0.5), (10, 0.9), False),  # covers less
        ((30, 0.5), (0, 0.0), False),
    ],
)
def test_another_contrast_must_be_clearly_surer(old: tuple[int, float], new: tuple[int, float], *, surer: bool) -> None:
    sized = [(np.full(count, 100), np.full(count, sure, np.float32)) for count, sure in (new, old)]
    assert is_surer(*sized) == surer
    assert is_doubtful(sized[1])
    assert not is_doubtful((np.full(9, 100), np.full(9, 0.8, np.float32)))
    assert not is_doubtful((np.zeros(0, np.int64), np.zeros(0, np.float32)))


def test_grains_in_nuclei_are_no_nuclei(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = load_segmenter("nucleate", threads=1)
    plane, labels = draw(Scene(size=(300, 300), nuclei=45, diameter=25, touching=0.0), np.random.default_rng(3))
    inside = np.argwhere(ndimage.binary_erosion(labels > 0, iterations=2))
    few = np.random.default_rng(1).choice(len(inside), 8 * int(labels.max()), replace=False)
    grains = np.zeros(plane.shape)
    grains[tuple(inside[few].T)] = 1
    grains = ndimage.gaussian_filter(grains, 1.5) * 2 * np.pi * 1.5**2
    shown = np.rint(plane * (1 + 5 * grains) * 10).astype(np.uint16)
    assert score_image(labels, segmenter.segment_plane(shown)[0]).f1_50 > 0.8
    shapes: list[tuple[int, ...]] = []

    def noted(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        shapes.append(pixels.shape)
        return halved(pixels)

    monkeypatch.setattr(survey, "halved", noted)
    monkeypatch.setattr(survey, "flatter", lambda *_: None)
    assert score_image(labels, segmenter.segment_plane(shown)[0]).f1_50 < 0.3
    assert shapes == [(300, 300)]  # once for all proposals


def test_the_ground_is_raised_between_cells_and_nuclei() -> None:
    plane = disks([200.0] * 9)
    rows, cols = np.indices(plane.shape)
    middle = (rows % 20 < 4) | (rows % 20 > 16)
    plane[middle & ((cols % 20 < 4) | (cols % 20 > 16)) & (plane > 0)] = 800.0
    proposed = above_cells(halved(plane), WHOLE)
    assert proposed is not None
    assert 200 < proposed.low < 500 < proposed.high == WHOLE.high
    assert above_cells(halved(plane), replace(WHOLE, invert=True)) is None
    assert above_cells(halved(np.zeros((50, 50))), WHOLE) is None


@pytest.mark.parametrize("spread", [0.0, 0.0001, 400.0])
def test_cells_are_told_from_nuclei_by_brightness_alone(spread: float) -> None:
    plane = np.zeros((100, 100), np.float32)
    plane[10:30, 10:30] = plane[50:70, 10:30] = 500.0
    plane[10:30, 50:70] = 500.0 + spread
    assert (above_cells(halved(plane), WHOLE) is None) == (spread < 1)


def test_a_drawn_picture_of_one_brightness_is_segmented() -> None:
    bars = np.zeros((200, 200), np.uint8)
    bars[20:180, 20:40] = bars[20:180, 80:90] = bars[20:40, 120:180] = 255
    labels, _ = load_segmenter("nucleate", threads=1).segment_plane(bars)
    assert labels.shape == bars.shape


@pytest.mark.parametrize(
    ("old", "new", "better"),
    [((20, 0.6), (20, 0.75), True), ((20, 0.6), (17, 0.75), False), ((20, 0.6), (25, 0.65), False)],
)
def test_nuclei_in_cells_must_be_more_and_surer(
    old: tuple[int, float], new: tuple[int, float], *, better: bool
) -> None:
    sized = [(np.full(count, 100), np.full(count, sure, np.float32)) for count, sure in (new, old)]
    assert shows_better(*sized) == better


def test_dim_cells_round_small_nuclei_are_no_nuclei(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = load_segmenter("nucleate", threads=1)
    scene = Scene(size=(256, 256), nuclei=20, diameter=20, touching=0.0, dim=0.0)
    plane, labels = draw(scene, np.random.default_rng(3))
    cells = ndimage.gaussian_filter(ndimage.binary_dilation(labels > 0, iterations=8).astype(float), 3)
    texture = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=plane.shape), 2)
    level = 0.4 * float(np.median(plane[labels > 0]))
    shown = np.rint((plane + level * cells * (1 + 0.3 * texture / texture.std())) * 50).astype(np.uint16)
    assert score_image(labels, segmenter.segment_plane(shown)[0]).f1_50 > 0.95
    monkeypatch.setattr(survey, "above_cells", lambda *_: None)
    assert score_image(labels, segmenter.segment_plane(shown)[0]).f1_50 < 0.85
