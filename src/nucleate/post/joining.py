"""Pieces of nuclei put together: how likely two pieces that touch are of one nucleus.

A watershed from every peak of the map ``distance`` cuts lobed and unevenly bright nuclei up. So numbers that describe
two pieces and the seam between them (`FEATURES`) go into a small model (`JoinModel`), and pieces that are likely enough
of one nucleus are joined. The model is fitted to pictures with truth and is a part of the recipe.

Every number is taken from the two pieces and their seam alone, so it is the same for a part of a plane as for the
whole plane.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.labels import recoded
from nucleate.errors import UsageError
from nucleate.post.logistic import curve, in_spreads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["FEATURES", "JoinModel", "Pieces", "join"]

FEATURES = (
    "log_area_larger",
    "log_area_smaller",
    "passage",
    "depth",
    "seam_mask",
    "ellipse_larger",
    "ellipse_smaller",
    "ellipse_gain",
    "ellipse_ratio",
    "log_contact",
    "contact_share",
    "log_apart",
)
"""Numbers that describe two pieces that touch, in the order of the columns of `Pieces.described`.

``passage`` is the highest energy on the seam, ``depth`` how far the lower of both peaks lies above it, ``seam_mask``
the mean probability of the mask on the seam. ``ellipse_...`` tells how well pieces fill the ellipse of their second
moments (1 if they are one), ``gain`` and ``ratio`` that of both together, less the lower and over the higher of the
two. ``contact`` is the length of the seam, ``apart`` the distance between both centres.
"""

_CLOSEST = 0.1  # pixels between two centres, at least, since the logarithm is taken


@dataclass(frozen=True)
class JoinModel:
    """Tells how likely two pieces are of one nucleus: a logistic curve of the numbers that describe them.

    Parameters
    ----------
    mean, spread : tuple of float
        Of each number on the pieces it was fitted to; a spread is above 0.
    weights : tuple of float
        For each number.
    bias : float
        Added before the logistic curve.
    grid : float
        Side of a pixel of the grid it was fitted on, in pixels of the grid it is used on.

    Raises
    ------
    UsageError
        If numbers are missing, or cannot be.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    grid: float = 1.0

    def __post_init__(self) -> None:
        for name in ("mean", "spread", "weights"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))  # TOML and JSON bring lists
        sizes = len(self.mean), len(self.spread), len(self.weights)
        numbers = [*self.mean, *self.spread, *self.weights, self.bias, self.grid]
        if sizes != (len(FEATURES),) * 3 or min(*self.spread, self.grid) <= 0 or not np.isfinite(numbers).all():
            raise UsageError(
                f"recipe: join = {sizes[0]} means, {sizes[1]} spreads and {sizes[2]} weights; "
                f"use {len(FEATURES)} finite numbers each, spreads and grid above 0"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> JoinModel:
        """Build it from plain values.

        Raises
        ------
        UsageError
            If one is missing, unknown or impossible.
        """
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise UsageError(f"recipe: join = {values!r:.60}; use mean, spread, weights and bias of numbers") from error

    def at_scale(self, factor: float) -> JoinModel:
        """Give the model for a grid on which everything is `factor` times as large."""
        return replace(self, grid=self.grid * factor)

    def predict(self, described: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the chance that both pieces are of one nucleus for each row of `Pieces.described`, (n,) in 0..1."""
        terms = in_spreads(described, mean=self.mean, spread=self.spread)
        return curve(terms, self.weights, bias=self.bias)


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces that touch others, and the seams between them.

    Sums of coordinates are whole numbers, counted from the first pixel of each piece, so nothing is rounded, wherever
    the piece lies.

    Parameters
    ----------
    ids : (n,) int64 ndarray
        Of the pieces in their label image, ascending.
    first : (n, 2) float64 ndarray
        Row and column of the first pixel of each.
    sums : (n, 6) float64 ndarray
        Number of pixels, sums of rows, columns, squares of both, and of their products.
    peak : (n,) float64 ndarray
        Highest energy of each.
    pairs : (m, 2) int64 ndarray
        Places of the pieces on both sides of each seam, the lower first, in ascending order.
    contact : (m,) float64 ndarray
        Edges between pixels on each seam.
    passage : (m,) float64 ndarray
        Highest energy on each, of every two pixels the lower.
    mask_sum : (m,) float64 ndarray
        Sum of the mask's probability over these edges, of every two pixels the lower.
    """

    ids: NDArray[np.int64]
    first: NDArray[np.float64]
    sums: NDArray[np.float64]
    peak: NDArray[np.float64]
    pairs: NDArray[np.int64]
    contact: NDArray[np.float64]
    passage: NDArray[np.float64]
    mask_sum: NDArray[np.float64]

    @classmethod
    def of(cls, labels: NDArray[np.int32], energy: NDArray[np.float32], *, mask_map: NDArray[np.float32]) -> Pieces:
        """Measure the pieces of a label image (H, W) that touch others, on two maps (H, W), 0..1."""
        here, beside = _edges(labels)
        flat = labels.ravel()
        sides = np.sort(np.stack([flat[here], flat[beside]], axis=1).astype(np.int64), axis=1)
        ids = np.unique(sides)
        place = np.full(int(labels.max(initial=0)) + 1, -1)
        place[ids] = np.arange(len(ids))
        first, sums, peak = _measured(labels, energy, place=place, count=len(ids))
        low_energy, low_mask = (np.minimum(m.ravel()[here], m.ravel()[beside]) for m in (energy, mask_map))
        seams = _merged_seams(place[sides], np.ones(len(here)), passage=low_energy, mask_sum=low_mask)
        return cls(ids, first, sums, peak, *seams)

    def described(self, *, grid: float = 1.0) -> NDArray[np.float64]:
        """Describe both pieces of each seam by the numbers named in `FEATURES`, (m, 12).

        Parameters
        ----------
        grid : float
            Lengths are told in this many pixels.
        """
        order = np.where((self.sums[self.pairs[:, 0], 0] < self.sums[self.pairs[:, 1], 0])[:, None], [1, 0], [0, 1])
        larger, smaller = np.take_along_axis(self.pairs, order, axis=1).T
        together = self.sums[larger] + self._seen_from(larger, smaller)
        ellipse, centre = _ellipse(self.sums)
        wide, narrow = ellipse[larger], ellipse[smaller]
        whole = _ellipse(together)[0]
        apart = self.first[larger] - self.first[smaller] + centre[larger] - centre[smaller]
        area = self.sums[:, 0] / grid**2
        contact = self.contact / grid
        columns = (
            np.log(area[larger]),
            np.log(area[smaller]),
            self.passage,
            np.minimum(self.peak[larger], self.peak[smaller]) - self.passage,
            self.mask_sum / self.contact,
            wide,
            narrow,
            whole - np.minimum(wide, narrow),
            whole / np.maximum(wide, narrow),
            np.log(contact),
            contact / np.sqrt(area[smaller]),
            np.log(np.maximum(np.hypot(*apart.T) / grid, _CLOSEST)),
        )
        return np.stack(columns, axis=1)

    def joined(self, seams: NDArray[np.intp]) -> tuple[Pieces, NDArray[np.int64]]:
        """Join both pieces of some seams, of which no two share a piece.

        Returns
        -------
        pieces : Pieces
            With the id and the first pixel of the first of both.
        place : (n,) int64 ndarray
            Where each piece is now.
        """
        kept, gone = self.pairs[seams].T
        sums, peak = self.sums.copy(), self.peak.copy()
        sums[kept] += self._seen_from(kept, gone)
        peak[kept] = np.maximum(peak[kept], peak[gone])
        stays = np.ones(len(self.ids), bool)
        stays[gone] = False
        place = np.cumsum(stays) - 1
        place[gone] = place[kept]
        sides = np.sort(place[self.pairs], axis=1)
        left = sides[:, 0] != sides[:, 1]
        seams_left = _merged_seams(
            sides[left], self.contact[left], passage=self.passage[left], mask_sum=self.mask_sum[left]
        )
        return Pieces(self.ids[stays], self.first[stays], sums[stays], peak[stays], *seams_left), place

    def _seen_from(self, here: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give the sums of pieces `there` counted from the first pixels of those `here`."""
        count, row, col, rows, cols, both = self.sums[there].T
        down, right = (self.first[there] - self.first[here]).T
        return np.stack(
            [
                count,
                row + count * down,
                col + count * right,
                rows + 2 * down * row + count * down**2,
                cols + 2 * right * col + count * right**2,
                both + down * col + right * row + count * down * right,
            ],
            axis=1,
        )


def join(
    labels: NDArray[np.int32],
    energy: NDArray[np.float32],
    *,
    mask_map: NDArray[np.float32],
    model: JoinModel,
    level: float,
) -> NDArray[np.int32]:
    """Join pieces that touch where the chance that they are of one nucleus lies above a level, the likeliest first.

    In each round all pieces are joined that are each other's likeliest, then what is left is described anew. Pictures
    take up to ten rounds; a sheet of pieces that are all one nucleus takes nearly as many as there are pieces.

    Parameters
    ----------
    labels : (H, W) int32 ndarray
        Pieces, ids 1..n.
    energy, mask_map : (H, W) float32 ndarray
        Maps, 0..1: high in the middle of nuclei, and the probability of the mask.
    model : JoinModel
        Gives the chance.
    level : float
        0..1.

    Returns
    -------
    (H, W) int32 ndarray
        Some ids are missing.
    """
    pieces = Pieces.of(labels, energy, mask_map=mask_map)
    place = np.arange(len(pieces.ids))
    began = pieces.ids
    while len(pieces.pairs):
        seams = _likeliest(pieces.pairs, model.predict(pieces.described(grid=model.grid)), level=level)
        if not len(seams):
            break
        pieces, moved = pieces.joined(seams)
        place = moved[place]
    if len(pieces.ids) == len(began):
        return labels
    renamed = np.arange(int(labels.max(initial=0)) + 1, dtype=np.int32)
    renamed[began] = pieces.ids[place]
    return recoded(labels, renamed)


def _likeliest(pairs: NDArray[np.int64], chance: NDArray[np.float64], *, level: float) -> NDArray[np.intp]:
    """Choose the seams that are the likeliest of both their pieces, and above the level; of equal ones the first."""
    order = np.argsort(-chance, kind="stable")
    order = order[chance[order] > level]
    rank = np.full(len(pairs), len(pairs))
    rank[order] = np.arange(len(order))
    best = np.full(int(pairs.max()) + 1, len(pairs))
    for side in (0, 1):
        np.minimum.at(best, pairs[:, side], rank)
    return np.flatnonzero((rank < len(pairs)) & (best[pairs] == rank[:, None]).all(axis=1))


def _edges(labels: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the edges between pixels of two pieces: the pixels before and behind each, row by row, then downwards."""
    flat, width = labels.ravel(), labels.shape[1]
    before, behind = [], []
    for step, last in ((1, width - 1), (width, width)):
        here = np.flatnonzero(flat[:-step] != flat[step:])
        here = here[(flat[here] > 0) & (flat[here + step] > 0)]
        here = here[here % width < last]  # no step leads from the end of a row to the next
        before.append(here)
        behind.append(here + step)
    return np.concatenate(before), np.concatenate(behind)


def _measured(
    labels: NDArray[np.int32], energy: NDArray[np.float32], *, place: NDArray[np.int64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Measure `first`, `sums` and `peak` of `Pieces`; `place` has for each id its place among `count` pieces, or -1.

    Rows of pieces are summed in closed form: whole numbers, so that is exact, and there are far fewer than pixels.
    """
    if not count:
        return np.zeros((0, 2)), np.zeros((0, 6)), np.zeros(0)
    begins = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    start = np.flatnonzero(begins)
    owner = place[labels.ravel()[start]]
    wanted = owner >= 0
    length = np.diff(start, append=labels.size)[wanted]
    highest = np.maximum.reduceat(energy.ravel(), start)[wanted]
    start, owner = start[wanted], owner[wanted]
    first = np.zeros(count, np.int64)
    first[owner[::-1]] = start[::-1]
    corner = np.stack(np.divmod(first, labels.shape[1]), axis=1)
    row, col = np.divmod(start, labels.shape[1]) - corner[owner].T
    cols = length * col + length * (length - 1) // 2
    squares = length * col * col + col * length * (length - 1) + (length - 1) * length * (2 * length - 1) // 6
    columns = (length, row * length, cols, row * row * length, squares, row * cols)
    sums = np.stack([np.bincount(owner, column, minlength=count) for column in columns], axis=1).astype(float)
    peak = np.zeros(count, np.float32)
    np.maximum.at(peak, owner, highest)
    return corner.astype(np.float64), sums, peak.astype(np.float64)


def _merged_seams(
    sides: NDArray[np.int64],
    contact: NDArray[np.float64],
    *,
    passage: NDArray[np.floating[Any]],
    mask_sum: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Put parts of seams together: `pairs`, `contact`, `passage` and `mask_sum` of `Pieces`."""
    most = int(sides.max(initial=0)) + 1
    keys, which = np.unique(sides[:, 0] * most + sides[:, 1], return_inverse=True)  # many times as fast as of rows
    pairs = np.stack(np.divmod(keys, most), axis=1)
    highest = np.zeros(len(pairs))
    np.maximum.at(highest, which, passage.astype(np.float64))
    count, total = (np.bincount(which, values, minlength=len(pairs)).astype(float) for values in (contact, mask_sum))
    return pairs, count, highest, total


def _ellipse(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the share of the ellipse of its second moments that a piece fills (n,), and its centre (n, 2)."""
    count, row, col, rows, cols, both = sums.T
    y, x = row / count, col / count
    # A pixel is a square, not a point: that is worth a twelfth.
    across = (rows / count - y * y + 1 / 12) * (cols / count - x * x + 1 / 12) - (both / count - x * y) ** 2
    return count / (4 * np.pi * np.sqrt(np.maximum(across, 1e-6))), np.stack([y, x], axis=1)
