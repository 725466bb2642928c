"""A stack in depth to one plane."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from nucleate.errors import UsageError

if TYPE_CHECKING:
    from nucleate.core.image import Image

__all__ = ["PROJECTIONS", "Projection", "project"]

Projection = Literal["max", "mean", "min"]

PROJECTIONS: tuple[str, ...] = get_args(Projection)
"""How planes may be put together: the brightest value for nuclei that glow, the darkest for stained ones on white."""


def project(image: Image, how: str) -> Image:
    """Put the planes of axis ``Z`` together; channels and times stay apart.

    Parameters
    ----------
    image : Image
    how : {"max", "mean", "min"}
        The largest value at each place, the mean (rounded for whole numbers), or the smallest.

    Returns
    -------
    Image
        Of the same dtype, without ``Z``; itself, if it has none.

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
    if how not in PROJECTIONS:
        raise UsageError(f"no projection {how!r}; use {', '.join(PROJECTIONS)}")
    if "Z" not in image.axes:
        return image
    axis, dtype = image.axes.index("Z"), image.pixels.dtype
    if how == "max":
        pixels = image.pixels.max(axis)
    elif how == "min":
        pixels = image.pixels.min(axis)
    else:
        mean = image.pixels.mean(axis, dtype=np.float64)
        pixels = (mean if dtype.kind == "f" else np.rint(mean)).astype(dtype)
    return replace(image, pixels=pixels, axes=image.axes.replace("Z", ""))
