"""Kaggle's run-length code for masks.

A code is ``"start length start length ..."``. Pixels are counted from 1, down the first column, then down the next
(column-major), as the 2018 Data Science Bowl defines it. Runs are written in growing order and never touch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.bands import nuclei_in_bands
from nucleate.core.labels import relabel
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels

__all__ = ["decode_positions", "encode_each", "encode_labels"]


def encode_each(labels: Labels) -> Iterator[tuple[int, str]]:
    """Write every nucleus of a label image of any size, band by band.

    Parameters
    ----------
    labels : (H, W) Labels
        0 is background; ids may have gaps.

    Yields
    ------
    int, str
        Id and code of each nucleus that occurs.

    Examples
    --------
    >>> list(encode_each(np.array([[4, 2], [4, 0]])))
    [(2, '3 1'), (4, '1 2')]
    """
    height = labels.shape[0]
    for band in nuclei_in_bands(labels):
        part = relabel(band.own())
        if len(part) < height:  # so that no run goes on in the next column, as it would in the band
            part = np.pad(part, ((0, 1), (0, 0)))
        yield from zip(band.ids.tolist(), encode_labels(part, place=(band.rows.start, height)), strict=True)


def encode_labels(labels: NDArray[Any], *, place: tuple[int, int] | None = None) -> list[str]:
    """Write every nucleus of a label image as a run-length code, in one pass over the pixels.

    Parameters
    ----------
    labels : (H, W) int ndarray
        0 is background, nuclei are 1..n.
    place : (int, int), optional
        If `labels` are some rows of a larger picture: the number of their first row in it, and how many rows it has.

    Returns
    -------
    list of str
        One code a nucleus: entry ``i`` is nucleus ``i + 1``; empty for an id that does not occur.

    Examples
    --------
    >>> encode_labels(np.array([[1, 2], [1, 0]]))
    ['1 2', '3 1']
    """
    count = int(labels.max(initial=0))
    if count == 0:
        return []
    column_major = labels.ravel(order="F")
    # A run ends where the id changes, so runs of two touching nuclei fall apart by themselves.
    starts = np.concatenate([[0], np.flatnonzero(column_major[1:] != column_major[:-1]) + 1])
    lengths = np.diff(starts, append=column_major.size)
    ids = column_major[starts]
    inside = ids > 0
    starts, lengths, ids = starts[inside], lengths[inside], ids[inside]
    if place is not None:
        col, row = np.divmod(starts, labels.shape[0])
        starts = col * place[1] + row + place[0]
    order = np.argsort(ids, kind="stable")
    numbers = np.stack([starts[order] + 1, lengths[order]], axis=1).ravel().tolist()
    words = list(map(str, numbers))
    ends = 2 * np.cumsum(np.bincount(ids, minlength=count + 1))
    return [" ".join(words[first:last]) for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


def decode_positions(rle: str, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Read a run-length code back.

    Parameters
    ----------
    rle : str
        The code; an empty one has no pixels.
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    (n,) int64 ndarray
        The pixels as 0-based column-major positions, ascending.

    Raises
    ------
    DataError
        If the code holds something other than pairs of whole numbers, leaves the image, or covers a pixel twice.

    Examples
    --------
    >>> decode_positions("1 2 4 1", (2, 2)).tolist()
    [0, 1, 3]
    """
    starts, lengths = _runs(rle)
    size = shape[0] * shape[1]
    if starts.size == 0:
        return np.empty(0, dtype=np.int64)
    order = np.argsort(starts, kind="stable")
    starts, lengths = starts[order], lengths[order]
    # The end is compared as start <= size - length, which cannot overflow for absurd numbers.
    if starts[0] < 0 or lengths.min() < 1 or (lengths > size).any() or (starts > size - lengths).any():
        raise DataError(
            f"run-length code leaves the image: got {_shown(rle)} for {shape[0]} x {shape[1]} pixels; "
            f"starts are 1..{size} and lengths at least 1: check the image's size"
        )
    if (starts[1:] < starts[:-1] + lengths[:-1]).any():
        raise DataError(
            f"run-length code covers a pixel twice: got {_shown(rle)}; runs of one nucleus must not overlap"
        )
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.repeat(starts - offsets, lengths) + np.arange(int(lengths.sum()))


def _runs(rle: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words = rle.split()
    try:
        numbers = np.array(words, dtype=np.int64)
    except (ValueError, OverflowError):
        raise DataError(f"run-length code is not whole numbers: got {_shown(rle)}; write 'start length ...'") from None
    if numbers.size % 2:
        raise DataError(
            f"run-length code has an odd count of numbers: got {numbers.size} in {_shown(rle)}; pairs needed"
        )
    return numbers[::2] - 1, numbers[1::2]


def _shown(rle: str) -> str:
    return repr(rle if len(rle) <= 40 else rle[:40] + "...")
