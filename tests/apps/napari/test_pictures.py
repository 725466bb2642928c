"""From layers to pictures with named axes, and back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nucleate.apps.napari.pictures import WHOLE, Picture, View, together
from nucleate.core.image import Image
from nucleate.core.lazy import lazy
from nucleate.errors import InputError, UsageError

pytestmark = pytest.mark.base

STACK = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ((), "TZ"),
        (("axis -5", "axis -4", "axis -3", "axis -2", "axis -1"), "TZ"),
        (("t", "c", "z", "y", "x"), "TZ"),
        (("z", "t", "c", "y", "x"), "TZ"),
        (("t", "time", "frame", "y", "x"), "T"),
    ],
)
@pytest.mark.parametrize("fixed", [(), ((1, 2),), ((0, 1), (2, 3)), ((0, 0), (1, 1), (2, 2))])
def test_labels_come_back_where_the_pixels_were(
    axes: tuple[str, ...], expected: str, fixed: tuple[tuple[int, int], ...]
) -> None:
    picture, view = Picture(STACK, axes=axes), View(fixed)
    image = view.of(picture).load()
    if not fixed:
        assert image.axes == f"{expected}YX"
    index = tuple(slice(i, i + 1) if (i := dict(fixed).get(axis)) is not None else slice(None) for axis in range(3))
    on_layer = view.to_layer(image.pixels, picture)
    first = min(axis for axis in range(4) if axis not in dict(fixed))  # what lies before it is left out
    assert np.array_equal(on_layer, STACK[index].reshape(STACK[index].shape[first:]))
    assert np.array_equal(view.from_layer(on_layer, picture), image.pixels)
    assert len(view.kept(picture)) == on_layer.ndim


@pytest.mark.parametrize(("axes", "depth"), [((), 2), (("z", "c", "t", "y", "x"), 0)])
def test_planes_in_depth_are_put_together(axes: tuple[str, ...], depth: int) -> None:
    picture, view = Picture(STACK, axes=axes), View(project="max")
    pixels = view.of(picture).load().pixels
    assert np.array_equal(view.to_layer(pixels, picture), STACK.max(axis=depth, keepdims=depth > 0))
    assert view.kept(picture) == list(range(depth == 0, 5))
    assert view.spread(picture) == [depth] * (depth > 0)


def test_channels_are_no_depth() -> None:
    assert WHOLE.of(Picture(STACK[0, 0], axes=("c", "y", "x"))).axes == "TYX"


def test_names_that_napari_makes_up_are_none() -> None:
    picture = Picture(np.zeros((2, 3, 4, 5)), axes=("-4", "Z ", "-2", "-1"))
    assert (picture.name_of(0), picture.name_of(1)) == ("", "z")


def test_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 5, 6, 4), np.uint8)
    picture = Picture(pixels, rgb=True)
    image = WHOLE.of(picture).load()
    assert image.axes == "ZYXS"
    assert np.array_equal(image.pixels, pixels[..., :3])
    blue = View(colour="blue").of(picture).load()
    assert (blue.axes, blue.pixels.tolist()) == ("ZYX", pixels[..., 2].tolist())


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        ((), (), None),
        ((1.0, 1.0), ("pixel", "pixel"), None),
        ((0.5, 0.25), ("pixel", "pixel"), (0.5, 0.25)),
        ((1.0, 1.0), ("micrometer", "micrometer"), (1.0, 1.0)),
        ((3.0, 500.0, 250.0), ("pixel", "nanometer", "nanometer"), (0.5, 0.25)),
        ((-0.5, 0.5), ("um", "um"), (0.5, 0.5)),
    ],
)
def test_size_of_pixels(scale: tuple[float, ...], units: tuple[str, ...], expected: tuple[float, float] | None) -> None:
    assert Picture(np.zeros((4, 5)), scale=scale, units=units).pixel_size_um == expected


@pytest.mark.parametrize(
    ("axes", "scale", "units", "step", "place"),
    [
        ((), (), (), None, None),
        (("t", "z", "y", "x"), (1, 2, 0.5, 0.25), (), 2, (4, 5, 6)),
        (("z", "t", "y", "x"), (2, 1, 0.5, 0.25), ("um", "pixel", "um", "um"), 2, (3, 5, 6)),
        (("t", "z", "y", "x"), (1, 300, 0.5, 0.25), ("s", "nm", "um", "um"), 0.3, (0.004, 5, 6)),
        (("t", "z", "y", "x"), (1, 1, 0.5, 0.25), ("pixel", "pixel", "um", "um"), None, (0, 5, 6)),
        (("t", "time", "y", "x"), (2, 2, 0.5, 0.25), (), None, (0, 5, 6)),
        ((), (0.5, 0.25), (), None, (0, 5, 6)),
        ((), (1, 5, 1, 1), ("pixel",) * 4, None, None),
        ((), (1, 5, 0.5, 0.25), ("pixel",) * 4, 5, (4, 5, 6)),
        ((), (1, 30, 0.5, 0.25), ("pixel", "second", "um", "um"), None, (0, 5, 6)),
        ((), (2, 30, 0.5, 0.25), ("um", "ms", "um", "um"), 2, (3, 5, 6)),
        (("t", "z", "y", "x"), (1, 2, 0.5, 0.25), ("s", "furlong", "um", "um"), None, (0, 5, 6)),
    ],
)
def test_step_and_place_of_a_stack(
    axes: tuple[str, ...],
    scale: tuple[float, ...],
    units: tuple[str, ...],
    step: float | None,
    place: tuple[float, ...] | None,
) -> None:
    picture = Picture(STACK[0], axes=axes, scale=scale, units=units, translate=(3, 4, 5, 6))
    image = WHOLE.of(picture)
    assert image.z_step_um == (None if step is None else pytest.approx(step))
    assert image.origin_um == (None if place is None else pytest.approx(place))
    assert WHOLE.of(Picture(STACK[0], axes=axes, scale=scale, units=units)).origin_um is None


@pytest.mark.parametrize(("units", "axes"), [(("second", "um", "um"), "TYX"), (("um",) * 3, "ZYX"), ((), "ZYX")])
def test_an_axis_without_a_name_is_time_by_its_unit(units: tuple[str, ...], axes: str) -> None:
    picture = Picture(STACK[0, 0], axes=("0", "1", "2"), scale=(30.0, 0.2, 0.2), units=units)
    assert WHOLE.of(picture).axes == axes


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match="no picture in it"):
        WHOLE.of(Picture(np.zeros(5)))
    with pytest.raises(InputError, match="no picture in it"):
        WHOLE.of(Picture(np.zeros((0, 5, 5))))
    with pytest.raises(InputError, match="no plane"):
        View(((0, 7),)).of(Picture(STACK))
    with pytest.raises(UsageError, match="nuclei of another size"):
        WHOLE.from_layer(np.zeros((5, 7), int), Picture(np.zeros((5, 6))))


def test_pictures_of_one_size_become_channels() -> None:
    names = ("DAPI", "GFP")
    pictures = [lazy(Image(STACK[i, 0], "ZYX", name=name)) for i, name in enumerate(names)]
    image = together(pictures).load()
    assert (image.axes, image.channel_names) == ("ZCYX", names)
    for z, c in itertools.product(range(4), range(2)):
        assert np.array_equal(image.pixels[z, c], STACK[c, 0, z])
    assert together(pictures[:1]) is pictures[0]
    with pytest.raises(UsageError, match="differ in size"):
        together([pictures[0], lazy(Image(STACK[0, 0, :2], "ZYX"))])
