"""The only matching of nuclei in this package: shared pixels -> IoU of all pairs that meet -> pairs at a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.labels import overlap_table, sum_by_key
from nucleate.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Matching", "match"]


@dataclass(frozen=True, eq=False)
class Matching:
    """Two label images of one scene, compared: every pair of a true and a predicted nucleus that share a pixel.

    Parameters
    ----------
    true_ids, pred_ids : (n,), (m,) int64 ndarray
        Ids that occur, ascending; they may have gaps.
    true_areas, pred_areas : (n,), (m,) int64 ndarray
        Pixels of each nucleus.
    true_index, pred_index : (k,) int64 ndarray
        The meeting pairs, as places in `true_ids` and `pred_ids`.
    shared : (k,) int64 ndarray
        Pixels that both nuclei of a pair cover.
    pixels : int
        Pixels of the image.
    """

    true_ids: NDArray[np.int64]
    pred_ids: NDArray[np.int64]
    true_areas: NDArray[np.int64]
    pred_areas: NDArray[np.int64]
    true_index: NDArray[np.int64]
    pred_index: NDArray[np.int64]
    shared: NDArray[np.int64]
    pixels: int

    @property
    def n_true(self) -> int:
        """True nuclei."""
        return len(self.true_ids)

    @property
    def n_pred(self) -> int:
        """Predicted nuclei."""
        return len(self.pred_ids)

    @property
    def union(self) -> NDArray[np.int64]:
        """Pixels that at least one nucleus of a pair covers, (k,)."""
        return self.true_areas[self.true_index] + self.pred_areas[self.pred_index] - self.shared

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each meeting pair, (k,), in (0, 1]; all other pairs have 0."""
        return self.shared / self.union

    def pairs(self, threshold: float) -> NDArray[np.int64]:
        """Choose the pairs that count as found: IoU strictly greater than `threshold`, each nucleus at most once.

        The Data Science Bowl calls a nucleus found when its IoU is greater than the threshold, and that is the rule
        here; StarDist's ``matching`` takes IoU >= threshold, which differs only for an IoU of exactly that value.
        Two nuclei of one image never overlap, so at 0.5 and above a nucleus has at most one partner and nothing
        needs choosing. Below 0.5 the choice is the one with most pairs, and among these the greatest sum of IoU.

        The comparison is exact for a threshold written with few decimals: an IoU that equals it as a fraction is
        rounded to the same float, and is not greater.

        Parameters
        ----------
        threshold : float
            In [0, 1].

        Returns
        -------
        (p,) int64 ndarray
            Places in `true_index`, `pred_index` and `shared`, ascending.

        Examples
        --------
        >>> found = match(np.array([[1, 1, 1, 2]]), np.array([[5, 5, 7, 7]]))
        >>> found.iou[found.pairs(0.4)]
        array([0.66666667, 0.5       ])
        >>> found.iou[found.pairs(0.5)]
        array([0.66666667])
        """
        candidates = np.flatnonzero(self.iou > threshold)
        if threshold >= 0.5 or len(candidates) == 0:
            return candidates
        rows, columns = self.true_index[candidates], self.pred_index[candidates]
        return candidates[_best_choice(rows, columns, iou=self.iou[candidates])]


def match(true: NDArray[Any], pred: NDArray[Any]) -> Matching:
    """Compare two label images.

    Parameters
    ----------
    true, pred : (...) int ndarray
        Label images or stacks of one shape; 0 is background. Ids may have gaps.

    Returns
    -------
    Matching
        Every pair of nuclei that meet.

    Raises
    ------
    DataError
        If the shapes differ or the arrays hold no label images.
    """
    for name, labels in (("truth", true), ("prediction", pred)):
        if not isinstance(labels, np.ndarray) or isinstance(labels, np.ma.MaskedArray):
            cure = "use numpy.asarray, of a masked array filled(0)"
            raise DataError(f"{name} is no plain NumPy array: got {type(labels).__name__}; {cure}")
        if labels.dtype.kind not in "bui" or labels.min(initial=0) < 0 or int(labels.max(initial=0)) >= 2**63:
            cure = "give an integer dtype with 0 for background and ids from 1, below 2**63"
            got = f"dtype {labels.dtype}" + (f", {labels.min()} to {labels.max()}" if labels.size else "")
            raise DataError(f"{name} is not a label image: got {got}; {cure}")
    if true.shape != pred.shape:
        got = f"truth {_size(true)}, prediction {_size(pred)}"
        raise DataError(f"shapes differ: {got}; compare label images on the grid of the same picture")
    pairs, counts = overlap_table(true, pred)
    true_ids, true_areas = _areas(pairs[:, 0], counts)
    pred_ids, pred_areas = _areas(pairs[:, 1], counts)
    meeting = (pairs > 0).all(axis=1)
    return Matching(
        true_ids=true_ids,
        pred_ids=pred_ids,
        true_areas=true_areas,
        pred_areas=pred_areas,
        true_index=np.searchsorted(true_ids, pairs[meeting, 0]),
        pred_index=np.searchsorted(pred_ids, pairs[meeting, 1]),
        shared=counts[meeting],
        pixels=true.size,
    )


def _size(labels: NDArray[Any]) -> str:
    return " x ".join(str(n) for n in labels.shape)


def _areas(ids: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum the counts of each id; background is left out."""
    inside = ids > 0
    return sum_by_key(ids[inside], counts[inside])


def _best_choice(rows: NDArray[np.int64], columns: NDArray[np.int64], *, iou: NDArray[np.float64]) -> NDArray[np.int64]:
    """Choose among pairs so that rows and columns are used once: most pairs first, then the greatest sum of `iou`.

    Each row may also take a spare column of its own, so that a full assignment always exists and stays sparse.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n_rows, n_columns = int(rows.max()) + 1, int(columns.max()) + 1
    spare = np.arange(n_rows)
    # One more pair must outweigh every possible gain in IoU, whose sum stays below the number of rows.
    gain = np.concatenate([n_rows + 1 + iou, np.ones(n_rows)])
    places = (np.concatenate([rows, spare]), np.concatenate([columns, n_columns + spare]))
    graph = coo_array((gain, places), shape=(n_rows, n_columns + n_rows)).tocsr()
    taken = np.full(n_rows, -1)
    taken_rows, taken_columns = min_weight_full_bipartite_matching(graph, maximize=True)
    taken[taken_rows] = taken_columns
    return np.flatnonzero(taken[rows] == columns)
