"""Hot pixels, margins and scale bars do not decide how a plane is looked at, and are not seen by the network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage

from nucleate.api import load_segmenter
from nucleate.core.normalize import Normalizer
from nucleate.core.plane import ArrayPlane
from nucleate.core.specks import Cleared
from nucleate.data.synth import Scene, draw
from nucleate.run import survey
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.score.images import score_image

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Drawn: TypeAlias = tuple[NDArray[np.integer[Any]], NDArray[np.int32]]

pytestmark = [pytest.mark.base, pytest.mark.once]


@pytest.fixture(scope="module")
def model() -> Segmenter:
    return load_segmenter(device="cpu", threads=1)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    """Draw nuclei in an eighth of 16 bits."""
    plane, truth = draw(Scene(size=(256, 320), nuclei=40, touching=0.2), np.random.default_rng(3))
    return plane.astype(np.uint16) * 32, truth


@pytest.fixture(scope="module")
def apart() -> Drawn:
    """Draw nuclei that do not touch."""
    return draw(Scene(size=(300, 300), nuclei=25, touching=0.0), np.random.default_rng(3))


@pytest.fixture(scope="module")
def found_apart(model: Segmenter, apart: Drawn) -> int:
    """Count those that are found."""
    return int(model.segment_plane(apart[0])[0].max())


@pytest.fixture(scope="module")
def clean(model: Segmenter, drawn: Drawn) -> float:
    """Score what is found where nothing is in the way."""
    plane, truth = drawn
    return score_image(truth, model.segment_plane(plane)[0]).kaggle


def hot(plane: NDArray[Any], share: float, *, levels: tuple[int, ...] = (65535,)) -> NDArray[Any]:
    rng = np.random.default_rng(4)
    spoiled = plane.copy()
    for level in levels:
        spoiled[rng.random(plane.shape) < share / len(levels)] = level
    return spoiled


def seen_alike(model: Segmenter, plane: NDArray[Any]) -> NDArray[np.int32]:
    """Give the nuclei of a plane; tiles and blocks must show the same."""
    whole, _ = model.segment_plane(plane)
    tiled, _ = Segmenter(model.engine, model.card, settings=SegmentSettings(tile=256)).segment_plane(plane)
    parts, _ = model.segment_plane(plane, max_bytes=150_000_000)
    for other in (tiled, parts):
        assert other.max() == whole.max()
        assert np.count_nonzero(other != whole) <= whole.size / 100_000
    return whole


@pytest.mark.parametrize("levels", [(65535,), (20000, 65535)], ids=["one level", "the brightest hide the others"])
def test_nuclei_are_found_as_if_no_pixel_were_hot(
    model: Segmenter, drawn: Drawn, clean: float, levels: tuple[int, ...]
) -> None:
    plane, truth = drawn
    spoiled = hot(plane, 0.006, levels=levels)
    assert score_image(truth, model.segment_plane(spoiled)[0]).kaggle > clean - 0.03


def test_a_plane_without_specks_is_measured_as_it_is(model: Segmenter, drawn: Drawn) -> None:
    plane, _ = drawn
    assert model.survey(plane).scaling == model.card.normalizer.measure(plane)
    light = 65535 - hot(plane, 0.006)
    scaling = model.survey(light).scaling
    assert scaling.invert
    assert scaling.specks is None


def framed(plane: NDArray[Any], *, value: int) -> NDArray[Any]:
    """Put a margin on two sides, wider than the picture, and a bar within the picture."""
    shown = plane.copy()
    shown[-20:-16, -90:-10] = value
    return np.pad(shown, ((30, 0), (0, 400)), constant_values=value)


@pytest.mark.parametrize("value", [65535, 30000])
def test_nuclei_are_found_as_if_there_were_no_margin_and_no_bar(
    model: Segmenter, drawn: Drawn, clean: float, value: int
) -> None:
    plane, truth = drawn
    shown = framed(plane, value=value)
    found = model.segment_plane(shown)[0]
    assert score_image(truth, found[30:, :320]).kaggle > clean - 0.04
    assert not found[:30].any()
    assert not found[:, 320:].any()


def test_black_margins_are_cut_off_dark_pictures_too(model: Segmenter, drawn: Drawn) -> None:
    shown = np.pad(drawn[0], ((256, 256), (320, 320)))
    assert np.array_equal(model.segment_plane(shown)[0][256:512, 320:640], model.segment_plane(drawn[0])[0])


@pytest.mark.parametrize("value", [0, 255])
def test_margins_have_no_say_in_how_dark_a_section_is(model: Segmenter, value: int) -> None:
    section, _ = draw(Scene(size=(200, 200), nuclei=20, style="histology"), np.random.default_rng(0))
    section = (section * 0.7).astype(np.uint8)  # no glass in it
    shown = np.pad(section, ((0, 0), (40, 40), (0, 0)), constant_values=value)
    measured = model.card.normalizer.measure(section)
    assert model.survey(shown).scaling == measured
    assert model.card.normalizer.measure(shown) != measured


def test_within_margins_is_found_what_is_found_without_them(model: Segmenter) -> None:
    section, _ = draw(Scene(size=(200, 200), nuclei=20, style="histology"), np.random.default_rng(0))
    section[150:153, 100:180] = 255  # a bar of the colour of the margins
    labels, confidence = model.segment_plane(section)
    assert labels.max() > 5
    shown = np.pad(section, ((0, 7), (40, 90), (0, 0)), constant_values=255)
    for max_bytes in (None, 50_000_000):
        found, sure = model.segment_plane(shown, max_bytes=max_bytes)
        assert np.array_equal(found[:200, 40:240], labels)
        assert found[:200, 40:240].max() == found.max()
        np.testing.assert_allclose(sure, confidence, atol=1e-6)
    maps, alone = model.maps(shown), model.maps(section)
    assert np.array_equal(maps[:, :200, 40:240], alone)
    assert maps.sum() == pytest.approx(alone.sum())


def test_light_pictures_with_a_black_margin_are_turned_over(model: Segmenter, drawn: Drawn) -> None:
    light = 65535 - drawn[0]
    shown = np.pad(light, ((0, 0), (0, 700)))
    known = model.survey(shown)
    assert known.scaling.invert
    assert known.inside == (slice(0, 256), slice(0, 320))
    assert not model.card.normalizer.measure(shown).invert


def test_tiles_and_blocks_see_the_same_without_specks_beside_a_margin(model: Segmenter, drawn: Drawn) -> None:
    shown = framed(hot(np.tile(drawn[0], (2, 2)), 0.006, levels=(40000,)), value=65535)
    known = model.survey(shown)
    assert known.scaling.specks is not None
    assert known.inside == (slice(30, 542), slice(0, 640))
    assert known.scaling.blanks is not None
    assert len(known.scaling.blanks.boxes) == 1
    assert seen_alike(model, shown).max() > 60


def test_planes_of_one_bit_are_planes(model: Segmenter, drawn: Drawn) -> None:
    truth = drawn[1] > 0
    of_one_bit, _ = model.segment_plane(truth)
    of_eight, _ = model.segment_plane(truth.astype(np.uint8) * 255)
    assert of_one_bit.max() > 10
    assert np.array_equal(of_one_bit, of_eight)


def test_grey_pictures_in_three_equal_colours_are_looked_at_as_grey(
    model: Segmenter, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = framed(hot(drawn[0], 0.006), value=30000)
    colours = np.repeat(shown[..., None], 3, axis=2)
    known = model.survey(colours)
    assert known.scaling == replace(model.survey(shown).scaling, only=0)
    assert known.scaling.specks is not None
    assert known.inside is not None
    grey = model.segment_plane(shown)[0]
    assert np.array_equal(seen_alike(model, colours), grey)
    assert grey.max() > 20
    monkeypatch.setattr(survey, "as_grey", lambda *_: None)
    assert np.count_nonzero(model.segment_plane(colours)[0] != grey) <= shown.size / 10_000


def test_light_pictures_keep_their_colours(model: Segmenter, drawn: Drawn) -> None:
    light = np.repeat((255 - drawn[0] // 256).astype(np.uint8)[..., None], 3, axis=2)
    scaling = model.survey(light).scaling
    assert scaling.only is None
    assert scaling == model.card.normalizer.measure(light)


def test_a_lone_nucleus_in_noise_is_bright_and_noise_is_none(model: Segmenter) -> None:
    rows, cols = np.mgrid[:700, :700]
    plane = np.random.default_rng(10).normal(20, 3, rows.shape)
    plane += 100 * ndimage.gaussian_filter(np.hypot(rows - 200, cols - 500) < 7, 0.8, output=np.float64)
    shown = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    assert not model.survey(shown).scaling.invert
    labels, _ = model.segment_plane(shown)
    assert labels[200, 500] == labels.max() == 1


def test_clearing_specks_does_not_turn_a_plane_over(model: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.clip(np.random.default_rng(1).normal(20, 3, (500, 500)), 0, 255).astype(np.uint8)
    noise[::20, ::20] = 60  # lone ones, many
    known = model.card.normalizer.measure(noise)
    assert not known.invert
    turned = replace(known, invert=True)
    monkeypatch.setattr(Normalizer, "measure", lambda self, plane: turned if isinstance(plane, Cleared) else known)
    assert model.survey(noise).scaling.invert is False


@pytest.mark.parametrize(("nuclei", "cells"), [(2, 1), (0, 1), (1, 0)])
def test_the_channel_of_the_nuclei_is_looked_at_not_that_of_the_cells(
    model: Segmenter, apart: Drawn, found_apart: int, nuclei: int, cells: int
) -> None:
    grey, labels = apart
    texture = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=grey.shape), 2)
    bodies = ndimage.gaussian_filter(ndimage.binary_dilation(labels > 0, iterations=8).astype(float), 3)
    shown = np.zeros((300, 300, 3), np.uint8)
    shown[..., nuclei] = grey
    shown[..., cells] = np.clip(255 * bodies * (0.6 + 0.6 * texture), 0, 255)
    assert model.survey(shown).scaling.only == nuclei
    assert found_apart > 15
    assert abs(int(model.segment_plane(shown)[0].max()) - found_apart) <= 1


def test_colours_of_one_dye_are_not_looked_at_one_by_one(model: Segmenter) -> None:
    grey = draw(Scene(size=(200, 200), nuclei=12), np.random.default_rng(3))[0].astype(float)
    purple = np.stack([0.7 * grey, 0.1 * grey, grey], axis=-1).astype(np.uint8)
    assert model.card.normalizer.dyes(purple) == ()
    purple[..., 1] = np.rot90(grey)
    assert model.card.normalizer.dyes(purple) == (2, 0, 1)


def test_weak_haematoxylin_is_seen_beside_much_eosin(model: Segmenter, apart: Drawn) -> None:
    grey, labels = apart
    texture = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=grey.shape), 6)
    nuclei = ndimage.gaussian_filter((labels > 0).astype(float), 1)
    tissue = np.clip(0.6 + 0.3 * texture / texture.std(), 0, 1.2)
    dyes = 0.1 * nuclei[..., None] * (0.65, 0.7, 0.29) + 0.8 * tissue[..., None] * (0.07, 0.99, 0.1)
    section = np.rint(255 * 10**-dyes).astype(np.uint8)
    measured = model.card.normalizer.measure(section)
    assert measured.light is None
    assert model.survey(section).scaling == measured.otherwise
    assert score_image(labels, model.segment_plane(section)[0]).f1_50 > 0.9


def test_blue_mucus_among_red_nuclei_is_no_haematoxylin(model: Segmenter, apart: Drawn) -> None:
    grey, labels = apart
    texture = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=grey.shape), 3)
    nuclei = ndimage.gaussian_filter((labels > 0).astype(float), 1)
    tissue = np.clip(0.7 + 2 * texture, 0, 1.2) * (1 - nuclei)
    mucus = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=grey.shape), 15) > 0.02
    # Nuclear fast red and Alcian blue.
    dyes = nuclei[..., None] * (0.15, 0.6, 0.4) + tissue[..., None] * np.where(
        mucus[..., None], (0.4, 0.25, 0.1), (0.03, 0.25, 0.15)
    )
    section = np.rint(255 * 10**-dyes).astype(np.uint8)
    measured = model.card.normalizer.measure(section)
    assert measured.light is not None
    assert model.survey(section).scaling == measured.otherwise
    assert score_image(labels, model.segment_plane(section)[0]).f1_50 > 0.9


def test_blood_among_nuclei_is_not_counted(model: Segmenter) -> None:
    grey, labels = draw(Scene(size=(300, 300), nuclei=40, touching=0.0), np.random.default_rng(6))
    numbers = np.arange(labels.max() + 1)
    is_cell = (numbers % 3 == 0) & (numbers > 0)
    shape = ndimage.gaussian_filter((labels > 0).astype(float), 0.7)[..., None]
    texture = ndimage.gaussian_filter(np.random.default_rng(7).normal(size=grey.shape), 1.5)
    tissue = np.clip(0.5 + texture, 0, None)[..., None] * (0.2, 0.22, 0.13)
    dyes = tissue + shape * np.where(is_cell[labels][..., None], (0.0, 0.45, 0.4), (0.3, 0.33, 0.2))
    section = np.rint(240 * 10**-dyes).astype(np.uint8)
    assert model.survey(section).scaling.red is not None
    truth = np.where(is_cell[labels], 0, labels)
    assert score_image(truth, model.segment_plane(section)[0]).f1_50 > 0.9


def test_no_look_is_taken_twice_where_nuclei_are_sought_in_turns(model: Segmenter, drawn: Drawn) -> None:
    shapes: list[tuple[int, ...]] = []

    def engine(batch_NCHW: NDArray[np.float32], /) -> NDArray[np.float32]:
        shapes.append(batch_NCHW.shape)
        return model.engine(batch_NCHW)

    counts = []
    for tta in (False, True):
        shapes.clear()
        known = Segmenter(engine, model.card, settings=SegmentSettings(tta=tta)).survey(ArrayPlane(drawn[0]))
        assert (known.seen is None) == tta
        counts.append(len(shapes))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("colours", [False, True])
def test_a_large_plane_is_gone_through_once(
    model: Segmenter, monkeypatch: pytest.MonkeyPatch, *, colours: bool
) -> None:
    monkeypatch.setattr(survey, "_PICTURE", 1 << 20)
    pixels = (np.outer(np.arange(1700), np.arange(1600)) // 12000).astype(np.uint8)
    plane = ArrayPlane(np.repeat(pixels[..., None], 3, axis=2) if colours else pixels)
    whole: list[int] = []

    class Noted(ArrayPlane):
        def read(self, rows: slice, cols: slice) -> NDArray[Any]:
            part = super().read(rows, cols)
            whole.append(len(part) if part.shape[1] == 1600 else 0)
            return part

    def engine(batch_NCHW: NDArray[np.float32], /) -> NDArray[np.float32]:
        return np.zeros((len(batch_NCHW), len(model.card.maps), *batch_NCHW.shape[2:]), np.float32)

    known = Segmenter(engine, model.card).survey(Noted(plane.pixels))
    assert known.scaling == replace(model.card.normalizer.measure(pixels), only=0 if colours else None)
    assert sum(whole) == 1700


@dataclass(frozen=True)
class _Counted(ArrayPlane):
    read_of: list[int] = field(default_factory=list)

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        part = super().read(rows, cols)
        self.read_of.append(part.size)
        return part


@pytest.mark.parametrize("of", [np.uint32, np.float64])
def test_a_plane_of_many_bytes_is_gone_through_once_too(model: Segmenter, drawn: Drawn, of: type[Any]) -> None:
    few, many = (_Counted(np.tile(drawn[0], (5, 4)).astype(one)) for one in (np.uint16, of))
    assert model.survey(few).scale == model.survey(many).scale
    assert few.read_of == many.read_of


@pytest.mark.parametrize("colours", ["grey", "three equal ones", "weak ones"])
def test_a_dark_section_without_colours_is_not_taken_for_fluorescence(
    model: Segmenter, apart: Drawn, colours: str
) -> None:
    labels = apart[1]
    texture = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=labels.shape), 6)
    nuclei = ndimage.gaussian_filter((labels > 0).astype(float), 1)
    through = 10 ** -(np.clip(0.35 + 0.1 * texture / texture.std(), 0, 1.2) + 0.35 * nuclei)
    through[:40] = 1
    section = np.rint(250 * through).astype(np.uint8)
    if colours != "grey":
        tint = (1.0, 0.95, 1.0) if colours == "weak ones" else (1.0, 1.0, 1.0)
        section = np.rint(section[..., None] * np.array(tint)).astype(np.uint8)
    assert not model.card.normalizer.measure(section).invert
    assert model.survey(section).scaling.invert
    assert score_image(labels, model.segment_plane(section)[0]).f1_50 > 0.7


def test_a_field_full_of_bright_nuclei_is_not_taken_for_light(model: Segmenter) -> None:
    plane, _ = draw(Scene(size=(96, 96), nuclei=60, touching=0.9), np.random.default_rng(0))
    assert model.card.normalizer.measure(plane).invert
    assert not model.survey(plane).scaling.invert


def test_a_field_full_of_small_nuclei_with_bright_debris_is_no_noise(model: Segmenter) -> None:
    rng, (rows, cols) = np.random.default_rng(0), np.mgrid[:320, :320]
    plane = np.zeros(rows.shape)
    for at in np.ndindex(26, 26):
        row, col = 12 * np.array(at) + 8 + rng.uniform(-1, 1, 2)
        plane[np.hypot(rows - row, cols - col) < 5] = 150 * rng.uniform(0.7, 1.3)
    plane = 300 + ndimage.gaussian_filter(plane, 1.2) + rng.normal(0, 3, rows.shape)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, rows.shape), 2)
    noise = 500 + 10 * noise / noise.std()
    for drawn, least, most in ((plane, 600, 680), (noise, 0, 1)):
        drawn[200:212, 200:212] = 10_000
        shown = drawn.astype(np.uint16)
        assert model.card.normalizer.measure(shown).high > 5000
        assert least <= len(model.segment_plane(shown)[1]) <= most


def test_a_bar_beside_bright_debris_leaves_open_whether_a_plane_is_light(model: Segmenter) -> None:
    plane, truth = draw(Scene(size=(256, 320), nuclei=40, touching=0.2), np.random.default_rng(0))
    shown = ((9000 - plane * 32.0) * np.linspace(0.3, 1, 320)).clip(300).astype(np.uint16)
    shown[100:112, 100:112] = 30_000
    shown[-20:-16, -90:-10] = 0
    assert model.survey(shown).scaling.invert
    assert score_image(truth, model.segment_plane(shown)[0]).kaggle > 0.7
