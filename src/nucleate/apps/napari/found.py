"""Nuclei that were found: which of them are hidden for the moment, and what is left of them after corrections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.apps.napari.pictures import WHOLE, View
from nucleate.core.labels import ids_and_areas, overlap_table
from nucleate.export.neighbours import NEIGHBOUR_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

__all__ = ["FOUND", "Found"]

FOUND = "nucleate"
"""The key under which a Labels layer keeps its `Found` among its metadata."""


@dataclass(frozen=True, eq=False)
class Found:
    """What is known of the nuclei of a Labels layer, whose pixels hold all of them, the hidden ones too.

    Parameters
    ----------
    labels : (..., H, W) int ndarray
        As they were found, 0 background; not the array of the layer, which is painted on.
    features : dict of str to (n,) ndarray
        As `nucleate.apps.napari.features.features_of` gives them: ``index`` is the id, ``confidence`` how sure it is.
    view : View
        What of the image layer they lie on.
    source : hashable, optional
        ``unique_id`` of the image layer they were found in; None where that is not known.
    least : float
        Nuclei with a lower confidence are hidden, 0..1.
    """

    labels: NDArray[Any]
    features: dict[str, NDArray[Any]]
    view: View = WHOLE
    source: Hashable = None
    least: float = 0.0

    def at_least(self, least: float) -> Found:
        """Give the same nuclei with another limit of confidence."""
        found = replace(self, least=least)
        vars(found).update(_areas=self._areas)  # independent of the limit, and slow to count
        return found

    def hidden(self, now: NDArray[Any]) -> NDArray[np.int64]:
        """List the ids that are hidden: those under the limit, except those that were painted on.

        Parameters
        ----------
        now : (..., H, W) int ndarray
            The layer as it is. An id that stands where it was not found was painted.

        Returns
        -------
        (k,) int64 ndarray
            Sorted. An id whose confidence is not known is never hidden.
        """
        return self.count(now)[1]

    def count(self, now: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """List the ids that stand in the layer, and those of them and of the erased ones that are `hidden`.

        Only pixels that changed since the nuclei were found are counted, which keeps painting quick.

        Parameters
        ----------
        now : (..., H, W) int ndarray

        Returns
        -------
        ids, hidden : (n,) and (k,) int64 ndarray
            Sorted.
        """
        places = np.flatnonzero(now != self.labels)
        gone, painted = (pixels.ravel()[places].astype(np.int64) for pixels in (self.labels, now))
        ids, areas = self._areas
        everything, which = np.unique(np.concatenate([ids, gone, painted]), return_inverse=True)
        change = np.concatenate([areas, np.full(len(gone), -1), np.ones(len(painted), np.int64)])
        standing = everything[(np.bincount(which, change, minlength=len(everything)) > 0) & (everything != 0)]
        doubtful = self.features["confidence"].astype(np.float32) < np.float32(self.least)  # as the segmenter compares
        unsure: NDArray[np.int64] = self.features["index"][doubtful]
        return standing, np.setdiff1d(unsure, painted)

    @cached_property
    def _areas(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return ids_and_areas(self.labels)

    def shown(self, now: NDArray[Any]) -> NDArray[Any]:
        """Give the layer as it is without the hidden nuclei; ids stay."""
        return np.where(np.isin(now, self.hidden(now)), now.dtype.type(0), now)

    def features_without(self, hidden: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Give the features of the nuclei that are not hidden.

        While any are hidden, the columns about neighbours are left out: they were measured among all nuclei.
        """
        keep = ~np.isin(self.features["index"], hidden)
        left_out = () if keep.all() else NEIGHBOUR_COLUMNS
        return {name: values[keep] for name, values in self.features.items() if name not in left_out}

    def confidence_of(self, labels: NDArray[Any]) -> NDArray[np.float32]:
        """Look up the confidence of nuclei, some of which may have been corrected by hand.

        Parameters
        ----------
        labels : (..., H, W) int ndarray
            Ids 1..n without gaps, in any order.

        Returns
        -------
        (n,) float32 ndarray
            Entry ``i`` belongs to nucleus ``i + 1``; NaN unless it is, pixel by pixel, one of those found.
        """
        confidence = np.full(int(labels.max(initial=0)), np.nan, np.float32)
        pairs, shared = overlap_table(labels, self.labels)
        areas, found_areas = (_totals(pairs[:, side], shared) for side in (0, 1))
        same = (pairs > 0).all(axis=1) & (areas == shared) & (found_areas == shared)
        known = dict(zip(self.features["index"].tolist(), self.features["confidence"].tolist(), strict=True))
        for mine, found in pairs[same].tolist():
            confidence[mine - 1] = known.get(found, np.nan)
        return confidence


def _totals(ids: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give for each overlapping pair the area of its nucleus in `ids`: the sum over all pairs of that id."""
    _, place = np.unique(ids, return_inverse=True)
    totals: NDArray[np.int64] = np.bincount(place, counts).astype(np.int64)[place]
    return totals
