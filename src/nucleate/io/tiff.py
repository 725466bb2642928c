"""TIFF with tifffile: ImageJ, OME, Aperio and plain files; axes from metadata where known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from nucleate.core.image import AXES, Image
from nucleate.io.faults import check_size, fault
from nucleate.io.tiff_colours import colours_of
from nucleate.io.tiff_metadata import channel_names, pixel_size_um

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read"]


def read(path: Path, max_bytes: int | None) -> Image:
    """Read the largest picture or stack of a TIFF file; the first of them if several are as large.

    Smaller ones in the same file, such as thumbnails and the levels of a pyramid, are passed over.

    Parameters
    ----------
    path : Path
        A TIFF or BigTIFF file.
    max_bytes : int, optional
        See `nucleate.io.images.read_image`.

    Returns
    -------
    Image
        Axes T, Z and C where ImageJ or OME metadata tell them, ``I`` for pages of unknown meaning; pixel size and
        channel names where they are known.

    Raises
    ------
    InputError
        If there is no picture in it, it is cut short, or the pixels are not real numbers.
    TooLargeError
        If it needs more than `max_bytes`.
    OSError, ValueError, ...
        As tifffile raises them for damaged files.
    """
    with tifffile.TiffFile(path) as tiff:
        series = _largest(path, tiff)
        if all(page is not None and page.parent is tiff for page in series.pages):
            return _read(path, tiff, series=series, max_bytes=max_bytes)
        # OME metadata of a recording that was stopped, or of a set of files: planes that are not there would be read
        # as black, and each file of a set would give the whole set. The file's own pages are read as they stand.
        with tifffile.TiffFile(path, is_ome=False) as plain:
            image = _read(path, plain, series=_largest(path, plain), max_bytes=max_bytes)
        return replace(image, pixel_size_um=pixel_size_um(tiff, series))


def _largest(path: Path, tiff: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    series = [one for one in tiff.series if one.size and {"Y", "X"} <= set(one.axes)] if len(tiff.pages) else []
    if not series:
        raise fault(path, "a TIFF file without a picture in it")
    return max(series, key=_area)


def _area(series: tifffile.TiffPageSeries) -> int:
    lengths = dict(zip(series.axes, series.shape, strict=True))
    return int(lengths["Y"] * lengths["X"])


def _read(path: Path, tiff: tifffile.TiffFile, *, series: tifffile.TiffPageSeries, max_bytes: int | None) -> Image:
    dtype = series.dtype
    if dtype is None or dtype.kind not in "buif":
        raise fault(path, f"pixels must be real numbers: got {dtype}", cure="save the real part or the magnitude")
    check_size(path, series.shape, itemsize=dtype.itemsize, max_bytes=max_bytes)
    _check_complete(path, tiff, series=series)
    pixels, axes = colours_of(
        series.keyframe, series.asarray(), axes=series.axes, display_only=tiff.is_imagej or tiff.is_ome
    )
    pixels, axes = _in_order(pixels, axes)
    names = channel_names(tiff, series)
    count = pixels.shape[axes.index("C")] if "C" in axes else 0
    return Image(pixels, axes, pixel_size_um(tiff, series), names if len(names) == count else (), path.name)


def _check_complete(path: Path, tiff: tifffile.TiffFile, *, series: tifffile.TiffPageSeries) -> None:
    # tifffile fills what is missing with zeros or leaves pages out; a black picture without nuclei would come of it.
    size = tiff.filehandle.size
    ends = [0]
    if series.dataoffset is not None:
        ends.append(series.dataoffset + series.nbytes)
    else:
        for page in series.pages:
            if page is not None and page.parent is tiff:
                ends.extend(o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False) if n)
    if max(ends) > size:
        raise fault(
            path, f"cut short: {max(ends)} bytes are needed, the file has {size}", cure="copy or export it again"
        )
    place = tiff.pages.next_page_offset
    if place is None:
        return
    tiff.filehandle.seek(place)
    read = tiff.filehandle.read(tiff.tiff.offsetsize)
    following = int.from_bytes(read, "little" if tiff.byteorder == "<" else "big")
    if following >= size:
        raise fault(path, f"cut short: the next page is at byte {following}, the file has {size}", cure="copy it again")


def _in_order(pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """Bring axes into the house's order; letters it does not know, and repeated ones, are joined into one axis."""
    letters = [letter if letter in AXES else "I" for letter in axes]
    order = sorted(range(len(letters)), key=lambda i: (AXES.index(letters[i]), i))
    pixels = pixels.transpose(order)
    kept = ""
    shape: list[int] = []
    for letter, length in zip((letters[i] for i in order), pixels.shape, strict=True):
        if kept.endswith(letter):
            shape[-1] *= length
        elif length > 1 or letter in "YXS":
            kept += letter
            shape.append(length)
    return np.ascontiguousarray(pixels.reshape(shape)), kept
