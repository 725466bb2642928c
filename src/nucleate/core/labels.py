"""Label images: int32 (H, W), 0 is background, nuclei are 1..n without gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "areas",
    "drop_small",
    "first_pixels",
    "ids_and_areas",
    "in_reading_order",
    "overlap_table",
    "recoded",
    "relabel",
    "sum_by_key",
]

_SLICE = 1 << 22  # pixels looked at together: a few dozen megabytes of scratch space


def areas(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Count the pixels of each nucleus.

    Parameters
    ----------
    labels : (...) int ndarray
        Label image or stack.

    Returns
    -------
    (n,) int64 ndarray
        Entry ``i`` is the area of nucleus ``i + 1``; 0 for an id that does not occur.
    """
    flat = labels.ravel()
    counts = np.zeros(int(flat.max(initial=0)) + 1, np.int64)
    for start in range(0, flat.size, _SLICE):  # each run takes some copies of eight bytes
        _, ids, lengths = _runs(flat[start : start + _SLICE])
        found = np.bincount(ids[ids > 0], lengths[ids > 0]).astype(np.int64)
        counts[: len(found)] += found
    return counts[1:]


def ids_and_areas(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the ids that occur, however large they are, and count the pixels of each.

    Parameters
    ----------
    labels : (...) int ndarray
        Label image or stack, no negative ids.

    Returns
    -------
    ids, areas : (n,) int64 ndarray
        Sorted by id, background left out.

    Examples
    --------
    >>> ids, counts = ids_and_areas(np.array([[0, 7, 7, 3_000_000_000]]))
    >>> ids.tolist(), counts.tolist()
    ([7, 3000000000], [2, 1])
    """
    pairs, counts = overlap_table(labels, labels)
    inside = pairs[:, 0] > 0
    return pairs[inside, 0], counts[inside]


def relabel(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Renumber the nuclei 1..n without gaps, keeping their order.

    Examples
    --------
    >>> relabel(np.array([[0, 7, 7, 3]]))
    array([[0, 2, 2, 1]], dtype=int32)
    """
    if labels.size == 0 or labels.dtype.kind == "b":
        return labels.astype(np.int32)
    if labels.max() <= 4 * labels.size:
        return drop_small(labels, 1)
    ids, inverse = np.unique(labels, return_inverse=True)
    new: NDArray[np.int32] = (np.arange(len(ids)) + (0 if ids[0] == 0 else 1)).astype(np.int32)
    return new[inverse].reshape(labels.shape)


def drop_small(labels: NDArray[Any], min_area: int) -> NDArray[np.int32]:
    """Remove the nuclei of fewer than `min_area` pixels and close the gaps in the ids."""
    keep = np.append(False, areas(labels) >= max(min_area, 1))
    order: NDArray[np.int32] = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return recoded(labels, order)


def recoded(labels: NDArray[Any], table: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give ``table[labels]``, in half the time, since neighbours in a row mostly have the same id.

    Parameters
    ----------
    labels : (...) int ndarray
        Label image or stack.
    table : (n + 1,) int32 ndarray
        For each id, the background first, the one that takes its place.

    Examples
    --------
    >>> recoded(np.array([[0, 2, 2, 1]]), np.array([0, 5, 7], np.int32))
    array([[0, 7, 7, 5]], dtype=int32)
    """
    flat, found = labels.ravel(), np.empty(labels.shape, np.int32)
    result = found.ravel()
    for start in range(0, flat.size, _SLICE):
        _, ids, lengths = _runs(flat[start : start + _SLICE])
        result[start : start + _SLICE] = np.repeat(table[ids], lengths)
    return found


def _runs(flat: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[np.intp]]:
    """Find where runs of one id begin in a flat stretch, their ids and their lengths."""
    starts = np.concatenate([np.arange(min(flat.size, 1)), np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    return starts, flat[starts], np.diff(starts, append=flat.size)


def first_pixels(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Find the first pixel of each nucleus in reading order.

    Parameters
    ----------
    labels : (H, W) int ndarray
        Label image; ids may have gaps.

    Returns
    -------
    (n,) int64 ndarray
        Entry ``i`` is the place of nucleus ``i + 1`` in ``labels.ravel()``; ``labels.size`` for an id that does not
        occur.

    Examples
    --------
    >>> first_pixels(np.array([[0, 3, 3], [1, 3, 0]])).tolist()
    [3, 6, 1]
    """
    flat = labels.ravel()
    found = np.full(int(flat.max(initial=0)) + 1, flat.size, np.int64)
    # The first pixel of a nucleus never has a pixel of the same nucleus on its left.
    starts, ids, _ = _runs(flat)
    np.minimum.at(found, ids[ids > 0], starts[ids > 0])
    return found[1:]


def in_reading_order(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Renumber the nuclei 1..n in the order of their first pixels, row by row from the top, without gaps.

    Examples
    --------
    >>> in_reading_order(np.array([[0, 7, 7, 3]]))
    array([[0, 1, 1, 2]], dtype=int32)
    """
    first = first_pixels(labels)
    order = np.argsort(first)[: np.count_nonzero(first < labels.size)]
    new = np.zeros(len(first) + 1, np.int32)
    new[order + 1] = np.arange(1, len(order) + 1)
    return recoded(labels, new)


def overlap_table(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels shared by every pair of nuclei that meet, background included.

    Parameters
    ----------
    first, second : (...) int ndarray
        Two label images of one shape.

    Returns
    -------
    pairs : (k, 2) int64 ndarray
        Ids in `first` and in `second`, sorted, only pairs that share a pixel.
    counts : (k,) int64 ndarray
        Pixels shared.
    """
    if max(int(first.max(initial=0)), int(second.max(initial=0))) >= 2**31:  # two such ids do not fit in 64 bits
        (ids, small), (ids_second, small_second) = (np.unique(ids, return_inverse=True) for ids in (first, second))
        pairs, counts = overlap_table(small, small_second)
        return np.stack([ids[pairs[:, 0]], ids_second[pairs[:, 1]]], axis=1).astype(np.int64), counts
    flat_first, flat_second = first.ravel(), second.ravel()
    width = int(flat_second.max(initial=0)) + 1
    # Neighbours in a row mostly hold the same pair, so counting runs leaves few keys to sort; slices bound the memory.
    parts = [
        _count_runs(flat_first[start : start + _SLICE], flat_second[start : start + _SLICE], width=width)
        for start in range(0, flat_first.size, _SLICE)
    ]
    if not parts:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
    keys, counts = parts[0]
    if len(parts) > 1:
        keys, counts = sum_by_key(np.concatenate([k for k, _ in parts]), np.concatenate([c for _, c in parts]))
    return np.stack([keys // width, keys % width], axis=1), counts


def _count_runs(
    first: NDArray[Any], second: NDArray[Any], *, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the pixels of each pair of a flat stretch; the pair (a, b) has the key a * width + b."""
    changes = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    keys = first[starts].astype(np.int64) * width + second[starts].astype(np.int64)
    return sum_by_key(keys, np.diff(starts, append=first.size))


def sum_by_key(keys: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add the counts (n,) of equal keys (n,); the keys come back sorted, each once."""
    if len(keys) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(keys)
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return ordered[starts], np.add.reduceat(counts[order], starts)
