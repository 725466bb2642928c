"""Reading whole and through windows, for the tests of readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.io.images import open_image, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.image import Image


def read_both_ways(path: Path) -> Image:
    """Read whole, then through windows; both are the same."""
    image, windows = read_image(path), read_lazily(path)
    assert (windows.axes, windows.pixel_size_um, windows.channel_names) == (
        image.axes,
        image.pixel_size_um,
        image.channel_names,
    )
    assert windows.pixels.dtype == image.pixels.dtype.newbyteorder("=")
    np.testing.assert_array_equal(windows.pixels, image.pixels)
    return image


def read_lazily(path: Path) -> Image:
    """Read through windows of odd sizes."""
    with open_image(path) as source:
        loaded = source.load()
        rows, cols = source.shape_HW
        if "C" not in source.axes:
            for index in np.ndindex(*source.stack_shape):
                plane = loaded.pixels[index]
                for top, left, size in ((0, 0, 1), (rows // 3, cols // 4, 7), (rows - 1, 0, 99)):
                    window = (slice(top, top + size), slice(left, left + size))
                    np.testing.assert_array_equal(source.read(*window, at=index), plane[window])
        return loaded


def numbers(*shape: int, dtype: Any = np.uint16) -> NDArray[Any]:  # noqa: ANN401 - any dtype
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)
