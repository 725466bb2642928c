"""Bytes of a PNG, TIFF or other picture file to an array, fast enough for tens of thousands of small masks."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nucleate.core.labels import relabel
from nucleate.data import source as limits
from nucleate.errors import DataError
from nucleate.io.tiff_colours import colours_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = [
    "PICTURE_SUFFIXES",
    "decode_image",
    "decode_label_planes",
    "decode_labels",
    "decode_mask",
    "digest_of",
    "is_flat",
    "stored_labels",
]

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp")
"""Endings of the files that count as pictures in a data set, in lower case."""

_Found = TypeVar("_Found")
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_PALETTE = 3
_NPY = b"\x93NUMPY"
_JPEG, _LOSSY_WEBP = b"\xff\xd8\xff", b"VP8 "
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
    pixels = _decode(data, name, palette=data.startswith(_NPY))
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


def decode_label_planes(data: bytes, name: str) -> NDArray[np.int32]:
    """Decode a label image, of one plane or of several, and renumber its nuclei.

    Returns
    -------
    (H, W) or (N, H, W) int32 ndarray
        Ids 1..n without gaps; no two planes share one, also where they do in the file.

    Raises
    ------
    DataError
        As `stored_labels`, but for stacks along depth or time.
    """
    planes = _guarded(lambda: _tiff_planes(data, name), name) if data.startswith(_TIFF) else None
    if planes is None:
        return decode_labels(data, name)
    stored = _whole_numbers(planes, name)
    labels = np.zeros(stored.shape, np.int32)
    count = 0
    for plane, found in zip(labels, map(relabel, stored), strict=True):
        plane[...] = np.where(found > 0, found + count, 0)
        count += int(found.max(initial=0))
    return labels


def stored_labels(data: bytes, name: str) -> NDArray[Any]:
    """Decode a label image, its ids as they are in the file.

    In a PNG with a palette the index is the id. Equal colour channels count as one.

    Returns
    -------
    (H, W) int or bool ndarray

    Raises
    ------
    DataError
        As `decode_image`, and if ids are negative, not whole, coded as colours, or changed by lossy compression.
    """
    pixels = _decode(data, name, palette=True)
    if pixels.ndim == 3:
        colours = pixels[..., : 3 if pixels.shape[-1] >= 3 else 1]
        if (colours != colours[..., :1]).any():
            raise DataError(f"{name} is coloured: got shape {pixels.shape}; a label image has one number a pixel")
        pixels = colours[..., 0]
    return _whole_numbers(pixels, name)


def digest_of(pixels: NDArray[Any]) -> bytes:
    """Hash a picture; equal pixels of one type give equal bytes."""
    return hashlib.sha256(f"{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()).digest()


def is_flat(pixels: NDArray[Any]) -> bool:
    """Tell whether a picture has one value all over; two such pictures need not be of one place."""
    return bool((pixels == pixels.flat[0]).all())


def _whole_numbers(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and (pixels == np.rint(pixels)).all()):
            raise DataError(f"{name} is no label image: got fractions; write whole numbers, 0 for background")
        pixels = pixels.astype(np.int64)
    if pixels.dtype.kind not in "bui":
        raise DataError(f"{name} is no label image: got dtype {pixels.dtype}; write whole numbers, 0 for background")
    if pixels.min(initial=0) < 0:
        raise DataError(f"{name} is no label image: got {pixels.min()}; ids are 0 for background, then 1..n")
    return pixels


def _guarded(read: Callable[[], _Found], name: str) -> _Found:
    try:
        # Decoders warn about harmless oddities of files (tags, chunks); damage raises.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # Decoders raise errors of their own, without a common root.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"cannot decode {name}: {reason}; restore the file or remove it") from error


def _decode(data: bytes, name: str, *, palette: bool) -> NDArray[Any]:
    if not data:
        raise DataError(f"cannot decode {name}: the file is empty; restore the file or remove it")
    pixels = _guarded(lambda: _by_format(data, name, palette=palette), name)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] > 4) or pixels.size == 0:
        raise _no_single(name, pixels.shape)
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
    elif palette and data.startswith(_NPY):
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    elif palette and (data.startswith(_JPEG) or data[12:16] == _LOSSY_WEBP):
        raise DataError(f"{name} is compressed with losses, which change the ids; save label images as PNG or TIFF")
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
        elif "S" in axes:
            pixels = np.moveaxis(pixels, axes.index("S"), -1)
            axes = axes.replace("S", "") + "S"
    if pixels.ndim > 2 and axes != "YXS":  # a narrow stack is no picture of few colours
        if not axes.endswith("YX"):
            raise _no_single(name, pixels.shape, axes=f" ({axes})")
        planes, (height, width) = int(np.prod(pixels.shape[:-2])), pixels.shape[-2:]
        colours = ", or save colours as RGB" if width in {3, 4} else ""
        raise DataError(
            f"{name} is no single picture: got a stack of {planes} planes of {height} x {width}; "
            f"give one plane a file{colours}"
        )
    return pixels


def _tiff_planes(data: bytes, name: str) -> NDArray[Any] | None:
    """Decode a stack along depth, time or files, (N, H, W); None if it is none."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        series = tiff.series[0]
        alike = [one for one in tiff.series if (one.shape, one.dtype) == (series.shape, series.dtype)]
        axes, shape = series.get_axes(squeeze=True), series.get_shape(squeeze=True)
        if not axes.endswith("YX") or {*"CS"} & {*axes} or len(alike) * int(np.prod(shape[:-2])) < 2:
            return None
        _check_size(name, len(alike) * series.nbytes)
        return np.concatenate([np.asarray(one.asarray()).reshape(-1, *shape[-2:]) for one in alike])


def _no_single(name: str, shape: tuple[int, ...], *, axes: str = "") -> DataError:
    return DataError(f"{name} is no single picture: got shape {shape}{axes}; give one (H, W) or (H, W, 3) a file")


def _check_size(name: str, size: int) -> None:
    if size > limits.MAX_FILE_BYTES:
        raise DataError(f"{name} would take {size} bytes, over the limit of {limits.MAX_FILE_BYTES}; crop it")
