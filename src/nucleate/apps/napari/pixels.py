"""Pictures in files as arrays for napari's layers, of which only the part that is shown is read."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage

__all__ = ["LayerData", "LazyPixels", "pixels_of", "pyramid_of"]

LayerData: TypeAlias = tuple[Any, dict[str, Any], str]
"""napari's tuple for a layer: data, keyword arguments of the layer's class, its kind (``image``, ``labels``)."""

_LOADED_BYTES = 1 << 28  # 256 MB; pictures up to this are read whole, so that every view of them is quick
_CHUNK = 1024  # rows and columns of a chunk


class LazyPixels:
    """A picture of one channel that stays in its file, with the interface of an array.

    Parameters
    ----------
    image : LazyImage
        With any of the axes T, Z, I, Y, X and S; C must be taken out before.

    Examples
    --------
    >>> from nucleate.core.image import Image
    >>> from nucleate.core.lazy import lazy
    >>> pixels = LazyPixels(lazy(Image(np.arange(24).reshape(2, 3, 4), "ZYX")))
    >>> pixels[1, :, ::2]
    array([[12, 14],
           [16, 18],
           [20, 22]])
    """

    def __init__(self, image: LazyImage) -> None:
        self.image = image
        self.shape = image.shape
        self.dtype = image.dtype
        self.ndim = len(image.shape)
        self.size = math.prod(image.shape)
        self.nbytes = image.nbytes

    def __getitem__(self, key: Any, /) -> NDArray[Any]:  # noqa: ANN401 - whatever slices an array
        """Read a part, given by whole numbers, slices and an ellipsis; steps may be negative."""
        picked = [range(n)[one] for one, n in zip(_full(key, self.ndim), self.shape, strict=True)]
        ranges = [one if isinstance(one, range) else range(one, one + 1) for one in picked]
        depth = len(self.image.stack_shape)
        stack, (rows, cols, *colours) = ranges[:depth], ranges[depth:]
        pixels = np.empty([len(one) for one in ranges], self.dtype)
        steps: tuple[Any, ...] = (slice(None, None, rows.step), slice(None, None, cols.step), *map(_slice, colours))
        for place in np.ndindex(*map(len, stack)):
            at = tuple(one[i] for one, i in zip(stack, place, strict=True))
            pixels[place] = self.image.read(_span(rows), _span(cols), at=at)[steps]
        # As numpy does, drop each axis that was indexed by a single number.
        return np.asarray(pixels[tuple(slice(None) if isinstance(one, range) else 0 for one in picked)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: ANN401 - as numpy asks
        """Read all of it."""
        del copy
        return np.asarray(self[...], dtype)


def pixels_of(image: LazyImage, *, now: bool = True) -> Any:  # noqa: ANN401 - an array of one kind or another
    """Give a picture as an array for a layer: in memory up to 256 MB, else a dask array, or `LazyPixels` without dask.

    Parameters
    ----------
    image : LazyImage
        Of one channel.
    now : bool
        Whether the layer is shown at once; one that is hidden at first is read when it is looked at, whatever its size.

    Returns
    -------
    array-like
        Of the image's shape and dtype.
    """
    if now and image.nbytes <= _LOADED_BYTES:
        return image.load().pixels
    return _by_windows(image)


def pyramid_of(levels: Sequence[LazyImage]) -> list[Any]:
    """Give the sizes of a picture as arrays for a multiscale layer, the full size first."""
    return [_by_windows(level) for level in levels]


def _by_windows(image: LazyImage) -> Any:  # noqa: ANN401 - as above
    pixels = LazyPixels(image)
    try:
        # Where jinja2 is missing, dask keeps the stack of its first import alive, and with it an open file: so it is
        # imported on the empty stack of another thread.
        with ThreadPoolExecutor(1) as pool:
            dask: Any = pool.submit(import_module, "dask.array").result()
    except ImportError:
        return pixels
    lengths = dict.fromkeys("TZI", 1) | {"Y": _CHUNK, "X": _CHUNK, "S": 3}
    chunks = tuple(min(lengths[letter], n) for letter, n in zip(image.axes, image.shape, strict=True))
    # The lock is for the readers of files, which cannot read two windows at a time.
    return dask.from_array(pixels, chunks=chunks, lock=True, asarray=True, name=False)


def _full(key: Any, ndim: int) -> list[Any]:  # noqa: ANN401 - whatever slices an array
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis not in keys:
        keys.append(Ellipsis)
    place = keys.index(Ellipsis)
    missing = ndim - (len(keys) - 1)
    if missing < 0:
        raise IndexError(f"{len(keys) - 1} indices for {ndim} axes")
    return keys[:place] + [slice(None)] * missing + keys[place + 1 :]


def _slice(picked: range) -> slice:
    if not picked:
        return slice(0, 0)
    return slice(picked.start, picked.stop if picked.stop >= 0 else None, picked.step)


def _span(picked: range) -> slice:
    """Give the shortest slice of step 1 that holds what was picked of an axis."""
    return slice(min(picked), max(picked) + 1) if picked else slice(0, 0)
