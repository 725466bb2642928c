"""Tables of regions: connected pieces of a mask that is seen part by part.

A table is (n, 7) int64, a row a region, with the columns `TOP` to `FIRST`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage, sparse

from nucleate.core.labels import first_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "BOTTOM",
    "FIRST",
    "LAST",
    "LEFT",
    "NO_REGIONS",
    "OWN",
    "RIGHT",
    "TOP",
    "Strip",
    "groups",
    "meetings",
    "merged",
    "regions_of",
    "windows",
]

TOP = 0
LEFT = 1
BOTTOM = 2
RIGHT = 3
LAST = 4
OWN = 5
FIRST = 6
"""Columns: the box (ends are one past), the last pixel in reading order, counted over the plane, the first row in which
a nucleus of the region may begin, and the first row it had before it was cut."""

NO_REGIONS = np.zeros((0, 7), np.int64)
"""An empty table."""


@dataclass(frozen=True)
class Strip:
    """Some rows of a plane that are worked on by themselves.

    Parameters
    ----------
    start : int
        First row that is looked at, so far above `own` that regions which begin there are seen, and the surroundings of
        the others (`nucleate.run.blocks.context`).
    own : slice
        Rows: regions that begin in them belong to the strip.
    """

    start: int
    own: slice

    @classmethod
    def whole(cls, shape_HW: tuple[int, int]) -> Strip:
        """Make the strip that is the whole plane."""
        return cls(0, slice(0, shape_HW[0]))


def windows(regions: NDArray[np.int64], block: int) -> Iterator[NDArray[np.int64]]:
    """Group regions that share a window, by columns of blocks; large regions and cut ones stand alone."""
    size = regions[:, [BOTTOM, RIGHT]] - regions[:, [TOP, LEFT]]
    alone = (size > block).any(axis=1) | (regions[:, OWN] > regions[:, TOP])
    for index in np.flatnonzero(alone):
        yield regions[index : index + 1]
    together = regions[~alone]
    column = together[:, LEFT] // block
    for value in np.unique(column):
        yield together[column == value]


def regions_of(pieces: NDArray[np.signedinteger[Any]], corner: tuple[int, int], *, width: int) -> NDArray[np.int64]:
    """Make the table of labelled pieces; `corner` is where their picture lies on the plane of so many columns."""
    boxes = ndimage.find_objects(pieces)
    table = np.zeros((len(boxes), 7), np.int64)
    if boxes:
        table[:, :4] = [(rows.start, cols.start, rows.stop, cols.stop) for rows, cols in boxes]
        last = pieces.size - 1 - first_pixels(pieces[::-1, ::-1])
        table[:, :4] += corner * 2
        row, col = np.divmod(last, pieces.shape[1])
        table[:, LAST] = (row + corner[0]) * width + col + corner[1]
        table[:, [OWN, FIRST]] = table[:, [TOP]]
    return table


def meetings(above: NDArray[np.int64], below: NDArray[np.int64], *, corners: bool) -> NDArray[np.int64]:
    """List the pairs (counted from 0) of regions (counted from 1) that touch across a seam between two rows."""
    pairs = []
    for shift in (-1, 0, 1) if corners else (0,):
        a = above[max(shift, 0) : len(above) + min(shift, 0)]
        b = below[max(-shift, 0) : len(below) - max(shift, 0)]
        both = (a > 0) & (b > 0)
        pairs.append(np.stack([a[both], b[both]], axis=1))
    return np.concatenate(pairs) - 1


def groups(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Give each of `count` things the number of its group; pairs tell which things are joined."""
    if count == 0:
        return np.zeros(0, np.int64)
    from scipy.sparse import csgraph  # slow to import: only where it is needed

    graph = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1], np.int64)


def merged(table: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make one region of each group."""
    joined = np.zeros((int(group.max(initial=-1)) + 1, 7), np.int64)
    for column in range(7):
        if column in (TOP, LEFT, OWN, FIRST):
            joined[:, column] = np.iinfo(np.int64).max
            np.minimum.at(joined[:, column], group, table[:, column])
        else:
            np.maximum.at(joined[:, column], group, table[:, column])
    return joined
