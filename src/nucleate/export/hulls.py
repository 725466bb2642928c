"""Areas of convex hulls of many nuclei at once, in whole numbers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["convex_areas"]


def convex_areas(
    row: NDArray[np.int64], start: NDArray[np.int64], *, end: NDArray[np.int64], owner: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Count the pixels whose centres lie in the convex hull of each nucleus, border included.

    As in scikit-image's ``convex_hull_image``, the hull is spanned by the middles of the pixels' four edges. In units
    of half a pixel all corners are whole numbers, so the count is exact.

    Parameters
    ----------
    row, start, end : (k,) int64 ndarray
        Horizontal runs: row, first and last column.
    owner : (k,) int64 ndarray
        The nucleus of each run, 0 to `count` - 1; every nucleus has a run.
    count : int
        Number of nuclei.

    Returns
    -------
    (count,) int64 ndarray
        Pixels in the hull.
    """
    if count == 0:
        return np.zeros(0, np.int64)
    order = np.lexsort((row, owner))
    row, start, end, owner = row[order], start[order], end[order], owner[order]
    new = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(row, prepend=-1) != 0))
    low, high = np.minimum.reduceat(start, new), np.maximum.reduceat(end, new)
    row, owner = row[new], owner[new]
    asked_row, asked_owner = _rows_between(row, owner, count=count)
    side = partial(_hull_side, row, owner=owner, asked_row=asked_row, asked_owner=asked_owner)
    first, last = side(low), -side(-high)  # the right side is the left side of the mirror image
    return np.bincount(asked_owner, last - first + 1, count).astype(np.int64)


def _rows_between(
    row: NDArray[np.int64], owner: NDArray[np.int64], *, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give every row from a nucleus' first to its last, including rows in which it has no pixel."""
    begin = np.searchsorted(owner, np.arange(count))
    top, bottom = row[begin], row[np.append(begin[1:], len(row)) - 1]
    lengths = bottom - top + 1
    which = np.repeat(np.arange(count), lengths)
    offset = np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return top[which] + offset, which


def _hull_side(
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    *,
    owner: NDArray[np.int64],
    asked_row: NDArray[np.int64],
    asked_owner: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Find the first column within the hull in the given rows, by the first pixel of each row of a nucleus."""
    y = (2 * row[:, None] + np.array([-1, 0, 1])).ravel()
    x = (2 * col[:, None] - np.array([0, 1, 0])).ravel()
    which = np.repeat(owner, 3)
    order = np.lexsort((x, y, which))
    y, x, which = y[order], x[order], which[order]
    new = (np.diff(y, prepend=y[:1] - 1) != 0) | (np.diff(which, prepend=-1) != 0)
    y, x, which = _lower_hulls(y[new], x[new], owner=which[new])
    span = int(y.max()) + 3
    place = np.searchsorted(which * span + y, asked_owner * span + 2 * asked_row, side="right") - 1
    height, width = y[place + 1] - y[place], x[place + 1] - x[place]
    # The side crosses the row at a fraction of a column; the first whole column at or behind it is wanted.
    crossing = x[place] * height + width * (2 * asked_row - y[place])
    side: NDArray[np.int64] = -(-crossing // (2 * height))
    return side


def _lower_hulls(
    y: NDArray[np.int64], x: NDArray[np.int64], *, owner: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Keep the corners of the lower convex hull of x over y, for all owners at the same time.

    A point on or above the line between two others is no corner, even if one of these is none either. So all such
    points are removed at once, until none is left.
    """
    while len(y) > 2:
        within = (owner[:-2] == owner[1:-1]) & (owner[2:] == owner[1:-1])
        turn = (x[1:-1] - x[:-2]) * (y[2:] - y[:-2]) - (x[2:] - x[:-2]) * (y[1:-1] - y[:-2])
        keep = np.ones(len(y), np.bool_)
        keep[1:-1] = ~within | (turn < 0)
        if keep.all():
            break
        y, x, owner = y[keep], x[keep], owner[keep]
    return y, x, owner
