"""Texture of every nucleus: Haralick's features of grey-level co-occurrence.

Haralick, Shanmugam and Dinstein, Textural features for image classification (1973), doi:10.1109/TSMC.1973.4309314. The
numbers are those of scikit-image's ``graycomatrix`` and ``graycoprops`` (tests hold them equal); CellProfiler names
them ``Texture_``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["DISTANCE", "LEVELS", "texture_columns"]

LEVELS = 16
"""Grey levels between the darkest and the brightest pixel of a nucleus."""

DISTANCE = 3
"""Distance of the two pixels of a pair, as in CellProfiler."""

_STEPS = ((0, DISTANCE), (2, 2), (DISTANCE, 0), (2, -2))  # 0, 45, 90 and 135 degrees, rounded as scikit-image does
_FARTHEST = 1 << 26  # most pixels between a pair in a flat picture: rows may have 22 million pixels
_TOGETHER = 1 << 14  # nuclei whose matrices are in memory at once: 32 megabytes


def texture_columns(
    inside: NDArray[np.bool_],
    values: NDArray[np.float64],
    *,
    owner: NDArray[np.int64],
    span: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Measure which grey values lie beside each other within each nucleus.

    Grey levels go from the darkest to the brightest pixel of each nucleus, so that the features do not change with
    exposure, and pairs lie within the nucleus, so that its surroundings do not matter. Pairs in four directions are
    counted together, each in both orders.

    Parameters
    ----------
    inside : (H, W) bool ndarray
        True in any nucleus.
    values : (k,) float64 ndarray
        Of the picture where `inside`, in reading order; values that are not finite are left out.
    owner : (k,) int64 ndarray
        The nucleus of each pixel, 0 to n - 1.
    span : pair of (n,) float64 ndarray
        Lowest and highest finite value of each nucleus, NaN if there is none.

    Returns
    -------
    dict of str to (n,) float64 ndarray
        ``texture_contrast``, ``texture_homogeneity`` (inverse difference moment), ``texture_correlation``,
        ``texture_asm`` (angular second moment) and ``texture_entropy`` (natural logarithm). NaN for a nucleus so small
        that it has no pair; a nucleus of one grey value has correlation 1, as in scikit-image.
    """
    low, high = span
    width = np.subtract(high, low, out=np.zeros(len(low)), where=np.isfinite(low))
    factor = np.divide(LEVELS, width, out=np.zeros(len(low)), where=width > 0)
    known = np.isfinite(values)
    level = np.minimum((np.where(known, values, 0) - low[owner]) * factor[owner], LEVELS - 1)
    numbers = np.where(known, level, 0).astype(np.int32) + owner.astype(np.int32) * LEVELS
    codes = _background((inside.shape[0] + DISTANCE, inside.shape[1] + 2 * DISTANCE))
    middle = codes[: inside.shape[0], DISTANCE:-DISTANCE]
    middle[inside] = numbers if known.all() else np.where(known, numbers, middle[inside])
    pairs = np.concatenate([_pairs(codes, row=row, col=col) for row, col in _STEPS])
    parts = [_features(counts) for counts in _matrices(pairs, len(low))]
    names = ("contrast", "homogeneity", "correlation", "asm", "entropy")
    features = np.concatenate(parts, axis=1) if parts else np.zeros((len(names), 0))
    return {f"texture_{name}": feature for name, feature in zip(names, features, strict=True)}


def _background(shape: tuple[int, int]) -> NDArray[np.int32]:
    """Give pixels numbers below 0, as if each were its own nucleus, so that pairs of them need no test."""
    places = np.arange(shape[0] * shape[1], dtype=np.uint32) & np.uint32(_FARTHEST - 1)
    numbers: NDArray[np.int32] = -LEVELS * (places.view(np.int32) + 1)
    return numbers.reshape(shape)


def _pairs(codes: NDArray[np.int32], *, row: int, col: int) -> NDArray[np.int32]:
    """Give pairs of pixels of one nucleus, a step apart, a number made of nucleus, first and second grey level."""
    flat = codes.ravel()  # margins keep a step from leaving one row and entering another
    step = row * codes.shape[1] + col
    first, second = flat[:-step], flat[step:]
    # Numbers of one nucleus differ only in the bits of the grey level.
    same = np.flatnonzero((first ^ second).view(np.uint32) < LEVELS)
    pairs: NDArray[np.int32] = first[same] * LEVELS + (second[same] & (LEVELS - 1))
    return pairs


def _matrices(codes: NDArray[np.int32], count: int) -> Iterator[NDArray[np.int64]]:
    """Count the pairs of each nucleus, (n, LEVELS * LEVELS), some nuclei at a time."""
    cells = LEVELS * LEVELS
    for start in range(0, count, _TOGETHER):
        stop = min(start + _TOGETHER, count)
        few = codes if stop - start == count else codes[(codes >= start * cells) & (codes < stop * cells)]
        yield np.bincount(few - start * cells, minlength=(stop - start) * cells).reshape(-1, cells)


def _features(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Reduce co-occurrence counts (n, LEVELS * LEVELS) to the five features, (5, n)."""
    square = counts.reshape(-1, LEVELS, LEVELS)
    both = (square + square.transpose(0, 2, 1)).reshape(counts.shape)
    total = both.sum(axis=1, keepdims=True)
    known = total > 0
    share = np.divide(both, total, out=np.full(both.shape, np.nan), where=known)
    first, second = np.divmod(np.arange(LEVELS * LEVELS), LEVELS)
    levels = np.arange(LEVELS)
    weights = np.stack([first, first * first, first * second], axis=1), abs(first - second)[:, None] == levels
    # A matrix product is rounded differently for each number of rows, but sums of whole numbers are exact.
    sums = both.astype(np.float64) @ np.concatenate(weights, axis=1)
    means = np.divide(sums, total, out=np.full(sums.shape, np.nan), where=known)
    mean, squares, products = means[:, :3].T
    apart = levels * levels
    contrast, homogeneity = (means[:, 3:] * apart).sum(axis=1), (means[:, 3:] / (1 + apart)).sum(axis=1)
    variance = squares - mean * mean
    flat = variance < 1e-15
    correlation = np.where(flat, 1.0, (products - mean * mean) / np.where(flat, 1.0, variance))
    correlation[np.isnan(contrast)] = np.nan
    logarithm = np.log(share, out=np.zeros(share.shape), where=share > 0)
    entropy = 0.0 - (share * logarithm).sum(axis=1)
    return np.stack([contrast, homogeneity, correlation, (share * share).sum(axis=1), entropy])
