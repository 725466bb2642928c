"""Curves as inline SVG: text, no library."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleate.score.scores import Scores

__all__ = ["ap_curve"]

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 12, 40


def ap_curve(scores: Scores) -> str:
    """Draw average precision over the IoU threshold, with the bootstrap interval as a band if there is one.

    Returns
    -------
    str
        An ``<svg>`` element; colours follow the page's text colour and ``--accent``.
    """
    thresholds = [float(key) for key in scores.ap]
    points = list(zip(thresholds, scores.ap.values(), strict=True))
    bounds = [scores.interval[f"ap {key}"] for key in scores.ap if f"ap {key}" in scores.interval]
    band = ""
    if len(bounds) == len(points):
        low = [(t, b[0]) for t, b in zip(thresholds, bounds, strict=True)]
        high = [(t, b[1]) for t, b in zip(thresholds, bounds, strict=True)]
        band = f'<polygon points="{_path(low + high[::-1])}" fill="var(--accent)" fill-opacity=".18"/>'
    dots = "".join(
        f'<circle cx="{_x(t):.1f}" cy="{_y(v):.1f}" r="4" fill="var(--accent)">'
        f"<title>IoU {t:.2f}: {v:.3f}</title></circle>"
        f'<text x="{_x(t):.1f}" y="{_y(v) - 9:.1f}" text-anchor="middle">{v:.2f}</text>'
        for t, v in points
    )
    line = f'<polyline points="{_path(points)}" fill="none" stroke="var(--accent)" stroke-width="2"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Average precision by IoU threshold" '
        f'font-size="12" fill="currentColor">{_frame(thresholds)}{band}{line}{dots}</svg>'
    )


def _frame(thresholds: Sequence[float]) -> str:
    marks = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(v):.1f}" y2="{_y(v):.1f}" stroke="#8884"/>'
        f'<text x="{_LEFT - 8}" y="{_y(v) + 4:.1f}" text-anchor="end">{v:.1f}</text>'
        for v in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    marks += [
        f'<text x="{_x(t):.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{t:.2f}</text>' for t in thresholds
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    marks.append(f'<text x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">IoU a nucleus must exceed</text>')
    return "".join(marks)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_x(t):.1f},{_y(v):.1f}" for t, v in points)


def _x(threshold: float) -> float:
    return _LEFT + 20 + (threshold - 0.5) / 0.45 * (_WIDTH - _LEFT - _RIGHT - 40)


def _y(value: float) -> float:
    return _HEIGHT - _BOTTOM - value * (_HEIGHT - _BOTTOM - _TOP - 12)
