"""Label image -> polygons (row, col), exact to the pixel, holes told apart.

Polygons follow the edges between pixels. As everywhere here the centre of the first pixel is (0, 0), so its corners
lie at ±0.5; formats that put (0, 0) at the outer corner of the first pixel need 0.5 added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Outline", "trace"]

# Directions east, south, west, north, the nucleus on the right hand. For each: from the pixel that owns the edge to its
# neighbour across the edge, to the pixels ahead on the right and on the left, and to the corner where the edge begins.
_ACROSS = ((-1, 0), (0, 1), (1, 0), (0, -1))
_AHEAD_RIGHT = ((0, 1), (1, 0), (0, -1), (-1, 0))
_AHEAD_LEFT = ((-1, 1), (1, 1), (1, -1), (-1, -1))
_BEGIN = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])


@dataclass(frozen=True, eq=False)
class Outline:
    """One closed polygon of a nucleus.

    Parameters
    ----------
    label : int
        The nucleus.
    points : (k, 2) float64 ndarray
        Corners (row, col) in turn, the first is not repeated; the nucleus lies on the right hand, so that outer
        polygons run clockwise on the screen and holes the other way.
    area : float
        Enclosed pixels, negative for a hole; the areas of one nucleus sum to its pixels.
    """

    label: int
    points: NDArray[np.float64]
    area: float


def trace(labels: NDArray[Any]) -> list[Outline]:
    """Find the polygons of every nucleus.

    Pixels that touch only by a corner belong to one polygon, which touches itself there. So a nucleus whose pixels
    hang together by edges has one outer polygon that does not meet itself, and one more for each hole.

    Parameters
    ----------
    labels : (H, W) int ndarray
        Label image.

    Returns
    -------
    list of Outline
        Sorted by label; polygons of one label in reading order of their first edges.

    Examples
    --------
    >>> trace(np.array([[0, 1, 1]]))[0].points.tolist()
    [[-0.5, 0.5], [-0.5, 2.5], [0.5, 2.5], [0.5, 0.5]]
    """
    padded = np.pad(labels, 1)
    pixel, direction = _edges(padded)
    if len(pixel) == 0:
        return []
    values = padded.ravel()[pixel]
    following = _following(padded, pixel, direction=direction)
    first, along = _rings(following)
    before = np.empty_like(following)
    before[following] = np.arange(len(following))
    order = np.lexsort((along, first, values))
    order = order[(direction[before] != direction)[order]]  # only where a polygon turns
    rows, cols = np.divmod(pixel[order], padded.shape[1])
    points = np.stack([rows, cols], axis=1) + _BEGIN[direction[order]] - 1.5
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    sizes = _signed_areas(points, starts)
    parts = np.split(points, starts[1:])
    labelled = values[order][starts]
    return [Outline(int(n), part, float(a)) for n, part, a in zip(labelled, parts, sizes, strict=True)]


def _edges(padded: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the directed edges around all nuclei, sorted: flat index of the pixel inside, direction."""
    centre = padded[1:-1, 1:-1]
    rows, cols = centre.shape
    keys = []
    for direction, (down, right) in enumerate(_ACROSS):
        across = padded[1 + down : 1 + down + rows, 1 + right : 1 + right + cols]
        row, col = np.nonzero((centre != across) & (centre > 0))
        keys.append(((row + 1) * padded.shape[1] + col + 1) * 4 + direction)
    key = np.sort(np.concatenate(keys))
    return key // 4, key % 4


def _following(padded: NDArray[Any], pixel: NDArray[np.int64], *, direction: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the edge that comes after each edge."""
    flat, width = padded.ravel(), padded.shape[1]
    left = pixel + np.array([r * width + c for r, c in _AHEAD_LEFT])[direction]
    right = pixel + np.array([r * width + c for r, c in _AHEAD_RIGHT])[direction]
    to_left = flat[left] == flat[pixel]
    straight = ~to_left & (flat[right] == flat[pixel])
    new_pixel = np.select([to_left, straight], [left, right], pixel)
    new_direction = (direction + np.select([to_left, straight], [-1, 0], 1)) % 4
    return np.asarray(np.searchsorted(pixel * 4 + direction, new_pixel * 4 + new_direction), np.int64)


def _rings(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give each edge the first edge of its ring and its place along the ring.

    Jumps of doubled length (list ranking) take some twenty array operations instead of a step for each edge.
    """
    from scipy.sparse import csgraph  # slow to import: only where it is needed

    count = len(following)
    links = sparse.csr_array((np.ones(count, bool), following, np.arange(count + 1)), shape=(count, count))
    ring = csgraph.connected_components(links, directed=False)[1]
    first = np.empty(ring.max() + 1, np.int64)
    first[ring[::-1]] = np.arange(count)[::-1]
    home = first[ring]
    jump, left = following.copy(), np.ones(count, np.int64)
    jump[first], left[first] = first, 0
    while not np.array_equal(jump, home):
        left += left[jump]
        jump = jump[jump]
    left[first] = count
    return home, -left


def _next_in_ring(starts: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Give the index of the next corner of each corner, around each ring."""
    after = np.arange(1, count + 1)
    after[np.append(starts[1:], count) - 1] = starts
    return after


def _signed_areas(points: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    after = points[_next_in_ring(starts, len(points))]
    doubled = points[:, 1] * after[:, 0] - after[:, 1] * points[:, 0]
    return np.asarray(np.add.reduceat(doubled, starts) / 2)
