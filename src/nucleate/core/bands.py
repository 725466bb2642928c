"""Label images of any size, gone through in bands of rows: each nucleus is whole in the one band in which it begins.

A label image may be an array, or anything that gives its parts when asked, such as a file on disk or a Zarr array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nucleate.core.labels import areas
from nucleate.core.plane import in_whole
from nucleate.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "BAND_PIXELS",
    "Band",
    "ClearedLabels",
    "LabelStore",
    "Labels",
    "PartOfLabels",
    "PlaneOf",
    "bands_of",
    "nuclei_in_bands",
    "pixel_counts",
    "places_of",
]

BAND_PIXELS = 1 << 24
"""Larger planes are gone through in bands of about so many pixels, so that memory does not grow with the plane."""


class Labels(Protocol):
    """A label image (H, W) or a stack (..., H, W) whose parts can be read, such as an array of numpy or Zarr."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    def __getitem__(self, key: tuple[Any, ...], /) -> Any:  # noqa: ANN401 - whatever numpy takes
        """Give a part: an index for each axis of the stack, then slices of rows and columns."""


class LabelStore(Protocol):
    """Where the labels of one plane go: an array, a memory map, a Zarr array."""

    def __getitem__(self, key: tuple[slice, slice], /) -> Any:  # noqa: ANN401 - whatever numpy takes
        """Give a part."""

    def __setitem__(self, key: tuple[slice, slice], value: NDArray[np.int32], /) -> None:
        """Write a part."""


