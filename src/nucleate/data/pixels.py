"""Pictures, masks and label images of a data set as arrays, fast enough for tens of thousands of small masks."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.labels import relabel
from nucleate.core.text import one_line
from nucleate.data import source as limits
from nucleate.data.parsing import damage
from nucleate.data.stacks import number_planes
from nucleate.errors import DataError, InputError, TooLargeError
from nucleate.io.faults import check_size, quiet
from nucleate.io.images import open_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from tifffile import TiffFile

    from nucleate.core.lazy import LazyImage
    from nucleate.data.source import Source

__all__ = [
    "PICTURE_SUFFIXES",
    "decode_label_planes",
    "decode_labels",
    "digest_of_pixels",
    "is_flat",
    "planes_of_array",
    "read_mask",
    "read_picture",
    "read_size",
    "stored_labels",
    "whole_numbers",
]

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp")
"""Endings of the files that count as pictures in a data set, in lower case."""

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NPY = b"\x93NUMPY"
_JPEG, _LOSSY_WEBP = b"\xff\xd8\xff", b"VP8 "
_MOST_CHANNELS = 8
_MOST_COLOURS = 4
_PLAIN_MODES = {"1", "L", "I", "F", "I;16", "I;16B", "RGB", "P"}


def read_picture(source: Source, name: str) -> NDArray[Any]:
    """Read a picture for training or scoring as `nucleate.io.images` reads it for segmentation.

    Colour channels that are all equal become one. In a set of OME-TIFF files, each file counts by itself.

    Parameters
    ----------
    source : Source
    name : str
        Of the file in the source.

    Returns
    -------
    (H, W) or (H, W, 3) ndarray
        In the file's dtype, usually uint8 or uint16.

    Raises
    ------
    DataError
        If it is no picture, damaged, a stack, too large, has several channels, or is one of several in the file.
    """
    with _opened(source, name) as opened:
        _check_single(opened, f"{source}/{name}")
        check_size(Path(name), opened.shape, itemsize=opened.dtype.itemsize, max_bytes=limits.MAX_FILE_BYTES)
        pixels = opened.load().pixels
    if pixels.ndim == 3 and all(np.array_equal(pixels[..., 0], pixels[..., other]) for other in (1, 2)):
        pixels = pixels[..., 0]
    return np.ascontiguousarray(pixels)


def read_size(source: Source, name: str) -> tuple[int, int]:
    """Read how many rows and columns a picture has, which may be a stack or have several channels.

    Raises
    ------
    DataError
        If it is no picture, or damaged.
    """
    with _opened(source, name) as opened:
        return opened.shape_HW


@contextlib.contextmanager
def _opened(source: Source, name: str) -> Iterator[LazyImage]:
    shown, most = f"{source}/{name}", limits.MAX_FILE_BYTES
    with source.file(name) as path:
        try:
            with open_image(path, max_bytes=most, alone=True) as opened:
                yield opened
        except TooLargeError as error:
            raise DataError(f"{shown} would take more than the limit of {most} bytes; crop it") from error
        except InputError as error:
            raise DataError(str(error).replace(one_line(str(path)), one_line(shown))) from error


def read_mask(source: Source, name: str) -> NDArray[Any]:
    """Read the mask of one nucleus: (H, W), nonzero inside.

    Raises
    ------
    DataError
        As `read_picture`.
    """
    data = source.read(name)
    if data.startswith(_NPY) or _is_plain_png(data):
        pixels = _decode(data, f"{source}/{name}")
    else:
        pixels = read_picture(source, name)
    # The maximum takes a quarter of the time of any(), and keeps the dtype.
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


def decode_label_planes(data: bytes, name: str) -> NDArray[np.int32]:
    """Decode a label image, of one plane or of several, and renumber its nuclei.

    Returns
    -------
    (H, W) or (N, H, W) int32 ndarray
        Ids 1..n without gaps; no two planes share an id, even if they do in the file.

    Raises
    ------
    DataError
        As `stored_labels`, except that stacks along depth or time are read.
    """
    with _decoding(name):
        planes = _planes(data, name)
    if planes is None:
        return decode_labels(data, name)
    return number_planes(whole_numbers(planes, name))


def stored_labels(data: bytes, name: str) -> NDArray[Any]:
    """Decode a label image, with the ids as they are in the file.

    In a PNG with a palette the index is the id. Equal colour channels count as one.

    Returns
    -------
    (H, W) int or bool ndarray

    Raises
    ------
    DataError
        If it is no picture, damaged, a stack, or too large, or if ids are negative, not whole, coded as colours, or
        changed by lossy compression.
    """
    return whole_numbers(_of_equal_colours(_decode(data, name), name), name)


def planes_of_array(stored: NDArray[Any], name: str) -> NDArray[Any]:
    """Tell planes from channels in an array, whose axes have no names.

    Parameters
    ----------
    stored : (H, W), (..., H, W) or (H, W, C) ndarray
        A last axis of at most 4 holds channels if both axes before it are at least twice as long, and if the channels
        are equal colours or neither axis is more than 4 times as long as the other. A last axis of 5 to 8 holds
        channels if both are at least as long as its square, and neither is more than 4 times as long as the other.
    name : str
        Its name in a message.

    Returns
    -------
    (H, W) or (..., H, W) ndarray
        Equal colours become one.

    Raises
    ------
    DataError
        If it is empty, has fewer axes, or has channels that are no equal colours.
    """
    shape = stored.shape
    if len(shape) < 2 or not stored.size:
        raise DataError(f"{name} is no label image: got shape {shape}; give (H, W), or (N, H, W) of a stack")
    if len(shape) == 2:
        return stored
    short, long = sorted(shape[-3:-1])
    is_few = shape[-1] <= _MOST_COLOURS
    most = short // 2 if is_few else min(_MOST_CHANNELS, math.isqrt(short))
    if shape[-1] > most or (long > 4 * short and not (is_few and _is_grey(stored))):
        return stored
    if len(shape) > 3 or not is_few:
        raise DataError(
            f"{name} is no label image: got shape {shape}, whose last axis looks like one of channels; give (H, W), "
            "or (N, H, W) of a stack"
        )
    return _of_equal_colours(stored, name)


def digest_of_pixels(pixels: NDArray[Any]) -> bytes:
    """Hash a picture; equal pixels of one type give equal bytes."""
    return hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()).digest()


def is_flat(pixels: NDArray[Any]) -> bool:
    """Tell whether a picture has one value all over; two such pictures need not show the same place."""
    return bool((pixels == pixels.flat[0]).all())


def _of_equal_colours(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    if pixels.ndim == 2:
        return pixels
    if not _is_grey(pixels):
        raise DataError(f"{name} is coloured: got shape {pixels.shape}; a label image has one number a pixel")
    return pixels[..., 0]


def _is_grey(pixels: NDArray[Any]) -> bool:
    colours = pixels[..., : 3 if pixels.shape[-1] >= 3 else 1]
    return bool((colours == colours[..., :1]).all())


def whole_numbers(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    """Check that pixels can be the ids of a label image, and give them as integers.

    Raises
    ------
    DataError
        If they are negative or not whole.
    """
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and (pixels == np.rint(pixels)).all()):
            raise DataError(f"{name} is no label image: got fractions; write whole numbers, 0 for background")
        pixels = pixels.astype(np.int64)
    if pixels.dtype.kind not in "bui":
        raise DataError(f"{name} is no label image: got dtype {pixels.dtype}; write whole numbers, 0 for background")
    if pixels.min(initial=0) < 0:
        raise DataError(f"{name} is no label image: got {pixels.min()}; ids are 0 for background, then 1..n")
    return pixels


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    # Decoders warn about harmless oddities of files (tags, chunks); for damage, they raise.
    with damage(f"decode {name}", cure="restore the file or remove it"), quiet():
        yield


def _decode(data: bytes, name: str) -> NDArray[Any]:
    if not data:
        raise DataError(f"cannot decode {name}: the file is empty; restore the file or remove it")
    with _decoding(name):
        pixels = _by_format(data, name)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] > 4) or pixels.size == 0:
        raise _no_single(name, pixels.shape)
    if pixels.dtype.kind not in "buif":
        raise DataError(f"{name} does not hold real numbers: got dtype {pixels.dtype}; save it as 8 or 16 bit")
    return pixels


def _by_format(data: bytes, name: str) -> NDArray[Any]:
    """Decode numbers as they are stored; with a palette, these are indices, not colours."""
    if data.startswith(_PNG):
        width, height, depth = struct.unpack_from(">IIB", data, 16)
        _check_size(name, width * height * 4 * max(1, depth // 8))
        if _is_plain_png(data):
            import imagecodecs

            return np.asarray(imagecodecs.png_decode(data))
    elif data.startswith(_TIFF):
        return _tiff(data, name)
    elif data.startswith(_NPY):
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    elif data.startswith(_JPEG) or data[12:16] == _LOSSY_WEBP:
        raise DataError(f"{name} is compressed with losses, which change the ids; save label images as PNG or TIFF")
    from PIL import Image, UnidentifiedImageError

    try:
        opened = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:  # it would name the bytes, not the file
        raise ValueError(f"not a picture of a kind that is known (begins with {data[:8]!r})") from error
    with opened as picture:
        _check_size(name, picture.width * picture.height * 4)
        return np.asarray(picture if picture.mode in _PLAIN_MODES else picture.convert("RGB"))


def _is_plain_png(data: bytes) -> bool:
    """Tell whether a file is a PNG without a palette, by its colour type, the 26th byte."""
    return data.startswith(_PNG) and data[25:26] != b"\x03"


def _opened_tiff(data: bytes) -> TiffFile:
    """Open a TIFF file with its own planes only, since planes in other files would be filled with zeros."""
    import tifffile

    tiff = tifffile.TiffFile(io.BytesIO(data))
    lacks_planes = any(None in list(one.pages) for one in tiff.series)
    return tifffile.TiffFile(io.BytesIO(data), is_ome=False) if lacks_planes else tiff


def _tiff(data: bytes, name: str) -> NDArray[Any]:
    with _opened_tiff(data) as tiff:
        series = tiff.series[0]
        alike = sum((one.shape, one.dtype) == (series.shape, series.dtype) for one in tiff.series)
        if alike > 1:
            raise DataError(f"{name} is no single picture: got {alike} pages; give one picture a file")
        _check_size(name, series.nbytes)
        # Axes of length 1 are squeezed, but for rows and columns.
        pixels, axes = np.asarray(series.asarray(squeeze=True)), series.get_axes(squeeze=True)
        if "S" in axes:
            pixels = np.moveaxis(pixels, axes.index("S"), -1)
            axes = axes.replace("S", "") + "S"
    if pixels.ndim > 2 and axes != "YXS":  # a narrow stack is no picture of few colours
        if not axes.endswith("YX"):
            raise _no_single(name, pixels.shape, axes=f" ({axes})")
        raise _no_plane(name, int(np.prod(pixels.shape[:-2])), shape_HW=pixels.shape[-2:])
    return pixels


def _planes(data: bytes, name: str) -> NDArray[Any] | None:
    """Decode a stack along depth, time or files, (..., H, W), or a plane of an array; None if it is neither."""
    if data.startswith(_NPY):
        return planes_of_array(_by_format(data, name), name)
    if not data.startswith(_TIFF):
        return None
    with _opened_tiff(data) as tiff:
        series = tiff.series[0]
        alike = [one for one in tiff.series if (one.shape, one.dtype) == (series.shape, series.dtype)]
        axes, shape = series.get_axes(squeeze=True), series.get_shape(squeeze=True)
        if not axes.endswith("YX") or {*"CS"} & {*axes} or len(alike) * int(np.prod(shape[:-2])) < 2:
            return None
        _check_size(name, len(alike) * series.nbytes)
        return np.concatenate([np.asarray(one.asarray()).reshape(-1, *shape[-2:]) for one in alike])


def _check_single(opened: LazyImage, shown: str) -> None:
    count = max(len(opened.pictures), 1)
    if count > 1:
        raise DataError(f"{shown} is no single picture: got {count} pictures; give one a file")
    if opened.stack_shape:
        raise _no_plane(shown, math.prod(opened.stack_shape), shape_HW=opened.shape_HW)
    if "C" in opened.axes:
        count = opened.shape[opened.axes.index("C")]
        raise DataError(f"{shown} has {count} channels; give the one of the nuclei alone")


def _no_plane(name: str, planes: int, *, shape_HW: tuple[int, ...]) -> DataError:
    height, width = shape_HW
    colours = ", or save colours as RGB" if width in {3, 4} else ""
    return DataError(
        f"{name} is no single picture: got a stack of {planes} planes of {height} x {width}; "
        f"give one plane a file{colours}"
    )


def _no_single(name: str, shape: tuple[int, ...], *, axes: str = "") -> DataError:
    return DataError(f"{name} is no single picture: got shape {shape}{axes}; give one (H, W) or (H, W, 3) a file")


def _check_size(name: str, size: int) -> None:
    if size > limits.MAX_FILE_BYTES:
        raise DataError(f"{name} would take {size} bytes, over the limit of {limits.MAX_FILE_BYTES}; crop it")
