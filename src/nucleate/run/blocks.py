"""Nuclei of a plane of any size, in bounded memory, the same as on the whole plane.

The idea: the unit is the *region*, a connected piece of the recipe's base mask. The nuclei that the recipe finds in a
region depend on the maps around it and on nothing else (`PostRecipe.reach`). So

1. maps come in bands of rows from the top (`run/maps.py`; each tile is computed once);
2. regions are followed from band to band: pieces that meet at a seam are joined, boxes grow;
3. a region that did not reach the last row has ended. As soon as the rows around it are there, the recipe is applied to
   a window around it, and its nuclei, no others, are written. Regions of one band and one column of blocks share a
   window; a region larger than a block has its own;
4. rows that no unfinished region needs are forgotten;
5. at the end the nuclei are numbered in the order of their first pixels, as the recipe does on a whole plane.

So each nucleus belongs to the one window of its region, and the result does not depend on the size of the blocks. It
equals the result on the whole plane to the pixel, with one exception: a region larger than `Blocks` allows is cut,
since it would not fit the memory. There a nucleus belongs to the upper part if it ends some rows above the cut (256,
fewer where memory is short), else to the lower part, which begins as many rows higher still: nuclei are the same as on
the whole plane if the watershed depends only on pixels nearer than that. A single nucleus of more than a third of the
rows is left out.

Confidences are the same, too, but for the rare nucleus beside one of another region that the window cuts: neighbours
count, and the cut one may have another shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import ndimage

from nucleate.core.labels import areas, first_pixels, recoded
from nucleate.core.tiles import Rows
from nucleate.post.threshold import structure
from nucleate.run.regions import (
    BOTTOM,
    FIRST,
    LAST,
    LEFT,
    NO_REGIONS,
    OWN,
    RIGHT,
    TOP,
    Strip,
    groups,
    meetings,
    merged,
    regions_of,
    windows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from nucleate.core.bands import LabelStore
    from nucleate.post.recipe import PostRecipe

__all__ = ["Blocks", "Rate", "Reading", "context", "label_in_blocks", "label_strip"]

_HALO = 256
"""Most rows beside a cut in which nuclei are not reliable."""

_NEIGHBOURS = 16  # pixels around a region in which neighbours count when its nuclei are rated


class Rate(Protocol):
    """Tells the confidence of nuclei."""

    def __call__(
        self, labels: NDArray[np.int32], maps_CHW: NDArray[np.float32], /, *, origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """Give (n,) float32 in 0..1 for labels 1..n whose first pixel is at `origin` on the plane."""


@dataclass(frozen=True)
class Blocks:
    """How large the parts are.

    Parameters
    ----------
    block : int
        Side of the windows, which are larger if their regions need it.
    most_rows : int
        Most rows that are kept; a region of more rows is cut.
    most_pixels : int
        Most pixels in the box of a region; a larger region is cut.
    """

    block: int = 1024
    most_rows: int = 8192
    most_pixels: int = 1 << 24

    def rows_of(self, regions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the rows that each region may have."""
        width = regions[:, RIGHT] - regions[:, LEFT]
        allowed: NDArray[np.int64] = np.maximum(np.minimum(self.most_rows, self.most_pixels // width), 1)
        return allowed


@dataclass(frozen=True)
class Reading:
    """How maps are read.

    Parameters
    ----------
    recipe : PostRecipe
        From maps to nuclei.
    names : sequence of str
        Of the maps.
    rate : callable
        From labels (h, w) and maps (C, h, w) to the confidence of each nucleus.
    min_confidence : float
        Nuclei with a lower confidence are left out.
    """

    recipe: PostRecipe
    names: Sequence[str]
    rate: Rate
    min_confidence: float = 0.0


def context(recipe: PostRecipe) -> int:
    """Give the rows and columns around a region that must be seen to find its nuclei and to rate them."""
    return max(recipe.reach, _NEIGHBOURS)


def label_in_blocks(
    bands: Callable[[], Iterable[NDArray[np.float32]]],
    labels: LabelStore,
    *,
    shape_HW: tuple[int, int],
    reading: Reading,
    blocks: Blocks,
) -> NDArray[np.float32]:
    """Find the nuclei of a plane whose maps come in bands of rows.

    Parameters
    ----------
    bands : callable
        Gives the maps (C, h, W), float32, band by band from the top; called once, with ``otsu`` three times.
    labels : LabelStore
        int32 (H, W), all 0. Gets the label image, ids 1..n without gaps in the order of the first pixels.
    shape_HW : (int, int)
        Of the plane.
    reading : Reading
    blocks : Blocks

    Returns
    -------
    (n,) float32 ndarray
        Confidence of each nucleus.
    """
    mask = list(reading.names).index("mask")
    recipe = reading.recipe.with_level_of(lambda: (band_CHW[mask] for band_CHW in bands()))
    walk = _Walk(labels, shape_HW, reading=replace(reading, recipe=recipe), blocks=blocks, strip=Strip.whole(shape_HW))
    for band_CHW in bands():
        walk.take(band_CHW)
    return walk.number()


def label_strip(
    bands: Iterable[NDArray[np.float32]],
    labels: LabelStore,
    *,
    shape_HW: tuple[int, int],
    reading: Reading,
    blocks: Blocks,
    strip: Strip,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the nuclei that belong to one strip of a plane: those of the regions that begin in its own rows.

    All strips of a plane together find what `label_in_blocks` finds, but for the ids. Bands below the strip are taken
    as long as one of its regions goes on.

    Parameters
    ----------
    bands : iterable
        Maps (C, h, W), float32, from row ``strip.start`` on.
    labels, shape_HW, reading, blocks
        As for `label_in_blocks`, but ids 1..n are in the order in which nuclei were found, and the recipe has a level:
        ``otsu`` looks at the whole plane and cannot be used.
    strip : Strip

    Returns
    -------
    first : (n,) int64 ndarray
        First pixel of each nucleus, counted over the plane.
    confidence : (n,) float32 ndarray
        Of each nucleus.
    """
    walk = _Walk(labels, shape_HW, reading=reading, blocks=blocks, strip=strip)
    for band_CHW in bands:
        walk.take(band_CHW)
        if walk.finished:
            break
    return walk.found()


class _Walk:
    """The state between two bands."""

    def __init__(
        self,
        labels: LabelStore,
        shape_HW: tuple[int, int],
        *,
        reading: Reading,
        blocks: Blocks,
        strip: Strip,
    ) -> None:
        self.labels, self.shape_HW, self.reading, self.blocks = labels, shape_HW, reading, blocks
        self.recipe, self.strip = reading.recipe, strip
        self.mask = list(reading.names).index("mask")
        self.margin = context(self.recipe)
        self.rows = Rows(strip.start)
        self.open = NO_REGIONS
        self.edge = np.zeros(shape_HW[1], np.int64)  # for each pixel of the last row: 1 + its place in `open`, or 0
        self.ended = NO_REGIONS
        self.first: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self.confidence: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
        self.count = 0
        self.was_cut = False

    def take(self, band_CHW: NDArray[np.float32]) -> None:
        """Go on by one band: follow regions, finish those that have ended, forget rows."""
        top = self.rows.stop
        self.rows.add(band_CHW)
        self._follow(self.recipe.base_mask(band_CHW[self.mask]), top)
        while len(tall := np.flatnonzero(self._kept(self.open) & self._too_tall(self.open))):
            self._cut(int(tall[0]))
        self.ended = self.ended[self._own(self.ended)]
        complete = self.rows.stop == self.shape_HW[0]
        ready = (self.ended[:, BOTTOM] + self.margin <= self.rows.stop) | complete
        for group in windows(self.ended[ready], self.blocks.block):
            self._settle(group)
        self.ended = self.ended[~ready]
        waiting = np.concatenate([self.open[self._kept(self.open), TOP], self.ended[:, TOP], [self.rows.stop]])
        self.rows.forget(int(waiting.min()) - self.margin)

    @property
    def finished(self) -> bool:
        """Whether all nuclei of the strip are written."""
        return self.rows.stop >= self.strip.own.stop and not len(self.ended) and not self._own(self.open).any()

    def _kept(self, regions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mark regions that can belong to the strip: all but those that begin above it."""
        return np.asarray(regions[:, FIRST] >= self.strip.own.start, np.bool_)

    def _own(self, regions: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(self._kept(regions) & (regions[:, FIRST] < self.strip.own.stop), np.bool_)

    def _too_tall(self, regions: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(self.rows.stop - regions[:, TOP] > self.blocks.rows_of(regions), np.bool_)

    def found(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Give the first pixel and the confidence of each nucleus, in the order in which they were found."""
        # Nuclei above a cut keep their pixels, so a nucleus below may begin later than where it was found.
        first = self._first_written() if self.was_cut else np.concatenate(self.first)
        return first, np.concatenate(self.confidence)

    def number(self) -> NDArray[np.float32]:
        """Give the nuclei their final ids and return their confidences."""
        first, confidence = self.found()
        order = np.argsort(first, kind="stable")
        final = np.zeros(len(order) + 1, np.int32)
        final[order + 1] = np.arange(1, len(order) + 1)
        for part in self._parts():
            self.labels[part] = recoded(np.asarray(self.labels[part]), final)
        return confidence[order]

    def _parts(self) -> Iterator[tuple[slice, slice]]:
        """Go through what was written, a block of rows at a time."""
        for top in range(self.strip.own.start, self.rows.stop, self.blocks.block):
            yield slice(top, min(top + self.blocks.block, self.rows.stop)), slice(0, self.shape_HW[1])

    def _first_written(self) -> NDArray[np.int64]:
        """Find the first pixel, counted over the plane, of each nucleus as it was written."""
        first = np.full(self.count, np.iinfo(np.int64).max)
        for part in self._parts():
            labels = np.asarray(self.labels[part])
            here = first_pixels(labels)
            there = np.flatnonzero(here < labels.size)
            first[there] = np.minimum(first[there], here[there] + part[0].start * self.shape_HW[1])
        return first

    def _follow(self, mask: NDArray[np.bool_], top: int) -> None:
        """Join the regions of a band to the open ones above."""
        pieces = ndimage.label(mask, structure(self.recipe.connectivity))[0]
        old, fresh = len(self.open), regions_of(pieces, (top, 0), width=self.shape_HW[1])
        below = np.where(pieces[0] > 0, pieces[0] + old, 0)
        table = np.concatenate([self.open, fresh])
        group = groups(meetings(self.edge, below, corners=self.recipe.connectivity == 2), len(table))
        owner = np.append(0, group[old:] + 1)  # of each piece, the background first
        self._part(merged(table, group), owner[pieces[-1]])

    def _part(self, table: NDArray[np.int64], edge: NDArray[np.int64]) -> None:
        """Part regions into open ones, which the last row reaches, and ended ones.

        `edge` has for each pixel of that row 1 + the place of its region in the table, or 0.
        """
        reached = np.unique(edge[edge > 0]) - 1
        place = np.zeros(len(table) + 1, np.int64)
        place[reached + 1] = np.arange(1, len(reached) + 1)
        self.edge = place[edge]
        if self.rows.stop == self.shape_HW[0]:
            reached = reached[:0]
        self.open = table[reached]
        self.ended = np.concatenate([self.ended, np.delete(table, reached, axis=0)])

    def _settle(self, regions: NDArray[np.int64], *, until: int | None = None) -> int:
        """Find and write the nuclei of some regions; if `until` is given, only nuclei that end before that row.

        Returns the first row of the nuclei that were left for later; `until` if there are none. Regions that belong to
        another strip are left to that strip.
        """
        if not self._own(regions).all():
            return until or 0
        (rows, cols), width = self._window(regions), self.shape_HW[1]
        maps_CHW = self.rows.window(rows, cols)
        found = self.recipe.apply(maps_CHW, self.reading.names)
        size = cols.stop - cols.start
        first = first_pixels(found)
        # The first pixel of a nucleus lies in the mask, since filled holes lie below their rim.
        home = self._owners(regions, (rows, cols), mask_map=maps_CHW[self.mask])[first]
        begin = rows.start + first // size
        mine = (home > 0) & (begin >= np.append(0, regions[:, OWN])[home])
        later = until
        if until is not None:
            end = rows.start + (found.size - 1 - first_pixels(found[::-1, ::-1])) // size
            later = int(begin[mine & (end >= until)].min(initial=until))
            mine &= end < until
        confidence = self.reading.rate(found, maps_CHW, origin=(rows.start, cols.start))
        mine &= confidence >= np.float32(self.reading.min_confidence)
        before = np.asarray(self.labels[rows, cols])
        # If a region was cut, nuclei above the cut are found again below it.
        taken = np.bincount(found[before > 0], minlength=len(first) + 1)[1:]
        mine &= 2 * taken <= areas(found)
        ids = np.zeros(len(first) + 1, np.int32)
        ids[1:][mine] = np.arange(self.count + 1, self.count + 1 + np.count_nonzero(mine))
        self.labels[rows, cols] = np.where(before > 0, before, ids[found])
        self.count += int(np.count_nonzero(mine))
        self.first.append((begin * width + cols.start + first % size)[mine])
        self.confidence.append(confidence[mine])
        return 0 if later is None else later

    def _window(self, regions: NDArray[np.int64]) -> tuple[slice, slice]:
        top, left = np.maximum(regions[:, [TOP, LEFT]].min(axis=0) - self.margin, (self.rows.start, 0))
        bottom, right = np.minimum(
            regions[:, [BOTTOM, RIGHT]].max(axis=0) + self.margin, (self.rows.stop, self.shape_HW[1])
        )
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def _owners(
        self, regions: NDArray[np.int64], window: tuple[slice, slice], *, mask_map: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """Give for each pixel of a window, flat, the region it belongs to: 1 + its place among `regions`, or 0."""
        rows, cols = window
        mask = self.recipe.base_mask(mask_map)
        # Above its cut a region may be connected to others that were cut off there, too.
        mask[: max(int(regions[:, TOP].min()) - rows.start, 0)] = False
        pieces, count = ndimage.label(mask, structure(self.recipe.connectivity))
        at = regions[:, LAST] // self.shape_HW[1] - rows.start, regions[:, LAST] % self.shape_HW[1] - cols.start
        owner = np.zeros(count + 1, np.int64)
        owner[pieces[at]] = np.arange(1, len(regions) + 1)
        flat: NDArray[np.int64] = owner[pieces].ravel()
        return flat

    def _cut(self, index: int) -> None:
        """Finish the upper part of an open region that has too many rows; the rest goes on as new regions."""
        self.was_cut = True
        region, stop = self.open[index : index + 1], self.rows.stop
        allowed = int(self.blocks.rows_of(region)[0])
        halo = min(_HALO, allowed // 8)
        later = self._settle(region, until=stop - halo)
        top, left, right = (int(region[0, column]) for column in (TOP, LEFT, RIGHT))
        window = slice(top, stop), slice(left, right)
        owners = self._owners(region, window, mask_map=self.rows.window(*window)[self.mask])
        start = min(max(later - halo, stop - allowed // 2), stop - 1)
        rest = (owners > 0).reshape(stop - top, right - left)[start - top :]
        pieces = ndimage.label(rest, structure(self.recipe.connectivity))[0]
        parts = regions_of(pieces, (start, left), width=self.shape_HW[1])
        parts[:, OWN] = max(min(start + halo // 2, later), start + 1)
        parts[:, FIRST] = region[0, FIRST]
        table = np.concatenate([np.delete(self.open, index, axis=0), parts])
        edge = self.edge - (self.edge > index + 1)
        below, before = pieces[-1], len(table) - len(parts)
        edge[left:right] = np.where(below > 0, below + before, edge[left:right])
        self._part(table, edge)
