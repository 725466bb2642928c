"""Changing the size of pictures and maps: linear between pixels, averaged when made smaller.

Training and running use this one function, so a network sees the same pixels in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Resampler", "resample", "resample_labels"]


def resample(maps_CHW: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Bring every map to another size; the outer edges of the picture stay where they are.

    The filter is a triangle as wide as one pixel of the coarser grid: bilinear when made larger, and an average against
    aliasing when made smaller. Values are the same as those of Pillow's BILINEAR.

    Parameters
    ----------
    maps_CHW : (C, H, W) float32 ndarray
    size : (int, int)
        New rows and columns, 1 at least.

    Returns
    -------
    (C, rows, columns) float32 ndarray
        Never outside the range of the input beyond rounding; the input itself when the size is the same.

    Examples
    --------
    >>> resample(np.array([[[0, 4]]], np.float32), (1, 4))
    array([[[0., 1., 3., 4.]]], dtype=float32)
    """
    everything = slice(0, size[0]), slice(0, size[1])
    return Resampler((maps_CHW.shape[1], maps_CHW.shape[2]), size).apply(maps_CHW, everything)


class Resampler:
    """The same change of size, part by part: every part has the values that the whole would have there.

    Parameters
    ----------
    old, new : (int, int)
        Rows and columns of the two grids.
    """

    def __init__(self, old: tuple[int, int], new: tuple[int, int]) -> None:
        same = old == new
        self._weights = [None if same else _matrix(a, b) for a, b in zip(old, new, strict=True)]

    def source(self, part: tuple[slice, slice]) -> tuple[slice, slice]:
        """Tell which rows and columns of the old grid a part of the new grid is made from."""
        rows, cols = (_needed(weights, wanted) for weights, wanted in zip(self._weights, part, strict=True))
        return rows, cols

    def apply(self, maps_CHW: NDArray[np.float32], part: tuple[slice, slice]) -> NDArray[np.float32]:
        """Compute a part of the new grid from the maps on its `source`."""
        down, across = (
            None if weights is None else weights[wanted, _needed(weights, wanted)]
            for weights, wanted in zip(self._weights, part, strict=True)
        )
        if down is None or across is None:
            return maps_CHW
        out = np.empty((len(maps_CHW), down.shape[0], across.shape[0]), np.float32)
        for index, values in enumerate(maps_CHW):
            out[index] = (across @ (down @ values).T).T
        return out


def _needed(weights: sparse.csr_array[np.float32] | None, wanted: slice) -> slice:
    if weights is None:
        return wanted
    columns = weights.indices[weights.indptr[wanted.start] : weights.indptr[wanted.stop]]
    return slice(int(columns.min()), int(columns.max()) + 1)


def _matrix(old: int, new: int) -> sparse.csr_array[np.float32]:
    """Weights (new, old) of each old pixel in each new one; rows sum to one."""
    scale = old / new
    reach = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale - 0.5
    first = np.floor(centres - reach).astype(np.int64)
    offsets = np.arange(int(np.ceil(2 * reach)) + 2)
    columns = first[:, None] + offsets
    values = np.maximum(0.0, 1.0 - np.abs(columns - centres[:, None]) / reach)
    values[(columns < 0) | (columns >= old)] = 0.0
    values /= values.sum(axis=1, keepdims=True)
    at_row, at = np.nonzero(values)
    entries = values[at_row, at].astype(np.float32)
    return sparse.csr_array((entries, (at_row, columns[at_row, at])), shape=(new, old))


def resample_labels(labels: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.int32]:
    """Resize a label image by the nearest pixel; ids stay, small nuclei may vanish."""
    rows, cols = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(size, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, cols)]
