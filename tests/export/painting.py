"""Polygons back to masks, by the rule of the programs that read them: a pixel belongs where its centre lies within."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

HOLED = np.array(
    [
        [1, 1, 1, 1, 0, 2, 0, 3],
        [1, 0, 1, 1, 0, 0, 2, 3],
        [1, 1, 0, 1, 0, 2, 0, 0],
        [1, 1, 1, 1, 4, 4, 4, 4],
        [0, 3, 0, 0, 4, 5, 0, 4],
        [3, 3, 0, 7, 4, 4, 4, 0],
    ],
    np.int32,
)
"""Holes that meet at a corner, pieces that meet at a corner, pieces apart, a nucleus in another, a hole open at a
corner, an id left out, nuclei at every edge."""


def paint(rings: Iterable[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill rings of corners (x, y), counted from the outer corner of the first pixel; every crossing turns about."""
    inside = np.zeros(shape, np.bool_)
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    for ring in rings:
        points = np.asarray(ring, np.float64)
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if y0 != y1:
                crossed = (min(y0, y1) < rows) & (rows < max(y0, y1))
                inside ^= crossed & (cols > x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
    return inside
