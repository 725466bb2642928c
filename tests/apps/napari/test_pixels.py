"""Pictures in files with the face of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nucleate.apps.napari import pixels as module
from nucleate.apps.napari.pixels import LazyPixels, pixels_of, pyramid_of
from nucleate.core.image import Image
from nucleate.core.lazy import LazyImage, lazy

pytestmark = pytest.mark.base

ARRAYS = {
    "YX": np.arange(30).reshape(5, 6),
    "YXS": np.arange(90).reshape(5, 6, 3),
    "TZYX": np.arange(240).reshape(2, 4, 5, 6),
    "ZYXS": np.arange(180).reshape(2, 5, 6, 3),
}
KEYS: list[Any] = [
    ...,
    0,
    -1,
    slice(1, 4),
    slice(None, None, 2),
    slice(4, 1, -1),
    (slice(None), 3),
    (slice(None), slice(1, 5, 3)),
    (Ellipsis, slice(0, 2)),
    (Ellipsis, 1),
    (1, Ellipsis, slice(None, None, -2)),
    (Ellipsis, slice(None, -7, -1)),
    (Ellipsis, slice(-7, None, -1)),
    (slice(3, 3), slice(None)),
    (slice(None), slice(2, 2)),
]


@pytest.mark.parametrize("axes", ARRAYS)
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_slices_are_those_of_numpy(axes: str, key: Any) -> None:  # noqa: ANN401 - whatever slices an array
    array = ARRAYS[axes]
    pixels = LazyPixels(lazy(Image(array, axes)))
    assert pixels[key].shape == array[key].shape
    assert np.array_equal(pixels[key], array[key])


def test_face_of_an_array() -> None:
    array = ARRAYS["TZYX"]
    pixels = LazyPixels(lazy(Image(array, "TZYX")))
    assert (pixels.shape, pixels.dtype, pixels.ndim, pixels.size) == (array.shape, array.dtype, 4, 240)
    assert np.array_equal(np.asarray(pixels), array)
    with pytest.raises(IndexError, match="5 indices for 4 axes"):
        pixels[0, 0, 0, 0, 0]
    with pytest.raises(IndexError):
        pixels[2]


def _recorded(array: np.ndarray[Any, Any], axes: str) -> tuple[LazyImage, list[tuple[Any, ...]]]:
    """Give a picture that remembers which windows were read."""
    read: list[tuple[Any, ...]] = []

    def window(place: tuple[int, ...], rows: slice, cols: slice) -> Any:  # noqa: ANN401 - an array
        read.append((place, rows.start, rows.stop, cols.start, cols.stop))
        index: tuple[Any, ...] = (*place, rows, cols)
        return array[index]

    return LazyImage(array.shape, array.dtype, window, axes), read


def test_only_what_is_shown_is_read() -> None:
    image, read = _recorded(ARRAYS["TZYX"], "TZYX")
    assert LazyPixels(image)[1, 2, 1:3, 4].tolist() == ARRAYS["TZYX"][1, 2, 1:3, 4].tolist()
    assert read == [((1, 2), 1, 3, 4, 5)]


def test_small_pictures_are_loaded_large_ones_read_by_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(4096 * 64, dtype=np.uint16).reshape(64, 4096)
    image, read = _recorded(array, "YX")
    assert isinstance(pixels_of(image), np.ndarray)
    monkeypatch.setattr(module, "_LOADED_BYTES", 1000)
    read.clear()
    pixels = pixels_of(image)
    assert not isinstance(pixels, np.ndarray)
    assert read == []
    assert np.array_equal(np.asarray(pixels[:10, 5:9]), array[:10, 5:9])
    assert len(read) == 1
    assert read[0][4] - read[0][3] <= 1024


def test_pyramid() -> None:
    array = np.arange(64, dtype=np.uint8).reshape(8, 8)
    levels = pyramid_of([lazy(Image(array)), lazy(Image(array[::2, ::2].copy()))])
    assert [level.shape for level in levels] == [(8, 8), (4, 4)]
    assert np.array_equal(np.asarray(levels[1]), array[::2, ::2])
