"""Label images as TIFF that ImageJ, QuPath, CellProfiler and Python open with the pixel size."""

from __future__ import annotations

import math
import zlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from nucleate.core.bands import PlaneOf, bands_of, places_of
from nucleate.core.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels

__all__ = ["label_type", "pages", "parts_of", "write_labels"]

_STRIP_BYTES = 1 << 18
_TILE = 512
_WORD = (1 << 32) - 1
_CLASSIC_BYTES = (1 << 32) - (1 << 25)
"""Most bytes that surely fit a file with offsets of 32 bits."""


def write_labels(
    path: Path | str,
    labels: Labels,
    *,
    pixel_size_um: tuple[float, float] | None = None,
    axes: str | None = None,
    z_step_um: float | None = None,
    t_step_s: float | None = None,
) -> None:
    """Write a label image or stack: uint16, or uint32 when an id is above 65535; zlib-compressed, without loss.

    Labels of more than 4 GB without compression become a BigTIFF in tiles, all others a plain TIFF in strips.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    labels : (..., H, W) Labels
        0 background, ids from 1; read part by part.
    pixel_size_um : (float, float), optional
        Height and width of a pixel; stored as ImageJ does.
    axes : str, optional
        Letters of the axes, as in `nucleate.core.image.Image`; pages (``I``) when None, which ImageJ shows as time.
    z_step_um : float, optional
        From one plane in depth to the next; left out if `pixel_size_um` is, since ImageJ has one unit for both.
    t_step_s : float, optional
        From one plane in time to the next.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    dtype, highest = label_type(labels)
    leading = labels.shape[:-2]
    axes = axes or "I" * len(leading) + "YX"
    lines = ["ImageJ=1.54f", f"images={math.prod(leading)}"]
    counts = _imagej_counts(axes[:-2], leading)
    lines += [f"{key}={count}" for key, count in counts.items()] + ["hyperstack=true"] * bool(counts) + ["loop=false"]
    options = pages(labels, dtype)
    if pixel_size_um is not None:
        lines += [f"spacing={z_step_um}"] if z_step_um is not None and "Z" in axes else []
        lines.append("unit=micron")
        options |= {"resolution": tuple(_per_micron(size) for size in pixel_size_um[::-1]), "resolutionunit": "NONE"}
    lines += [f"finterval={t_step_s}", "tunit=sec"] if t_step_s is not None and "T" in axes else []
    lines += ["min=0.0", f"max={float(max(highest, 1))}"]  # the display range: without it, low ids would look black
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, description="\n".join(lines) + "\n", metadata=None, **options)


def _per_micron(size_um: float) -> tuple[int, int]:
    """Give one over a size as the closest fraction of two numbers of 32 bits, as TIFF keeps it."""
    value = 1 / Fraction(float(size_um))
    return value.limit_denominator(min(_WORD, int(_WORD / value))).as_integer_ratio()


def label_type(labels: Labels) -> tuple[np.dtype[Any], int]:
    """Choose uint16, or uint32 when an id is above 65535, and tell the highest id."""
    planes = [PlaneOf(labels, at) for at in places_of(labels)]
    highest = max((int(part.max(initial=0)) for plane in planes for part in parts_of(plane)), default=0)
    return np.dtype(np.uint16 if highest <= 65535 else np.uint32), highest


def pages(labels: Labels, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Give what `tifffile.imwrite` needs to write labels part by part.

    Parameters
    ----------
    labels : (..., H, W) Labels
    dtype : dtype
        Of the file.

    Returns
    -------
    dict
        Keyword arguments: data, shape, how they are laid out and compressed.
    """
    width = labels.shape[-1]
    options = {"shape": labels.shape, "dtype": dtype, "photometric": "minisblack", "compression": "zlib"}
    if math.prod(labels.shape) * dtype.itemsize > _CLASSIC_BYTES:
        return options | {"data": _tiles(labels, dtype), "tile": (_TILE, _TILE), "bigtiff": True}
    rows = max(_STRIP_BYTES // max(width * dtype.itemsize, 1), 1)
    return options | {"data": _strips(labels, dtype, rows=rows), "rowsperstrip": rows, "bigtiff": False}


def parts_of(plane: PlaneOf) -> Iterator[NDArray[Any]]:
    """Read a plane of labels band by band."""
    for rows in bands_of(plane.shape):
        yield plane[rows, slice(0, plane.shape[1])]


def _strips(labels: Labels, dtype: np.dtype[Any], *, rows: int) -> Iterator[bytes]:
    for at in places_of(labels):
        # Bands need not end at the ends of strips.
        rest = np.empty((0, labels.shape[-1]), dtype)
        for part in parts_of(PlaneOf(labels, at)):
            rest = np.concatenate([rest, part.astype(dtype)])
            whole = len(rest) // rows * rows
            for top in range(0, whole, rows):
                yield zlib.compress(rest[top : top + rows].tobytes())
            rest = rest[whole:]
        if len(rest):
            yield zlib.compress(rest.tobytes())


def _tiles(labels: Labels, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    height, width = labels.shape[-2:]
    for at in places_of(labels):
        plane = PlaneOf(labels, at)
        for top in range(0, height, _TILE):
            part = plane[slice(top, min(top + _TILE, height)), slice(0, width)].astype(dtype)
            for left in range(0, width, _TILE):
                yield part[:, left : left + _TILE]


def _imagej_counts(axes: str, lengths: tuple[int, ...]) -> dict[str, int]:
    # ImageJ knows time, depth and channels, in this order, so pages beside time or depth have to be channels.
    pages = "frames" if set(axes) == {"I"} else "channels"
    names = {"T": "frames", "Z": "slices", "C": "channels", "I": pages}
    counts: dict[str, int] = {}
    for letter, length in zip(axes, lengths, strict=True):
        counts[names[letter]] = counts.get(names[letter], 1) * length
    return counts
