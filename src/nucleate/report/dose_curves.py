"""Dose-response curves as inline SVG: wells, the fitted curve, the IC50 with its interval."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from nucleate.report.plate_maps import shown
from nucleate.screen.dose import LEAST_DOSES
from nucleate.screen.tables import is_fraction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.screen.analysis import Curve
    from nucleate.screen.dose import DoseFit

__all__ = ["dose_plot", "verdict"]

_WIDTH, _HEIGHT = 330, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 38
_CLEARANCE = 28


def verdict(curve: Curve, unit: str) -> str:
    """Describe the fit in words.

    Parameters
    ----------
    curve : Curve
    unit : str
        Of the doses.
    """
    fit = curve.fit
    bounds = f"{shown(fit.ic50_low)} to {shown(fit.ic50_high)} {unit}".strip()
    if fit.status == "ok":
        return f"IC50 {shown(fit.ic50)} {unit}".strip() + f" (95 %: {bounds}), hill {fit.hill:.2g}"
    return {
        "outside": f"an effect, but the IC50 lies beyond the tested doses (95 %: {bounds})",
        "unbounded": f"an effect; IC50 about {shown(fit.ic50)} {unit}, its interval is open ({bounds})",
        "no effect": "no effect: a constant fits as well",
        "too few": _too_few(fit),
        "failed": "no curve could be fitted",
    }[fit.status]


def _too_few(fit: DoseFit) -> str:
    if not fit.doses:
        return "no well of the compound has a value"
    what, count, least = ("doses", fit.doses, "four") if fit.doses < LEAST_DOSES else ("wells", fit.points, "six")
    return f"too few {what} for a curve ({count}; {least} at least)"


def dose_plot(curve: Curve, unit: str) -> str:
    """Draw the responses to one compound.

    Parameters
    ----------
    curve : Curve
    unit : str
        Of the doses.

    Returns
    -------
    str
        An ``<svg>`` element; wells without the compound stand at the left, over ``0``.
    """
    known = np.isfinite(curve.responses)
    doses, responses = curve.doses[known], curve.responses[known]
    tested = doses[doses > 0]
    if not tested.size:
        return ""
    left, right = math.log10(tested.min()), math.log10(tested.max())
    most = 1.0 if is_fraction(curve.feature) else math.inf
    space = _Space(left - 0.9, right + 0.15, responses=responses, most=most)
    dots = "".join(
        f'<circle cx="{space.x(math.log10(d) if d > 0 else left - 0.7 + 0.12 * _jitter(i)):.1f}" '
        f'cy="{space.y(r):.1f}" r="2.6" fill="{"var(--accent)" if d > 0 else "currentColor"}" fill-opacity=".55"/>'
        for i, (d, r) in enumerate(zip(doses, responses, strict=True))
    )
    parts = [space.frame(left, right, unit=unit), dots]
    if curve.fit.drawn:
        at = np.linspace(left - 0.35, right + 0.15, 80)
        heights = curve.fit.response(10**at)
        path = " ".join(f"{space.x(float(a)):.1f},{space.y(float(h)):.1f}" for a, h in zip(at, heights, strict=True))
        parts.insert(0, _band(curve, space, ends=(left - 0.35, right + 0.15)))
        parts.append(f'<polyline points="{path}" fill="none" stroke="var(--accent)" stroke-width="2"/>')
    label = escape(f"{curve.feature} of {curve.compound} by dose")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}" font-size="11" fill="currentColor">'
        f"{''.join(parts)}</svg>"
    )


class _Space:
    """Maps log dose and response to places in the picture."""

    def __init__(self, left: float, right: float, *, responses: NDArray[np.float64], most: float) -> None:
        self.left, self.right, self.most = left, right, most
        low, high = float(responses.min()), float(responses.max())
        pad = 0.06 * (high - low) or max(abs(high) * 0.1, 0.5)
        # Counts and shares begin at 0, since a cut-off axis would make small effects look large.
        self.low = 0.0 if low >= 0 and low <= 0.6 * high else low - pad
        self.high = high + pad

    def x(self, log_dose: float) -> float:
        return _LEFT + (log_dose - self.left) / (self.right - self.left) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - self.low) / (self.high - self.low) * (_HEIGHT - _BOTTOM - _TOP)

    def levels(self) -> list[float]:
        """Give round numbers for the axis; a share is 1 at most."""
        rough = (self.high - self.low) / 4
        decade = 10.0 ** math.floor(math.log10(rough))
        step = next(decade * n for n in (1, 2, 2.5, 5, 10) if decade * n >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(min(self.high, self.most) / step + 1e-9)
        return [n * step for n in range(first, last + 1)]

    def frame(self, left: float, right: float, *, unit: str) -> str:
        marks = [
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}" stroke="#8884"/>'
            f'<text x="{_LEFT - 5}" y="{self.y(v) + 4:.1f}" text-anchor="end">{shown(v)}</text>'
            for v in self.levels()
        ]
        ticks = list(range(math.ceil(left), math.floor(right) + 1)) or [round(left)]
        step = max(1, -(-len(ticks) // 5))
        # The lowest tick may stand where the 0 does when many decades are shown.
        clear = [t for t in ticks[::step] if self.x(t) - self.x(left - 0.7) > _CLEARANCE]
        places = [(left - 0.7, "0"), *((float(t), shown(10.0**t)) for t in clear)]
        marks += [
            f'<text x="{self.x(at):.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{text}</text>'
            for at, text in places
        ]
        named = f"Concentration ({escape(unit)})" if unit else "Concentration"
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        marks.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{named}</text>')
        return "".join(marks)


def _band(curve: Curve, space: _Space, *, ends: tuple[float, float]) -> str:
    fit = curve.fit
    bounds = [math.log10(fit.ic50_low) if fit.ic50_low > 0 else ends[0]]
    bounds.append(math.log10(fit.ic50_high) if math.isfinite(fit.ic50_high) else ends[1])
    low, high = (space.x(min(max(bound, ends[0]), ends[1])) for bound in bounds)
    height = _HEIGHT - _BOTTOM - _TOP
    band = f'<rect x="{low:.1f}" y="{_TOP}" width="{max(high - low, 1):.1f}" height="{height}" fill="var(--accent)" '
    line = ""
    if fit.status != "outside":
        x = space.x(math.log10(fit.ic50))
        line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + height}" stroke="var(--accent)" '
        line += 'stroke-dasharray="4 3"/>'
    return f'{band}fill-opacity=".15"/>{line}'


def _jitter(i: int) -> float:
    """Spread points that stand over one dose, always in the same way: -1..1."""
    return 2 * ((i * 0.618034) % 1) - 1
