"""Which nuclei lie near each other, and which touch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.spatial import KDTree

__all__ = ["NEIGHBOUR_COLUMNS", "neighbour_columns", "touching"]

_NEAR = 3.0  # how far away a neighbour may be, in diameters of the nucleus

NEIGHBOUR_COLUMNS = ("neighbors_touching", "neighbors_near", "nearest_neighbor_px", "nearest_neighbor_um")
"""The columns of `neighbour_columns`, which depend on the other nuclei."""


def neighbour_columns(
    centres: NDArray[np.float64],
    diameters: NDArray[np.float64],
    *,
    touches: NDArray[np.int64],
    size: tuple[float, float],
) -> dict[str, NDArray[Any]]:
    """Measure how crowded the surroundings of each nucleus are.

    Parameters
    ----------
    centres : (n, 2) float64 ndarray
        Centroids (row, col), pixels.
    diameters : (n,) float64 ndarray
        Equivalent diameters, pixels.
    touches : (n,) int64 ndarray
        How many other nuclei each one touches (see `touching`).
    size : (float, float)
        Height and width of a pixel, micrometres; NaN when unknown.

    Returns
    -------
    dict of str to (n,) ndarray
        ``neighbors_touching``; ``neighbors_near``, other nuclei whose centroid lies within three diameters of the
        nucleus; ``nearest_neighbor_px`` and ``nearest_neighbor_um``, from centroid to the nearest centroid, NaN if
        there is no other nucleus.
    """
    from scipy.spatial import KDTree

    if len(centres) < 2:
        none, alone = np.zeros(len(centres), np.int64), np.full(len(centres), np.nan)
        return dict(zip(NEIGHBOUR_COLUMNS, (touches, none, alone, alone), strict=True))
    tree = KDTree(centres)
    near = np.asarray(tree.query_ball_point(centres, _NEAR * diameters, return_length=True), np.int64) - 1
    pixels = _nearest(tree)
    square = size[0] == size[1] or np.isnan(size).any()
    microns = pixels * size[0] if square else _nearest(KDTree(centres * np.asarray(size)))
    return dict(zip(NEIGHBOUR_COLUMNS, (touches, near, pixels, microns), strict=True))


def touching(
    padded: NDArray[Any], place: NDArray[np.int64], *, width: int, ids: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count for each nucleus the other nuclei that it touches, by an edge or a corner of a pixel.

    Parameters
    ----------
    padded : (k,) int ndarray
        Label image with a margin of background, flat.
    place : (m,) int64 ndarray
        Places of its border pixels, which have an edge to another value.
    width : int
        Of a row of `padded`.
    ids : (n,) int64 ndarray
        The nuclei that occur, ascending.

    Returns
    -------
    (n,) int64 ndarray
    """
    own = padded[place]
    found = []
    for step in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1):
        other = padded[place + step]
        meet = (other != 0) & (other != own)
        found.append(np.searchsorted(ids, own[meet]) * len(ids) + np.searchsorted(ids, other[meet]))
    pairs = np.unique(np.concatenate(found))
    return np.bincount(pairs // max(len(ids), 1), minlength=len(ids)).astype(np.int64)


def _nearest(tree: KDTree) -> NDArray[np.float64]:
    distances = np.asarray(tree.query(tree.data, k=2)[0], np.float64)
    return distances[:, 1]
