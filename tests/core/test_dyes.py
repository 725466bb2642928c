"""Dyes in white light: how sections are turned over, glass and black beside them, and which dye is looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from nucleate.core.dyes import Light, few_pixels, red_tissue_in, to_haematoxylin
from nucleate.core.glass_and_ink import glass_in, ink_below, ink_in
from nucleate.core.normalize import Normalizer, to_grey

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

HAEMATOXYLIN, EOSIN = (0.650, 0.704, 0.286), (0.072, 0.990, 0.105)
NUCLEUS = np.pad(np.ones((20, 20), bool), ((5, 35), (5, 35)))
NUCLEAR = Normalizer(polarity="transmitted", stain="nuclear")


def _section(
    nuclei: NDArray[np.bool_],
    *,
    tissue: float,
    blue: tuple[float, float, float] = HAEMATOXYLIN,
    dense: float = 0.8,
) -> NDArray[np.uint8]:
    """White light through blue nuclei of a density, and through pink tissue of a density everywhere."""
    blue, pink = (np.array(dye) / np.linalg.norm(dye) for dye in (blue, EOSIN))
    density = np.where(nuclei, dense, 0.1)[..., None] * blue + tissue * pink
    section: NDArray[np.uint8] = np.rint(255 * 10.0**-density).astype(np.uint8)
    return section


@pytest.mark.parametrize("tissue", [0.1, 0.3, 0.5, 0.8])
def test_a_section_is_turned_over_however_dark_it_is(tissue: float) -> None:
    nuclei = np.zeros((40, 40), bool)
    nuclei[5:15, 5:15] = nuclei[20:34, 12:30] = True
    section = _section(nuclei, tissue=tissue)
    section[36:, 30:] = 255  # a gap
    scaled = Normalizer(polarity="transmitted")(section)[0]
    assert scaled[nuclei].min() > scaled[~nuclei].max()


def _softly_dyed() -> NDArray[np.uint8]:
    """Draw a section whose tissue is dyed unevenly, as real tissue is, with a lumen in it."""
    nuclei = np.zeros((90, 90), bool)
    nuclei[5:25, 5:25] = nuclei[60:80, 40:60] = True
    uneven = ndimage.gaussian_filter(np.random.default_rng(0).random((90, 90)), 3)
    section = (
        _section(nuclei, tissue=0.5).astype(float) ** (0.8 + 0.4 * (uneven - uneven.min()) / np.ptp(uneven))[..., None]
    )
    section[40:46, 40:60] = 250
    shown: NDArray[np.uint8] = np.clip(section, 0, 255).astype(np.uint8)
    return shown


@pytest.mark.parametrize("black", [0, 30])
@pytest.mark.parametrize("stain", ["grey", "nuclear"])
def test_glass_beside_a_section_has_no_say(stain: Any, black: int) -> None:  # noqa: ANN401 - a literal
    section = _softly_dyed()
    soft = np.linspace(section[:, -1:], 250, 4, axis=1).reshape(90, 4, 3)  # tissue ends softly
    glass = np.random.default_rng(1).integers(246, 255, (90, 40, 3))
    beyond = np.zeros((90, black, 3))
    shown = np.concatenate([section, soft, glass, beyond], axis=1).astype(np.uint8)
    normalizer = Normalizer(polarity="transmitted", stain=stain)
    alone, beside = normalizer.measure(section), normalizer.measure(shown)
    assert (beside.unlit is not None) == (black > 0)
    for one, other in ((alone.low, beside.low), (alone.high, beside.high)):
        assert other == pytest.approx(one, rel=0.03, abs=0.03 * (alone.high - alone.low))
    assert (alone.light is None) == (beside.light is None)
    scaled = normalizer(shown)[0]
    assert scaled[:, 100:].max() < 0.1
    np.testing.assert_allclose(scaled[:, :80], normalizer(section)[0][:, :80], atol=0.05)


def test_glass_is_neutral_white_in_pieces_larger_than_lumens() -> None:
    section = _softly_dyed()
    assert glass_in(section) is None
    shown = section.copy()
    shown[:, 60:] = 250
    found = glass_in(shown)
    assert found is not None
    assert found[:, 55:].all()
    assert not found[:, :50].any()
    assert glass_in((shown * [1.0, 0.8, 0.9]).astype(np.uint8)) is None  # tissue is as light where it fills the plane
    shown[:, 5:] = 250
    assert glass_in(shown) is None
    nuclei = np.full((90, 90, 3), 250, np.uint8)
    nuclei[20:60, 20:60] = (110, 90, 160)
    assert glass_in(nuclei) is None  # on glass alone, nothing but nuclei would be left
    assert glass_in(np.zeros((30, 30, 3), np.uint8)) is None
    assert glass_in(np.full((30, 30, 3), np.nan)) is None


@pytest.mark.parametrize("skew", [1, -1])
@pytest.mark.parametrize("stain", ["grey", "haematoxylin", "nuclear"])
def test_glass_alone_shows_hardly_anything(stain: Any, skew: int) -> None:  # noqa: ANN401 - a literal
    noise = np.random.default_rng(0).gamma(2.0, 1.0, (64, 64, 3)) * skew
    glass = np.clip(np.array([243, 241, 245]) + noise, 0, 255).astype(np.uint8)
    normalizer = Normalizer(polarity="transmitted", stain=stain)
    clean = normalizer.measure(glass)
    assert clean.invert
    assert normalizer(glass)[0].max() < 0.2
    glass[20:30, 20:30] = (110, 80, 150)  # a lone nucleus, of as many pixels as the percentile leaves out and more
    glass[40:42, 40:42] = (110, 80, 150)
    for scaling in (clean, normalizer.measure(glass)):
        assert scaling.apply(glass)[0][20:30, 20:30].min() > 0.99999


@pytest.mark.parametrize("stain", ["grey", "nuclear"])
def test_black_ink_on_a_section_has_no_say(stain: Any) -> None:  # noqa: ANN401 - a literal
    section = _softly_dyed()
    marked = np.zeros((90, 90), bool)
    marked[30:50, 60:] = marked[70:85, 5:30] = True
    soft = ndimage.gaussian_filter(marked.astype(float), 1)[..., None]
    shown = (section * (1 - soft) + 25 * soft).astype(np.uint8)
    normalizer = Normalizer(polarity="transmitted", stain=stain)
    alone, beside = normalizer.measure(section), normalizer.measure(shown)
    for one, other in ((alone.low, beside.low), (alone.high, beside.high)):
        assert other == pytest.approx(one, rel=0.03, abs=0.03 * (alone.high - alone.low))
    clear = ~ndimage.binary_dilation(marked, iterations=5)
    np.testing.assert_allclose(normalizer(shown)[0][clear], normalizer(section)[0][clear], atol=0.05)


def found_ink(sample: NDArray[Any]) -> NDArray[np.bool_] | None:
    return ink_in(sample, ink_below(few_pixels(sample)))


@pytest.mark.parametrize("tint", [(255, 255, 255), (255, 236, 200)])
def test_in_a_grey_picture_dark_nuclei_are_no_ink(tint: tuple[int, int, int]) -> None:
    light = ndimage.gaussian_filter(np.random.default_rng(0).random((90, 90)), 3)
    light = 0.5 + 0.45 * (light - light.min()) / np.ptp(light)
    light[30:50, 60:80] = 0.1
    grey = (light[..., None] * np.array(tint)).astype(np.uint8)
    assert found_ink(grey) is None
    shown = NUCLEAR(grey)[0]
    assert shown[32:48, 62:78].min() > 0.95
    tissue = (light[..., None] > 0.2) & (np.arange(90)[:, None] > 20)
    pink = np.where(tissue, grey * np.array([1.0, 0.6, 0.8]), grey).astype(np.uint8)
    assert found_ink(pink) is not None


def test_ink_is_black_in_pieces_larger_than_crumbs() -> None:
    section = _softly_dyed()
    assert found_ink(section) is None
    for color, is_ink in (((20, 20, 20), True), ((45, 40, 50), True), ((70, 70, 70), False), ((8, 8, 50), False)):
        shown = section.copy()
        shown[30:50, 60:80] = color
        found = found_ink(shown)
        assert (found is not None) == is_ink
        if found is not None:
            assert found[30:50, 60:80].all()
            assert found.sum() == 24**2
    section[10:18:2, :] = section[:, 10:18:2] = 0  # lines
    assert found_ink(section) is None
    assert found_ink(np.zeros((30, 30, 3), np.uint8)) is None
    assert found_ink(np.full((30, 30, 3), np.nan)) is None


@pytest.mark.parametrize("black", [1, 10, 40, 160])
@pytest.mark.parametrize("tissue", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("glow", [0, 3])
def test_what_is_black_beyond_a_section_is_ground_and_has_no_say(black: int, tissue: float, glow: int) -> None:
    nuclei = np.zeros((40, 40), bool)
    nuclei[5:15, 5:15] = nuclei[20:34, 12:30] = True
    section = _section(nuclei, tissue=tissue)
    section[36:, 30:] = 255
    filled = np.concatenate([section, np.full((40, black, 3), glow, np.uint8)], axis=1)
    normalizer = Normalizer(polarity="transmitted", stain="nuclear")
    scaled = normalizer(filled)
    np.testing.assert_array_equal(scaled[0, :, 40:], 0)
    np.testing.assert_array_equal(scaled[0, :, :40], normalizer(section)[0])


@given(st.floats(0, 1), st.floats(0, 0.8), st.tuples(*[st.floats(1, 60000)] * 3))
def test_haematoxylin_is_told_from_eosin(blue: float, pink: float, white: tuple[float, float, float]) -> None:
    dyes = np.array([HAEMATOXYLIN, EOSIN])
    density = np.array([blue, pink]) @ (dyes / np.linalg.norm(dyes, axis=1, keepdims=True))
    light = (np.array(white) * 10.0**-density)[None, None].astype(np.float32)
    np.testing.assert_allclose(to_haematoxylin(light, Light(white)), [[blue]], atol=1e-5)


@pytest.mark.parametrize(
    ("tissue", "seen"), [(0.0, "grey"), (0.05, "grey"), (0.4, "haematoxylin"), (0.8, "haematoxylin")]
)
def test_haematoxylin_is_looked_at_where_most_of_the_tissue_is_dyed_otherwise(tissue: float, seen: Any) -> None:  # noqa: ANN401 - a literal
    section = _section(NUCLEUS, tissue=tissue)
    section[50:] = 255
    assert replace(NUCLEAR.measure(section), otherwise=None) == replace(NUCLEAR, stain=seen).measure(section)
    assert replace(NUCLEAR, stain="grey").measure(section) != replace(NUCLEAR, stain="haematoxylin").measure(section)


@pytest.mark.parametrize("tissue", [0.05, 0.4])
@pytest.mark.parametrize("lamp", [(1.0, 0.95, 0.7), (0.8, 0.9, 1.0), (1.0, 0.8, 0.6)])
def test_the_tint_of_the_lamp_does_not_pass_for_a_dye(tissue: float, lamp: tuple[float, float, float]) -> None:
    section = _section(NUCLEUS, tissue=tissue, dense=1.7).astype(np.float32)
    section[57:] = 255  # a gap, too narrow for glass
    plain, tinted = NUCLEAR.measure(section), NUCLEAR.measure(section * np.array(lamp, np.float32))
    assert (plain.light is None) == (tinted.light is None) == (tissue == 0.05)
    if plain.light is not None and tinted.light is not None:
        np.testing.assert_allclose(tinted.light.white, np.multiply(plain.light.white, lamp), rtol=1e-6)
        np.testing.assert_allclose(NUCLEAR(section * np.array(lamp, np.float32)), NUCLEAR(section), atol=1e-5)


@pytest.mark.parametrize("lamp", [(1.0, 1.0, 1.0), (1.0, 0.95, 0.7)])
@pytest.mark.parametrize("veil", [0.2, 0.3, 0.5])
@pytest.mark.parametrize("tissue", [0.2, 0.6])
def test_light_that_lies_over_all_of_a_section_is_taken_away(
    tissue: float, veil: float, lamp: tuple[float, float, float]
) -> None:
    section = _section(NUCLEUS, tissue=tissue, dense=2.0).astype(np.float32)
    section[57:] = 255
    veiled = (veil * 255 + (1 - veil) * section) * np.array(lamp, np.float32)
    plain, known = NUCLEAR.measure(section), NUCLEAR.measure(veiled)
    assert plain.light == Light((255.0, 255.0, 255.0))
    assert known.light is not None
    np.testing.assert_allclose(known.light.veil, 255 * veil * np.array(lamp), atol=10)
    np.testing.assert_allclose(known.ground, 255 * np.array(lamp), atol=1e-3)
    np.testing.assert_allclose(known.apply(veiled)[0], plain.apply(section)[0], atol=0.1)
    np.testing.assert_array_equal(known.apply(veiled[:20, 3:30]), known.apply(veiled)[:, :20, 3:30])
    filled = np.concatenate([veiled, np.zeros((60, 30, 3), np.float32)], axis=1)
    np.testing.assert_allclose(NUCLEAR(filled)[0, :, :60], known.apply(veiled)[0], atol=1e-5)


@pytest.mark.parametrize("dense", [0.1, 0.15, 2.0])
def test_where_nuclei_are_dense_or_all_is_pale_no_light_lies_over_it(dense: float) -> None:
    section = _section(NUCLEUS, tissue=0.1, dense=dense)
    section[57:] = 255
    found = replace(NUCLEAR, stain="haematoxylin").measure(section)
    assert found.light == Light((255.0, 255.0, 255.0))


@pytest.mark.parametrize(("ground", "nuclei"), [(0.6, 0.4), (0.5, 0.3), (0.9, 0.2)])
def test_no_light_lies_over_grey_in_three_channels(ground: float, nuclei: float) -> None:
    grey = np.where(NUCLEUS, nuclei, ground)[..., None] * np.full(3, 255.0)
    grey[57:] = 255
    assert Light.of(few_pixels(grey), percentiles=(0.5, 99.8)) == Light((255.0, 255.0, 255.0))


def test_brown_that_lets_no_blue_through_is_not_cut_off() -> None:
    section = _section(NUCLEUS, tissue=0.1, dense=1.0).astype(np.float32)
    brown = 255 * 10.0 ** (-3.5 * np.array([0.268, 0.570, 0.776]))
    section[35:50, :40] = np.rint(brown)
    section[57:] = 255
    assert section[..., 2].min() == 0
    assert Light.of(few_pixels(section), percentiles=(0.5, 99.8)) == Light((255.0, 255.0, 255.0))


def test_where_the_dark_was_cut_off_nuclei_are_as_dense_as_what_is_left() -> None:
    section = _section(NUCLEUS, tissue=0.4, dense=1.0).astype(np.float32)
    section[57:] = 255
    section[8:12, 8:12] *= 0.8  # denser in the middle
    cut = np.clip((section - 60) * (255 / 195), 0, 255)
    assert np.mean(cut[..., 0] == 0) > 0.005
    shown = NUCLEAR(cut)[0]
    assert shown[NUCLEUS].min() > 0.6
    assert shown[NUCLEUS].min() > shown[~NUCLEUS].max() + 0.3


def test_what_was_cut_off_at_black_in_every_colour_is_nuclei_and_no_ink() -> None:
    away = np.hypot(*(np.indices((60, 60)) - 25))
    nucleus = away < 20
    section = _section(nucleus, tissue=0.3, dense=0.8) + 2 * np.where(nucleus, away, 0.0)[..., None]
    section[52:] = 255
    darkest = np.percentile(section[:52], 5, axis=(0, 1))
    cut = np.rint(np.clip((section - darkest) * 255 / (255 - darkest), 0, 255)).astype(np.uint8)
    assert np.mean(cut.max(axis=-1) == 0) > 0.03
    shown = NUCLEAR(cut)[0]
    assert shown[away < 18].min() > shown[away > 22].max() + 0.3


@pytest.mark.parametrize(
    ("blue", "dense", "seen"), [((0.75, 0.65, 0.2), 1.7, "haematoxylin"), ((0.9, 0.42, 0.08), 1.1, "grey")]
)
def test_what_colours_do_not_decide_may_be_looked_at_otherwise(
    blue: tuple[float, float, float], dense: float, seen: str
) -> None:
    section = _section(NUCLEUS, tissue=0.4, blue=blue, dense=dense)
    section[57:] = 255
    assert (NUCLEAR.measure(section).light is None) == (seen == "grey")
    looks = [replace(NUCLEAR, stain="grey").measure(section), replace(NUCLEAR, stain="haematoxylin").measure(section)]
    assert NUCLEAR.measure(section).otherwise == looks[seen == "grey"]
    plain = _section(NUCLEUS, tissue=0.0, dense=1.7)
    plain[57:] = 255
    assert NUCLEAR.measure(plain).otherwise is None


@pytest.mark.parametrize(("blue", "seen"), [((0.85, 0.5, 0.1), "haematoxylin"), ((0.95, 0.3, 0.05), "grey")])
def test_nuclei_may_be_a_little_bluer_than_haematoxylin(blue: tuple[float, float, float], seen: Any) -> None:  # noqa: ANN401 - a literal
    section = _section(NUCLEUS, tissue=0.4, blue=blue)
    section[57:] = 255
    assert replace(NUCLEAR.measure(section), otherwise=None) == replace(NUCLEAR, stain=seen).measure(section)


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_section_without_haematoxylin_is_seen_in_grey(order: tuple[int, int, int]) -> None:
    section = _section(NUCLEUS, tissue=0.4)[..., order]
    assert replace(NUCLEAR.measure(section), otherwise=None) == replace(NUCLEAR, stain="grey").measure(section)


def test_the_negative_of_a_section_shows_no_blue_dye() -> None:
    assert NUCLEAR.measure(255 - _section(NUCLEUS, tissue=0.1)).only is None


def test_only_coloured_planes_that_were_inverted_show_their_haematoxylin() -> None:
    shape = np.zeros((40, 40), np.uint8)
    shape[4:9, 4:9], shape[20:30, 12:20] = 90, 160
    nuclei = shape > 0
    rule = Normalizer(polarity="transmitted", stain="haematoxylin", low_percentile=0, high_percentile=100)
    np.testing.assert_allclose(rule(_section(nuclei, tissue=0.1))[0], nuclei.astype(float), atol=1e-6)
    grey = replace(rule, stain="grey")
    for other in (shape, 255 - shape, np.stack([shape] * 3, axis=-1)):
        assert rule.measure(other) == grey.measure(other)


BLOOD = (0.05, 0.45, 0.4)


def _with_blood(blood: tuple[float, float, float], *, nuclei: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Draw violet tissue with four nuclei on the left and two red cells on the right, on a white ground."""
    density = np.zeros((60, 90, 3))
    density[:, 10:] = (0.12, 0.13, 0.08)
    for row, column in ((10, 15), (10, 35), (40, 15), (40, 35)):
        density[row : row + 12, column : column + 10] = nuclei
    density[8:20, 70:82] = density[38:50, 70:82] = blood
    section: NDArray[np.uint8] = np.rint(250 * 10.0**-density).astype(np.uint8)
    return section


