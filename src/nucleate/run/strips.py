"""A large plane cut into strips of rows that are segmented one by one, or by several workers, and put together again.

Each row of tiles makes a strip, whoever does it. A nucleus belongs to the strip in which its region of the mask begins
(`nucleate.run.blocks.label_strip`), however far it goes on below, so none is found twice and none is cut. Each finished
strip is a folder of its own, with the labels and the data of each nucleus; it gets its name when it is complete, so a
resumed run can use it. No two workers write the same folder, and a strip that was lost is simply done again. A worker
that does neighbours one after the other computes no tile twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_folder, make_folder
from nucleate.run.blocks import context, label_strip
from nucleate.run.regions import Strip
from nucleate.run.stored import StoredLabels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.normalize import Scaling
    from nucleate.core.plane import Plane
    from nucleate.run.single import SegmenterLike

__all__ = ["JoinedLabels", "PlaneStrips", "cut_plane", "write_strips"]

_LABELS, _NUCLEI = "labels", "nuclei.npz"


@dataclass(frozen=True)
class PlaneStrips:
    """A plane of a stack, and how it is cut into strips.

    Parameters
    ----------
    at : tuple of int
        The indices of the plane; empty for a single picture.
    scaling : Scaling
        Measured on the whole plane.
    scale : float
        Of the network's grid to the plane's.
    tile : int or None
        Side of the tiles; None is the segmenter's own.
    strips : tuple of Strip
        From top to bottom; all, or some of them that lie side by side.
    """

    at: tuple[int, ...]
    scaling: Scaling
    scale: float
    tile: int | None
    strips: tuple[Strip, ...]

    def folder(self, top: Path, strip: Strip) -> Path:
        """Name the folder of a strip."""
        return top / "-".join(map(str, ("strip", *self.at, strip.own.start, strip.own.stop)))


def cut_plane(
    segmenter: SegmenterLike,
    plane: NDArray[Any] | Plane,
    *,
    at: tuple[int, ...] = (),
    max_bytes: int | None = None,
) -> PlaneStrips:
    """Cut a plane between its rows of tiles.

    Parameters
    ----------
    segmenter : SegmenterLike
    plane : (H, W) or (H, W, 3) real ndarray, or Plane
    at : tuple of int
        The indices of the plane in a stack.
    max_bytes : int, optional
        Memory to be used beyond plane and labels; if it is short, tiles are smaller.

    Returns
    -------
    PlaneStrips
        With one strip if the plane cannot be cut: Otsu's level needs the whole plane, and planes with margins are never
        large.
    """
    shape = plane.shape[0], plane.shape[1]
    known = segmenter.survey(plane)
    found = segmenter.at_scale(known.scale).within(shape, max_bytes)
    recipe = found.reading(light=known.scaling.invert).recipe
    above = context(recipe) + 1
    whole = recipe.threshold == "otsu" or known.inside is not None
    starts = [] if whole else found.mapper().starts(shape)[1:]
    tops = [0, *(start + above for start in starts if start + above < shape[0])]
    ends = [*tops[1:], shape[0]]
    strips = tuple(Strip(max(top - above, 0), slice(top, end)) for top, end in zip(tops, ends, strict=True))
    return PlaneStrips(at, known.scaling, known.scale, found.settings.tile, strips)


def write_strips(
    segmenter: SegmenterLike, plane: Plane, *, cut: PlaneStrips, folder: Path, max_bytes: int, held_bytes: int
) -> Iterator[Strip]:
    """Find the nuclei of each strip and store them, unless they are stored already.

    Parameters
    ----------
    segmenter : SegmenterLike
    plane : Plane
        The whole plane; only what the strips need is read.
    cut : PlaneStrips
        From `cut_plane`, perhaps with fewer strips.
    folder : Path
        Gets a folder for each strip.
    max_bytes, held_bytes : int
        Memory to be used beyond the plane, and additional memory for labels.

    Yields
    ------
    Strip
        Each strip that was not stored yet, as soon as it is.

    Raises
    ------
    OutputError
        If the strips cannot be written.
    """
    found = segmenter.at_scale(cut.scale, tile=cut.tile)
    working, mapper, reading = None, found.mapper(), found.reading(light=cut.scaling.invert)
    shape = plane.shape[0], plane.shape[1]
    make_folder(folder)
    for strip in cut.strips:
        if (path := cut.folder(folder, strip)).exists():
            continue
        with atomic_folder(path) as temporary:
            labels = StoredLabels(temporary / _LABELS, shape, held_bytes=held_bytes)
            if strip == Strip.whole(shape):
                confidence = found.segment_into(plane, labels, max_bytes=max_bytes)
                first = np.arange(len(confidence))
            else:
                working = working or mapper.working(found.card.normalizer.readable(plane), cut.scaling)
                first, confidence = label_strip(
                    mapper.bands(working, start=strip.start, end=strip.own.stop),
                    labels,
                    shape_HW=shape,
                    reading=reading,
                    blocks=found.need(shape).blocks(max_bytes),
                    strip=strip,
                )
            labels.flush()
            np.savez(temporary / _NUCLEI, first=first, confidence=confidence)
        yield strip


class JoinedLabels:
    """The label image of all strips, numbered as on the whole plane, put together when it is read.

    Parameters
    ----------
    folder : Path
        Where the strips are.
    shape : tuple of int
        (..., H, W).
    planes : sequence of PlaneStrips
        In the order of the stack, with all strips.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], *, planes: Sequence[PlaneStrips]) -> None:
        self.shape = shape
        self._parts: dict[tuple[int, ...], list[tuple[int, StoredLabels, NDArray[np.int32]]]] = {}
        confidences = [np.zeros(0, np.float32)]
        count = 0
        for plane in planes:
            paths = [plane.folder(folder, strip) for strip in plane.strips]
            firsts, sure = zip(*map(_nuclei, paths), strict=True)
            order = np.argsort(np.concatenate(firsts), kind="stable")
            confidences.append(np.concatenate(sure)[order])
            final = np.empty(len(order), np.int32)
            final[order] = np.arange(count + 1, count + 1 + len(order))
            ids = np.split(final, np.cumsum([len(first) for first in firsts])[:-1])
            count += len(order)
            self._parts[plane.at] = [
                (strip.own.start, StoredLabels(path / _LABELS, shape[-2:], held_bytes=0), np.append(np.int32(0), own))
                for strip, path, own in zip(plane.strips, paths, ids, strict=True)
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
        for begin, labels, ids in self._parts[tuple(map(int, at))]:
            start, stop = max(top, begin), min(bottom, labels.stop)
            if start < stop and left < right:
                there = found[start - top : stop - top]
                # If two regions that were too large for the memory meet, the nuclei of the upper one stay.
                np.copyto(there, ids[labels[start:stop, left:right]], where=there == 0)
        return found


def _nuclei(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    with np.load(path / _NUCLEI) as stored:
        return stored["first"], stored["confidence"]
