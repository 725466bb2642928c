"""Square tiles of pictures and of outlines at every zoom, cut from planes that need not fit the memory.

A level of the viewer is a power of two by which rows and columns are fewer: its *factor*. Level numbers are those of
OpenSeadragon: the highest is the full size, each below has half the rows and columns, rounded up.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from nucleate.apps.web.pyramid import Pyramid, averaged, picked
from nucleate.core.plane import as_plane
from nucleate.export.overlay import CASING, Stretch, grown, outline_pixels, stretch_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.apps.web.pyramid import Watch
    from nucleate.core.bands import Labels
    from nucleate.core.plane import Plane

__all__ = ["TILE", "LabelLevels", "PictureLevels", "factor_of", "inks_of", "outline_png", "png"]

TILE = 512
"""Pixels a side of a tile."""

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


class _Levels(Pyramid):
    """A pyramid from which tiles are cut."""

    def cut_tile(self, factor: int, place: tuple[int, int], *, margin: int = 0) -> tuple[NDArray[Any], tuple[int, int]]:
        """Give a tile (row, col) of a level with a margin, and how much of it lies above and to the left."""
        starts = [max(i * TILE - margin, 0) for i in place]
        rows, cols = (slice(start, (i + 1) * TILE + margin) for start, i in zip(starts, place, strict=True))
        above, left = (i * TILE - start for i, start in zip(place, starts, strict=True))
        return self.window(factor, rows, cols=cols), (above, left)


class PictureLevels(_Levels):
    """A picture at every zoom, in the contrast of the overlays.

    Parameters
    ----------
    plane : (H, W) or (H, W, 3) real ndarray or Plane
        Above 32 megapixels it is read window by window, and, if `smaller` sizes do not reach far, once as a whole.
    smaller : sequence of Plane
        The same plane in smaller sizes, if the file holds them.
    scratch : Path, optional
        See `Pyramid`.
    watch : Watch
        See `Pyramid`.
    """

    def __init__(
        self,
        plane: NDArray[Any] | Plane,
        *,
        smaller: Sequence[Plane] = (),
        scratch: Path | None = None,
        watch: Watch = lambda _: None,
    ) -> None:
        source = as_plane(plane)
        levels = [(one.read, (one.shape[0], one.shape[1])) for one in smaller]
        shape_HW = (source.shape[0], source.shape[1])
        super().__init__(source.read, shape_HW, shrink=averaged, levels=levels, scratch=scratch, watch=watch)
        self.stretch: Stretch = stretch_of(self.sample())

    def show_as(self, beside: Stretch) -> None:
        """Spread as wide a range as a plane beside it does, if that is wider, moved so that it holds the plane's own.

        On dark ground both begin at the same value; bright ground stays as bright as it is beside.
        """
        own = self.stretch
        if own.span < beside.span:
            low = beside.low if beside.bright else own.low
            self.stretch = replace(beside, low=min(max(low, own.low + own.span - beside.span), own.low))

    def tile(self, factor: int, place: tuple[int, int]) -> NDArray[np.uint8]:
        """Give a tile (row, col) of a level as it is shown, (h, w) or (h, w, 3) of at most `TILE` a side."""
        return self.stretch.shown(self.cut_tile(factor, place)[0])


class LabelLevels(_Levels):
    """A label image at every zoom.

    Parameters
    ----------
    labels : (H, W) Labels
        Above 32 megapixels read window by window, and once as a whole.
    scratch : Path, optional
        See `Pyramid`.
    watch : Watch
        See `Pyramid`.
    """

    def __init__(self, labels: Labels, *, scratch: Path | None = None, watch: Watch = lambda _: None) -> None:
        def read(rows: slice, cols: slice) -> NDArray[Any]:
            return np.asarray(labels[rows, cols])

        super().__init__(read, (labels.shape[0], labels.shape[1]), shrink=picked, scratch=scratch, watch=watch)

    def at(self, row: int, col: int) -> int:
        """Tell which nucleus a pixel belongs to; 0 for none, or beyond the picture."""
        if not (0 <= row < self.shape_HW[0] and 0 <= col < self.shape_HW[1]):
            return 0
        return int(self.read(slice(row, row + 1), slice(col, col + 1))[0, 0])

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
        labels, (above, left) = self.cut_tile(factor, place, margin=2)
        drawn = outline_pixels(labels) * inks[labels]
        drawn[grown(drawn >= _FIRST) & (labels == 0)] = _RIM
        tile: NDArray[np.uint8] = drawn[above : above + TILE, left : left + TILE]
        return tile


def inks_of(confidence: NDArray[np.float64], *, least: float = 0.0, hide: bool = False) -> NDArray[np.uint8]:
    """Choose in which colour each nucleus is drawn.

    Parameters
    ----------
    confidence : (n + 1,) float ndarray
        Entry ``i`` belongs to nucleus ``i``; the first is not used, and NaN counts as sure.
    least : float
        Nuclei that are less sure are grey.
    hide : bool
        Whether these are not drawn at all.

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
