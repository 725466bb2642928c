"""From the pixels of a plane to the network's maps, row by row, so that neither has to be in memory as a whole.

::

    part of the plane (h, w[, 3])            read for one tile, lone bright pixels cleared
      -> scaling measured on the whole plane
      -> resized to the working grid
      -> reflected up to the card's multiple  batch_NCHW, tile by tile
      -> engine, blended                      rows of maps on the working grid
      -> resized back                         bands of maps on the plane's grid

Names carry their axes: N batch, C channels or maps, H rows, W columns.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.resample import Resampler, resample
from nucleate.core.specks import Cleared
from nucleate.core.tiles import Rows, Span, chain, joined, mix
from nucleate.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nucleate.core.normalize import Scaling
    from nucleate.core.plane import Plane
    from nucleate.run.engine import Engine
    from nucleate.run.weights import ModelCard

__all__ = ["BAND", "LARGER", "Mapper", "Working", "working_size"]

BAND = 256
"""Rows of maps that are given at once."""

LARGER = 1.5
"""How many times as large the second look of `tta` sees a tile."""

_THIN = 32

_PIECE = 16_000_000  # pixels of the plane read at once, if a tile is made from a much larger part of it


def working_size(shape_HW: tuple[int, int], card: ModelCard, *, scale: float) -> tuple[int, int]:
    """Give rows and columns of the grid on which the network works.

    Parameters
    ----------
    shape_HW : (int, int)
        Of the plane.
    card : ModelCard
        If it has an `input_size`, `scale` is not used.
    scale : float
    """
    if card.input_size is not None:
        return card.input_size, card.input_size
    return max(1, round(shape_HW[0] * scale)), max(1, round(shape_HW[1] * scale))


class Mapper:
    """Computes maps with one model.

    Parameters
    ----------
    engine : Engine
    card : ModelCard
    scale : float
        Of the working grid to the plane's.
    tile : int, optional
        Side of the tiles, margins left out, rounded down to the card's multiple, twice that with `tta`; the
        card's when None.
    tta : bool
        Average over the tile as it is and `LARGER`.
    tiles_at_once : int
        Tiles of one row given to the engine in one call.
    """

    def __init__(
        self,
        engine: Engine,
        card: ModelCard,
        *,
        scale: float = 1.0,
        tile: int | None = None,
        tta: bool = False,
        tiles_at_once: int = 1,
    ) -> None:
        self.engine, self.card, self.scale, self.tta = engine, card, scale, tta
        # Tiles begin at steps of the network, even when they are enlarged by half.
        self.multiple = 2 * card.multiple if tta else card.multiple
        used = max((tile or card.tile) // self.multiple, 1)
        unsure = -(-(2 * card.margin + card.blend) // self.multiple)
        self.tile = (used + unsure) * self.multiple  # as the network sees it
        self.tiles_at_once = tiles_at_once

    def working(self, plane: Plane, scaling: Scaling | None = None) -> Working:
        """Make a plane ready for several calls of `bands`, which then do not compute the last row of tiles again.

        Parameters
        ----------
        plane : Plane
        scaling : Scaling, optional
            Of this plane, where it was measured before.
        """
        size = working_size((plane.shape[0], plane.shape[1]), self.card, scale=self.scale)
        return Working(plane, self.card, size=size, multiple=self.multiple, scaling=scaling)

    def bands(self, plane: Plane | Working, *, start: int = 0, end: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Give the maps of a plane on its own grid, `BAND` rows at a time from the top.

        Parameters
        ----------
        plane : Plane or Working
        start : int
            The first row; bands end at multiples of `BAND` in any case. Tiles above this row are not computed.
        end : int, optional
            From this row on bands are thin, since the caller is about to stop and rows of tiles are computed as needed.

        Yields
        ------
        (C, h, W) float32 ndarray
            In the order of the card's `maps`, 0..1.

        Raises
        ------
        ModelError
            If the engine gives other maps than the card says.
        """
        working = plane if isinstance(plane, Working) else self.working(plane)
        shape_HW = working.plane.shape[0], working.plane.shape[1]
        back = Resampler(working.size, shape_HW)
        everything = slice(0, shape_HW[1])
        first = back.source((slice(start, start + 1), everything))[0].start
        down = [span for span in self._chain(working.padded_HW[0]) if span.write.stop > first]
        pieces, rows = self._pieces(working, down), Rows(down[0].write.start)
        end = shape_HW[0] if end is None else end
        ends = [start, *range(BAND * (start // BAND + 1), end, BAND), *range(end, shape_HW[0], _THIN), shape_HW[0]]
        for top, bottom in itertools.pairwise(ends):
            part = slice(top, bottom), everything
            source = back.source(part)
            rows.forget(source[0].start)
            while rows.stop < source[0].stop:
                rows.add(next(pieces))
            # A copy, since a view would keep the whole strip of tiles in memory.
            yield np.array(back.apply(rows.window(*source), part))

    def on_own_grid(self, plane: Plane, scaling: Scaling) -> NDArray[np.float32]:
        """Give the maps of a small plane on the grid on which the network works, (C, h, w).

        Parameters
        ----------
        plane : Plane
        scaling : Scaling
            Of the plane, or of a larger one of which it is a part.
        """
        working = self.working(plane, scaling)
        pieces = self._pieces(working, self._chain(working.padded_HW[0]))
        return np.concatenate(list(pieces), axis=1)[:, : working.size[0], : working.size[1]]

    def starts(self, shape_HW: tuple[int, int]) -> list[int]:
        """List the first row of each row of tiles, from which maps can be computed without the row of tiles above."""
        size = working_size(shape_HW, self.card, scale=self.scale)
        back, across = Resampler(size, shape_HW), slice(0, 1)
        found = [0]
        for span in self._chain(size[0] + -size[0] % self.multiple)[:-1]:
            row = min(max(span.write.stop * shape_HW[0] // size[0] - 1, found[-1] + 1), shape_HW[0])
            while row < shape_HW[0] and back.source((slice(row, row + 1), across))[0].start < span.write.stop:
                row += 1
            if row < shape_HW[0]:
                found.append(row)
        return found

    def _chain(self, length: int) -> list[Span]:
        card = self.card
        return chain(length, self.tile, margin=card.margin, blend=card.blend, multiple=self.multiple)

    def _pieces(self, working: Working, down: Sequence[Span]) -> Iterator[NDArray[np.float32]]:
        """Give rows of maps on the working grid, padding included."""
        across = self._chain(working.padded_HW[1])
        return joined(((row, self._strip(working, row, across=across)) for row in down), axis=1)

    def _strip(self, working: Working, row: Span, *, across: Sequence[Span]) -> NDArray[np.float32]:
        """Compute one row of tiles, blended from left to right, unless it is the row that was computed last."""
        if working.last is None or working.last[0] != row:
            working.last = None  # so that two are never in memory
            height = row.write.stop - row.write.start
            strip_CHW = np.empty((len(self.card.maps), height, working.padded_HW[1]), np.float32)
            mix(strip_CHW, self._tiles(working, row, across=across), axis=2)
            working.last = row, strip_CHW
        return working.last[1]

    def _tiles(
        self, working: Working, row: Span, *, across: Sequence[Span]
    ) -> Iterator[tuple[Span, NDArray[np.float32]]]:
        for start in range(0, len(across), self.tiles_at_once):
            some = across[start : start + self.tiles_at_once]
            parts = [working.part(row.read, col.read) for col in some]
            maps_NCHW = self._run(parts[0][None] if len(parts) == 1 else np.stack(parts))
            for col, maps_CHW in zip(some, maps_NCHW, strict=True):
                yield col, maps_CHW[:, row.inner, col.inner]

    def _run(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        maps_NCHW = self._maps(batch_NCHW)
        if not self.tta:
            return maps_NCHW
        rows, cols = batch_NCHW.shape[2:]
        larger_HW = (round(LARGER * rows), round(LARGER * cols))
        # One tile at a time, since an enlarged tile takes the memory of several.
        larger = [resample(self._maps(resample(seen_CHW, larger_HW)[None])[0], (rows, cols)) for seen_CHW in batch_NCHW]
        mean_NCHW = maps_NCHW + np.stack(larger)
        mean_NCHW /= 2
        return mean_NCHW

    def _maps(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        maps_NCHW = self.engine(batch_NCHW)
        if maps_NCHW.shape[1] != len(self.card.maps):
            names = ", ".join(self.card.maps)
            raise ModelError(f"{self.card.name} gives {maps_NCHW.shape[1]} maps, its card names {names}; mend the card")
        return maps_NCHW


class Working:
    """A plane as the network sees it, scaled, resized and reflected at the ends; parts are computed when asked for.

    Parameters
    ----------
    plane : Plane
    card : ModelCard
    size : (int, int)
        Rows and columns of the working grid.
    multiple : int
        Rows and columns are padded to a multiple of this.
    scaling : Scaling, optional
        Of this plane, if it was measured before.
    """

    def __init__(
        self, plane: Plane, card: ModelCard, *, size: tuple[int, int], multiple: int, scaling: Scaling | None = None
    ) -> None:
        self._scaling = scaling or card.normalizer.measure(plane)
        plane = plane if self._scaling.blanks is None else self._scaling.blanks.on(plane)
        self.plane = plane if self._scaling.specks is None else Cleared(plane, self._scaling.specks)
        self.size = size
        self.last: tuple[Span, NDArray[np.float32]] | None = None  # row of tiles, with its maps
        self._resampler = Resampler((plane.shape[0], plane.shape[1]), size)
        # For each row and column of the padded grid, the row or column of the working grid that is shown there.
        self._shown = [np.pad(np.arange(n), (0, -n % multiple), "reflect") for n in size]

    @property
    def padded_HW(self) -> tuple[int, int]:
        """Rows and columns, multiples of `multiple`."""
        return len(self._shown[0]), len(self._shown[1])

    def part(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Compute a part, (channels, h, w) float32 in 0..1."""
        down, across = self._shown[0][rows], self._shown[1][cols]
        top, left = int(down.min()), int(across.min())
        inside_CHW = self._inside(slice(top, int(down.max()) + 1), slice(left, int(across.max()) + 1))
        if down[-1] - top + 1 == len(down) and across[-1] - left + 1 == len(across):
            return inside_CHW
        return inside_CHW[:, (down - top)[:, None], across - left]

    def _inside(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        source = self._resampler.source((rows, cols))
        count = (source[0].stop - source[0].start) * (source[1].stop - source[1].start)
        step = max((rows.stop - rows.start) // max(count // _PIECE, 1), 1)
        pieces = []
        for top in range(rows.start, rows.stop, step):
            part = slice(top, min(top + step, rows.stop)), cols
            pixels = self.plane.read(*self._resampler.source(part))
            pieces.append(self._resampler.apply(self._scaling.apply(pixels), part))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
