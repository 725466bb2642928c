"""Intensity scaling and polarity: by hand, the same for parts and wholes, and for values of any kind."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage
from tests.strategies import planes

from nucleate.core.normalize import Normalizer, Scaling, to_grey

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

ALL = [
    Normalizer(channels, scaling, polarity=polarity)
    for channels in (1, 3)
    for scaling in ("range", "percentile")
    for polarity in ("keep", "dark-background", "transmitted")
] + [Normalizer(polarity="transmitted", stain=stain, ground=25.0) for stain in ("haematoxylin", "nuclear")]


def test_grey_of_colours_by_hand() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 10, 10]]], np.uint8)
    np.testing.assert_allclose(to_grey(colours), [[76.245, 149.685, 29.07, 10.0]], rtol=1e-6)
    assert to_grey(np.array([[3]], np.uint16)).tolist() == [[3.0]]


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.int16, 32767), (np.bool_, 1), (np.float32, 1)]
)
def test_range_of_each_dtype(dtype: Any, top: float) -> None:  # noqa: ANN401 - any dtype
    plane = np.array([[0, 1], [0, 0]], dtype)
    scaling = Normalizer(scaling="range").measure(plane)
    assert (scaling.low, scaling.high) == (0.0, top)
    assert scaling.apply(plane)[0].ravel().tolist() == pytest.approx([0, 1 / top, 0, 0], rel=1e-6)


def test_range_of_floats_above_one_is_their_maximum() -> None:
    assert Normalizer(scaling="range").measure(np.array([[0.5, 300.0]])).high == 300.0


@pytest.mark.parametrize("colour", list(itertools.product([False, True], repeat=3)))
def test_masks_in_colour_are_measured(colour: tuple[bool, bool, bool]) -> None:
    plane = np.full((40, 40, 3), colour)
    scaled = Normalizer(polarity="transmitted", stain="nuclear")(plane)
    assert scaled.shape == (1, 40, 40)
    assert np.isfinite(scaled).all()


def test_percentiles_by_hand() -> None:
    plane = np.arange(101, dtype=np.float32).reshape(1, 101)
    scaling = Normalizer(low_percentile=10, high_percentile=90, polarity="keep").measure(plane)
    assert (scaling.low, scaling.high) == pytest.approx((10, 90))
    scaled = scaling.apply(plane)
    assert scaled.shape == (1, 1, 101)
    assert scaled[0, 0, [0, 10, 50, 90, 100]].tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_a_few_bright_pixels_on_a_constant_ground_are_kept() -> None:
    plane = np.full((100, 100), 5, np.uint16)
    plane[3, 4] = 900
    scaled = Normalizer()(plane)
    assert (scaled[0, 3, 4], scaled.sum()) == (1, 1)


@pytest.mark.parametrize("scaling", ["range", "percentile"])
def test_bright_ground_is_turned_over_and_dark_is_not(scaling: Any) -> None:  # noqa: ANN401 - a literal
    dark = np.zeros((20, 20), np.uint8)
    dark[5:10, 5:10] = 255
    rule = Normalizer(scaling=scaling)
    assert not rule.measure(dark).invert
    assert rule.measure(255 - dark).invert
    np.testing.assert_array_equal(rule(255 - dark), rule(dark))
    kept = Normalizer(scaling=scaling, polarity="keep")(255 - dark)
    np.testing.assert_array_equal(kept, 1 - rule(dark))


def test_grey_is_repeated_for_three_channels_and_colours_are_kept() -> None:
    rule = Normalizer(channels=3, scaling="range", polarity="keep")
    grey = rule(np.array([[0, 51]], np.uint8))
    np.testing.assert_allclose(grey, [[[0, 0.2]]] * 3, rtol=1e-6)
    colours = rule(np.array([[[0, 51, 255]]], np.uint8))
    np.testing.assert_allclose(colours[:, 0, 0], [0, 0.2, 1], rtol=1e-6)


@given(planes())
def test_anything_becomes_float32_between_0_and_1(plane: NDArray[Any]) -> None:
    for rule in ALL:
        scaled = rule(plane)
        assert scaled.dtype == np.float32
        assert scaled.shape == (rule.channels, *plane.shape[:2])
        assert scaled.min() >= 0
        assert scaled.max() <= 1


@given(planes())
def test_a_part_is_scaled_as_the_same_pixels_of_the_whole(plane: NDArray[Any]) -> None:
    for rule in ALL:
        scaling = rule.measure(plane)
        part = np.s_[: plane.shape[0] // 2 + 1, plane.shape[1] // 2 :]
        whole = scaling.apply(plane)[:, part[0], part[1]]
        np.testing.assert_allclose(scaling.apply(plane[part]), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "plane",
    [
        np.full((3, 3), np.nan),
        np.array([[np.inf, 1.0], [-np.inf, np.nan]]),
        np.array([[[np.inf, -np.inf, 0.0], [1.0, 2.0, 3.0]]]),
        np.array([[0.0, 1e300], [2.0, 3.0]]),
        np.array([[0.0, 1e-45]], np.float32),
        np.array([[-3e38, 3e38, 3e38]], np.float32),
        np.array([[0, 2**62]]),
    ],
)
def test_values_at_the_edge_give_numbers_and_no_warning(plane: NDArray[Any]) -> None:
    for rule in ALL:
        scaled = rule(plane)
        assert np.isfinite(scaled).all()
        assert scaled.min() >= 0
        assert scaled.max() <= 1


def test_pixels_that_are_not_finite_do_not_change_the_others() -> None:
    plane = np.arange(200, dtype=np.float32).reshape(10, 20)
    spoiled = plane.copy()
    spoiled[0, 0] = np.nan
    rule = Normalizer(low_percentile=0, polarity="keep")
    assert rule.measure(spoiled).high == pytest.approx(rule.measure(plane).high, abs=0.1)
    assert rule(spoiled)[0, 0, 0] == 0


def test_a_constant_picture_is_empty() -> None:
    for rule in ALL:
        if rule.scaling == "percentile":
            assert (rule(np.full((4, 4), 77, np.uint8)) == 0).all()


def test_a_dark_ground_is_cut_off() -> None:
    plane = np.arange(1, 101, dtype=np.uint16).reshape(10, 10) ** 2  # mostly dark
    scaled = Normalizer(low_percentile=0, high_percentile=100, ground=25)(plane)[0]
    assert (scaled == 0).mean() == pytest.approx(0.25, abs=0.06)
    np.testing.assert_array_equal(scaled, Normalizer(low_percentile=25, high_percentile=100)(plane)[0])


@pytest.mark.parametrize("rule", [Normalizer(), Normalizer(polarity="keep"), Normalizer(scaling="range")])
def test_a_ground_that_is_light_or_not_sought_stays(rule: Normalizer) -> None:
    plane = 255 - _dots() if rule == Normalizer() else _dots() + np.arange(40, dtype=np.uint8)
    np.testing.assert_array_equal(replace(rule, ground=25)(plane), rule(plane))


def test_a_plane_full_of_light_keeps_its_ends() -> None:
    plane = np.array([[0] * 9 + [200]] * 10, np.uint8)
    plane[0, :9] = 1
    rule = Normalizer(low_percentile=0, high_percentile=99)
    assert replace(rule, ground=95).measure(plane) == rule.measure(plane)


@pytest.mark.parametrize(("share", "cut"), [(0.1, True), (0.15, False)])
def test_what_is_high_in_the_range_is_no_ground(share: float, *, cut: bool) -> None:
    plane = np.repeat([0, share * 200, 200], [20, 60, 20]).astype(np.uint8).reshape(10, 10)
    rule = Normalizer(low_percentile=0, high_percentile=100)
    assert replace(rule, ground=25).measure(plane).low == (share * 200 if cut else 0)


def test_the_ground_of_the_blue_dye_is_cut_off() -> None:
    shown = np.stack([_dots().T, _dots()[::-1] // 2, _dots() + np.arange(40, dtype=np.uint8)], axis=-1)
    scaling = Normalizer(stain="nuclear", low_percentile=0, ground=25).measure(shown)
    assert scaling.only == 2
    assert scaling.low == np.percentile(shown[..., 2], 25)
    kept = Normalizer(stain="nuclear", low_percentile=0, ground=25, polarity="keep")
    assert kept.measure(shown).low == replace(kept, ground=None).measure(shown).low < scaling.low


def test_large_planes_are_sampled() -> None:
    plane = np.tile(np.arange(2500, dtype=np.uint16), (2500, 1))
    scaling = Normalizer().measure(plane)
    assert scaling.low == pytest.approx(12.5, abs=3)
    assert scaling.high == pytest.approx(2494, abs=3)


def test_the_scaling_is_plain_data() -> None:
    assert Scaling(0.0, 1.0, invert=False, channels=1) == Scaling(0.0, 1.0, invert=False, channels=1)


def _dots() -> NDArray[np.uint8]:
    """A few bright squares on dark ground."""
    plane = np.zeros((40, 40), np.uint8)
    plane[4:9, 4:9], plane[20:30, 12:20], plane[31:36, 30:34] = 90, 160, 200
    return plane


@pytest.mark.parametrize("hue", [(0, 0, 1.0), (0.2, 1.0, 0.0), (0.5, 0.5, 1.0), (1.0, 1.0, 1.0)])
def test_a_dye_of_one_hue_is_seen_as_grey(hue: tuple[float, float, float]) -> None:
    normalizer = Normalizer(channels=3, low_percentile=0, high_percentile=100)
    shown = (_dots()[..., None] * np.array(hue)).astype(np.uint8)
    np.testing.assert_array_equal(normalizer(shown), normalizer(_dots()))


def test_a_dye_of_one_hue_has_the_ends_of_its_own_channel() -> None:
    shown = np.stack([210 + _dots() // 6, _dots() // 2, 30 + _dots()], axis=-1)
    scaling = Normalizer(channels=3, low_percentile=0, high_percentile=100).measure(shown)
    assert (scaling.only, scaling.low, scaling.high) == (2, 30, 230)


def test_each_channel_that_shows_something_is_a_dye_and_blue_is_the_first() -> None:
    rule = Normalizer(polarity="transmitted", stain="nuclear", low_percentile=0, high_percentile=100)
    shown = np.stack([_dots().T, _dots()[::-1] // 2, _dots()], axis=-1)
    assert rule.dyes(shown) == (2, 0, 1)
    assert rule.dyes(shown * np.array([1, 0, 1], np.uint8)) == (2, 0)
    assert rule.dyes(shown * np.array([0, 1, 1], np.uint8)) == (2, 1)
    assert rule.dyes(shown[:0]) == ()
    for other in (replace(rule, stain="grey"), replace(rule, stain="haematoxylin"), replace(rule, channels=3)):
        assert other.dyes(shown) == ()


def test_two_hues_stay_two() -> None:
    shown = np.stack([np.zeros((40, 40), np.uint8), _dots()[::-1] // 2, _dots()], axis=-1)
    scaled = Normalizer(channels=3, low_percentile=0, high_percentile=100)(shown)
    np.testing.assert_allclose(scaled, np.moveaxis(shown, -1, 0) / 200, atol=1e-6)


def test_colours_on_bright_ground_are_kept() -> None:
    stained = 255 - (_dots()[..., None] * np.array((0.3, 1.0, 0.4))).astype(np.uint8)
    scaled = Normalizer(channels=3, low_percentile=0, high_percentile=100)(stained)
    assert scaled[1].max() == 1
    assert scaled[0].max() < 0.4


@pytest.mark.parametrize("channel", [0, 2])
def test_a_light_plane_shown_in_one_colour_is_seen_as_grey(channel: int) -> None:
    normalizer = Normalizer(channels=3, low_percentile=0, high_percentile=100)
    shown = np.zeros((40, 40, 3), np.uint8)
    shown[..., channel] = 255 - _dots()
    assert normalizer.measure(shown).invert
    np.testing.assert_array_equal(normalizer(shown), normalizer(255 - _dots()))


def test_of_several_dyes_that_shine_the_blue_one_is_looked_at() -> None:
    rule = Normalizer(polarity="transmitted", stain="nuclear", low_percentile=0, high_percentile=100)
    cells = ndimage.gaussian_filter((_dots() > 0).astype(float), 2)
    shown = np.stack([_dots()[::-1] // 3, (250 * cells).astype(np.uint8), _dots()], axis=-1)
    np.testing.assert_array_equal(rule(shown), rule(_dots()))
    assert rule.measure(shown[..., [2, 1, 2]] * np.array([1, 1, 0], np.uint8)).only is None  # nothing is blue
    np.testing.assert_allclose(rule(np.stack([_dots()] * 3, axis=-1)), rule(_dots()), atol=1e-6)


@pytest.mark.parametrize(("noise", "blue"), [(0, None), (3, 2)])
def test_false_colours_are_seen_as_grey_and_dyes_with_noise_are_not(noise: float, blue: int | None) -> None:
    """As in the table inferno: black, purple, orange, light yellow."""
    draw = np.random.default_rng(0)
    grey = ndimage.gaussian_filter(draw.random((120, 120)), 3)
    grey = ((grey - grey.min()) / np.ptp(grey)) ** 3
    table = [[0, 85, 190, 250], [0, 15, 55, 255], [5, 110, 80, 165]]
    shown = np.stack([np.interp(grey, np.linspace(0, 1, 4), channel) for channel in table], axis=-1)
    shown = np.clip(shown + draw.normal(0, noise, shown.shape) * [0, 1, 4], 0, 255).astype(np.uint8)
    assert Normalizer(polarity="transmitted", stain="nuclear").measure(shown).only == blue


@pytest.mark.parametrize("colour", [(0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.2, 1.0, 0.6)])
def test_what_shines_on_pure_black_is_not_turned_over(colour: tuple[float, float, float]) -> None:
    dots = ndimage.gaussian_filter(_dots().astype(float), 1)
    dots[dots < 9] = 0
    shown = np.rint(dots[..., None] * np.array(colour)).astype(np.uint8)
    measured = Normalizer(polarity="transmitted", stain="nuclear").measure(shown)
    assert not measured.invert
    assert measured.unlit is None


def test_dyes_that_shine_on_dark_ground_are_not_turned_over() -> None:
    green = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 40)), 3)
    shown = np.stack([_dots() // 3, (255 * green).astype(np.uint8), _dots()], axis=-1)
    assert not Normalizer(polarity="transmitted").measure(shown).invert


def sparse(*places: int, noise: float = 3.0) -> NDArray[np.uint8]:
    """Draw a large field of noise with a nucleus at each of some places."""
    rows, cols = np.mgrid[:600, :600]
    plane = np.random.default_rng(0).normal(20, noise, rows.shape)
    for place in places:
        plane[np.hypot(rows - place, cols - place) < 9] += 100
    drawn: NDArray[np.uint8] = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    return drawn


@pytest.mark.parametrize("polarity", ["dark-background", "transmitted"])
def test_noise_beside_a_few_nuclei_is_not_brought_to_full_contrast(polarity: Any) -> None:  # noqa: ANN401 - a literal
    normalizer = Normalizer(polarity=polarity, ground=25.0)
    noise, lone = sparse(), sparse(100, 400)
    scaling = normalizer.measure(lone)
    assert not scaling.invert
    assert 100 < scaling.high < 130
    assert normalizer.measure(noise).high < 40  # what it is noise beside is not known
    hot = lone.copy()
    hot.ravel()[:: 600 * 3 + 7] = 255  # 200 pixels by themselves
    assert normalizer.measure(hot).high < 130
    many = sparse(*range(60, 560, 30))
    assert normalizer.measure(many).high == np.percentile(many, 99.8)


def test_whether_a_field_with_bright_debris_is_noise_or_full_of_nuclei_is_left_open() -> None:
    rng = np.random.default_rng(0)
    nuclei = ndimage.gaussian_filter(rng.normal(0, 1, (400, 400)), 8)
    plane = 300 + 150 * nuclei / np.abs(nuclei).max() + rng.normal(0, 3, nuclei.shape)
    plane[380:392, 200:212] = 10_000
    seen = Normalizer(polarity="transmitted", stain="nuclear", ground=25.0).measure(plane.astype(np.uint16))
    assert seen.high == 10_000
    assert seen.otherwise is not None
    assert seen.otherwise.high < 500


def looks(scaling: Scaling | None) -> list[tuple[bool, bool]]:
    """Tell of all that a plane may be looked at as whether it is inverted, and whether it is sparse."""
    return [] if scaling is None else [(scaling.invert, scaling.sparse), *looks(scaling.otherwise)]


def test_a_light_plane_with_a_bright_thing_is_looked_at_as_light_too() -> None:
    rng = np.random.default_rng(0)
    light = (
        1400
        - 700 * ndimage.gaussian_filter(_dots() / 255.0, 1)
        + 30 * ndimage.gaussian_filter(rng.normal(0, 1, (40, 40)), 1)
    )
    plane = np.kron(light, np.ones((8, 8)))
    rule = Normalizer(polarity="transmitted", stain="nuclear", ground=25.0)
    plain = rule.measure(plane.astype(np.uint16))
    plane[100:112, 100:112] = 4500
    seen = rule.measure(plane.astype(np.uint16))
    assert looks(plain) == [(True, False)]
    assert looks(seen) == [(False, True), (True, False)]
    assert seen.otherwise is not None
    assert seen.otherwise.high == pytest.approx(plain.high, rel=0.02)


@pytest.mark.parametrize("stain", ["grey", "nuclear"])
def test_a_nucleus_in_a_field_that_grows_dark_at_its_corners_is_bright(stain: Any) -> None:  # noqa: ANN401 - a literal
    rows, cols = np.mgrid[-1:1:320j, -1:1:320j]
    plane = 1500 * (1 - 0.1 * (rows**2 + cols**2)) + np.random.default_rng(3).normal(0, 12, rows.shape)
    plane[200:214, 200:214] = 3000
    seen = Normalizer(polarity="transmitted", stain=stain, ground=25.0).measure(plane.astype(np.uint16))
    assert looks(seen)[0] == (False, True)
    assert (len(looks(seen)) > 1) == (stain == "nuclear")  # grey is not looked at otherwise


def test_what_may_be_noise_or_light_is_looked_at_as_all_of_these() -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(2).normal(0, 1, (320, 320)), 2)
    plane = 1500 + 60 * -np.expm1(-0.35 * noise / noise.std()) / 0.35  # its darkest pixels lie far from the middle
    plane[200:214, 200:214] = 2000
    seen = Normalizer(polarity="transmitted", stain="nuclear", ground=25.0).measure(plane.astype(np.uint16))
    assert looks(seen) == [(False, True), (True, False), (True, False), (False, False)]
