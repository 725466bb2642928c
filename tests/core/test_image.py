"""What an image may be, its channels and its planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nucleate.core.image import Image
from nucleate.errors import InputError

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("shape", "axes", "problem"),
    [
        ((2, 3), "YXS", "axes do not fit"),
        ((2, 3), "XY", "axes do not fit"),
        ((2, 3), "YQ", "axes do not fit"),
        ((2, 3), "YY", "axes do not fit"),
        ((2, 3, 4), "TYX"[::-1], "axes do not fit"),
        ((3,), "Y", "no picture"),
        ((0, 3), "YX", "no picture"),
        ((2, 3, 4), "YXS", "three samples"),
    ],
)
def test_what_is_no_image(shape: tuple[int, ...], axes: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        Image(np.zeros(shape), axes, name="a.tif")
    assert str(caught.value).startswith("a.tif: ")


@pytest.mark.parametrize("dtype", [np.complex64, "U3", "M8[s]", object])
def test_pixels_are_real_numbers(dtype: Any) -> None:  # noqa: ANN401 - any dtype
    with pytest.raises(InputError, match="real numbers"):
        Image(np.zeros((2, 3), dtype))


@pytest.mark.parametrize("size", [0.5, (0, 0), (-1, 1), (np.nan, 1), (1, np.inf), (1, 1, 1), "ab"])
def test_pixels_have_a_height_and_a_width(size: Any) -> None:  # noqa: ANN401 - whatever a caller may give
    with pytest.raises(InputError, match=r"^a\.tif: pixel_size_um = .*; use height and width"):
        Image(np.zeros((2, 3)), pixel_size_um=size, name="a.tif")
    half: Any = np.float32(0.5)
    assert Image(np.zeros((2, 3)), pixel_size_um=(half, 1)).pixel_size_um == (0.5, 1)


def test_shapes() -> None:
    image = Image(np.zeros((2, 3, 4, 5, 6, 7, 3)), "TZICYXS")
    assert image.shape_HW == (6, 7)
    assert image.stack_shape == (2, 3, 4)
    assert Image(np.zeros((6, 7))).stack_shape == ()


def test_the_nuclear_stain_is_found_by_name_the_surest_first() -> None:
    pixels = np.arange(3)[:, None, None] * np.ones((3, 2, 2))
    image = Image(pixels, "CYX", channel_names=("GFP", "H2B-mCherry", "Hoechst 33342"))
    chosen = image.channel()
    assert (chosen.axes, chosen.channel_names) == ("YX", ("Hoechst 33342",))
    assert (chosen.pixels == 2).all()
    assert (Image(pixels, "CYX", channel_names=("a", "b", "c")).channel().pixels == 0).all()
    assert (Image(pixels, "CYX").channel().pixels == 0).all()


def test_channels_by_name_and_index() -> None:
    image = Image(np.arange(12).reshape(3, 2, 2), "CYX", channel_names=("DAPI", "405", "GFP"))
    assert image.channel("gfp").channel_names == ("GFP",)
    assert image.channel(2).channel_names == image.channel("2").channel_names == ("GFP",)
    assert image.channel("405").channel_names == ("405",)
    for wanted in ("nope", 3, -1, "²"):
        with pytest.raises(InputError, match=r"no channel .* it has DAPI, 405, GFP; give"):
            image.channel(wanted)


def test_an_image_without_channels_is_its_only_channel() -> None:
    image = Image(np.zeros((2, 2)))
    assert image.channel() is image
    assert image.channel(0) is image
    with pytest.raises(InputError, match="1 without names"):
        image.channel(1)
    with pytest.raises(InputError, match="no channel 'alpha'; it has red, green, blue; give"):
        Image(np.zeros((2, 2, 3)), "YXS").channel("alpha")


def test_the_channel_is_taken_out_of_the_middle() -> None:
    pixels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    chosen = Image(pixels, "ZCYX", pixel_size_um=(1.0, 2.0)).channel(1)
    assert (chosen.axes, chosen.pixel_size_um) == ("ZYX", (1.0, 2.0))
    np.testing.assert_array_equal(chosen.pixels, pixels[:, 1])


def test_planes_in_order() -> None:
    pixels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    planes = list(Image(pixels, "TZYX").planes())
    np.testing.assert_array_equal(planes, pixels.reshape(6, 4, 5))
    single = np.zeros((4, 5, 3))
    (only,) = Image(single, "YXS").planes()
    assert only is single
    with pytest.raises(InputError, match="choose one first"):
        list(Image(pixels, "TCYX").planes())
