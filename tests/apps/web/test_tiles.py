"""Tiles of pictures and of outlines, held to the arrays that they are cut from."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest
from tests.apps.web.smaller import mean, middle

from nucleate.apps.web.tiles import (
    TILE,
    LabelLevels,
    PictureLevels,
    factor_of,
    inks_of,
    outline_png,
    png,
)
from nucleate.export.overlay import ON_DARK, grown, outline_pixels, stretch_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

PICTURE = np.random.default_rng(0).integers(0, 4000, (1100, 700), dtype=np.uint16)
PLACES = [(row, col) for row in range(3) for col in range(2)]


def _labels() -> NDArray[np.int32]:
    labels = np.zeros(PICTURE.shape, np.int32)
    for number, (row, col) in enumerate([(10, 10), (500, 500), (505, 300), (300, 505), (1090, 690)], 1):
        labels[row : row + 30, col : col + 25] = number
    return labels


def _joined(levels: PictureLevels, factor: int) -> NDArray[np.uint8]:
    rows = [np.concatenate([levels.tile(factor, (row, col)) for col in range(2)], axis=1) for row in range(3)]
    return np.concatenate(rows)


def test_tiles_at_full_size_are_the_stretched_picture() -> None:
    assert np.array_equal(_joined(PictureLevels(PICTURE), 1), stretch_of(PICTURE).shown(PICTURE))


@pytest.mark.parametrize("factor", [2, 4])
def test_tiles_of_smaller_levels_are_the_stretched_means(factor: int) -> None:
    levels = PictureLevels(PICTURE)
    expected = levels.stretch.shown(mean(PICTURE, factor))
    assert np.array_equal(levels.tile(factor, (0, 0)), expected[:TILE, :TILE])
    assert expected.shape == (-(-1100 // factor), -(-700 // factor))


def test_colours_stay_colours() -> None:
    colours = np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    assert PictureLevels(colours).tile(2, (0, 0)).shape == (20, 30, 3)
    assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(png(colours)))), colours)


def test_values_that_are_no_numbers_are_black() -> None:
    odd = np.array([[np.nan, 1.0], [np.inf, 0.0]])
    assert PictureLevels(odd).tile(1, (0, 0))[0, 0] == 0
    assert PictureLevels(odd).tile(2, (0, 0)).shape == (1, 1)


@pytest.mark.parametrize("place", PLACES)
def test_outlines_in_tiles_are_those_of_the_whole(place: tuple[int, int]) -> None:
    labels = _labels()
    inks = inks_of(np.full(6, 0.9))
    whole = outline_pixels(labels) * inks[labels]
    whole[grown(whole > 0) & (labels == 0)] = 1
    (row, col) = place
    wanted = whole[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
    assert np.array_equal(LabelLevels(labels).outlines(1, place, inks=inks), wanted)


def test_outlines_from_far_away_are_those_of_the_smaller_labels() -> None:
    labels, inks = _labels(), inks_of(np.full(6, 0.9))
    drawn = LabelLevels(labels).outlines(4, (0, 0), inks=inks)
    small = middle(labels, 4)
    assert drawn.shape == small.shape
    assert np.array_equal(drawn > 1, outline_pixels(small))


def test_unsure_nuclei_are_grey_or_hidden() -> None:
    labels = _labels()
    confidence = np.array([np.nan, 0.9, 0.2, 0.9, 0.9, np.nan])
    grey = LabelLevels(labels).outlines(1, (0, 0), inks=inks_of(confidence, least=0.5))
    hidden = LabelLevels(labels).outlines(1, (0, 0), inks=inks_of(confidence, least=0.5, hide=True))
    assert grey[500, 505] == 2
    assert hidden[500, 505] == 0
    assert grey[10, 10] == hidden[10, 10] > 2


def test_outlines_let_through_what_lies_below() -> None:
    numbers = np.array([[0, 1, 2, 3]], np.uint8)
    shown = np.asarray(PIL.Image.open(io.BytesIO(outline_png(numbers, ON_DARK))).convert("RGBA"))
    assert shown[0, :, 3].tolist() == [0, 166, 255, 255]
    assert shown[0, 3, :3].tolist() == ON_DARK[0].tolist()


def test_a_pixel_tells_its_nucleus() -> None:
    levels = LabelLevels(_labels())
    assert [levels.at(*place) for place in ((10, 10), (9, 10), (-1, 0), (1100, 0), (1095, 695))] == [1, 0, 0, 0, 5]


def test_levels_are_counted_as_the_viewer_does() -> None:
    assert [factor_of(level, (1, 1)) for level in (0, 5)] == [1, 1]
    assert [factor_of(level, (513, 100)) for level in (10, 9, 8)] == [1, 2, 4]
    assert [factor_of(level, (512, 100)) for level in (9, 8)] == [1, 2]
