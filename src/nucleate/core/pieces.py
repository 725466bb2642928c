"""Pieces of a nucleus that do not touch: many of one id say that it stands for all nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EIGHT", "count_pieces", "looks_binary"]

EIGHT = np.ones((3, 3), dtype=bool)
"""Neighbours of a pixel by which nuclei hang together: those at its corners too."""


def count_pieces(mask: NDArray[np.bool_]) -> int:
    """Count the parts of a mask that do not touch, not even by corners."""
    return int(ndimage.label(mask, EIGHT)[1])


def looks_binary(labels: NDArray[Any]) -> bool:
    """Whether a label image has one id only, and that in several pieces.

    Examples
    --------
    >>> looks_binary(np.array([[1, 0, 1]])), looks_binary(np.array([[1, 0, 2]])), looks_binary(np.array([[1, 1, 0]]))
    (True, False, False)
    """
    top = labels.max(initial=0)
    return bool(top > 0) and bool(((labels == 0) | (labels == top)).all()) and count_pieces(labels > 0) > 1
