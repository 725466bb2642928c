"""Bytes of a PNG, TIFF or other picture file to an array, fast enough for tens of thousands of small masks."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.labels import relabel
from nucleate.data import source as limits
from nucleate.errors import DataError
from nucleate.io.tiff_colours import colours_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PICTURE_SUFFIXES", "decode_image", "decode_labels", "decode_mask", "digest_of", "stored_labels"]

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp")
"""Endings of the files that count as pictures in a data set, in lower case."""

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_PALETTE = 3
_PLAIN_MODES = {"1", "L", "I", "F", "I;16", "I;16B", "RGB"}


def decode_image(data: bytes, name: str) -> NDArray[Any]:
    """Decode a picture for training or segmentation.

    Alpha is dropped. Colour channels that are all equal become one.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        For messages.

    Returns
    -------
    (H, W) or (H, W, 3) ndarray
        In the file's dtype, usually uint8 or uint16.

    Raises
    ------
    DataError
        If it is no picture, damaged, a stack, of several channels, or too large.
    """
    pixels = _decode(data, name, palette=False)
    if pixels.ndim == 3:
        colours = pixels[..., : 3 if pixels.shape[-1] >= 3 else 1]
        first = colours[..., :1]
        pixels = first[..., 0] if (colours == first).all() else colours
    return np.ascontiguousarray(pixels)


def decode_mask(data: bytes, name: str) -> NDArray[Any]:
    """Decode the mask of one nucleus: (H, W), nonzero inside.

    Raises
    ------
    DataError
        As `decode_image`.
    """
    pixels = _decode(data, name, palette=False)
    # The maximum, not any(): a quarter of the time, and it keeps the dtype.
    return pixels if pixels.ndim == 2 else np.asarray(pixels[..., : 3 if pixels.shape[-1] >= 3 else 1].max(axis=-1))


def decode_labels(data: bytes, name: str) -> NDArray[np.int32]:
    """Decode a label image and renumber it 1..n without gaps.

    Returns
    -------
    (H, W) int32 ndarray

    Raises
    ------
    DataError
        As `stored_labels`.
    """
    return relabel(stored_labels(data, name))


def stored_labels(data: bytes, name: str) -> NDArray[Any]:
    """Decode a label image, its ids as they are in the file.

    In a PNG with a palette the index is the id. Equal colour channels count as one.

    Returns
    -------
    (H, W) int or bool ndarray

    Raises
    ------
    DataError
        As `decode_image`, and if ids are negative, not whole, or coded as colours.
    """
    pixels = _decode(data, name, palette=True)
    if pixels.ndim == 3:
        colours = pixels[..., : 3 if pixels.shape[-1] >= 3 else 1]
        if (colours != colours[..., :1]).any():
            raise DataError(f"{name} is coloured: got shape {pixels.shape}; a label image has one number a pixel")
        pixels = colours[..., 0]
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and (pixels == np.rint(pixels)).all()):
            raise DataError(f"{name} is no label image: got fractions; write whole numbers, 0 for background")
        pixels = pixels.astype(np.int64)
    if pixels.min(initial=0) < 0:
        raise DataError(f"{name} is no label image: got {pixels.min()}; ids are 0 for background, then 1..n")
    return pixels


def digest_of(pixels: NDArray[Any]) -> bytes:
    """Hash a picture; equal pixels of one type give equal bytes."""
    return hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()).digest()


def _decode(data: bytes, name: str, *, palette: bool) -> NDArray[Any]:
    if not data:
        raise DataError(f"cannot decode {name}: the file is empty; restore the file or remove it")
    try:
        # Decoders warn about harmless oddities of files (tags, chunks); damage raises.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = _by_format(data, name, palette=palette)
    except DataError:
        raise
    except Exception as error:
        # The decoders below raise errors of their own, without a common root.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"cannot decode {name}: {reason}; restore the file or remove it") from error
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] > 4) or pixels.size == 0:
        raise DataError(f"{name} is no single picture: got shape {pixels.shape}; give one (H, W) or (H, W, 3) a file")
    if pixels.dtype.kind not in "buif":
        raise DataError(f"{name} does not hold real numbers: got dtype {pixels.dtype}; save it as 8 or 16 bit")
    return pixels


def _by_format(data: bytes, name: str, *, palette: bool) -> NDArray[Any]:
    if data.startswith(_PNG):
        width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
        _check_size(name, width * height * 4 * max(1, depth // 8))
        if not (palette and kind == _PNG_PALETTE):
            import imagecodecs

            return np.asarray(imagecodecs.png_decode(data))
    elif data.startswith(_TIFF):
        return _tiff(data, name, stored=palette)
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        _check_size(name, picture.width * picture.height * 4)
        as_stored = _PLAIN_MODES | ({"P"} if palette else set())
        return np.asarray(picture if picture.mode in as_stored else picture.convert("RGB"))


def _tiff(data: bytes, name: str, *, stored: bool) -> NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        series = tiff.series[0]
        alike = sum((one.shape, one.dtype) == (series.shape, series.dtype) for one in tiff.series)
        if alike > 1:
            raise DataError(f"{name} is no single picture: got {alike} pages; give one picture a file")
        _check_size(name, series.nbytes)
        pixels = np.asarray(series.asarray(squeeze=False))
        axes = series.get_axes(squeeze=False)
        single = tuple(i for i, axis in enumerate(axes) if pixels.shape[i] == 1 and axis not in "YX")
        pixels = pixels.squeeze(axis=single)
        axes = "".join(axis for i, axis in enumerate(axes) if i not in single)
        if not stored:
            pixels, axes = colours_of(series.keyframe, pixels, axes=axes, display_only=tiff.is_imagej or tiff.is_ome)
            if "C" in axes:
                count = pixels.shape[axes.index("C")]
                raise DataError(f"{name} has {count} channels; give the one of the nuclei alone")
        elif pixels.ndim == 3 and "S" in axes and axes.index("S") < axes.index("Y"):
            pixels = np.moveaxis(pixels, 0, -1)
    return pixels


def _check_size(name: str, size: int) -> None:
    if size > limits.MAX_FILE_BYTES:
        raise DataError(f"{name} would take {size} bytes, over the limit of {limits.MAX_FILE_BYTES}; crop it")
