"""Projection of a stack in depth to one plane."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nucleate.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.image import Image
    from nucleate.core.lazy import LazyImage, Window

__all__ = ["PROJECTIONS", "Projection", "project", "projected"]

Projection = Literal["max", "mean", "min"]

PROJECTIONS: tuple[str, ...] = get_args(Projection)
"""How planes may be put together: the brightest value suits nuclei that glow, the darkest stained nuclei on white."""


def project(image: Image, how: str | None) -> Image:
    """Put the planes of axis ``Z`` together, or of axis ``I`` if there is no ``Z``; channels and times stay apart.

    Parameters
    ----------
    image : Image
    how : {"max", "mean", "min"}, optional
        The largest value at each place, the mean (rounded for whole numbers), or the smallest; None for no projection.

    Returns
    -------
    Image
        Of the same dtype, without that axis; the image itself if it has neither axis, or `how` is None.

    Raises
    ------
    UsageError
        If there is no such projection.

    Examples
    --------
    >>> from nucleate.core.image import Image
    >>> stack = Image(np.array([[[1, 5]], [[4, 2]]]), "ZYX")
    >>> project(stack, "max").pixels
    array([[4, 5]])
    """
    if how is None or (letter := _depth(image.axes, how)) is None:
        return image
    pixels = _together(image.pixels, image.axes.index(letter), how=how)
    return replace(image, pixels=pixels, axes=image.axes.replace(letter, ""))


def projected(image: LazyImage, how: str | None) -> LazyImage:
    """Do what `project` does to a picture that stays in its file: planes are put together window by window.

    Raises
    ------
    UsageError
        If there is no such projection.
    """
    if how is None or (letter := _depth(image.axes, how)) is None:
        return image
    axis = image.axes.index(letter)
    window = partial(_planes_together, inner=image.window, axis=axis, count=image.shape[axis], how=how)
    shape = image.shape[:axis] + image.shape[axis + 1 :]
    return replace(image, window=window, shape=shape, axes=image.axes.replace(letter, ""))


def _depth(axes: str, how: str) -> str | None:
    """Choose the axis that a projection takes away, after a check that there is such a projection."""
    if how not in PROJECTIONS:
        raise UsageError(f"no projection {how!r}; use {', '.join(PROJECTIONS)}")
    return next((letter for letter in "ZI" if letter in axes), None)


def _planes_together(
    place: tuple[int, ...], *window: slice, inner: Window, axis: int, count: int, how: str
) -> NDArray[Any]:
    planes = [inner((*place[:axis], z, *place[axis:]), *window) for z in range(count)]
    return _together(np.stack(planes), 0, how=how)


def _together(pixels: NDArray[Any], axis: int, *, how: str) -> NDArray[Any]:
    if how == "max":
        return np.asarray(pixels.max(axis))
    if how == "min":
        return np.asarray(pixels.min(axis))
    mean = pixels.mean(axis, dtype=np.float64)
    return np.asarray((mean if pixels.dtype.kind == "f" else np.rint(mean)).astype(pixels.dtype))
