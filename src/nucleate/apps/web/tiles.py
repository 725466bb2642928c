"""Square tiles of pictures and of outlines at every zoom, cut from planes that need not fit the memory.

A level is a power of two by which rows and columns are fewer: its *factor*. Level numbers are those of OpenSeadragon:
the highest is the full size, each below has half the rows and columns, rounded up.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from nucleate.core.plane import as_plane
from nucleate.export.overlay import CASING, Stretch, grown, outline_pixels, stretch_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.core.plane import Plane

__all__ = ["TILE", "LabelLevels", "PictureLevels", "factor_of", "inks_of", "nearest", "outline_png", "png", "reduced"]

TILE = 512
"""Pixels a side of a tile."""

_OVERVIEW = 4_000_000
"""Pixels of the level that is kept in memory; all smaller ones are made from it."""

_IN_MEMORY = 32_000_000
"""Pixels of a plane that is read once and kept."""

_PIECE = 16_000_000
"""Pixels read at once where a whole plane is gone through."""

_RIM, _PALE, _FIRST = 1, 2, 3
"""Numbers in a tile of outlines: 0 shows what is below, then the rim, the grey of unsure nuclei, the colours."""


def factor_of(level: int, shape_HW: tuple[int, int]) -> int:
    """Tell by how much a level is smaller than the full size.

    Examples
    --------
    >>> [factor_of(level, (600, 1000)) for level in (10, 9, 0)]
    [1, 2, 1024]
    """
    return int(2 ** max((max(shape_HW) - 1).bit_length() - level, 0))


def reduced(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    """Make a plane smaller: each pixel is the mean of ``factor`` x ``factor`` ones, fewer at the edges.

    Examples
    --------
    >>> reduced(np.array([[0, 2, 9], [4, 6, 9]]), 2).tolist()
    [[3.0, 9.0]]
    """
    if factor == 1:
        return pixels
    height, width, *samples = pixels.shape
    spare = [(0, -height % factor), (0, -width % factor), *[(0, 0)] * len(samples)]
    padded = np.pad(pixels, spare, mode="edge")
    blocks = padded.reshape(-(-height // factor), factor, -(-width // factor), factor, *samples)
    with np.errstate(invalid="ignore", over="ignore"):
        mean: NDArray[Any] = blocks.mean(axis=(1, 3), dtype=np.float32 if pixels.dtype.itemsize <= 2 else np.float64)
    return mean


def nearest(labels: NDArray[Any], factor: int) -> NDArray[Any]:
    """Make a label image smaller: each pixel is the one in the middle of ``factor`` x ``factor``.

    Examples
    --------
    >>> nearest(np.array([[0, 2, 9], [4, 6, 9]]), 2).tolist()
    [[6, 9]]
    """
    rows, cols = (np.minimum(np.arange(-(-n // factor)) * factor + factor // 2, n - 1) for n in labels.shape)
    return labels if factor == 1 else labels[np.ix_(rows, cols)]


class _Levels:
    """A plane at every zoom: itself, and one smaller one in memory."""

    def __init__(
        self,
        read: Callable[[slice, slice], NDArray[Any]],
        shape_HW: tuple[int, int],
        *,
        shrink: Callable[[NDArray[Any], int], NDArray[Any]],
    ) -> None:
        self.shape_HW, self._shrink = shape_HW, shrink
        height, width = shape_HW
        everything = slice(0, width)
        self._step = 1
        while height * width > _OVERVIEW * self._step**2:
            self._step *= 2
        if height * width <= _IN_MEMORY:
            whole = read(slice(0, height), everything)
            self._read: Callable[[slice, slice], NDArray[Any]] = lambda rows, cols: whole[rows, cols]
            self._small = shrink(whole, self._step)
            return
        self._read = read
        strip = max(_PIECE // width // self._step, 1) * self._step
        bands = (read(slice(top, min(top + strip, height)), everything) for top in range(0, height, strip))
        self._small = np.concatenate([shrink(band, self._step) for band in bands])

    def window(self, factor: int, place: tuple[int, int], *, margin: int = 0) -> tuple[NDArray[Any], tuple[int, int]]:
        """Give a tile (row, col) of a level with a margin, and how much of it lies above and to the left."""
        have = self._step if factor >= self._step else 1
        steps = factor // have
        bounds = [-(-n // have) for n in self.shape_HW]
        starts = [max(i * TILE - margin, 0) for i in place]
        rows, cols = (
            slice(min(start * steps, n), min(((i + 1) * TILE + margin) * steps, n))
            for start, i, n in zip(starts, place, bounds, strict=True)
        )
        pixels = self._small[rows, cols] if have > 1 else self._read(rows, cols)
        above, left = (i * TILE - start for i, start in zip(place, starts, strict=True))
        return (self._shrink(pixels, steps) if pixels.size else pixels), (above, left)


class PictureLevels(_Levels):
    """A picture at every zoom, in the contrast of the overlays.

    Parameters
    ----------
    plane : (H, W) or (H, W, 3) real ndarray or Plane
        Above 32 megapixels it is read window by window, and once as a whole for what is seen from far away.
    """

    def __init__(self, plane: NDArray[Any] | Plane) -> None:
        source = as_plane(plane)
        super().__init__(source.read, (source.shape[0], source.shape[1]), shrink=reduced)
        self.stretch: Stretch = stretch_of(self._small)

    def tile(self, factor: int, place: tuple[int, int]) -> NDArray[np.uint8]:
        """Give a tile (row, col) of a level as it is shown, (h, w) or (h, w, 3) of at most `TILE` a side."""
        return self.stretch.shown(self.window(factor, place)[0])


class LabelLevels(_Levels):
    """A label image at every zoom.

    Parameters
    ----------
    labels : (H, W) Labels
        Above 32 megapixels read window by window, as pictures are.
    """

    def __init__(self, labels: Labels) -> None:
        def read(rows: slice, cols: slice) -> NDArray[Any]:
            return np.asarray(labels[rows, cols])

        super().__init__(read, (labels.shape[0], labels.shape[1]), shrink=nearest)

    def at(self, row: int, col: int) -> int:
        """Tell which nucleus a pixel belongs to; 0 for none, or beyond the picture."""
        if not (0 <= row < self.shape_HW[0] and 0 <= col < self.shape_HW[1]):
            return 0
        return int(self._read(slice(row, row + 1), slice(col, col + 1))[0, 0])

    def cut(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part at full size."""
        return self._read(rows, cols)

    def outlines(self, factor: int, place: tuple[int, int], *, inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw the outlines in a tile (row, col) of a level.

        Parameters
        ----------
        factor : int
        place : (int, int)
        inks : (n + 1,) uint8 ndarray
            From `inks_of`: the number in which each nucleus is drawn, 0 for not at all.

        Returns
        -------
        (h, w) uint8 ndarray
            Numbers of colours, for `outline_png`.
        """
        # Two pixels more: one for nuclei that go on in the next tile, one for rims that reach over.
        labels, (above, left) = self.window(factor, place, margin=2)
        drawn = outline_pixels(labels) * inks[labels]
        drawn[grown(drawn >= _FIRST) & (labels == 0)] = _RIM
        tile: NDArray[np.uint8] = drawn[above : above + TILE, left : left + TILE]
        return tile


def inks_of(confidence: NDArray[np.float64], *, least: float = 0.0, hide: bool = False) -> NDArray[np.uint8]:
    """Choose in which colour each nucleus is drawn.

    Parameters
    ----------
    confidence : (n + 1,) float ndarray
        Entry ``i`` belongs to nucleus ``i``; the first says nothing, and one of NaN is sure.
    least : float
        Nuclei that are less sure are grey.
    hide : bool
        They are not drawn at all.

    Returns
    -------
    (n + 1,) uint8 ndarray

    Examples
    --------
    >>> inks_of(np.array([np.nan, 0.9, 0.4]), least=0.5).tolist()
    [0, 4, 2]
    """
    inks = (_FIRST + np.arange(len(confidence)) % 7).astype(np.uint8)
    inks[confidence < least] = 0 if hide else _PALE
    inks[:1] = 0
    return inks


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Write a tile of a picture as PNG, without loss."""
    return _encoded(PIL.Image.fromarray(np.ascontiguousarray(pixels)))


def outline_png(numbers: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Write a tile of outlines as PNG that lets through what lies below.

    Parameters
    ----------
    numbers : (H, W) uint8 ndarray
        From `LabelLevels.outlines`.
    palette : (7, 3) uint8 ndarray
        Of the `Stretch` of the picture below.
    """
    picture = PIL.Image.fromarray(np.ascontiguousarray(numbers))
    greys = np.array([(0, 0, 0), (0, 0, 0), (140, 140, 140)], np.uint8)
    picture.putpalette(np.concatenate([greys, palette]).tobytes())
    opaque = [0, round(255 * (1 - CASING)), 255, *[255] * len(palette)]
    return _encoded(picture, transparency=bytes(opaque))


def _encoded(picture: PIL.Image.Image, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    stream = io.BytesIO()
    picture.save(stream, format="PNG", compress_level=1, **options)
    return stream.getvalue()
