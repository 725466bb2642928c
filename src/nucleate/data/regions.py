"""Outlined nuclei to label images: polygons and run-length codes painted pixel by pixel.

Coordinates are (x, y) in pixels from the outer corner of the first one, as annotation programs count; a pixel belongs
to a polygon that holds its centre. So polygons along pixel edges give back their mask exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.labels import relabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "Region",
    "enclosing",
    "faults",
    "paint_regions",
    "painting_order",
    "region_of_rings",
    "region_of_runs",
    "union",
    "without",
]


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of one nucleus within a box of the picture.

    Parameters
    ----------
    top, left : int
        First row and column of the box.
    mask : (h, w) bool ndarray
        May be empty.
    outside : bool
        Whether its outline lies entirely beyond the picture.
    """

    top: int
    left: int
    mask: NDArray[np.bool_]
    outside: bool = False


def region_of_rings(rings: Sequence[NDArray[np.floating]], shape: tuple[int, int]) -> Region:
    """Find the pixels whose centres lie within an odd number of rings, which may be outer rings, holes and islands.

    Parameters
    ----------
    rings : sequence of (k, 2) float ndarray
        Corners (x, y); whether the first is repeated does not matter.
    shape : (int, int)
        Rows and columns of the picture; what lies outside is cut off.

    Examples
    --------
    >>> region_of_rings([np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]])], (4, 4)).mask.tolist()
    [[True, True], [True, True]]
    """
    begin = np.concatenate([*rings, np.zeros((0, 2))])
    end = np.concatenate([*(np.roll(ring, -1, axis=0) for ring in rings), np.zeros((0, 2))])
    # An edge is crossed by the rows whose centres lie between its ends, the lower end excluded.
    first = np.ceil(np.minimum(begin[:, 1], end[:, 1]) - 0.5).clip(0, shape[0]).astype(np.int64)
    after = np.ceil(np.maximum(begin[:, 1], end[:, 1]) - 0.5).clip(0, shape[0]).astype(np.int64)
    count = after - first
    edge = np.repeat(np.arange(len(begin)), count)
    beyond = bool(len(begin)) and _beyond(begin, shape)
    if beyond or not len(edge):
        return Region(0, 0, np.zeros((0, 0), bool), beyond)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (x0, y0), (x1, y1) = begin[edge].T, end[edge].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    col = np.ceil(x - 0.5).clip(0, shape[1]).astype(np.int64)
    top, left = int(row.min()), int(col.min())
    crossed = np.zeros((int(row.max()) - top + 1, int(col.max()) - left + 1), np.int64)
    np.add.at(crossed, (row - top, col - left), 1)
    return Region(top, left, np.cumsum(crossed, axis=1)[:, :-1] % 2 == 1)


def region_of_runs(counts: Sequence[int] | NDArray[np.integer], shape: tuple[int, int]) -> Region:
    """Read COCO's run-length code: lengths of runs, down the columns, beginning with background.

    Raises
    ------
    ValueError
        If the lengths do not add up to the picture, or one is negative.
    """
    lengths = np.asarray(counts, np.int64)
    if (lengths < 0).any() or lengths.sum() != shape[0] * shape[1]:
        raise ValueError(f"runs cover {lengths.sum()} of {shape[0] * shape[1]} pixels")
    ends = np.cumsum(lengths)
    set_from, set_to = (ends - lengths)[1::2][lengths[1::2] > 0], ends[1::2][lengths[1::2] > 0]
    if not len(set_from):
        return Region(0, 0, np.zeros((0, 0), bool))
    # Only columns that the nucleus reaches are unpacked, since a picture may hold tens of thousands of nuclei.
    left, right = int(set_from[0]) // shape[0], (int(set_to[-1]) - 1) // shape[0] + 1
    flat = np.zeros((right - left) * shape[0], bool)
    for start, stop in zip(set_from - left * shape[0], set_to - left * shape[0], strict=True):
        flat[start:stop] = True
    inside = flat.reshape(right - left, shape[0]).T
    rows = np.flatnonzero(inside.any(1))
    return Region(int(rows[0]), left, inside[rows[0] : rows[-1] + 1].copy())


def without(region: Region, hole: Region) -> Region:
    """Cut one region out of another.

    Examples
    --------
    >>> whole, hole = Region(0, 0, np.ones((1, 3), bool)), Region(0, 1, np.ones((2, 1), bool))
    >>> without(whole, hole).mask.tolist()
    [[True, False, True]]
    """
    top, left = max(region.top, hole.top), max(region.left, hole.left)
    bottom = min(region.top + region.mask.shape[0], hole.top + hole.mask.shape[0])
    right = min(region.left + region.mask.shape[1], hole.left + hole.mask.shape[1])
    if bottom <= top or right <= left:
        return region
    mask = region.mask.copy()
    cut = hole.mask[top - hole.top : bottom - hole.top, left - hole.left : right - hole.left]
    mask[top - region.top : bottom - region.top, left - region.left : right - region.left] &= ~cut
    return Region(region.top, region.left, mask)


