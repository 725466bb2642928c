"""What is no part of a picture: margins of one colour, and scale bars with the letters beside them.

Margins are filled in where pictures are brought to one shape, bars are burnt in when a picture is made for a slide or a
paper. Both may be far brighter, or darker, than what was photographed, and letters look like nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.plane import ChangedPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nucleate.core.plane import Plane

__all__ = ["Blanks", "Box", "content", "drawn_in"]

Box = tuple[int, int, int, int]
"""Top, left, bottom and right; the last two are the first pixels beyond."""

_ALIKE = 0.02  # of the range: pixels of one colour differ by no more than this, even after JPEG
# Percentiles between which the range is measured: hot pixels would make all else look like one colour.
_COMMON = (0.1, 99.9)
_FEW = 256  # rows and columns of a picture by which its range is measured, at most about
_MOSTLY = 0.5  # of a line: a picture begins where this much of a line differs from the margin
_INK = 0.06  # of the range: drawn pixels lie this close to the lightest or darkest value, since JPEG blurs thin lines
_LEAST, _MOST = 40, 0.1  # fewest pixels of a colour that may be that of a bar, and most, as a share of the picture
_LONG, _SLIM = 20, 4  # pixels along the shortest bar, and how many times as long as high a bar is at least
_FILLED = 0.98  # share of the box around a bar that the bar fills at least: nuclei have round ends
_SHARP = 0.25  # of the range: average step, in some channel, from a bar or letter to what lies two pixels away
_NEAR = 0.6  # of the length of a bar: letters are looked for this far above and below it
_STROKES = 64  # strokes of letters on one side of a bar that are looked at, at most
_APART = (0.15, 0.4)  # of the length of a bar: how far apart strokes of one line of letters are at most, down and along
# A line of letters holds this many times as many strokes an area as the rest of the picture: else they are specks.
_DENSER = 3
_OBLONG = 1.5  # a line of letters is at least this many times as long as high
_THIN, _PEN = 3, 3  # a stroke is at most 3 pixels thick, or a third of its height: nuclei are filled
_LEAST_HIGH = 2  # pixels that a bar, or a line of letters, is high at least
_RIM = 2  # pixels around bars and letters that are blanked too
_BARS = 16  # bars of one colour at most: where more things look like bars, the picture is striped


def content(pixels: NDArray[Any]) -> tuple[slice, slice]:
    """Give rows and columns without margins, which have one colour, that of a corner of the picture.

    A margin ends where most of a line differs from it, so ground of one colour around a few things is no margin.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) real ndarray

    Returns
    -------
    (slice, slice)
        All of them where there is no margin.
    """
    height, width = pixels.shape[:2]
    low, high = _range(pixels[:: max(height // _FEW, 1), :: max(width // _FEW, 1)], _COMMON)
    near = _ALIKE * (high - low)
    turned = np.swapaxes(pixels, 0, 1)
    rows, cols = _between(pixels, near), _between(turned, near)
    return _begun(pixels[:, cols], rows, near=near), _begun(turned[:, rows], cols, near=near)


def drawn_in(pixels: NDArray[Any]) -> tuple[Box, ...]:
    """Find horizontal scale bars in which each channel is as light or as dark as it gets, and letters of that colour.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) real ndarray

    Returns
    -------
    tuple of Box
        Each with a rim; a bar comes before its letters.
    """
    low, high = _range(pixels)
    if high <= low or pixels.shape[1] < _LONG:
        return ()
    span = high - low
    light, dark = pixels >= high - _INK * span, pixels <= low + _INK * span
    found: list[Box] = []
    for ink in _inks(light, dark):
        found += _drawn(pixels, ink, span=span)
    return tuple(found)


def _inks(light: NDArray[np.bool_], dark: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Give the pixels (h, w) of each colour whose channels are light or dark, (h, w) or (h, w, 3)."""
    if light.ndim == 2:
        yield from (light, dark)
        return
    for ends in product((light, dark), repeat=3):
        yield np.logical_and.reduce([end[..., channel] for channel, end in enumerate(ends)])


