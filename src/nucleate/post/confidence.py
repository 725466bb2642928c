"""How sure a nucleus is.

For now the confidence is the mean of the mask's probability over the nucleus' pixels: it says how clearly the pixels
are nucleus, not how well the outline fits. A prediction of the IoU with the true nucleus is to take its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["mean_probability"]


def mean_probability(labels: NDArray[np.int32], mask_map: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Average the mask's probability over each nucleus.

    Parameters
    ----------
    labels : (H, W) int32 ndarray
        Label image, ids 1..n.
    mask_map : (H, W) float ndarray
        Probability map, 0..1.

    Returns
    -------
    (n,) float32 ndarray
        Entry ``i`` belongs to nucleus ``i + 1``; 0..1; 0 for an id that does not occur.

    Examples
    --------
    >>> mean_probability(np.array([[1, 1, 0, 2]]), np.array([[0.5, 1.0, 0.3, 0.25]]))
    array([0.75, 0.25], dtype=float32)
    """
    flat = labels.ravel()
    area = np.bincount(flat)[1:]
    total = np.bincount(flat, np.nan_to_num(mask_map).ravel())[1:]
    return np.clip(total / np.maximum(area, 1), 0.0, 1.0).astype(np.float32)
