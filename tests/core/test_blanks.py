"""Margins, scale bars and letters are told from what was photographed."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from nucleate.core.blanks import Blanks, content, drawn_in
from nucleate.core.plane import ArrayPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _field(shape: tuple[int, int] = (200, 300)) -> NDArray[np.uint8]:
    """Blurred bright spots on a noisy dark ground, some of them burnt out."""
    draw = np.random.default_rng(0)
    spots = ndimage.gaussian_filter((draw.random(shape) > 0.998).astype(float), 4)
    seen: NDArray[np.uint8] = np.clip(spots / spots.max() * 400 + draw.normal(12, 2, shape), 0, 255).astype(np.uint8)
    return seen


def _labelled(pixels: NDArray[np.uint8], ink: tuple[int, int, int], *, size: int) -> NDArray[np.uint8]:
    """Draw a bar of 60 x 4 pixels, and smooth letters above it."""
    picture = Image.fromarray(np.repeat(pixels[..., None], 3, axis=2))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((220, 180, 279, 183), fill=ink)
    draw.text((250, 176), "50 um", fill=ink, font=ImageFont.load_default(size=size), anchor="mb")
    return np.asarray(picture)


def _covers(boxes: Any, thing: NDArray[np.bool_]) -> bool:  # noqa: ANN401 - boxes
    left = thing.copy()
    for top, before, bottom, right in boxes:
        left[top:bottom, before:right] = False
    return not left.any()


def test_a_picture_without_margins_is_all_content() -> None:
    field = _field()
    assert content(field) == (slice(0, 200), slice(0, 300))
    assert drawn_in(field) == ()


@pytest.mark.parametrize("missing", [np.s_[-1], np.s_[:, -1], np.s_[0, 0], (range(200), range(200)), np.s_[-1, 0]])
def test_what_was_not_measured_is_no_margin(missing: Any) -> None:  # noqa: ANN401 - whatever an array takes
    field = _field().astype(np.float32)
    field[missing] = np.nan
    assert content(field) == (slice(0, 200), slice(0, 300))


@pytest.mark.parametrize("value", [255, 128])
@pytest.mark.parametrize(("above", "below", "before", "after"), [(0, 0, 0, 90), (5, 0, 0, 0), (20, 30, 40, 50)])
def test_margins_of_one_colour_are_found_on_every_side(
    value: int, above: int, below: int, before: int, after: int
) -> None:
    field = np.pad(_field(), ((above, below), (before, after)), constant_values=value)
    spoiled = np.clip(field + np.random.default_rng(1).integers(-2, 3, field.shape), 0, 255)  # as JPEG leaves it
    for picture in (field, spoiled, np.stack([spoiled, spoiled // 2, spoiled // 3], axis=-1)):
        assert content(picture) == (slice(above, above + 200), slice(before, before + 300))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("wide", [40, 500])
def test_a_bright_margin_on_one_side_of_a_dim_picture_is_found(turns: int, wide: int) -> None:
    field = np.pad(_field().astype(np.uint16) * 4, ((wide, 0), (0, 0)), constant_values=65535)
    shown = np.rot90(field, turns)
    inside = np.zeros(shown.shape, bool)
    inside[content(shown)] = True
    assert np.array_equal(inside, np.rot90(field < 65535, turns))


@pytest.mark.parametrize("ground", [0, 255])
def test_ground_of_one_colour_is_no_margin(ground: int) -> None:
    rows, cols = np.mgrid[:120, :160]
    shown = np.full((120, 160), ground, np.uint8)
    for row, col in ((40, 60), (80, 110)):
        shown[(rows - row) ** 2 + (cols - col) ** 2 < 150] = 128
    assert content(shown) == (slice(0, 120), slice(0, 160))


@pytest.mark.parametrize("plane", [np.zeros((9, 9)), np.full((1, 40), np.nan), np.full((30, 30, 3), np.inf)])
def test_planes_of_one_value_have_no_margins(plane: NDArray[Any]) -> None:
    assert content(plane) == (slice(0, plane.shape[0]), slice(0, plane.shape[1]))
    assert drawn_in(plane) == ()


@pytest.mark.parametrize("size", [14, 24])
@pytest.mark.parametrize("ink", [(255, 255, 255), (255, 255, 0), (255, 0, 0)])
def test_a_bar_and_its_letters_are_found(ink: tuple[int, int, int], size: int) -> None:
    field = _field()
    field[150:, 200:] = 12  # so that what differs is what was drawn
    shown = _labelled(field, ink, size=size)
    boxes = drawn_in(shown)
    assert len(boxes) == 2
    assert boxes[0] == (178, 218, 186, 282)
    assert _covers(boxes, np.abs(shown - field[..., None].astype(int)).max(axis=-1) > 60)
    assert boxes[1][0] > 140


def test_dark_bars_on_a_light_ground_are_found_too() -> None:
    light = 255 - _field() // 2
    assert len(drawn_in(_labelled(light, (0, 0, 0), size=18))) == 2


@pytest.mark.parametrize("radius", [4, 7])
def test_burnt_out_nuclei_however_long_are_no_bars(radius: int) -> None:
    bar = np.zeros((120, 160))
    bar[60 - radius : 60 + radius, 40:110] = 1
    rows, cols = np.mgrid[:120, :160] + 0.5
    rod = np.hypot(rows - 60, cols - np.clip(cols, 40 + radius, 110 - radius)) < radius
    nucleus = np.clip(ndimage.gaussian_filter(rod.astype(float), 1) * 400, 0, 255).astype(np.uint8)
    assert np.count_nonzero(nucleus == 255) > 300
    assert drawn_in(nucleus) == ()
    assert len(drawn_in((bar * 255).astype(np.uint8))) == 1


def test_parts_of_a_blanked_plane_are_those_of_the_whole() -> None:
    field = np.repeat(_field()[..., None], 3, axis=2)
    boxes = ((0, 0, 200, 20), (100, 50, 130, 90))
    blanked = Blanks(boxes, (9.6, 0.0, 255.0)).on(ArrayPlane(field))
    assert (blanked.shape, blanked.dtype) == (field.shape, field.dtype)
    whole = blanked.read(slice(0, 200), slice(0, 300))
    assert whole[110, 60].tolist() == [10, 0, 255]
    differs = (whole != field).any(axis=-1)
    assert not differs[:, 90:].any()
    assert differs[110, 60]
    for rows, cols in [
        (slice(90, 120), slice(10, 70)),
        (slice(130, 140), slice(20, 50)),
        (slice(0, 5), slice(80, 300)),
    ]:
        np.testing.assert_array_equal(blanked.read(rows, cols), whole[rows, cols])
    assert field[110, 60].tolist() != [10, 0, 255]


def test_hot_pixels_leave_no_margins() -> None:
    dim = 100 + 2 * _field().astype(np.uint16)
    dim[[105, 120], [171, 200]] = 65535
    assert content(dim) == (slice(0, 200), slice(0, 300))


def test_a_striped_picture_has_no_scale_bars() -> None:
    striped = np.zeros((200, 300), np.uint8)
    striped[::8, 20:80] = striped[::8, 120:180] = 255
    one = np.zeros((200, 300), np.uint8)
    one[180:184, 20:80] = 255
    assert drawn_in(striped) == ()
    assert len(drawn_in(one)) == 1


def test_many_specks_take_little_memory() -> None:
    draw = np.random.default_rng(0)
    specked = draw.integers(60, 200, (800, 800)).astype(np.uint8)
    specked[draw.random(specked.shape) < 0.05] = 255
    specked[98:106, 98:302] = 100
    specked[100:104, 100:300] = 255
    tracemalloc.start()
    boxes = drawn_in(specked)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert boxes[0] == (98, 98, 106, 302)
    assert peak < 12 * specked.size


def _nuclei(radius: float, *, stretched: float = 1, seed: int = 0) -> NDArray[np.uint8]:
    """Draw saturated sharp nuclei, all over a dark ground but near its lower edge."""
    rows, cols = np.mgrid[:300, :400]
    grid = np.stack(np.meshgrid(np.arange(30, 240, 50), np.arange(20, 390, 50), indexing="ij"), axis=-1).reshape(-1, 2)
    drawn = np.zeros((300, 400))
    for row, col in grid + np.random.default_rng(seed).uniform(-12, 12, grid.shape):
        drawn[np.hypot((rows - row) / stretched, cols - col) < radius] = 500
    return np.clip(ndimage.gaussian_filter(drawn, 0.8) + 12, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("radius", "stretched"), [(4, 1), (7, 1), (3, 4)])
def test_saturated_nuclei_beside_a_bar_are_no_letters(radius: float, stretched: float, seed: int) -> None:
    shown = _nuclei(radius, stretched=stretched, seed=seed)
    shown[284:290, 100:300] = 255
    assert drawn_in(shown) == ((282, 98, 292, 302),)


def test_letters_among_saturated_nuclei_are_found_alone() -> None:
    nuclei = np.repeat(_nuclei(7)[..., None], 3, axis=2)
    picture = Image.fromarray(nuclei)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=24)
    draw.text((8, 270), "DAPI", fill="white", font=font)  # no nuclei either, but that is told by a bar alone
    without = np.asarray(picture)
    draw.rectangle((140, 284, 299, 289), fill="white")
    draw.text((220, 280), "50 um", fill="white", font=font, anchor="mb")
    drawn = np.asarray(picture)
    boxes = drawn_in(drawn)
    assert boxes[0] == (282, 138, 292, 302)
    assert _covers(boxes, np.abs(drawn.astype(int) - without).max(axis=-1) > 60)
    assert all(top > 250 for top, *_ in boxes)


@pytest.mark.parametrize("text", ["50 um", "20 µm", "0.5 mm"])
@pytest.mark.parametrize("size", [12, 20, 40])
@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("quality", [None, 80])
def test_letters_of_any_size_are_found_as_one_line(text: str, size: int, *, above: bool, quality: int | None) -> None:
    picture = Image.fromarray(np.full((200, 300, 3), 12, np.uint8))
    draw = ImageDraw.Draw(picture)
    row = 150 if above else 50
    draw.rectangle((70, row, 229, row + 5), fill="white")
    where, anchor = ((150, row - 4), "mb") if above else ((150, row + 10), "mt")
    draw.text(where, text, fill="white", font=ImageFont.load_default(size=size), anchor=anchor)
    plain = np.asarray(picture)
    if quality is not None:
        stored = io.BytesIO()
        picture.save(stored, "jpeg", quality=quality)
        picture = Image.open(stored)
    boxes = drawn_in(np.asarray(picture))
    assert len(boxes) == 2
    shown = plain.max(axis=-1) > 120
    missed = shown.copy()
    for top, left, bottom, right in boxes:
        missed[top:bottom, left:right] = False
    assert np.count_nonzero(missed) <= 0.05 * np.count_nonzero(shown)
