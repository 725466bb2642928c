"""Nuclei as polygons for other programs: whole-numbered corners, holes and separate pieces told apart.

Most programs put (0, 0) at the outer corner of the first pixel, and x before y. There the corners of a polygon along
pixel edges are whole numbers, so nothing is lost in writing them.
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
    """Where a plane stands in a stack, each counted from 0.

    Parameters
    ----------
    t, z : int
        Time and depth; 0 where there is no such axis.
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
        The parts that hang together by pixel edges, in reading order. The first ring of each bounds it, clockwise on
        the screen; the others bound its holes, the other way. Corners are (x, y), the first is not repeated. No ring
        meets itself; rings touch in single points at most, so that every piece is a valid polygon.
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
        By id; band by band where the picture is large (`nucleate.core.bands.nuclei_in_bands`).

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
    for outline in trace(pieces):  # of one piece the ring around it comes first: it holds the topmost edge
        rings = found[int(owner[outline.label])].setdefault(outline.label, [])
        rings.append(np.round(outline.points[:, ::-1] + np.array([0.5, 0.5 + top])).astype(np.int64))
    return [Shape(number, list(parts.values())) for number, parts in found.items()]


def positions(axes: str, lengths: tuple[int, ...]) -> list[Position]:
    """Tell where each plane of a stack stands, the last axis fastest.

    Pages of unknown meaning count as time, or as channels where they stand beside time or depth: as in the label
    image (`nucleate.export.label_tiff`).

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
