"""Overlays: what is drawn where, on any dtype, on dark and bright ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage
from tests.strategies import label_images

from nucleate.errors import OutputError
from nucleate.export import overlay
from nucleate.export.overlay import MOST_PIXELS, outline_pixels, render_overlay, stretch_of, write_overlay
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _scene(dtype: Any, low: float, high: float) -> tuple[NDArray[Any], NDArray[np.int32]]:  # noqa: ANN401 - any dtype
    """Draw two squares that touch and one apart."""
    labels = np.zeros((60, 80), np.int32)
    labels[10:30, 10:30], labels[10:30, 30:50], labels[40:55, 60:75] = 1, 2, 3
    return np.where(labels > 0, high, low).astype(dtype), labels


def _is_coloured(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(picture.astype(int), axis=-1) > 60)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.uint8, 10, 200), (np.uint16, 32991, 34072), (np.float32, -0.5, 1e-3), (np.bool_, 0, 1), (np.int32, 0, 10**9),
     (np.float64, 0, 1e300), (np.uint8, 230, 40)],
)  # fmt: skip
def test_outlines_lie_on_the_edges_inside_the_nuclei(dtype: Any, low: float, high: float) -> None:  # noqa: ANN401
    plane, labels = _scene(dtype, low, high)
    picture = render_overlay(plane, labels)
    assert picture.shape == (60, 80, 3)
    assert picture.dtype == np.uint8
    edge = np.zeros_like(labels, bool)
    for row, col, height, width in ((10, 10, 20, 20), (10, 30, 20, 20), (40, 60, 15, 15)):
        edge[row : row + height, col : col + width] = True
        edge[row + 1 : row + height - 1, col + 1 : col + width - 1] = False
    coloured = _is_coloured(picture)
    assert not coloured[~edge].any()
    drawn = picture[edge]
    assert (drawn.max(axis=-1) == 255).all()
    inner, ground = picture[20, 20].astype(int), picture[58, 5].astype(int)
    assert abs(inner - ground).min() > 200  # the whole range is used


def test_outline_by_hand() -> None:
    labels = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 2], [0, 1, 1, 1, 2], [0, 1, 1, 1, 2], [0, 0, 0, 0, 0]])
    expected = labels > 0
    expected[2, 2] = False
    assert (outline_pixels(labels) == expected).all()


@given(label_images())
def test_outline_is_where_a_neighbour_differs(labels: NDArray[np.int32]) -> None:
    height, width = labels.shape
    for row, col in np.ndindex(height, width):
        around = [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
        values = [labels[r, c] if 0 <= r < height and 0 <= c < width else 0 for r, c in around]
        assert outline_pixels(labels)[row, col] == (labels[row, col] > 0 and any(v != labels[row, col] for v in values))


@given(label_images())
def test_a_thick_outline_is_the_outline_of_what_is_left_as_well(labels: NDArray[np.int32]) -> None:
    first = outline_pixels(labels)
    assert (outline_pixels(labels, 2) == first | outline_pixels(np.where(first, 0, labels))).all()


def test_touching_nuclei_have_different_colours() -> None:
    labels = np.kron(np.arange(1, 101).reshape(10, 10), np.ones((6, 6), int))
    picture = render_overlay(np.zeros((60, 60)), labels)
    centre = picture[::6, ::6]  # a corner of each square lies on its outline
    assert (centre[:, 1:] != centre[:, :-1]).any(axis=-1).all()
    assert (centre[1:] != centre[:-1]).any(axis=-1).all()
    assert (centre[1:, 1:] != centre[:-1, :-1]).any(axis=-1).all()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) <= 8


def test_outlines_stand_out_from_a_white_ground() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 1
    plane = np.where(labels > 0, 90, 250).astype(np.uint8)
    picture = render_overlay(np.stack([plane] * 3, axis=-1), labels).astype(int)
    assert picture[9, 20].max() < 100  # the dark rim, between the line and the white
    assert picture[5, 20].min() > 240
    assert np.abs(picture[10, 20] - picture[20, 20]).max() > 150


def test_dim_nuclei_beside_bright_ones_can_be_seen() -> None:
    plane = np.full((100, 100), 200.0)
    plane[10:40, 10:40], plane[60:90, 60:90] = 10_000, 700
    picture = render_overlay(plane, np.zeros((100, 100), np.int32))
    assert picture[75, 75, 0] > picture[50, 10, 0] + 25


@pytest.mark.parametrize("side", [400, 2500])
def test_few_nuclei_on_noise_are_bright_on_dark_ground(side: int) -> None:
    plane = np.random.default_rng(0).normal(105, 3, (side, side))
    plane[40:70, 40:70] += np.linspace(100, 900, 30)
    plane[::50, 100] += 3000  # hot pixels
    stretch = stretch_of(plane.astype(np.uint16))
    assert np.median(stretch.shown(plane)) < 40
    assert 100 < np.median(stretch.shown(plane[40:70, 40:70])) < 250


@pytest.mark.parametrize("kind", ["quiet, 8 bit", "smoothed", "uneven light", "stripes"])
def test_few_nuclei_are_bright_whatever_the_noise_is_like(kind: str) -> None:
    rng, (rows, cols) = np.random.default_rng(0), np.mgrid[:600, :600]
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, rows.shape), 1.5)
    plane = {
        "quiet, 8 bit": rng.normal(3, 0.5, rows.shape),
        "smoothed": 500 + 10 * smooth / smooth.std(),
        "uneven light": rng.normal(600, 10, rows.shape) - 250 * np.hypot(rows - 300, cols - 300) / 424,
        "stripes": rng.normal(500, 10, (600, 1)) + rng.normal(0, 2, rows.shape),
    }[kind]
    nucleus = np.hypot(rows - 200, cols - 150) < 10
    plane[nucleus] = 8 * plane.max() + plane[nucleus]
    shown = stretch_of(plane.astype(np.uint16)).shown(plane)
    assert np.median(shown) < 40
    assert np.median(shown[nucleus]) > 200


def test_a_bar_does_not_darken_a_large_field_whose_sample_is_coarse() -> None:
    rng = np.random.default_rng(0)
    nuclei = np.tile(ndimage.gaussian_filter(rng.normal(0, 1, (500, 500)), 8, mode="wrap"), (12, 12))
    plane = (300 + 150 * nuclei / np.abs(nuclei).max()).astype(np.uint16)
    before = stretch_of(plane).span
    plane[-100:-60, 50:1200] = 65535
    assert stretch_of(plane).span < 1.2 * before


@pytest.mark.parametrize("ground", [300, 40_000])
def test_a_bar_does_not_darken_a_field_full_of_nuclei_or_a_bright_one(ground: int) -> None:
    rng = np.random.default_rng(0)
    nuclei = ndimage.gaussian_filter(rng.normal(0, 1, (400, 400)), 8)
    plane = ground + 0.5 * ground * nuclei / np.abs(nuclei).max() + rng.normal(0, 0.01 * ground, nuclei.shape)
    before = np.median(stretch_of(plane.astype(np.uint16)).shown(plane))
    plane[380:383, 200:290] = 65535
    assert np.median(stretch_of(plane.astype(np.uint16)).shown(plane)) == pytest.approx(before, rel=0.1)


def test_nan_and_inf_and_constant_planes() -> None:
    plane, labels = _scene(np.float32, 0, 1)
    plane[0, :5], plane[59, 0], plane[59, 1] = np.nan, np.inf, -np.inf
    picture = render_overlay(plane, labels)
    assert (picture[0, :5] == 0).all()
    assert (picture[59, 0] == 255).all()
    assert (picture[59, 1] == 0).all()
    nothing = np.zeros((5, 6), np.int32)
    assert (render_overlay(np.full((5, 6), np.nan), nothing) == 0).all()
    assert (render_overlay(np.full((5, 6), 7), nothing) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 2)])
def test_smallest_planes(shape: tuple[int, int]) -> None:
    picture = render_overlay(np.ones(shape, np.uint8), np.ones(shape, np.int32))
    assert picture.shape == (*shape, 3)
    assert (picture.max(axis=-1) == 255).all()


def test_lines_are_thicker_on_larger_pictures_but_never_hide_small_nuclei() -> None:
    large = np.zeros((1800, 1800), np.int32)
    large[500:1000, 500:1000] = 1
    coloured = _is_coloured(render_overlay(np.zeros((1800, 1800)), large))
    assert coloured[500:1000, 750].sum() == 8
    small = np.zeros((1800, 1800), np.int32)
    small[500:512, 500:512] = 1
    assert _is_coloured(render_overlay(np.zeros((1800, 1800)), small))[500:512, 506].sum() == 2


def test_large_planes_are_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_PIXELS == 4096**2
    labels = np.zeros((600, 9000), np.uint16)
    labels[150:450, 3000:3300] = 1
    with monkeypatch.context() as patched:
        patched.setattr(overlay, "MOST_PIXELS", 200 * 3000)
        picture = render_overlay(labels, labels)
    assert picture.shape == (200, 3000, 3)
    rows, cols = np.nonzero(_is_coloured(picture))
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (50, 149, 1000, 1099)


@pytest.mark.parametrize(("shape", "drawn"), [((64, 20_000), (64, 20_000)), ((45_000, 90), (30_000, 60))])
def test_long_and_narrow_planes_stay_readable(shape: tuple[int, int], drawn: tuple[int, int]) -> None:
    labels = np.zeros(shape, np.uint8)
    labels[20:40, 20:40] = 1
    assert render_overlay(labels, labels).shape == (*drawn, 3)


def test_ids_with_gaps() -> None:
    plane, labels = _scene(np.uint8, 0, 9)
    assert _is_coloured(render_overlay(plane, labels * 50_000)).any()


def test_written_as_png(tmp_path: Path) -> None:
    plane, labels = _scene(np.uint16, 3, 900)
    write_overlay(tmp_path / "a.overlay.png", plane, labels=labels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.overlay.png").pixels, render_overlay(plane, labels))
    with pytest.raises(OutputError, match="cannot write"):
        write_overlay(tmp_path / "no" / "a.png", plane, labels=labels)
