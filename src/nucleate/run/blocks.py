"""Nuclei of a plane of any size, in bounded memory, the same as on the whole plane.

The idea: the unit is the *region*, a connected piece of the recipe's base mask. What the recipe makes of a region
depends on the maps around it and on nothing else (`PostRecipe.reach`). So

1. maps come in bands of rows from the top (`run/maps.py`; each tile is computed once);
2. regions are followed from band to band: pieces that meet at a seam are joined, boxes grow;
3. a region that did not reach the last row has ended. As soon as the rows around it are there, the recipe is applied to
   a window with it in the middle, and its nuclei, no others, are written. Regions of one band and one column of blocks
   share a window; one larger than a block has its own;
4. rows that no unfinished region needs are forgotten;
5. at the end the nuclei are numbered in the order of their first pixels, as the recipe does on a whole plane.

So each nucleus belongs to the one window of its region, and the result does not depend on the size of the blocks. It
equals the whole plane's to the pixel, with one exception: a region larger than `Blocks` allows is cut, since it would
not fit the memory. There a nucleus belongs to the upper part if it ends some rows above the cut (256, fewer where
memory is short), else to the lower part, which begins as many rows higher still: nuclei are the whole plane's as far as
a watershed is decided by what is nearer than that. A single nucleus of more than a third of the rows is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from nucleate.core.labels import areas, first_pixels
from nucleate.core.tiles import Rows
from nucleate.post.threshold import structure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from nucleate.post.recipe import PostRecipe

__all__ = ["Blocks", "LabelStore", "Reading", "label_in_blocks"]

_TOP, _LEFT, _BOTTOM, _RIGHT, _LAST, _OWN = range(6)
"""Columns of a table of regions: the box (ends are one past), the last pixel in reading order, counted over the plane,
and the first row in which a nucleus of the region may begin."""

_HALO = 256
"""Rows beside a cut in which nuclei are not sure, at most."""

_NEIGHBOURS = 16  # pixels around a region where nuclei beside it are seen when its own are rated


class LabelStore(Protocol):
    """Where labels go: an array, a memory map, a Zarr array."""

    def __getitem__(self, key: tuple[slice, slice], /) -> Any:  # noqa: ANN401 - whatever numpy takes
        """Give a part."""

    def __setitem__(self, key: tuple[slice, slice], value: NDArray[np.int32], /) -> None:
        """Write a part."""


@dataclass(frozen=True)
class Blocks:
    """How large the parts are.

    Parameters
    ----------
    block : int
        Side of the windows, apart from what their regions need more.
    most_rows : int
        Rows that are kept at most; a region of more rows is cut.
    most_pixels : int
        Of the box of a region; a larger one is cut.
    """

    block: int = 1024
    most_rows: int = 8192
    most_pixels: int = 1 << 24

    def rows_of(self, regions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the rows that each region may have."""
        width = regions[:, _RIGHT] - regions[:, _LEFT]
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
        From labels (h, w) and maps (C, h, w) to the confidence (n,) of each nucleus.
    min_confidence : float
        Nuclei with a lower confidence are left out.
    """

    recipe: PostRecipe
    names: Sequence[str]
    rate: Callable[[NDArray[np.int32], NDArray[np.float32]], NDArray[np.float32]]
    min_confidence: float = 0.0


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
    walk = _Walk(labels, shape_HW, reading=reading, recipe=recipe, blocks=blocks)
    for band_CHW in bands():
        walk.take(band_CHW)
    return walk.number()


class _Walk:
    """The state between two bands."""

    def __init__(
        self,
        labels: LabelStore,
        shape_HW: tuple[int, int],
        *,
        reading: Reading,
        recipe: PostRecipe,
        blocks: Blocks,
    ) -> None:
        self.labels, self.shape_HW, self.reading, self.recipe, self.blocks = labels, shape_HW, reading, recipe, blocks
        self.mask = list(reading.names).index("mask")
        self.margin = max(recipe.reach, _NEIGHBOURS)
        self.rows = Rows()
        self.open = np.zeros((0, 6), np.int64)
        self.edge = np.zeros(shape_HW[1], np.int64)  # for each pixel of the last row: 1 + its place in `open`, or 0
        self.ended = np.zeros((0, 6), np.int64)
        self.first: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self.confidence: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
        self.count = 0
        self.was_cut = False

    def take(self, band_CHW: NDArray[np.float32]) -> None:
        """Go on by one band: follow regions, finish those that have ended, forget rows."""
        top = self.rows.stop
        self.rows.add(band_CHW)
        self._follow(self.recipe.base_mask(band_CHW[self.mask]), top)
        while len(tall := np.flatnonzero(self.rows.stop - self.open[:, _TOP] > self.blocks.rows_of(self.open))):
            self._cut(int(tall[0]))
        complete = self.rows.stop == self.shape_HW[0]
        ready = (self.ended[:, _BOTTOM] + self.margin <= self.rows.stop) | complete
        for group in _windows(self.ended[ready], self.blocks.block):
            self._settle(group)
        self.ended = self.ended[~ready]
        waiting = np.concatenate([self.open[:, _TOP], self.ended[:, _TOP], [self.rows.stop]])
        self.rows.forget(int(waiting.min()) - self.margin)

    def number(self) -> NDArray[np.float32]:
        """Give the nuclei their final ids and return their confidences."""
        first, confidence = np.concatenate(self.first), np.concatenate(self.confidence)
        if self.was_cut:  # what lies above a cut keeps its pixels, so a nucleus below may begin later than it was found
            first = self._first_written()
        order = np.argsort(first, kind="stable")
        final = np.zeros(len(order) + 1, np.int32)
        final[order + 1] = np.arange(1, len(order) + 1)
        for part in self._parts():
            self.labels[part] = final[np.asarray(self.labels[part])]
        return confidence[order]

    def _parts(self) -> Iterator[tuple[slice, slice]]:
        """Go through the plane, a block of rows at a time."""
        height, width = self.shape_HW
        for top in range(0, height, self.blocks.block):
            yield slice(top, min(top + self.blocks.block, height)), slice(0, width)

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
        """Join the regions of a band to the open ones above, and part the open from the ended."""
        pieces = ndimage.label(mask, structure(self.recipe.connectivity))[0]
        old, fresh = len(self.open), _regions(pieces, (top, 0), width=self.shape_HW[1])
        below = np.where(pieces[0] > 0, pieces[0] + old, 0)
        table = np.concatenate([self.open, fresh])
        group = _join(_meetings(self.edge, below, corners=self.recipe.connectivity == 2), len(table))
        merged = _merge(table, group)
        last = pieces[-1]
        reached = np.where(last > 0, group[old + np.maximum(last, 1) - 1], -1) if len(fresh) else np.full(len(last), -1)
        still = np.unique(reached[reached >= 0])
        place = np.zeros(len(merged) + 1, np.int64)
        place[still] = np.arange(1, len(still) + 1)
        self.edge = place[reached]  # -1 is the last entry, which stays 0
        if top + len(mask) == self.shape_HW[0]:
            still = still[:0]
        self.open = merged[still]
        self.ended = np.concatenate([self.ended, np.delete(merged, still, axis=0)])

    def _settle(self, regions: NDArray[np.int64], *, until: int | None = None) -> int:
        """Find and write the nuclei of some regions; of those only that end before row `until` where it is given.

        Returns the first row of the nuclei that were left for later; `until` where there are none.
        """
        (rows, cols), width = self._window(regions), self.shape_HW[1]
        maps_CHW = self.rows.window(rows, cols)
        found = self.recipe.apply(maps_CHW, self.reading.names)
        size = cols.stop - cols.start
        first = first_pixels(found)
        # A nucleus' first pixel is one of the mask: filled holes lie below their rim.
        home = self._owners(regions, (rows, cols), mask_map=maps_CHW[self.mask])[first]
        begin = rows.start + first // size
        mine = (home > 0) & (begin >= np.append(0, regions[:, _OWN])[home])
        later = until
        if until is not None:
            end = rows.start + (found.size - 1 - first_pixels(found[::-1, ::-1])) // size
            later = int(begin[mine & (end >= until)].min(initial=until))
            mine &= end < until
        confidence = self.reading.rate(found, maps_CHW)
        mine &= confidence >= np.float32(self.reading.min_confidence)
        before = np.asarray(self.labels[rows, cols])
        # Where a region was cut, nuclei above the cut come up again below it.
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
        top, left = np.maximum(regions[:, [_TOP, _LEFT]].min(axis=0) - self.margin, (self.rows.start, 0))
        bottom, right = np.minimum(
            regions[:, [_BOTTOM, _RIGHT]].max(axis=0) + self.margin, (self.rows.stop, self.shape_HW[1])
        )
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def _owners(
        self, regions: NDArray[np.int64], window: tuple[slice, slice], *, mask_map: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """Tell for each pixel of a window, flat, whose of some regions it is: 1 + the place among them, or 0."""
        rows, cols = window
        mask = self.recipe.base_mask(mask_map)
        # Above its cut a region may hang together with others that were cut off there too.
        mask[: max(int(regions[:, _TOP].min()) - rows.start, 0)] = False
        pieces, count = ndimage.label(mask, structure(self.recipe.connectivity))
        at = regions[:, _LAST] // self.shape_HW[1] - rows.start, regions[:, _LAST] % self.shape_HW[1] - cols.start
        owner = np.zeros(count + 1, np.int64)
        owner[pieces[at]] = np.arange(1, len(regions) + 1)
        flat: NDArray[np.int64] = owner[pieces].ravel()
        return flat

    def _cut(self, index: int) -> None:
        """Finish the upper part of an open region that has too many rows; the rest goes on as regions of their own."""
        self.was_cut = True
        region, stop = self.open[index : index + 1], self.rows.stop
        allowed = int(self.blocks.rows_of(region)[0])
        halo = min(_HALO, allowed // 8)
        later = self._settle(region, until=stop - halo)
        top, left, right = (int(region[0, column]) for column in (_TOP, _LEFT, _RIGHT))
        window = slice(top, stop), slice(left, right)
        owners = self._owners(region, window, mask_map=self.rows.window(*window)[self.mask])
        start = min(max(later - halo, stop - allowed // 2), stop - 1)
        rest = (owners > 0).reshape(stop - top, right - left)[start - top :]
        pieces = ndimage.label(rest, structure(self.recipe.connectivity))[0]
        parts = _regions(pieces, (start, left), width=self.shape_HW[1])
        parts[:, _OWN] = max(min(start + halo // 2, later), start + 1)
        self.open = np.concatenate([np.delete(self.open, index, axis=0), parts])
        self.edge -= self.edge > index + 1
        shifted = np.where(pieces[-1] > 0, pieces[-1] + len(self.open) - len(parts), 0)
        self.edge[left:right] = np.where(pieces[-1] > 0, shifted, self.edge[left:right])
        reached = np.unique(self.edge[self.edge > 0]) - 1
        self.ended = np.concatenate([self.ended, np.delete(self.open, reached, axis=0)])
        place = np.zeros(len(self.open) + 1, np.int64)
        place[reached + 1] = np.arange(1, len(reached) + 1)
        self.open, self.edge = self.open[reached], place[self.edge]


def _windows(regions: NDArray[np.int64], block: int) -> Iterator[NDArray[np.int64]]:
    """Group regions that share a window: by columns of blocks; the large and the cut ones stand alone."""
    size = regions[:, [_BOTTOM, _RIGHT]] - regions[:, [_TOP, _LEFT]]
    alone = (size > block).any(axis=1) | (regions[:, _OWN] > regions[:, _TOP])
    for index in np.flatnonzero(alone):
        yield regions[index : index + 1]
    together = regions[~alone]
    column = together[:, _LEFT] // block
    for value in np.unique(column):
        yield together[column == value]


def _regions(pieces: NDArray[np.signedinteger[Any]], corner: tuple[int, int], *, width: int) -> NDArray[np.int64]:
    """Make the table of labelled pieces; `corner` is where their picture lies on the plane of so many columns."""
    boxes = ndimage.find_objects(pieces)
    table = np.zeros((len(boxes), 6), np.int64)
    if boxes:
        table[:, :4] = [(rows.start, cols.start, rows.stop, cols.stop) for rows, cols in boxes]
        last = pieces.size - 1 - first_pixels(pieces[::-1, ::-1])
        table[:, :4] += corner * 2
        row, col = np.divmod(last, pieces.shape[1])
        table[:, _LAST] = (row + corner[0]) * width + col + corner[1]
        table[:, _OWN] = table[:, _TOP]
    return table


def _meetings(above: NDArray[np.int64], below: NDArray[np.int64], *, corners: bool) -> NDArray[np.int64]:
    """List the pairs (counted from 0) of regions (counted from 1) that touch across a seam between two rows."""
    pairs = []
    for shift in (-1, 0, 1) if corners else (0,):
        a = above[max(shift, 0) : len(above) + min(shift, 0)]
        b = below[max(-shift, 0) : len(below) - max(shift, 0)]
        both = (a > 0) & (b > 0)
        pairs.append(np.stack([a[both], b[both]], axis=1))
    return np.concatenate(pairs) - 1


def _join(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Give each of `count` things the number of its group, where some are joined in pairs."""
    if count == 0:
        return np.zeros(0, np.int64)
    graph = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1], np.int64)


def _merge(table: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make one region of each group."""
    merged = np.zeros((int(group.max(initial=-1)) + 1, 6), np.int64)
    for column in range(6):
        if column in (_TOP, _LEFT, _OWN):
            merged[:, column] = np.iinfo(np.int64).max
            np.minimum.at(merged[:, column], group, table[:, column])
        else:
            np.maximum.at(merged[:, column], group, table[:, column])
    return merged
