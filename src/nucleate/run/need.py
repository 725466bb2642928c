"""How much memory a plane needs, all at once or in blocks, and how large blocks may be for a given memory.

Measured with the numbers below in mind: benchmarks/large_image.py shows what a run really takes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucleate.core.normalize import SAMPLE
from nucleate.run.blocks import Blocks
from nucleate.run.maps import BAND, LARGER, working_size

if TYPE_CHECKING:
    from nucleate.run.maps import Mapper

__all__ = ["Need"]

_POST = 100
"""Bytes for each pixel while the recipe works: distances, heights, regions, pieces and the queue of the watershed."""

_SAMPLING = 48
"""Bytes for each pixel that is sampled for the scaling, if colours are stained; grey takes a fifth of that."""

_LEAST_ROWS = 3 * BAND
_WIDEST = 1 << 14
"""Most columns of a connected region that memory is planned for."""

_LEAST_BLOCK, _MOST_BLOCK = 256, 1024


@dataclass(frozen=True)
class Need:
    """Memory, in bytes, for one plane beyond the plane itself.

    Parameters
    ----------
    shape_HW : (int, int)
        Rows and columns.
    maps : int
        Bytes of the maps for each pixel.
    network : int
        For the network on one tile, and for the rows of tiles before they are cut into bands.
    """

    shape_HW: tuple[int, int]
    maps: int
    network: int

    @classmethod
    def of(cls, shape_HW: tuple[int, int], mapper: Mapper) -> Need:
        """Estimate for one mapper, on a plane of this shape."""
        card = mapper.card
        rows, cols = (n + mapper.multiple for n in working_size(shape_HW, card, scale=mapper.scale))
        tile, maps = mapper.tile, 4 * len(card.maps)
        at_once = max(mapper.tiles_at_once, LARGER**2) if mapper.tta else mapper.tiles_at_once
        seen = math.ceil(min(rows, tile) * min(cols, tile) * at_once)
        strips = (min(rows, tile) + 2 * BAND) * cols * maps
        sampled = min(shape_HW[0] * shape_HW[1], SAMPLE) * _SAMPLING
        # Sampling is over before the network begins.
        return cls(shape_HW, maps, max(sampled, strips + seen * card.bytes_per_pixel))

    @property
    def pixels(self) -> int:
        """Pixels of the plane."""
        return self.shape_HW[0] * self.shape_HW[1]

    @property
    def whole(self) -> int:
        """Bytes for the plane all at once: maps of the whole plane, then the recipe when the network is done."""
        return self.pixels * self.maps + max(self.network, self.pixels * _POST)

    @property
    def least(self) -> int:
        """Bytes for the plane in the smallest blocks."""
        rows = min(self.shape_HW[0], _LEAST_ROWS)
        return self.network + rows * self.shape_HW[1] * self.maps + self._least_pixels * (self.maps + _POST)

    @property
    def smallest(self) -> int:
        """Bytes for the plane in whichever way takes less."""
        return min(self.whole, self.least)

    @property
    def _least_pixels(self) -> int:
        # If memory is this short, a region may be cut in every band, but not within one.
        return min(self.pixels, max(5 * BAND // 4 * min(self.shape_HW[1], _WIDEST), 4 * _LEAST_BLOCK**2))

    def bytes_within(self, max_bytes: int | None = None) -> int:
        """Give what a plane takes, labels included, if at most `max_bytes` (None is no limit) are wanted."""
        labels = 4 * self.pixels
        if max_bytes is None or self.whole <= max_bytes - labels:
            return self.whole + labels
        return self.smallest + labels

    def blocks(self, max_bytes: int) -> Blocks:
        """Choose blocks that take at most `max_bytes`, labels left out, or the smallest."""
        spare = max(max_bytes - self.network, 0)
        rows = spare // 2 // max(self.shape_HW[1] * self.maps, 1)
        pixels = max(spare // 2 // (self.maps + _POST), self._least_pixels)
        block = min(max(math.isqrt(pixels // 4), _LEAST_BLOCK), _MOST_BLOCK)
        return Blocks(block, max(rows, _LEAST_ROWS), pixels)
