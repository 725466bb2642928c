"""Distributions as inline SVG."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from nucleate.report.plate_maps import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["histogram"]

_WIDTH, _HEIGHT = 330, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 38
_BARS = 24  # at most


def histogram(
    values: NDArray[np.float64],
    label: str,
    *,
    bounds: tuple[float, float] | None = None,
    whole: bool = False,
) -> str:
    """Draw how often values occur, with a line at their median.

    Parameters
    ----------
    values : (n,) ndarray
        Values that are not finite are left out.
    label : str
        Of the axis, with its unit.
    bounds : (float, float), optional
        Ends of the axis; when None, the lowest value and the 99.5th percentile. Values beyond are in the last bar.
    whole : bool
        Whether values are counts, so that a bar takes whole numbers.

    Returns
    -------
    str
        An ``<svg>`` element; empty without values.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return ""
    low, high = bounds or (float(known.min()), float(np.percentile(known, 99.5)))
    edges = _edges(low, high, whole=whole)
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0]
    most = max(int(counts.max()), 1)

    def x(value: float) -> float:
        return float(_LEFT + (value - edges[0]) / (edges[-1] - edges[0]) * (_WIDTH - _LEFT - _RIGHT))

    def y(count: float) -> float:
        return _HEIGHT - _BOTTOM - count / most * (_HEIGHT - _BOTTOM - _TOP)

    bars = "".join(
        f'<rect x="{x(a) + 0.5:.1f}" y="{y(n):.1f}" width="{max(x(b) - x(a) - 1, 0.5):.1f}" height="{y(0) - y(n):.1f}" '
        f'fill="var(--accent)" fill-opacity=".7"><title>{shown(float(a))} to {shown(float(b))}: {n:,}</title></rect>'
        for a, b, n in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    )
    middle = x(float(np.clip(np.median(known), edges[0], edges[-1])))
    line = f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{_TOP}" y2="{y(0):.1f}" stroke="currentColor" '
    line += f'stroke-dasharray="4 3"><title>median {shown(float(np.median(known)))}</title></line>'
    places = np.linspace(edges[0] + 0.5 * whole, edges[-1] - 0.5 * whole, 4).round(0 if whole else 9).tolist()
    anchors = ("start", "middle", "middle", "end")
    ticks = "".join(
        f'<text x="{x(v):.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="{anchor}">{shown(v)}</text>'
        for v, anchor in zip(places, anchors, strict=True)
    )
    heights = "".join(
        f'<text x="{_LEFT - 5}" y="{y(n) + 4:.1f}" text-anchor="end">{n:,}</text>' for n in sorted({0, most})
    )
    named = f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>'
    axis = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(0):.1f}" y2="{y(0):.1f}" stroke="#8888"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}" font-size="11" '
        f'fill="currentColor">{bars}{line}{axis}{ticks}{heights}{named}</svg>'
    )


def _edges(low: float, high: float, *, whole: bool) -> NDArray[np.float64]:
    """Give the edges of the bars; for counts, each edge lies between two whole numbers."""
    if not whole:
        return np.linspace(low, high if high > low else low + 1, _BARS + 1)
    width = max(1, math.ceil((high - low + 1) / _BARS))
    return low - 0.5 + width * np.arange(math.ceil((high - low + 1) / width) + 1.0)
