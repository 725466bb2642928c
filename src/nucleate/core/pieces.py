"""Pieces of a nucleus that do not touch: many of one id say that it stands for all nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.labels import relabel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EIGHT", "count_pieces", "looks_binary", "unnumbered"]

EIGHT = np.ones((3, 3), dtype=bool)
"""Neighbours of a pixel by which nuclei hang together: those at its corners too."""

_LOOKED_AT = 100  # ids of a picture; a photograph has thousands, each all over it


def count_pieces(mask: NDArray[np.bool_]) -> int:
    """Count the parts of a mask, of a picture or of a stack, that do not touch, not even by corners."""
    return int(ndimage.label(mask, np.ones((3,) * mask.ndim, bool))[1])


def looks_binary(labels: NDArray[Any]) -> bool:
    """Whether the ids of a label image do not tell its nuclei apart, see `unnumbered`.

    Examples
    --------
    >>> looks_binary(np.array([[1, 0, 1]])), looks_binary(np.array([[1, 0, 2]])), looks_binary(np.array([[1, 1, 0]]))
    (True, False, False)
    """
    return unnumbered(labels) != ""


def unnumbered(labels: NDArray[Any]) -> str:
    """Tell why the ids of a label image cannot be those of its nuclei.

    So it is where ids have more than two pieces each on average, or a sole one has several, as in masks of all nuclei,
    sharp or soft, in maps of classes, and in photographs; and where a sole id is most of the border and has several
    holes, as in a mask turned over. Specks beside a piece that is nine tenths of its id do not count.

    Parameters
    ----------
    labels : (H, W) or (N, H, W) int or bool ndarray
        0 background.

    Returns
    -------
    str
        What was seen; "" where they can.

    Examples
    --------
    >>> unnumbered(np.array([[1, 0, 1, 0, 1], [2, 0, 2, 0, 2]]))
    '2 of 2 ids in 6 pieces'
    """
    numbered = relabel(labels)
    boxes = ndimage.find_objects(numbered)
    if not boxes:
        return ""
    looked = np.linspace(0, len(boxes) - 1, min(len(boxes), _LOOKED_AT)).astype(int)
    most = 1 if len(boxes) == 1 else 2 * len(looked)
    pieces = 0
    for seen, at in enumerate(looked, 1):
        pieces += _count_large(numbered[boxes[at]] == at + 1)
        if pieces > most:  # as it will be whatever the others are
            return (
                "a sole id in several pieces" if len(boxes) == 1 else f"{seen} of {len(boxes)} ids in {pieces} pieces"
            )
    if len(boxes) == 1 and numbered.ndim == 2:
        border = np.concatenate([numbered[0], numbered[-1], numbered[:, 0], numbered[:, -1]])
        if 2 * border.sum() > border.size and ndimage.label(np.pad(numbered == 0, 1, constant_values=True))[1] > 2:
            return "a sole id round holes along the border"
    return ""


def _count_large(mask: NDArray[np.bool_]) -> int:
    """Count the pieces of an id: one where the others are specks beside the largest."""
    parted, pieces = ndimage.label(mask, np.ones((3,) * mask.ndim, bool))
    sizes = np.bincount(parted.ravel())[1:]
    return 1 if 10 * sizes.max() >= 9 * sizes.sum() else int(pieces)
