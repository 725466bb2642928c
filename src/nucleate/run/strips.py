"""A large image cut into strips of rows that are segmented apart, by several workers, and put together again.

Strips end where it costs least, between two rows of tiles. A nucleus belongs to the strip in which its region of the
mask begins (`nucleate.run.blocks.label_strip`), however far it goes on below, so none is found twice and none is cut.
Each finished strip is a Zarr group of its own, with the labels and what is known of each nucleus; it appears under its
name when it is complete, so a run that was stopped takes it as it is. Nobody writes where another one does, and a strip
that was lost with its worker is simply done again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_folder, make_folder
from nucleate.errors import MissingExtraError
from nucleate.run.blocks import context, label_strip
from nucleate.run.regions import Strip

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.normalize import Scaling
    from nucleate.core.plane import Plane
    from nucleate.run.segmenter import Segmenter

__all__ = ["JoinedLabels", "PlaneStrips", "cut_plane", "strip_folder", "write_strip"]

_CHUNK = 1024
_LEAST_TILES, _MOST_TILES = 2, 16
"""Rows of tiles in a strip. One is computed twice at each end: few make that dear. Many are much to lose."""


@dataclass(frozen=True)
class PlaneStrips:
    """A plane of a stack, with how it is cut.

    Parameters
    ----------
    at : tuple of int
        Which plane; empty for a single picture.
    scaling : Scaling
        Measured on the whole plane.
    scale : float
        Of the network's grid to the plane's.
    strips : tuple of Strip
        From top to bottom.
    """

    at: tuple[int, ...]
    scaling: Scaling
    scale: float
    strips: tuple[Strip, ...]


def cut_plane(segmenter: Segmenter, shape_HW: tuple[int, int], *, count: int) -> tuple[Strip, ...]:
    """Cut a plane into about so many strips, not too thin and not too thick ones.

    Parameters
    ----------
    segmenter : Segmenter
    shape_HW : (int, int)
        Of the plane.
    count : int
        How many are wished.

    Returns
    -------
    tuple of Strip
        One where a cut does not pay, or cannot be: Otsu's level is that of the whole plane.
    """
    recipe = segmenter.reading().recipe
    starts = segmenter.mapper().starts(shape_HW)
    if recipe.threshold == "otsu":
        return (Strip.whole(shape_HW),)
    above = context(recipe) + 1
    tiles = min(max(-(-len(starts) // count), _LEAST_TILES), _MOST_TILES)
    tops = [0, *(start + above for start in starts[tiles::tiles] if start + above < shape_HW[0])]
    ends = [*tops[1:], shape_HW[0]]
    return tuple(Strip(max(top - above, 0), slice(top, end)) for top, end in zip(tops, ends, strict=True))


def strip_folder(folder: Path, strip: Strip, *, at: tuple[int, ...] = ()) -> Path:
    """Name the Zarr group of a strip."""
    return folder / ("-".join(map(str, ("strip", *at, strip.own.start, strip.own.stop))) + ".zarr")


def write_strip(
    segmenter: Segmenter, plane: Plane, *, strip: Strip, scaling: Scaling, path: Path, max_bytes: int
) -> None:
    """Find the nuclei of a strip and store them, unless they are there.

    Parameters
    ----------
    segmenter : Segmenter
    plane : Plane
        The whole one; only what the strip needs is read.
    strip : Strip
    scaling : Scaling
        Of the plane.
    path : Path
        Of the group.
    max_bytes : int
        Memory to be used, beyond the plane.

    Raises
    ------
    MissingExtraError
        If zarr is not installed.
    OutputError
        If it cannot be written.
    """
    if path.exists():
        return
    zarr, shape = _zarr(), (plane.shape[0], plane.shape[1])
    mapper = segmenter.mapper()
    make_folder(path.parent)
    with atomic_folder(path) as temporary:
        group = zarr.open_group(store=str(temporary), mode="a")
        labels = group.create_array("labels", shape=shape, chunks=(_CHUNK, _CHUNK), dtype="int32")
        first, confidence = label_strip(
            mapper.bands(plane, start=strip.start, scaling=scaling),
            labels,
            shape_HW=shape,
            reading=segmenter.reading(),
            blocks=segmenter.need(shape).blocks(max_bytes),
            strip=strip,
        )
        group.create_array("first", data=first, chunks=(max(len(first), 1),))
        group.create_array("confidence", data=confidence, chunks=(max(len(first), 1),))


class JoinedLabels:
    """The label image of all strips, numbered as on the whole plane, put together where it is read.

    Parameters
    ----------
    folder : Path
        Where the strips are.
    shape : tuple of int
        (..., H, W).
    planes : sequence of PlaneStrips
        In the order of the stack.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], *, planes: Sequence[PlaneStrips]) -> None:
        zarr = _zarr()
        self.shape = shape
        self._parts: dict[tuple[int, ...], list[tuple[Strip, Any, NDArray[np.int32]]]] = {}
        confidences = [np.zeros(0, np.float32)]
        count = 0
        for plane in planes:
            groups = [zarr.open_group(str(strip_folder(folder, s, at=plane.at)), mode="r") for s in plane.strips]
            firsts = [np.asarray(group["first"][:], np.int64) for group in groups]
            order = np.argsort(np.concatenate(firsts), kind="stable")
            confidences.append(np.concatenate([group["confidence"][:] for group in groups])[order])
            final = np.empty(len(order), np.int32)
            final[order] = np.arange(count + 1, count + 1 + len(order))
            ids = np.split(final, np.cumsum([len(first) for first in firsts])[:-1])
            count += len(order)
            self._parts[plane.at] = [
                (strip, group["labels"], np.append(np.int32(0), own))
                for strip, group, own in zip(plane.strips, groups, ids, strict=True)
            ]
        self._confidence: NDArray[np.float32] = np.concatenate(confidences)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Entry ``i`` belongs to nucleus ``i + 1``."""
        return self._confidence

    def __getitem__(self, key: tuple[Any, ...], /) -> NDArray[np.int32]:
        """Give a part of one plane, (h, w)."""
        *at, rows, cols = key
        (top, bottom, _), (left, right, _) = (
            part.indices(length) for part, length in zip((rows, cols), self.shape[-2:], strict=True)
        )
        found = np.zeros((max(bottom - top, 0), max(right - left, 0)), np.int32)
        for strip, labels, ids in self._parts[tuple(map(int, at))]:
            start = max(top, strip.own.start)
            if start < bottom and left < right:
                there = found[start - top :]
                # Where two regions were too large for the memory and met, the upper one's nuclei stay.
                np.copyto(there, ids[np.asarray(labels[start:bottom, left:right])], where=there == 0)
        return found


def _zarr() -> Any:  # noqa: ANN401 - ships no types
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError("zarr", "cluster") from error
    return zarr
