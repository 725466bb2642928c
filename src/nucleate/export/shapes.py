"""Nuclei as polygons for other programs: whole-numbered corners, with holes and separate pieces told apart.

Most programs put (0, 0) at the outer corner of the first pixel, and x before y. The corners of a polygon along pixel
edges are then whole numbers, so nothing is lost in writing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.bands import nuclei_in_bands
from nucleate.core.outlines import trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels

__all__ = ["Position", "Shape", "positions", "shapes"]


@dataclass(frozen=True)
class Position:
    """The place of a plane in a stack, counted from 0.

    Parameters
    ----------
    t, z : int
        Time and depth; 0 if there is no such axis.
    c : int
        Channel; -1 means all of them.
    """

    t: int = 0
    z: int = 0
    c: int = -1


@dataclass(frozen=True)
class Shape:
    """One nucleus.

    Parameters
    ----------
    label : int
        Its id.
    pieces : list of list of (k, 2) int64 ndarray
        The parts that are connected by pixel edges, in reading order. The first ring of each bounds it, clockwise on
        the screen; the other rings bound its holes, counter-clockwise. Corners are (x, y), the first is not repeated.
        No ring meets itself; rings touch in single points at most, so that every piece is a valid polygon.
    """

    label: int
    pieces: list[list[NDArray[np.int64]]]


def shapes(labels: Labels) -> Iterator[Shape]:
    """Trace every nucleus of a label image of any size, exact to the pixel.

    Parameters
    ----------
    labels : (H, W) Labels
        0 background; ids may have gaps.

    Yields
    ------
    Shape
        Sorted by id; in large pictures, within each band (`nucleate.core.bands.nuclei_in_bands`).

    Examples
    --------
    >>> next(shapes(np.array([[0, 7, 7]]))).pieces[0][0].tolist()
    [[1, 0], [3, 0], [3, 1], [1, 1]]
    """
    for band in nuclei_in_bands(labels):
        yield from _shapes(band.own(), band.rows.start)


def _shapes(labels: NDArray[Any], top: int) -> list[Shape]:
    """Trace some rows of a picture, from row `top` on."""
    from skimage import measure

    find: Any = measure.label  # it has no annotations
    pieces, count = find(labels, background=0, return_num=True, connectivity=1)
    owner = np.zeros(count + 1, np.int64)
    owner[pieces] = labels
    found: dict[int, dict[int, list[NDArray[np.int64]]]] = {int(n): {} for n in np.unique(owner[1:])}
    for outline in trace(pieces):  # the ring around a piece comes first, since it holds the topmost edge
        rings = found[int(owner[outline.label])].setdefault(outline.label, [])
        rings.append(np.round(outline.points[:, ::-1] + np.array([0.5, 0.5 + top])).astype(np.int64))
    return [Shape(number, list(parts.values())) for number, parts in found.items()]


def positions(axes: str, lengths: tuple[int, ...]) -> list[Position]:
    """Give the place of each plane of a stack, the last axis fastest.

    Pages of unknown meaning count as time, or as channels if there is time or depth, too, as in the label image
    (`nucleate.export.label_tiff`).

    Parameters
    ----------
    axes : str
        Letters of the stack's axes, of ``TZI``; empty for a single picture.
    lengths : tuple of int
        One an axis.

    Examples
    --------
    >>> positions("TZ", (1, 2))
    [Position(t=0, z=0, c=-1), Position(t=0, z=1, c=-1)]
    """
    names = {"T": "t", "Z": "z", "I": "t" if axes == "I" else "c"}
    return [Position(**{names[axis]: i for axis, i in zip(axes, index, strict=True)}) for index in np.ndindex(*lengths)]
