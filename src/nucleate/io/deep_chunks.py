"""Arrays whose chunks are several planes deep: a chunk is decoded as a whole, so what was decoded last is kept."""

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
_BLOCK_BYTES = 1 << 20
_AT_ONCE_BYTES = 1 << 24


def reading_of(stored: Any, letters: Sequence[str], *, chunk: tuple[int, ...]) -> tuple[Reading, int]:  # noqa: ANN401 - zarr's own class
    """Tell how to read an array plane by plane or window by window.

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
    if all(letter in "YXS" or min(n, size) == 1 for n, size, letter in zip(shape, chunk, letters, strict=True)):
        return stored.__getitem__, 0
    decoded = math.prod(chunk) * itemsize

    def several(most: int) -> tuple[int, ...]:
        few = max(math.isqrt(most // decoded), 1)  # each call of zarr takes its time
        wide = (size * few if letter in "YX" else size for size, letter in zip(chunk, letters, strict=True))
        return tuple(map(min, shape, wide))

    block, passing = several(_BLOCK_BYTES), several(_AT_ONCE_BYTES)
    block_bytes = math.prod(block) * itemsize
    blocks = math.prod(-(-n // size) for n, size in zip(shape, block, strict=True))
    most = max(_KEPT_BYTES // block_bytes, 1)

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
        is_kept = math.prod(map(len, _grid(spans, block))) <= most  # more would be gone before they are asked for again
        size = block if is_kept else passing
        for corner in itertools.product(*_grid(spans, size)):
            cut = [(max(at, s.start), min(at + n, s.stop)) for at, s, n in zip(corner, spans, size, strict=True)]
            part = kept(*corner)[_slices(cut, corner)] if is_kept else stored[tuple(slice(*at) for at in cut)]
            found[_slices(cut, [span.start for span in spans])] = part
        return found[tuple(slice(None) if isinstance(at, slice) else 0 for at in index)]

    # One block more is there before the oldest goes; to decode some takes them as they are stored and as they become.
    at_once = math.prod(passing) * itemsize if blocks > most else block_bytes
    return read, min(most + 1, blocks) * block_bytes + 2 * max(decoded, at_once)


def _grid(spans: Sequence[range], size: Sequence[int]) -> list[range]:
    return [range(span.start // n * n, span.stop, n) for span, n in zip(spans, size, strict=True)]


def _slices(cut: Sequence[tuple[int, int]], origin: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(start - at, stop - at) for (start, stop), at in zip(cut, origin, strict=True))