@dataclass(frozen=True)
class PlaneOf:
    """One plane of a stack of labels, by parts.

    Parameters
    ----------
    stack : Labels
        (..., H, W).
    at : tuple of int
        One index for each axis before the last two.
    """

    stack: Labels
    at: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return tuple(self.stack.shape[-2:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the stack, or int32 if the stack does not tell."""
        return np.dtype(getattr(self.stack, "dtype", np.int32))

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[Any]:
        """Give a part."""
        return np.asarray(self.stack[(*self.at, *key)])

    def __setitem__(self, key: tuple[slice, slice], value: NDArray[Any], /) -> None:
        """Write a part, where the stack can be written."""
        stack: Any = self.stack
        stack[(*self.at, *key)] = value


@dataclass(frozen=True)
class PartOfLabels:
    """A window of the labels of a plane, written as a plane.

    Parameters
    ----------
    whole : LabelStore
    rows, cols : slice
        Within the whole, with a start and a stop.
    """

    whole: LabelStore
    rows: slice
    cols: slice

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[Any]:
        """Give a part."""
        return np.asarray(self.whole[in_whole(self.rows, key[0]), in_whole(self.cols, key[1])])

    def __setitem__(self, key: tuple[slice, slice], value: NDArray[np.int32], /) -> None:
        """Write a part."""
        self.whole[in_whole(self.rows, key[0]), in_whole(self.cols, key[1])] = value


@dataclass(frozen=True)
class ClearedLabels:
    """The labels of a plane, all 0 at first, which refuse numbers too high for their dtype.

    Parameters
    ----------
    store : LabelStore
        From `of`.
    most : int
        The highest number that its dtype holds.
    """

    store: LabelStore
    most: int

    @classmethod
    def of(cls, store: LabelStore, shape_HW: tuple[int, ...]) -> ClearedLabels:
        """Check that labels of a plane can be written here, and clear what is there.

        Raises
        ------
        UsageError
            If the store has another shape, or holds no whole numbers.
        """
        shape, dtype = getattr(store, "shape", ()), np.dtype(getattr(store, "dtype", np.int32))
        if tuple(shape) != tuple(shape_HW) or dtype.kind not in "iu":
            got, wanted = f"{type(store).__name__} {tuple(shape)}, {dtype}", tuple(shape_HW)
            raise UsageError(f"no place for the labels of a plane: got {got}; give an array {wanted} of int32")
        for rows in bands_of(shape_HW):
            part = rows, slice(0, shape_HW[1])
            if np.any(old := np.asarray(store[part])):
                store[part] = np.zeros(old.shape, np.int32)
        return cls(store, int(np.iinfo(dtype).max))

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[np.int32]:
        """Give a part."""
        return np.asarray(self.store[key], np.int32)

    def __setitem__(self, key: tuple[slice, slice], value: NDArray[np.int32], /) -> None:
        """Write a part.

        Raises
        ------
        OutputError
            If a number in it is too high.
        """
        if (highest := int(value.max(initial=0))) > self.most:
            raise OutputError(f"labels have room for numbers to {self.most}: got {highest}; give an array of int32")
        self.store[key] = value


@dataclass(frozen=True)
class Band:
    """Some rows of a plane of labels.

    Parameters
    ----------
    rows : slice
        Of the plane.
    labels : (h, W) int ndarray
        All labels in these rows.
    ids : (k,) int64 ndarray
        The nuclei that belong to this band, ascending; each lies in it as a whole.
    """

    rows: slice
    labels: NDArray[Any]
    ids: NDArray[np.int64]

    def own(self) -> NDArray[Any]:
        """Give `labels` without the nuclei that belong to other bands."""
        keep = np.zeros(int(self.labels.max(initial=0)) + 1, np.bool_)
        keep[self.ids] = True
        only: NDArray[Any] = np.where(keep[self.labels], self.labels, 0)
        return only


def places_of(labels: Labels) -> list[tuple[int, ...]]:
    """List the planes of a stack, the last axis fastest; one empty place for a single plane."""
    return list(np.ndindex(*labels.shape[:-2]))


def bands_of(shape_HW: tuple[int, ...]) -> Iterator[slice]:
    """Cut a plane into bands of rows of about `BAND_PIXELS` each.

    Examples
    --------
    >>> list(bands_of((3, 1 << 23)))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    step = max(BAND_PIXELS // max(shape_HW[1], 1), 1)
    for top in range(0, shape_HW[0], step):
        yield slice(top, min(top + step, shape_HW[0]))


def pixel_counts(labels: Labels) -> NDArray[np.int64]:
    """Count the pixels of each nucleus of a plane.

    Parameters
    ----------
    labels : (H, W) Labels

    Returns
    -------
    (n,) int64 ndarray
        Entry ``i`` is the area of nucleus ``i + 1``; 0 for an id that does not occur.

    Examples
    --------
    >>> pixel_counts(np.array([[0, 3, 3]])).tolist()
    [0, 0, 2]
    """
    counts = np.zeros(0, np.int64)
    for rows in bands_of(labels.shape):
        fewer, counts = sorted((counts, areas(_part(labels, rows))), key=len)
        counts[: len(fewer)] += fewer
    return counts


def nuclei_in_bands(labels: Labels, *, beside: int = 0) -> Iterator[Band]:
    """Go through the nuclei of a plane, those that begin in the upper rows first.

    Parameters
    ----------
    labels : (H, W) Labels
        Ids may have gaps.
    beside : int
        Rows to be seen above and below the nuclei of a band.

    Yields
    ------
    Band
        One at least, even without nuclei.

    Examples
    --------
    >>> [(band.rows, band.ids.tolist()) for band in nuclei_in_bands(np.array([[0, 7], [2, 7]]))]
    [(slice(0, 2, None), [2, 7])]
    """
    height, width = labels.shape
    bands = list(bands_of((height, width)))
    if len(bands) <= 1:
        whole = _part(labels, slice(0, height))
        yield Band(slice(0, height), whole, np.flatnonzero(areas(whole)) + 1)
        return
    tops, bottoms = _row_spans(labels)
    order = np.argsort(tops, kind="stable")
    ends = np.searchsorted(tops[order], [rows.stop for rows in bands])
    for number, rows in enumerate(bands):
        own = np.sort(order[ends[number - 1] if number else 0 : ends[number]])
        if len(own) or not number:
            top = max(rows.start - beside, 0)
            bottom = min(int(bottoms[own].max(initial=rows.start + 1)) + beside, height)
            yield Band(slice(top, bottom), _part(labels, slice(top, bottom)), own + 1)


def _row_spans(labels: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the first row of each id and the row past its last; an id without pixels begins beyond the plane."""
    height, width = labels.shape
    tops, bottoms = np.zeros((2, 0), np.int64)
    for rows in bands_of((height, width)):
        flat = _part(labels, rows).ravel()
        changes = np.flatnonzero(flat[1:] != flat[:-1])
        starts, ends = np.append(0, changes + 1), np.append(changes, flat.size - 1)
        inside = flat[starts] > 0
        ids, starts, ends = flat[starts][inside].astype(np.int64) - 1, starts[inside], ends[inside]
        more = max(int(ids.max(initial=-1)) + 1 - len(tops), 0)
        tops, bottoms = np.append(tops, np.full(more, height)), np.append(bottoms, np.zeros(more, np.int64))
        np.minimum.at(tops, ids, rows.start + starts // width)
        np.maximum.at(bottoms, ids, rows.start + ends // width + 1)
    return tops, bottoms


def _part(labels: Labels, rows: slice) -> NDArray[Any]:
    return np.asarray(labels[rows, slice(0, labels.shape[1])])
