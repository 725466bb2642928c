"""LazyImage: windows, channels and planes of what is not in memory, equal to the same of an Image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate.core.image import Image
from nucleate.core.lazy import LazyImage, lazy
from nucleate.errors import InputError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _stack(axes: str) -> Image:
    shape = [{"T": 2, "Z": 3, "I": 2, "C": 4, "Y": 5, "X": 6, "S": 3}[letter] for letter in axes]
    names = ("green", "Hoechst", "red", "far red") if "C" in axes else ()
    return Image(np.arange(np.prod(shape)).reshape(shape), axes, (0.5, 0.25), names, "a")


@pytest.mark.parametrize("axes", ["YX", "YXS", "CYX", "ZCYX", "TZICYX", "TZICYXS"])
def test_a_lazy_image_is_its_image(axes: str) -> None:
    image = _stack(axes)
    with lazy(image) as source:
        assert source.shape_HW == image.shape_HW
        assert source.stack_shape == image.stack_shape
        assert source.nbytes == image.pixels.nbytes
        loaded = source.load()
        np.testing.assert_array_equal(loaded.pixels, image.pixels)
        assert (loaded.axes, loaded.pixel_size_um, loaded.channel_names) == (axes, (0.5, 0.25), image.channel_names)
        chosen, expected = source.channel(), image.channel()
        assert (chosen.axes, chosen.channel_names) == (expected.axes, expected.channel_names)
        for index, plane in zip(np.ndindex(*image.stack_shape), expected.planes(), strict=True):
            part: NDArray[Any] = plane[1:4, 2:]
            one: Image | LazyImage
            for one in (chosen, expected):
                np.testing.assert_array_equal(one.read(slice(1, 4), slice(2, None), at=index), part)
            np.testing.assert_array_equal(chosen.plane(index).read(slice(1, 4), slice(2, 99)), part)
        assert chosen.plane(index).stack_shape == ()


@pytest.mark.parametrize("axes", ["YXS", "TZYXS"])
def test_a_colour_of_a_coloured_image_can_be_kept(axes: str) -> None:
    image = _stack(axes)
    for index, colour in enumerate(("red", "Green", "blue")):
        kept = image.channel(colour)
        assert kept.axes == axes[:-1]
        np.testing.assert_array_equal(kept.pixels, image.pixels[..., index])
        np.testing.assert_array_equal(lazy(image).channel(colour).load().pixels, kept.pixels)
    for source in (image, lazy(image)):
        with pytest.raises(InputError, match="no channel 'pink'"):
            source.channel("pink")
    with pytest.raises(InputError, match="no channel 'red'"):
        _stack("YX").channel("red")


def test_only_the_window_is_asked_for() -> None:
    asked: list[tuple[tuple[int, ...], slice, slice]] = []

    def window(place: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        asked.append((place, rows, cols))
        return np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.uint8)

    huge = LazyImage((3, 2, 10**6, 10**6), np.dtype(np.uint16), window, "ZCYX", channel_names=("GFP", "DAPI"))
    assert huge.channel().read(slice(-10, None), slice(5, 7), at=(2,)).dtype == np.uint16
    assert huge.channel().plane((0,)).read(slice(3, 3), slice(0, 9)).shape == (0, 9)
    assert asked == [((2, 1), slice(999_990, 1_000_000), slice(5, 7))]


def test_wrong_places_are_refused() -> None:
    source = lazy(_stack("ZCYX"))
    every = slice(None)
    with pytest.raises(InputError, match="several channels; choose one first"):
        source.read(every, every, at=(0,))
    with pytest.raises(InputError, match="no channel 'actin'; it has green, Hoechst, red, far red"):
        source.channel("actin")
    for image in (source.channel("red"), _stack("ZCYX").channel("red")):
        wrong: list[Any] = [(), (3,), (-1,), (0, 0), 0, ("a",), (0.5,)]
        for at in wrong:
            with pytest.raises(InputError, match=r"no plane .*; give an index from 0 for each of the lengths \(3,\)"):
                image.read(every, every, at=at)
            with pytest.raises(InputError, match="no plane"):
                source.plane(at)


def test_windows_have_no_steps() -> None:
    wrong: list[Any] = [0, slice(0, 4, 2), slice(None, None, -1), slice(0.5, 2), (0, 2)]
    for image in (_stack("YX"), lazy(_stack("YX"))):
        assert image.read(slice(np.int64(1), 3, 1), slice(None)).shape == (2, 6)
        for part in wrong:
            for window in ((part, slice(0, 2)), (slice(0, 2), part)):
                with pytest.raises(UsageError, match=r"^a: no rows or columns: got .*; give a slice without a step"):
                    image.read(*window)


def test_images_are_looked_up_by_identity() -> None:
    image, other = _stack("YX"), _stack("YX")
    assert image in [other, image]
    assert image not in [other]
    assert len({image, other, image}) == 2


@pytest.mark.parametrize(
    ("shape", "axes", "dtype"),
    [((4, 5), "XY", "u1"), ((4, 0), "YX", "u1"), ((4, 5), "ZY", "u1"), ((4, 5, 4), "YXS", "u1"), ((4, 5), "YX", "c8")],
)
def test_what_is_no_picture_is_refused(shape: tuple[int, ...], axes: str, dtype: str) -> None:
    with pytest.raises(InputError, match=r"^image: "):
        LazyImage(shape, np.dtype(dtype), lambda *_: np.zeros(0), axes)


def test_a_reader_that_gives_too_little_is_noticed() -> None:
    source = LazyImage((4, 5), np.dtype("u1"), lambda *_: np.zeros((4, 4), np.uint8), name="a.czi")
    with pytest.raises(InputError, match=r"a.czi: damaged: \(4, 5\) pixels are said to be there, got \(4, 4\)"):
        source.load()


def test_closing_closes_the_file() -> None:
    closed: list[bool] = []
    with LazyImage((1, 1), np.dtype("u1"), lambda *_: np.zeros((1, 1)), release=lambda: closed.append(True)):
        assert closed == []
    assert closed == [True]
