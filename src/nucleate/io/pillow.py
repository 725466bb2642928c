"""PNG, JPEG, GIF, BMP and WebP with Pillow; colour PNG with imagecodecs, as Pillow is slower and cuts to 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import imagecodecs
import numpy as np
import PIL.Image

from nucleate.core.image import Image
from nucleate.io.faults import check_size, fault

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read"]

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "WEBP")
_MOST_OF_A_BYTE = 8 * 8 * 8
"""Pixels for which a byte of a JPEG may stand."""
_DEPTH, _COLOUR_TYPE = 24, 25  # places of bit depth and colour type in the header of a PNG file


def read(path: Path, max_bytes: int | None) -> Image:
    """Read a file; the frames of an animation are axis ``I``.

    Parameters
    ----------
    path : Path
        A PNG, JPEG, GIF, BMP or WebP file.
    max_bytes : int, optional
        See `nucleate.io.images.read_image`.

    Returns
    -------
    Image
        bool for 1-bit pictures, uint16 or uint8 otherwise; ``YX`` for grey, ``YXS`` for colours. Palette entries become
        colours; if all of them are grey, the picture is grey.

    Raises
    ------
    TooLargeError
        If it needs more than `max_bytes`.
    OSError, SyntaxError, ValueError, ...
        As Pillow raises them for damaged files.
    """
    with path.open("rb") as stream, _open(stream) as picture:
        _check_jpeg(path, picture)
        # A JPEG file with several pictures holds a photograph, which comes first, and its previews.
        frames = 1 if picture.format in {"JPEG", "MPO"} else getattr(picture, "n_frames", 1)
        samples, deep = _samples(stream) if picture.format == "PNG" else (0, False)
        _check(path, picture, frames=frames, deep=samples if deep else 0, max_bytes=max_bytes)
        if frames > 1 and (deep or picture.mode.startswith("I")):
            raise fault(path, f"{frames} frames of 16 bits, of which only the first can be had", cure="save it as TIFF")
        if frames > 1:
            pixels = _frames(picture, frames)
        elif samples:
            stream.seek(0)
            pixels = imagecodecs.png_decode(stream.read())
            pixels = pixels[..., :3] if samples > 2 else pixels[..., 0]
        else:
            pixels = _frame(picture)
    colours = "S" if pixels.ndim == (4 if frames > 1 else 3) else ""
    return Image(pixels, ("I" if frames > 1 else "") + "YX" + colours, name=path.name)


def _open(stream: BinaryIO) -> PIL.Image.Image:
    # Pillow warns or raises from a fixed number of pixels on; here the memory limit decides instead.
    guard, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
    try:
        return PIL.Image.open(stream, formats=_FORMATS)
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = guard


def _samples(stream: BinaryIO) -> tuple[int, bool]:
    """Give the samples in a pixel of a PNG, 0 for plain grey and palettes, and whether samples have 16 bits."""
    place = stream.tell()
    stream.seek(0)
    header = stream.read(_COLOUR_TYPE + 1)
    stream.seek(place)
    samples = {2: 3, 4: 2, 6: 4}.get(header[_COLOUR_TYPE], 0)
    return samples, samples > 0 and header[_DEPTH] == 16


def _check_jpeg(path: Path, picture: PIL.Image.Image) -> None:
    """Refuse a JPEG that is too short for its size: it would be decoded for minutes, to grey."""
    width, height = picture.size
    # Each block of 8 x 8 pixels has at least one bit, of its mean; with arithmetic coding, which nobody uses, less.
    if picture.format in {"JPEG", "MPO"} and width * height > _MOST_OF_A_BYTE * path.stat().st_size:
        raise fault(path, f"damaged JPEG file: {path.stat().st_size:,} bytes cannot hold {width} x {height} pixels")


def _check(path: Path, picture: PIL.Image.Image, *, frames: int, deep: int, max_bytes: int | None) -> None:
    width, height = picture.size
    if picture.mode.startswith("I"):
        samples, itemsize = 1, 4
    elif picture.mode == "P" or frames > 1:
        samples, itemsize = 3, 1
    else:
        samples, itemsize = (deep, 2) if deep else (len(picture.getbands()), 1)
    check_size(path, (frames, height, width, samples), itemsize=itemsize, max_bytes=max_bytes)


def _frame(picture: PIL.Image.Image) -> NDArray[Any]:
    mode = picture.mode
    if mode in {"1", "L"}:
        return np.array(picture)
    if mode.startswith("I"):  # 16-bit grey has the mode "I;16", or "I" in older releases of Pillow
        return np.array(picture).astype(np.uint16)
    if mode in {"P", "PA"}:
        return _grey_if_grey(np.array(picture.convert("RGB")))
    if mode in {"RGBA", "RGBX"}:
        return np.array(picture)[..., :3]
    return np.array(picture.convert("RGB"))


def _frames(picture: PIL.Image.Image, count: int) -> NDArray[Any]:
    width, height = picture.size
    pixels = np.empty((count, height, width, 3), np.uint8)
    for index in range(count):
        picture.seek(index)
        pixels[index] = np.array(picture.convert("RGB"))
    return _grey_if_grey(pixels)


def _grey_if_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    red = pixels[..., 0]
    same = np.array_equal(red, pixels[..., 1]) and np.array_equal(red, pixels[..., 2])
    return np.ascontiguousarray(red) if same else pixels
