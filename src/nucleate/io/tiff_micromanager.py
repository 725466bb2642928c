"""Micro-Manager's own index of a TIFF file: to which channel, depth, time and position each of its planes belongs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPageSeries

__all__ = ["planes_indexed"]

_COLUMNS = {"T": 2, "R": 3, "Z": 1, "C": 0}
"""The column of each axis in the index; the place of the plane in the file follows them."""


def planes_indexed(tiff: TiffFile) -> TiffPageSeries | None:
    """Put the planes of a file into the order of its index, whatever other files its set has.

    Parameters
    ----------
    tiff : TiffFile

    Returns
    -------
    TiffPageSeries or None
        The last time is left out if planes of it are missing, since the recording was stopped there. If other
        planes are missing, all planes form one axis ``I``. None if there is no index, or it lacks the place of a plane.
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
    found = {tuple(place): pages[offset] for place, offset in zip(places.tolist(), index[:, 4].tolist(), strict=True)}
    if len(found) != len(pages):
        return None
    times, *others = (max(along) + 1 for along in zip(*found, strict=True))
    stopped = {place: page for place, page in found.items() if place[0] < times - 1}
    for planes, sizes in ((found, [times, *others]), (stopped, [times - 1, *others])):
        if planes and math.prod(sizes) == len(planes):
            axes = "".join(axis for axis, size in zip(_COLUMNS, sizes, strict=True) if size > 1)
            shape = (*(size for size in sizes if size > 1), *first.shape)
            return TiffPageSeries([planes[place] for place in sorted(planes)], shape, first.dtype, axes + first.axes)
    return TiffPageSeries(list(pages.values()), (len(pages), *first.shape), first.dtype, "I" + first.axes)
