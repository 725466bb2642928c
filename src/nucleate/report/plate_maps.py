"""Plates as heat maps: inline SVG, one cell a well, which shows its content when the pointer rests there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.wells import well_at, well_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["WellMap", "colour", "heat_map", "shown"]

_LEFT, _TOP, _LEGEND = 26, 22, 46
_WIDTH = 620

# Anchors of viridis, whose lightness rises evenly for any colour vision; and blue over white to orange around 0.
_RISING = ((68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37))
_AROUND = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (253, 184, 99), (179, 88, 6))


@dataclass(frozen=True, eq=False)
class WellMap:
    """The content of a heat map.

    Parameters
    ----------
    title : str
    wells : sequence of str
        Names.
    values : (n,) ndarray
        One a well; NaN is left grey.
    notes : sequence of str
        The content of each well, shown at the pointer.
    roles : sequence of str
        Controls get a mark.
    around_zero : bool
        Whether 0 is the middle of the colours, as for z-scores.
    limit : float, optional
        Values beyond it, or below its negative, have the last colour; only with `around_zero`.
    """

    title: str
    wells: Sequence[str]
    values: NDArray[np.float64]
    notes: Sequence[str]
    roles: Sequence[str]
    around_zero: bool = False
    limit: float | None = None


def heat_map(shape: tuple[int, int], wells: WellMap) -> str:
    """Draw a plate.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the plate.
    wells : WellMap

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    rows, columns = shape
    cell = min(34.0, (_WIDTH - _LEFT) / columns)
    low, high = _bounds(wells)
    parts = [_headings(shape, cell)]
    for name, value, note, role in zip(wells.wells, wells.values, wells.notes, wells.roles, strict=True):
        row, column = well_place(name)
        x, y = _LEFT + column * cell, _TOP + row * cell
        known = math.isfinite(value)
        fill = (
            _css(colour((value - low) / (high - low) if high > low else 0.5, wells.around_zero)) if known else "#8883"
        )
        tip = f"{name}: {shown(value)}" + (f"; {note}" if note else "")
        parts.append(
            f'<rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}" fill="{fill}">'
            f"<title>{escape(tip)}</title></rect>{_mark(role, x + cell / 2, y=y + cell / 2, cell=cell)}"
        )
    height = _TOP + rows * cell + _LEGEND
    width = _LEFT + columns * cell + 2
    parts.append(_legend(low, high, around=wells.around_zero, top=_TOP + rows * cell + 14))
    return (
        f'<svg viewBox="0 0 {max(width, 300):.0f} {height:.0f}" role="img" aria-label="{escape(wells.title)}" '
        f'style="max-width: {max(width, 300):.0f}px" font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )


def colour(share: float, around: bool) -> tuple[int, int, int]:
    """Give the colour at a place of the scale.

    Parameters
    ----------
    share : float
        0 is its lower end, 1 its upper; beyond them the last colour goes on.
    around : bool
        Two colours around white, or one row of colours from dark to light.
    """
    anchors = np.array(_AROUND if around else _RISING, np.float64)
    place = min(max(share, 0.0), 1.0) * (len(anchors) - 1)
    mixed = [np.interp(place, range(len(anchors)), anchors[:, i]) for i in range(3)]
    return round(mixed[0]), round(mixed[1]), round(mixed[2])


def shown(value: float) -> str:
    """Write a number in a short form; a dash if it is not known."""
    if not math.isfinite(value):
        return "\N{EN DASH}" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _bounds(wells: WellMap) -> tuple[float, float]:
    known = wells.values[np.isfinite(wells.values)]
    if wells.around_zero:
        most = wells.limit or float(np.abs(known).max(initial=1.0))
        return -most, most
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def _headings(shape: tuple[int, int], cell: float) -> str:
    rows, columns = shape
    step = 1 if cell >= 18 else 2
    down = 1 if cell >= 11 else 2
    marks = [
        f'<text x="{_LEFT - 5}" y="{_TOP + (r + 0.5) * cell + 4:.1f}" text-anchor="end">{well_at(r, 0)[:-2]}</text>'
        for r in range(0, rows, down)
    ]
    marks += [
        f'<text x="{_LEFT + (c + 0.5) * cell:.1f}" y="{_TOP - 6}" text-anchor="middle">{c + 1}</text>'
        for c in range(0, columns, step)
    ]
    frame = f'<rect x="{_LEFT}" y="{_TOP}" width="{columns * cell:.1f}" height="{rows * cell:.1f}"'
    return f'{frame} fill="none" stroke="#8886"/>' + "".join(marks)


def _mark(role: str, x: float, *, y: float, cell: float) -> str:
    radius = max(1.5, cell * 0.14)
    line = 'stroke="#fff" stroke-width="1.5" paint-order="stroke" pointer-events="none"'
    if role == "negative":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="#111" {line}/>'
    if role == "positive":
        corner = f'x="{x - radius:.1f}" y="{y - radius:.1f}"'
        return f'<rect {corner} width="{2 * radius:.1f}" height="{2 * radius:.1f}" fill="#d40" {line}/>'
    return ""


def _legend(low: float, high: float, *, around: bool, top: float) -> str:
    steps, width = 40, 200
    bars = "".join(
        f'<rect x="{_LEFT + i * width / steps:.1f}" y="{top:.1f}" width="{width / steps + 0.3:.1f}" height="9" '
        f'fill="{_css(colour((i + 0.5) / steps, around))}"/>'
        for i in range(steps)
    )
    middle = f'<text x="{_LEFT + width / 2}" y="{top + 22:.1f}" text-anchor="middle">0</text>' if around else ""
    return (
        f'{bars}<text x="{_LEFT}" y="{top + 22:.1f}">{shown(low)}</text>{middle}'
        f'<text x="{_LEFT + width}" y="{top + 22:.1f}" text-anchor="end">{shown(high)}</text>'
    )


def _css(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
