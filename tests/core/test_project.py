"""Projection of stacks in depth."""

from __future__ import annotations

import numpy as np
import pytest

from nucleate.core.image import Image
from nucleate.core.lazy import lazy
from nucleate.core.project import project, projected
from nucleate.errors import UsageError

pytestmark = pytest.mark.base


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "bool"])
@pytest.mark.parametrize("how", ["max", "mean", "min"])
def test_depth_goes_and_nothing_else(how: str, dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (2, 3, 4, 5, 6)).astype(dtype)
    image = project(Image(pixels, "TZCYX", (0.5, 0.25), ("a", "b", "c", "d"), "x"), how)
    assert (image.axes, image.pixels.dtype, image.name) == ("TCYX", np.dtype(dtype), "x")
    assert (image.pixel_size_um, image.channel_names) == ((0.5, 0.25), ("a", "b", "c", "d"))
    planes = [pixels[:, z].astype(float) for z in range(3)]
    for t, c, y, x in np.ndindex(image.pixels.shape):
        values = [float(plane[t, c, y, x]) for plane in planes]
        expected = {"max": max(values), "min": min(values), "mean": sum(values) / 3}[how]
        got = float(image.pixels[t, c, y, x])
        assert got == pytest.approx(expected if dtype == "f4" else round(expected), rel=1e-6)


def test_a_picture_without_depth_or_without_a_projection_stays() -> None:
    image, stack = Image(np.zeros((2, 4, 5)), "TYX"), Image(np.zeros((2, 4, 5)), "ZYX")
    assert project(image, "max") is image
    assert project(stack, None) is stack
    opened = lazy(stack)
    assert projected(opened, None) is opened


def test_pages_of_unknown_meaning_are_depth_where_nothing_else_is() -> None:
    pixels = np.arange(24).reshape(3, 2, 4)
    for made in (project(Image(pixels, "IYX"), "max"), projected(lazy(Image(pixels, "IYX")), "max").load()):
        assert made.axes == "YX"
        np.testing.assert_array_equal(made.pixels, pixels[2])
    assert project(Image(pixels.reshape(3, 2, 1, 4), "ZIYX"), "max").axes == "IYX"


def test_unknown_projections_are_named() -> None:
    with pytest.raises(UsageError, match="no projection 'median'; use max, mean, min"):
        project(Image(np.zeros((2, 4, 5)), "ZYX"), "median")
