"""Tiles: chains of overlapping spans along one axis; tiles of a picture are the product of two chains.

Each span has three ranges, one inside the other::

    read   what the network sees
    write  the part whose answer is used: `margin` away from the ends of read that lie inside the picture
    own    the part that belongs to this span alone when nothing is blended; the own ranges share out the axis

Neighbours' write ranges overlap by the blend; there the weights go linearly from one to the other.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = ["Rows", "Span", "chain", "joined", "mix", "weights"]


@dataclass(frozen=True)
class Span:
    """One link of a chain: ranges along one axis, as slices in the picture's coordinates."""

    read: slice
    write: slice
    own: slice

    @property
    def inner(self) -> slice:
        """The write range in the coordinates of what was read."""
        return slice(self.write.start - self.read.start, self.write.stop - self.read.start)


def chain(length: int, tile: int, *, margin: int, blend: int = 0, multiple: int = 1) -> list[Span]:
    """Cover an axis with spans.

    Parameters
    ----------
    length : int
        Pixels of the axis.
    tile : int
        Pixels that a span reads at most. A `length` up to `tile` gives one span. A longer axis gets as few spans as
        possible, which all read the same number of pixels, as few as possible.
    margin : int
        Pixels at an inner end of the read range whose answer is not used.
    blend : int
        Most pixels over which two neighbours are mixed.
    multiple : int
        Every read range starts at a multiple of this, so that a network with strides sees the same grid in each
        tile; `length` (when longer than `tile`) and `tile` must be multiples too.

    Returns
    -------
    list of Span
        In order. At most two write ranges meet in any pixel.

    Raises
    ------
    UsageError
        If a tile is too small for its margins, or not a multiple.

    Examples
    --------
    >>> [(span.read, span.own) for span in chain(10, 8, margin=1)]
    [(slice(0, 6, None), slice(0, 5, None)), (slice(4, 10, None), slice(5, 10, None))]
    """
    if length <= tile:
        whole = slice(0, length)
        return [Span(whole, whole, whole)]
    if length % multiple or tile % multiple:
        raise UsageError(f"tile of {tile} px on {length} px: both must be multiples of {multiple}")
    shared = -(-(2 * margin + blend) // multiple)  # by two neighbours, in multiples
    step = tile // multiple - shared
    if step < 1:
        least = (shared + 1) * multiple
        raise UsageError(f"tile of {tile} px is too small for margins of {margin} px; use {least} px or more")
    count = 1 + -(-(length - tile) // (multiple * step))
    tile = multiple * -(-(length // multiple + (count - 1) * shared) // count)
    rest = (length - tile) // multiple
    starts = [multiple * (i * rest // (count - 1)) for i in range(count)]
    cuts = [0, *((a + tile + b) // 2 for a, b in itertools.pairwise(starts)), length]
    widths = [b - a for a, b in itertools.pairwise(cuts)]
    half = [0, *(min(blend, a, b) // 2 for a, b in itertools.pairwise(widths)), 0]
    return [
        Span(
            slice(starts[i], starts[i] + tile),
            slice(cuts[i] - half[i], cuts[i + 1] + half[i + 1]),
            slice(cuts[i], cuts[i + 1]),
        )
        for i in range(count)
    ]


def weights(before: slice, after: slice) -> NDArray[np.float32]:
    """Weights of the later of two neighbours over the pixels that both write; the earlier one has ``1 - weights``.

    Parameters
    ----------
    before, after : slice
        Write ranges of neighbours, in order.

    Returns
    -------
    (k,) float32 ndarray
        Rising linearly, within 0..1; empty when the ranges only touch.
    """
    width = max(0, before.stop - after.start)
    return ((np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(max(width, 1))).astype(np.float32)


def mix(out: NDArray[np.float32], parts: Iterable[tuple[Span, NDArray[np.float32]]], *, axis: int) -> None:
    """Write the parts of a chain into `out` along `axis`, mixing neighbours where both write.

    Where two parts agree the result is exactly their value: the later one adds its weighted difference, which is 0.

    Parameters
    ----------
    out : float32 ndarray
        Changed in place.
    parts : iterable of (Span, ndarray)
        In order of the chain; each array has the length of its write range along `axis`.
    axis : int
    """
    start = 0
    at: list[slice] = [slice(None)] * out.ndim
    for piece in joined(parts, axis=axis):
        at[axis] = slice(start, start + piece.shape[axis])
        out[tuple(at)] = piece
        start = at[axis].stop


def joined(parts: Iterable[tuple[Span, NDArray[np.float32]]], *, axis: int) -> Iterator[NDArray[np.float32]]:
    """Mix the parts of a chain as they come and give the finished pieces in order.

    Parameters
    ----------
    parts : iterable of (Span, ndarray)
        As for `mix`, to the end of the chain.
    axis : int

    Yields
    ------
    float32 ndarray
        Pieces that lie side by side along `axis`, without gap or overlap: of each part, as it comes, all pixels that
        the next part does not write, too.
    """
    held: NDArray[np.float32] | None = None
    before: slice | None = None
    for span, part in parts:
        done = 0
        if held is not None and before is not None and (done := len(rise := weights(before, span.write))):
            shape = [1] * part.ndim
            shape[axis] = done
            yield held + rise.reshape(shape) * (_part(part, slice(0, done), axis=axis) - held)
        # Given at once, so that a caller who needs only these rows does not wait for the part below.
        settled = part.shape[axis] - 2 * (span.write.stop - span.own.stop)
        yield _part(part, slice(done, settled), axis=axis)
        # A copy, and the part is deleted: a part that was given must not be in memory when the next is computed.
        held, before = _part(part, slice(settled, None), axis=axis).copy(), span.write
        del part


class Rows:
    """Rows of maps that come from top to bottom and are forgotten again; rows `start` to `stop` are held.

    Parameters
    ----------
    first : int
        The first row that comes.
    """

    def __init__(self, first: int = 0) -> None:
        self.start = self.stop = first
        self._pieces: deque[NDArray[np.float32]] = deque()

    def add(self, piece_CHW: NDArray[np.float32]) -> None:
        """Append rows below."""
        self._pieces.append(piece_CHW)
        self.stop += piece_CHW.shape[1]

    def forget(self, before: int) -> None:
        """Let go of the rows above `before`, or most of them."""
        while self._pieces and self.start + self._pieces[0].shape[1] <= before:
            self.start += self._pieces.popleft().shape[1]
        done = before - self.start
        if self._pieces and 2 * done > self._pieces[0].shape[1]:
            self._pieces[0] = self._pieces[0][:, done:].copy()  # a view would keep the whole piece in memory
            self.start = before

    def window(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Give a part (C, h, w) of the rows that are held; perhaps a view."""
        found, top = [], self.start
        for piece in self._pieces:
            bottom = top + piece.shape[1]
            if top < rows.stop and bottom > rows.start:
                found.append(piece[:, max(rows.start - top, 0) : rows.stop - top, cols])
            top = bottom
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def _part(values: NDArray[np.float32], wanted: slice, *, axis: int) -> NDArray[np.float32]:
    return values[(*(slice(None),) * axis, wanted)]
