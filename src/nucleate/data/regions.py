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

__all__ = ["Region", "paint_regions", "painting_order", "region_of_rings", "region_of_runs", "without"]


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of one nucleus within a box of the picture.

    Parameters
    ----------
    top, left : int
        First row and column of the box.
    mask : (h, w) bool ndarray
        May be empty.
    """

    top: int
    left: int
    mask: NDArray[np.bool_]


def region_of_rings(rings: Sequence[NDArray[np.floating]], shape: tuple[int, int]) -> Region:
    """Find the pixels whose centres lie within an odd number of rings: outer ones, holes and islands alike.

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
    begin = np.concatenate([np.asarray(ring, float).reshape(-1, 2) for ring in rings] or [np.zeros((0, 2))])
    end = np.concatenate([np.roll(np.asarray(r, float).reshape(-1, 2), -1, axis=0) for r in rings] or [begin])
    # An edge is crossed by the rows whose centres lie between its ends, the lower end excluded.
    first = np.ceil(np.minimum(begin[:, 1], end[:, 1]) - 0.5).clip(0, shape[0]).astype(np.int64)
    after = np.ceil(np.maximum(begin[:, 1], end[:, 1]) - 0.5).clip(0, shape[0]).astype(np.int64)
    count = after - first
    edge = np.repeat(np.arange(len(begin)), count)
    if not len(edge):
        return Region(0, 0, np.zeros((0, 0), bool))
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (x0, y0), (x1, y1) = begin[edge].T, end[edge].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    col = np.ceil(x - 0.5).clip(0, shape[1]).astype(np.int64)
    top, left = int(row.min()), int(col.min())
    crossed = np.zeros((int(row.max()) - top + 1, int(col.max()) - left + 1), np.int64)
    np.add.at(crossed, (row - top, col - left), 1)
    return Region(top, left, np.cumsum(crossed, axis=1)[:, :-1] % 2 == 1)


def region_of_runs(counts: Sequence[int] | NDArray[np.integer], shape: tuple[int, int]) -> Region:
    """Read lengths of runs, down the columns, beginning with background: COCO's run-length code.

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
    # Only the columns that are reached are unpacked: a picture may hold tens of thousands of nuclei.
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


def painting_order(regions: Sequence[Region]) -> list[int]:
    """Give the indices of nuclei from the largest to the smallest: what is painted later keeps shared pixels."""
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
