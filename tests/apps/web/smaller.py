"""Planes made smaller the plain way, to which levels and tiles are held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    blocks = [-(-n // factor) for n in pixels.shape]
    padded = np.full((blocks[0] * factor, blocks[1] * factor), np.nan)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    means: NDArray[Any] = np.nanmean(padded.reshape(blocks[0], factor, blocks[1], factor), axis=(1, 3))
    return means


def middle(labels: NDArray[Any], factor: int) -> NDArray[Any]:
    rows, cols = (np.minimum(np.arange(0, n, factor) + factor // 2, n - 1) for n in labels.shape)
    return labels[np.ix_(rows, cols)]