def _drawn(pixels: NDArray[Any], ink: NDArray[np.bool_], *, span: float) -> list[Box]:
    """Find bars and their letters in the pixels (h, w) of one colour."""
    if not _LEAST <= np.count_nonzero(ink) <= _MOST * ink.size or not _has_run(ink, _LONG):
        return []
    things = _Things.of(ink)

    def stands_out(number: int) -> bool:
        around = _part(_wider(things.boxes[number], ink.shape))
        return _step(pixels[around], things.labels_HW[around] == number + 1) >= _SHARP * span

    bars = list(islice(filter(stands_out, things.slim()), _BARS + 1))
    if len(bars) > _BARS:
        return []
    found = []
    for bar in things.boxes[bars]:
        top, left, bottom, right = bar
        long = right - left
        reach, aside = round(_NEAR * long), long // 2
        found.append(bar)
        for first, last in ((top - reach, top), (bottom, bottom + reach)):
            inside = things.inside((first, left - aside, last, right + aside))
            strokes = [thing for thing in inside if stands_out(thing) and things.is_thin(thing)]
            if strokes:
                found += things.lines(np.array(strokes), np.multiply(_APART, long))
    return [_wider(box, ink.shape) for box in found if box[2] - box[0] >= _LEAST_HIGH]


@dataclass(frozen=True)
class _Things:
    """The connected things of a mask, numbered from 0: box (n, 4) and pixels of each; its label is its number + 1."""

    labels_HW: NDArray[np.signedinteger]
    boxes: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> _Things:
        # Large things have far fewer ends of rows than pixels.
        rows, cols = np.nonzero(np.diff(mask, axis=1, prepend=False, append=False))
        rows, starts, stops = rows[::2], cols[::2], cols[1::2]
        labels_HW, count = ndimage.label(mask, np.ones((3, 3), bool))
        numbers = labels_HW[rows, starts] - 1
        boxes = np.repeat([[*mask.shape, 0, 0]], count, axis=0)
        for side, lines in enumerate((rows, starts)):
            np.minimum.at(boxes[:, side], numbers, lines)
        for side, lines in enumerate((rows + 1, stops), 2):
            np.maximum.at(boxes[:, side], numbers, lines)
        return cls(labels_HW, boxes, np.bincount(numbers, stops - starts, minlength=count).astype(np.int64))

    def slim(self) -> NDArray[np.int64]:
        """Give the numbers of the things that have the shape of a bar."""
        high, long = (self.boxes[:, 2:] - self.boxes[:, :2]).T
        return np.flatnonzero((long >= np.maximum(_LONG, _SLIM * high)) & (self.sizes >= _FILLED * long * high))

    def inside(self, zone: Box) -> NDArray[np.int64]:
        """Give the numbers of the things within a box; only of the largest if there are more than letters have."""
        within = (self.boxes[:, :2] >= zone[:2]).all(axis=1) & (self.boxes[:, 2:] <= zone[2:]).all(axis=1)
        numbers = np.flatnonzero(within)
        return numbers[np.argsort(-self.sizes[numbers], kind="stable")[:_STROKES]]

    def is_thin(self, number: int) -> bool:
        """Tell whether only a small square fits into a thing, as into a letter."""
        box = self.boxes[number]
        thing = np.pad(self.labels_HW[_part(box)] == number + 1, 1)
        square = 2 * ndimage.distance_transform_cdt(thing, "chessboard").max() - 1
        return bool(square <= max(_THIN, (box[2] - box[0]) / _PEN))

    def lines(self, strokes: NDArray[np.int64], apart: NDArray[np.float64]) -> list[NDArray[np.int64]]:
        """Give the boxes (4,) around lines of numbered strokes that are at most so far `apart`, down and along.

        In thin letters, only some pixels have the full colour, so a box takes in all that lies between.
        """
        from scipy.sparse import csgraph  # slow to import: only where it is needed

        starts, stops = np.split(self.boxes[strokes], 2, axis=1)
        near = np.all(np.maximum(starts[:, None], starts) - np.minimum(stops[:, None], stops) <= apart, axis=-1)
        count, lines = csgraph.connected_components(near, directed=False)
        found = []
        for line in range(count):
            part = lines == line
            box = np.append(starts[part].min(axis=0), stops[part].max(axis=0))
            high, long = box[2:] - box[:2]
            if long >= _OBLONG * high and self._denser(strokes[part], high * long):
                found.append(box)
        return found

    def _denser(self, strokes: NDArray[np.int64], area: int) -> bool:
        """Tell whether an area holds far more things of the strokes' size than the rest of the picture."""
        size = np.median(self.sizes[strokes])
        alike = (self.sizes >= size / 2) & (self.sizes <= size * 2)
        here = np.count_nonzero(alike[strokes])
        return bool(here >= _DENSER * (np.count_nonzero(alike) - here) * area / self.labels_HW.size)


