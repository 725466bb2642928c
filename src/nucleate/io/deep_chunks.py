"""Arrays whose chunks are several planes deep: a chunk is decoded as a whole, so planes are kept that come with one."""

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
"""Gives a part of an array: an index for each axis but those of a plane, of which it takes slices."""

_KEPT_BYTES = 1 << 27
_AT_ONCE_BYTES = 1 << 24


def reading_of(stored: Any, letters: Sequence[str], *, chunk: tuple[int, ...]) -> tuple[Reading, int]:  # noqa: ANN401 - zarr's own class
    """Tell how to read an array plane by plane.

    Parameters
    ----------
    stored : zarr.Array
    letters : sequence of str
        Its axes.
    chunk : tuple of int
        What is decoded at once, along each.

    Returns
    -------
    (Reading, int)
        And the bytes that it takes beside what it gives: 0 for chunks of one plane, which need about nothing more.
    """
    shape: tuple[int, ...] = stored.shape
    itemsize: int = stored.dtype.itemsize
    across = [letter in "YXS" for letter in letters]
    deep = tuple(n if whole else min(n, size) for n, size, whole in zip(shape, chunk, across, strict=True))
    if all(whole or size == 1 for whole, size in zip(across, deep, strict=True)):
        return stored.__getitem__, 0
    one, planes = math.prod(chunk) * itemsize, math.prod(deep) * itemsize
    several = math.ceil(shape[letters.index("C")] / deep[letters.index("C")]) if "C" in letters else 1
    most = min(max(_KEPT_BYTES, one) // planes, several)  # channels are often read in turns

    @functools.lru_cache(maxsize=most)
    def kept(*numbers: int) -> NDArray[Any]:
        starts = (number * size for number, size in zip(numbers, deep, strict=True))
        return _in_parts(
            stored, tuple(slice(at, at + size) for at, size in zip(starts, deep, strict=True)), chunk=chunk
        )

    def read(index: tuple[int | slice, ...]) -> NDArray[Any]:
        if not most:
            return _in_parts(stored, index, chunk=chunk)
        numbers = [0 if isinstance(at, slice) else at // size for at, size in zip(index, deep, strict=True)]
        inside = tuple(at if isinstance(at, slice) else at % size for at, size in zip(index, deep, strict=True))
        part: NDArray[Any] = kept(*numbers)[inside]
        return part.copy()

    return read, most * planes + 2 * max(one, min(planes, _AT_ONCE_BYTES))


def _in_parts(stored: Any, index: tuple[int | slice, ...], *, chunk: tuple[int, ...]) -> NDArray[Any]:  # noqa: ANN401
    """Read a few chunks at a time: of all at once many would be decoded beside each other."""
    spans = [
        at.indices(n)[:2] if isinstance(at, slice) else (at, at + 1) for at, n in zip(index, stored.shape, strict=True)
    ]
    few = max(_AT_ONCE_BYTES // (math.prod(chunk) * stored.dtype.itemsize), 1)
    steps = (*chunk[:-1], chunk[-1] * few)
    cuts = [
        [(max(at, first), min(at + step, end)) for at in range(first // step * step, end, step)]
        for (first, end), step in zip(spans, steps, strict=True)
    ]
    found = np.empty([end - first for first, end in spans], stored.dtype)
    for place in itertools.product(*cuts):
        target = tuple(slice(a - first, b - first) for (a, b), (first, _) in zip(place, spans, strict=True))
        found[target] = stored[tuple(slice(a, b) for a, b in place)]
    return found[tuple(slice(None) if isinstance(at, slice) else 0 for at in index)]
