"""Turns the samples of TIFF pixels into what they mean: colours, channels, alpha, palette entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tifffile import TiffPage

__all__ = ["colours_of"]

_ALPHA = {EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA}
_JPEG = {COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.JPEG_2000_LOSSY}


def colours_of(page: TiffPage, pixels: NDArray[Any], *, axes: str, display_only: bool) -> tuple[NDArray[Any], str]:
    """Turn stored samples into grey, red-green-blue (axis ``S``, last, length 3) or channels (axis ``C``).

    Parameters
    ----------
    page : TiffPage
        The first page of the series, whose tags say what the samples mean.
    pixels : ndarray
        Samples as stored.
    axes : str
        A letter of tifffile for each axis.
    display_only : bool
        Whether a palette is only for display, as in ImageJ and OME files, so that the stored numbers count.

    Returns
    -------
    pixels : ndarray
        Pixels without alpha; CMYK, YCbCr and L*a*b* become red, green and blue; white-is-zero is inverted.
    axes : str
        The letters of the axes of `pixels`.
    """
    photometric = page.photometric
    if photometric == PHOTOMETRIC.PALETTE and page.colormap is not None and "S" not in axes and not display_only:
        return _look_up(page.colormap, pixels, axes=axes)
    if photometric == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu" and not display_only:
        pixels = ~pixels if pixels.dtype.kind == "b" else (1 << page.bitspersample) - 1 - pixels
    if "S" not in axes:
        return pixels, axes
    axis = axes.index("S")
    pixels, axes = np.moveaxis(pixels, axis, -1), axes[:axis] + axes[axis + 1 :] + "S"
    samples = pixels.shape[-1]
    if photometric == PHOTOMETRIC.SEPARATED and samples >= 4 and pixels.dtype.kind == "u":
        return _from_cmyk(pixels), axes
    if photometric == PHOTOMETRIC.YCBCR and samples == 3 and pixels.dtype == np.uint8 and page.compression not in _JPEG:
        return _from_ycbcr(pixels), axes
    if photometric == PHOTOMETRIC.CIELAB and samples >= 3 and pixels.dtype == np.uint8:
        return _from_lab(pixels), axes
    if photometric in {PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR} and samples in {3, 4}:
        return pixels[..., :3], axes
    colours = samples - sum(extra in _ALPHA for extra in page.extrasamples)
    return (pixels[..., 0], axes[:-1]) if colours <= 1 else (pixels[..., :colours], axes[:-1] + "C")


def _look_up(palette: NDArray[np.uint16], pixels: NDArray[Any], *, axes: str) -> tuple[NDArray[np.uint8], str]:
    entries = (palette.T >> 8 if palette.max(initial=0) > 255 else palette.T).astype(np.uint8)
    if (entries == entries[:, :1]).all():
        return entries[pixels, 0], axes
    return entries[pixels], axes + "S"


def _from_cmyk(pixels: NDArray[Any]) -> NDArray[Any]:
    # This is the plain formula without colour profiles, as in Pillow.
    top = float(np.iinfo(pixels.dtype).max)
    light = 1.0 - pixels[..., :4] / top
    return np.rint(top * light[..., :3] * light[..., 3:]).astype(pixels.dtype)


def _from_ycbcr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # This is full-range ITU-R BT.601, as in JPEG (JFIF 1.02).
    luma, blue, red = (pixels[..., i].astype(np.float32) for i in range(3))
    blue, red = blue - 128, red - 128
    mixed = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1)
    mixed_8bit: NDArray[np.uint8] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return mixed_8bit


def _from_lab(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from skimage.color import lab2rgb  # a slow import for a rare kind of file

    lab = pixels[..., :3].astype(np.float32)
    lab[..., 0] *= 100 / 255
    lab[..., 1:] = pixels[..., 1:3].view(np.int8)
    mixed: NDArray[np.uint8] = np.rint(lab2rgb(lab) * 255).astype(np.uint8)
    return mixed
