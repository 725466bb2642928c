"""Micro-Manager's own index of a TIFF file: to which channel, depth, time and position each of its planes belongs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPageSeries

__all__ = ["planes_indexed"]

_COLUMNS = {"T": 2, "R": 3, "Z": 1, "C": 0}
"""Where the index has each axis; the place of the plane in the file follows them."""


def planes_indexed(tiff: TiffFile) -> TiffPageSeries | None:
    """Put the planes of a file into the order that its index tells, whatever other files its set has.

    Parameters
    ----------
    tiff : TiffFile

    Returns
    -------
    TiffPageSeries or None
        None where there is no index, or it does not tell the place of each plane, or some are missing between them.
    """
    index = (tiff.micromanager_metadata or {}).get("IndexMap")
    if index is None or len(index) < 2:
        return None
    pages: dict[int, Any] = {page.offset: page for page in tiff.pages}
    index = index[np.isin(index[:, 4], list(pages))].astype(np.int64)
    first = tiff.pages.first
    if len(index) != len(pages) or any(page.keyframe.hash != first.hash for page in pages.values()):
        return None
    places = index[:, list(_COLUMNS.values())]
    places -= places.min(axis=0)
    sizes = [int(size) + 1 for size in places.max(axis=0)]
    found = {tuple(place): pages[offset] for place, offset in zip(places.tolist(), index[:, 4].tolist(), strict=True)}
    if len(found) != len(pages) or math.prod(sizes) != len(pages):
        return None
    shape = [size for size in sizes if size > 1]
    axes = "".join(axis for axis, size in zip(_COLUMNS, sizes, strict=True) if size > 1)
    return TiffPageSeries(
        [found[place] for place in sorted(found)], (*shape, *first.shape), first.dtype, axes + first.axes
    )