def union(parts: Sequence[Region]) -> Region:
    """Put the parts of one object together.

    Examples
    --------
    >>> parts = [Region(0, 1, np.ones((1, 1), bool)), Region(1, 3, np.ones((1, 1), bool))]
    >>> union(parts).mask.tolist()
    [[True, False, False], [False, False, True]]
    """
    there = [part for part in parts if part.mask.size]
    if len(there) < 2:
        return there[0] if there else Region(0, 0, np.zeros((0, 0), bool), all(part.outside for part in parts))
    top, left = min(part.top for part in there), min(part.left for part in there)
    bottom = max(part.top + part.mask.shape[0] for part in there)
    right = max(part.left + part.mask.shape[1] for part in there)
    whole = np.zeros((bottom - top, right - left), bool)
    for part in there:
        rows, cols = part.mask.shape
        whole[part.top - top : part.top - top + rows, part.left - left : part.left - left + cols] |= part.mask
    return Region(top, left, whole)


def enclosing(regions: Sequence[Region]) -> list[int]:
    """Find the outlines that hold most of the others, and two at least: these are regions in which nuclei were sought.

    Examples
    --------
    >>> ones = [Region(row, 1, np.ones((1, 1), bool)) for row in (1, 3)]
    >>> enclosing([*ones, Region(0, 0, np.ones((5, 3), bool))])
    [2]
    """
    there = [at for at, region in enumerate(regions) if region.mask.any()]
    if len(there) < 3:
        return []
    corners = np.array([(regions[at].top, regions[at].left) for at in there])
    ends = corners + [regions[at].mask.shape for at in there]
    areas = np.array([regions[at].mask.sum() for at in there])
    # One pixel of each nucleus, the first in its middle row, is tested, since boxes are larger than regions.
    points = np.array([_point(regions[at]) for at in there])
    found = []
    for place in np.argsort(-areas, kind="stable")[:16]:  # only the largest can hold most
        region, corner = regions[there[place]], corners[place]
        inside = ((corners >= corner) & (ends <= ends[place])).all(axis=1) & (2 * areas <= areas[place])
        rows, cols = (points[inside] - corner).T
        held = int(region.mask[rows, cols].sum())
        if held > 1 and 2 * held > len(there) - 1:
            found.append(there[place])
    return sorted(found)


def faults(regions: Sequence[Region], shape: tuple[int, int]) -> list[tuple[str, str]]:
    """List why the outlines of a picture cannot be its nuclei: kinds of `nucleate.data.check`, and what was seen.

    One outline in twenty, or a single one of several, may lie beyond the picture.
    """
    beyond = sum(region.outside for region in regions)
    found = []
    if beyond and (beyond == len(regions) or (beyond > 1 and 20 * beyond > len(regions))):
        found.append(("outside the picture", f"{beyond} of {len(regions)} outlines beyond {shape}"))
    found += [("region", f"outline {at + 1} holds most of the others") for at in enclosing(regions)]
    return found


def painting_order(regions: Sequence[Region]) -> list[int]:
    """Give the indices of nuclei from the largest to the smallest, since nuclei painted later keep shared pixels."""
    return sorted(range(len(regions)), key=lambda i: -int(regions[i].mask.sum()))


def paint_regions(regions: Sequence[Region], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Paint nuclei into one label image, small ones over large ones, so that none is hidden by one it lies in.

    Returns
    -------
    (H, W) int32 ndarray
        Ids 1..n in the order given; a nucleus without pixels of its own has no id.
    """
    labels = np.zeros(shape, np.int32)
    for index in painting_order(regions):
        region = regions[index]
        rows, cols = region.mask.shape
        labels[region.top : region.top + rows, region.left : region.left + cols][region.mask] = index + 1
    return relabel(labels)


def _beyond(corners: NDArray[np.floating], shape: tuple[int, int]) -> bool:
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    # A region on the border line itself is the sliver that is left of a nucleus that the border cuts off.
    return bool(right < 0 or bottom < 0 or left > shape[1] or top > shape[0])


def _point(region: Region) -> tuple[int, int]:
    rows = np.flatnonzero(region.mask.any(axis=1))
    row = int(rows[len(rows) // 2])
    return region.top + row, region.left + int(region.mask[row].argmax())