def _step(pixels: NDArray[Any], thing: NDArray[np.bool_]) -> float:
    """Measure how far, on average, the pixels two away from a thing (h, w) are from its colour, in some channel."""
    near, far = (ndimage.binary_dilation(thing, np.ones((3, 3), bool), iterations=times) for times in (1, _RIM))
    ring = far & ~near
    colours = pixels.astype(np.float64)
    return float(np.abs(colours[ring] - colours[thing].mean(axis=0)).mean(axis=0).max()) if ring.any() else 0.0


def _wider(box: Box | NDArray[np.int64], shape_HW: tuple[int, ...]) -> Box:
    top, left, bottom, right = map(int, box)
    return max(top - _RIM, 0), max(left - _RIM, 0), min(bottom + _RIM, shape_HW[0]), min(right + _RIM, shape_HW[1])


def _part(box: Box | NDArray[np.int64]) -> tuple[slice, slice]:
    return slice(box[0], box[2]), slice(box[1], box[3])


def _range(pixels: NDArray[Any], percentiles: tuple[float, float] = (0, 100)) -> tuple[float, float]:
    """Give two percentiles of the finite values; 0 and 0 if there are none."""
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    finite = finite.view(np.uint8) if finite.dtype.kind == "b" else finite
    if not finite.size:
        return 0.0, 0.0
    low, high = (finite.min(), finite.max()) if percentiles == (0, 100) else np.percentile(finite, percentiles)
    return float(low), float(high)


def _between(lines: NDArray[Any], near: float) -> slice:
    """Give the lines (n, m) or (n, m, 3) between the margins at both ends; all of them if none would be left."""
    count, first, last = len(lines), _alike(lines, near), _alike(lines[::-1], near)
    if first + last < count:
        return slice(first, count - last)
    if first + last == count and first and last:  # beside a bright margin a dim picture is of one colour too
        margin_first = lines[:first].astype(np.float64).std() <= lines[first:].astype(np.float64).std()
        return slice(first, count) if margin_first else slice(0, first)
    return slice(0, count)


def _begun(lines: NDArray[Any], inside: slice, *, near: float) -> slice:
    """Give the lines inside, with the margins whose colour most of the line beside them has, too."""

    def ends(edge: int, margin: int) -> bool:
        unlike = np.abs(lines[edge].astype(np.float64) - lines[margin, 0].astype(np.float64)) > near
        return bool(unlike.reshape(len(unlike), -1).any(axis=1).mean() >= _MOSTLY)

    with np.errstate(invalid="ignore"):  # infinite values
        start = inside.start if inside.start and ends(inside.start, 0) else 0
        stop = inside.stop if inside.stop < len(lines) and ends(inside.stop - 1, -1) else len(lines)
    return slice(start, stop)


def _alike(lines: NDArray[Any], near: float) -> int:
    """Count the lines (n, m) or (n, m, 3) at the start that have the first pixel's colour; NaN is no colour."""
    colour = lines[0, 0].astype(np.float64)
    if np.isnan(colour).any():
        return 0
    for number, line in enumerate(lines):
        with np.errstate(invalid="ignore"):  # infinite values
            if (np.abs(line.astype(np.float64) - colour) > near).any():
                return number
    return len(lines)


def _has_run(ink: NDArray[np.bool_], length: int) -> bool:
    """Tell whether some row has a run of `length` set pixels."""
    reached, done = ink, 1
    while done < length and reached.size:
        step = min(done, length - done)
        reached, done = reached[:, step:] & reached[:, :-step], done + step
    return bool(reached.any())


@dataclass(frozen=True)
class Blanks:
    """What was drawn into a plane, and the colour that is put in its place.

    Parameters
    ----------
    boxes : tuple of Box
    colour : float or (float, float, float)
        In the plane's values.
    """

    boxes: tuple[Box, ...]
    colour: float | tuple[float, ...]

    def on(self, plane: Plane) -> Plane:
        """Give the plane with its boxes filled with the colour."""
        return _Blanked(plane, self)


@dataclass(frozen=True)
class _Blanked(ChangedPlane):
    plane: Plane
    blanks: Blanks

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part, in which the boxes are filled."""
        (first, _, _), (before, _, _) = rows.indices(self.shape[0]), cols.indices(self.shape[1])
        part = np.array(self.plane.read(rows, cols))
        colour = np.asarray(self.blanks.colour)
        colour = np.rint(colour) if part.dtype.kind in "iu" else colour
        for top, left, bottom, right in self.blanks.boxes:
            part[max(top - first, 0) : max(bottom - first, 0), max(left - before, 0) : max(right - before, 0)] = colour
        return part