def test_blood_is_shown_as_other_tissue() -> None:
    section = _with_blood(BLOOD, nuclei=(0.4, 0.45, 0.25))
    normalizer = Normalizer(polarity="transmitted", low_percentile=0, high_percentile=100)
    scaling = normalizer.measure(section)
    assert scaling.red is not None
    seen_HW = scaling.apply(section)[0]
    blood, tissue, nucleus = seen_HW[44, 76], seen_HW[30, 60], seen_HW[45, 20]
    assert blood == pytest.approx(tissue, abs=0.01)
    assert nucleus == pytest.approx(1.0, abs=0.01)
    assert replace(scaling, red=None).apply(section)[0, 44, 76] > tissue + 0.2
    part = (slice(30, 60), slice(55, 90))
    np.testing.assert_array_equal(scaling.apply(section[part])[0], seen_HW[part])
    assert scaling.apply(to_grey(section)).shape == (1, 60, 90)
    colourful = replace(normalizer, channels=3).measure(section)
    assert colourful.red is None


@pytest.mark.parametrize(
    ("blood", "nuclei"),
    [
        ((0.35, 0.4, 0.2), (0.4, 0.45, 0.25)),  # no red: other nuclei
        (BLOOD, (0.12, 0.13, 0.08)),  # no blue: the red may be nuclei, in tissue
        (BLOOD, (0.45, 0.25, 0.1)),  # red nuclei among blue mucus
        ((0.09, 0.8, 0.7), (0.13, 0.2, 0.1)),  # so much denser that the red ones are the nuclei
    ],
)
def test_red_nuclei_stay(blood: tuple[float, float, float], nuclei: tuple[float, float, float]) -> None:
    section = _with_blood(blood, nuclei=nuclei)
    assert Normalizer(polarity="transmitted").measure(section).red is None


def test_no_more_of_a_pixel_is_lightened_than_is_red() -> None:
    pixels = np.rint(250 * 10.0 ** -np.array([BLOOD, (0.4, 0.45, 0.25), (0.005, 0.02, 0.02), (0.13, 0.57, 0.4)]))
    grey = to_grey(pixels[None])[0]
    red = red_tissue_in(
        np.repeat(pixels[:2], 50, axis=0).astype(np.float32),
        np.repeat(grey[:2], 50),
        light=Light((250.0, 250.0, 250.0)),
    )
    assert red is not None
    assert red.share(pixels)[:3] == pytest.approx([1, 0, 0], abs=0.05)
    assert 0.2 < red.share(pixels)[3] < 0.8
    assert np.all(red.lighten(grey, pixels) >= grey)


def test_what_is_red_but_for_glass_is_measured_as_it_is() -> None:
    plane = np.zeros((3, 3, 3), np.float32)
    plane[0, 0] = 1, -1, 0
    seen = Normalizer(polarity="transmitted").measure(plane).apply(plane)
    assert np.isfinite(seen).all()
