"""Makes an `Image` of whatever a caller has: an array, an `Image`, an open image, the path of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleate.core.checks import AnyPath, as_path
from nucleate.core.image import Image
from nucleate.core.lazy import LazyImage
from nucleate.errors import InputError
from nucleate.io.faults import check_size, fault
from nucleate.io.images import pictures_of, read_image

__all__ = ["Given", "as_image"]

Given: TypeAlias = NDArray[Any] | Image | LazyImage | AnyPath
"""An array (H, W) or (H, W, 3) of any real dtype, an `Image`, a `LazyImage` from `open_image`, or a file."""


def as_image(given: Given) -> Image:
    """Give the picture as an `Image`; a file or an open image is read as a whole.

    Masked values of a masked array count as not measured, as NaN does.

    Raises
    ------
    InputError
        If it cannot be read, is no picture, or is a file of several pictures of which none is named.

    Examples
    --------
    >>> as_image(np.zeros((4, 5, 3))).axes
    'YXS'
    """
    if isinstance(given, Image):
        return given
    if isinstance(given, str | bytes | os.PathLike):
        _check_single(as_path(given))
        return read_image(given)
    if isinstance(given, LazyImage):
        check_size(Path(given.name), given.shape, itemsize=given.dtype.itemsize, max_bytes=None)
        return given.load()
    pixels = _pixels(given)
    if pixels.ndim == 2:
        return Image(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return Image(pixels, "YXS")
    kind = type(given).__name__
    if pixels.ndim == 0:
        raise InputError(f"{kind} is no picture; give an array, the path of a file, or nucleate.core.image.Image")
    raise InputError(
        f"{kind} of shape {pixels.shape} can mean many things; "
        "give (H, W), (H, W, 3), or nucleate.core.image.Image with its axes named"
    )


def _check_single(path: Path) -> None:
    if path.exists() and (count := len(names := pictures_of(path))) > 1:
        first, last = (f"/{names[at]}" if path.is_dir() else f"#{at % count}" for at in (0, -1))
        name = path.name or path
        cure = f"name one as {name}{first} to {name}{last}, or read it with read_image(path, picture=0)"
        raise fault(path, f"holds {count} pictures", cure=cure)


def _pixels(given: Any) -> NDArray[Any]:  # noqa: ANN401 - checked here
    if isinstance(given, np.ma.MaskedArray):  # masked values count as not measured
        return np.ma.filled(given.astype(np.result_type(given.dtype, np.float32)), np.nan)
    if getattr(given, "mode", None) in {"P", "PA"}:  # a Pillow image whose pixels are numbers of colours
        given = given.convert("RGB")
    try:
        return np.asarray(given)
    except Exception as error:  # an object of another library may raise anything
        raise InputError(f"no picture can be made of {type(given).__name__}: {error}; give a NumPy array") from error
