"""Arrays whose chunks are several planes deep: a chunk is decoded as a whole, so the last decoded chunks are kept."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Reading", "reading_of"]

Reading: TypeAlias = Callable[[tuple[int | slice, ...]], NDArray[Any]]
"""Gives a part of an array, from an index for each axis of the stack and a slice for each axis of a plane."""

_KEPT_BYTES = 1 << 27
_AT_ONCE_BYTES = 1 << 20


def reading_of(stored: Any, letters: Sequence[str], *, chunk: tuple[int, ...]) -> tuple[Reading, int]:  # noqa: ANN401 - zarr's own class
    """Tell how to read an array plane by plane or window by window.

    Parameters
    ----------
    stored : zarr.Array
    letters : sequence of str
        The letter of each of its axes.
    chunk : tuple of int
        How much is decoded at once along each axis.

    Returns
    -------
    (Reading, int)
        How to read, and the bytes that reading takes in addition to its result: 0 for chunks of one plane, which need
        almost nothing more.
    """
    shape: tuple[int, ...] = stored.shape
    itemsize: int = stored.dtype.itemsize
    if all(letter in "YXS" or min(n, size) == 1 for n, size, letter in zip(shape, chunk, letters, strict=True)):
        return stored.__getitem__, 0
    decoded = math.prod(chunk) * itemsize
    few = max(math.isqrt(_AT_ONCE_BYTES // decoded), 1)  # small chunks together, as each call of zarr takes time
    wide = (size * few if letter in "YX" else size for size, letter in zip(chunk, letters, strict=True))
    block = tuple(min(n, size) for n, size in zip(shape, wide, strict=True))
    one, count = math.prod(block) * itemsize, math.prod(-(-n // size) for n, size in zip(shape, block, strict=True))
    most = max(_KEPT_BYTES // one, 1)

    @functools.lru_cache(maxsize=most)
    def kept(*corner: int) -> NDArray[Any]:
        part: NDArray[Any] = stored[tuple(slice(at, at + size) for at, size in zip(corner, block, strict=True))]
        return part

    def read(index: tuple[int | slice, ...]) -> NDArray[Any]:
        spans = [
            range(*at.indices(n)) if isinstance(at, slice) else range(at, at + 1)
            for at, n in zip(index, shape, strict=True)
        ]
        found = np.empty([len(span) for span in spans], stored.dtype)
        corners = (range(span[0] // n * n, span.stop, n) for span, n in zip(spans, block, strict=True))
        for corner in itertools.product(*corners):
            each = list(zip(corner, spans, block, strict=True))
            target = tuple(slice(max(at - span[0], 0), at + n - span[0]) for at, span, n in each)
            inside = tuple(slice(max(span[0] - at, 0), span.stop - at) for at, span, _ in each)
            found[target] = kept(*corner)[inside]
        return found[tuple(slice(None) if isinstance(at, slice) else 0 for at in index)]

    # One more block is in memory before the oldest is dropped. While a block is decoded, its stored and its
    # decoded form are both in memory.
    return read, min(most + 1, count) * one + 2 * max(decoded, one)
