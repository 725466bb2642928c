"""What changes gain over a baseline, picture by picture, over all and by type of image: table and figure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.files import make_folder, write_text
from nucleate.report.tables import markdown_table, with_interval, write_records
from nucleate.score.bootstrap import mean_interval
from nucleate.score.t_interval import half_width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nucleate.study.next_ideas import Idea
    from nucleate.study.next_steps import Outcome

__all__ = [
    "BASELINE",
    "KindGain",
    "Row",
    "all_scores",
    "gain_of",
    "kind_gains",
    "row_of",
    "write_gains",
]

BASELINE = "baseline"
"""Name of the idea that all others are compared with."""


@dataclass(frozen=True)
class Row:
    """One idea over all parts.

    Parameters
    ----------
    idea, says : str
        Name, and what it changes.
    parts, images : int
        Held-out parts and pictures.
    kaggle, low, high : float
        Mean over pictures, and the 95 % interval over parts (Student's t), nan with fewer than three.
    gain, gain_low, gain_high : float
        Mean difference to the baseline, picture by picture, with its bootstrap interval over groups.
    by_part : str
        The gain on each part, in their order.
    verdict : str
        ``helped`` or ``hurt`` where the interval and all parts lie on one side of zero, else ``no clear difference``.
    seconds, predict_seconds, megabytes : float
        Training of one network, scoring of one part (0 where it was not timed), weights of one network.
    made : str
        Versions and hardware.
    """

    idea: str
    says: str
    parts: int
    images: int
    kaggle: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    by_part: str
    verdict: str
    seconds: float
    predict_seconds: float
    megabytes: float
    made: str


@dataclass(frozen=True)
class KindGain:
    """What an idea is worth on one type of image.

    Parameters
    ----------
    idea, kind : str
        The idea, and the type of image.
    images : int
        Held-out pictures of that type.
    kaggle, gain : float
        Mean score, and mean difference to the baseline on the same pictures.
    """

    idea: str
    kind: str
    images: int
    kaggle: float
    gain: float


def gain_of(
    ours: Mapping[str, float], theirs: Mapping[str, float], *, groups: Mapping[str, str]
) -> tuple[float, float, float]:
    """Give the mean difference over the pictures that both know, and its bootstrap interval over groups.

    Returns
    -------
    gain, low, high : float
        The interval is (nan, nan) with fewer than two groups.
    """
    common = sorted(ours.keys() & theirs.keys())
    differences = np.array([ours[name] - theirs[name] for name in common])
    low, high = mean_interval(differences, [groups[name] for name in common]) or (math.nan, math.nan)
    return float(differences.mean()), low, high


def row_of(idea: Idea, outcomes: Sequence[Outcome], *, baseline: Sequence[Outcome], groups: Mapping[str, str]) -> Row:
    """Sum up the outcomes of an idea on all parts."""
    ours, theirs = all_scores(outcomes), all_scores(baseline)
    means = [float(np.mean(list(outcome.scores.values()))) for outcome in outcomes]
    kaggle = float(np.mean(list(ours.values())))
    half = half_width(means, range(len(means)))
    spread = math.nan if half is None else half
    gain, gain_low, gain_high = gain_of(ours, theirs, groups=groups)
    parts = [float(np.mean([score - theirs[name] for name, score in one.scores.items()])) for one in outcomes]
    bounds = [gain_low, gain_high, *parts]
    return Row(
        idea=idea.name,
        says=idea.says,
        parts=len(outcomes),
        images=len(ours),
        kaggle=kaggle,
        low=kaggle - spread,
        high=kaggle + spread,
        gain=gain,
        gain_low=gain_low,
        gain_high=gain_high,
        by_part=" ".join(f"{part:+.3f}" for part in parts),
        verdict="helped" if min(bounds) > 0 else "hurt" if max(bounds) < 0 else "no clear difference",
        seconds=float(np.mean([outcome.seconds for outcome in outcomes])),
        predict_seconds=float(np.mean([outcome.predict_seconds for outcome in outcomes])),
        megabytes=float(np.mean([outcome.megabytes for outcome in outcomes])),
        made="; ".join(sorted({outcome.made for outcome in outcomes})),
    )


def kind_gains(outcomes: Mapping[str, Sequence[Outcome]], *, kinds: Mapping[str, str]) -> list[KindGain]:
    """Divide the gain of each idea by type of image; empty if no types are known.

    Parameters
    ----------
    outcomes : mapping
        Idea -> its outcomes; the baseline among them.
    kinds : mapping
        Image id -> type.
    """
    theirs = all_scores(outcomes[BASELINE])
    found = []
    for idea, parts in outcomes.items():
        ours = all_scores(parts)
        for kind in sorted({kinds[name] for name in ours} - {""}):
            names = [name for name in ours if kinds[name] == kind]
            kaggle = float(np.mean([ours[name] for name in names]))
            found.append(KindGain(idea, kind, len(names), kaggle, kaggle - float(np.mean([theirs[n] for n in names]))))
    return found


def all_scores(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Put the scores of all parts together: image id -> Kaggle score."""
    return {name: score for outcome in outcomes for name, score in outcome.scores.items()}


def write_gains(
    out: Path,
    *,
    heading: str,
    rows: Sequence[Row],
    kinds: Sequence[KindGain],
    notes: Sequence[str],
    figure: str,
) -> None:
    """Write ``table.csv``, ``kinds.csv``, ``table.md`` and ``gains.png``.

    Parameters
    ----------
    out : Path
        Folder.
    heading : str
        Of the page.
    rows : sequence of Row
        In the order of the table, the baseline among them.
    kinds : sequence of KindGain
        Of the same rows; may be empty.
    notes : sequence of str
        Lines under the table.
    figure : str
        Title of the figure.
    """
    from nucleate.report.figures import draw_gains  # matplotlib: the names of ideas are known without it

    make_folder(out)
    write_records(out / "table.csv", rows)
    write_records(out / "kinds.csv", kinds)
    timed = any(row.predict_seconds for row in rows)
    heads = ["idea", "what is changed", "Kaggle score [95 %]", "gain [95 %]", "gain by fold", "training s",
             *(["scoring s"] if timed else []), "weights MB"]  # fmt: skip
    lines = [f"# {heading}", "", *markdown_table(heads, [_cells(row, timed=timed) for row in rows]), "", *notes]
    lines += _kinds_table(kinds, [row.idea for row in rows])
    write_text(out / "table.md", "\n".join(lines) + "\n")
    drawn = [(row.idea, row.gain, row.gain_low, row.gain_high) for row in rows if row.idea != BASELINE]
    if drawn:
        parts = {row.idea: [float(gain) for gain in row.by_part.split()] for row in rows}
        draw_gains(out / "gains.png", drawn, title=figure, parts=parts)


def _cells(row: Row, *, timed: bool) -> list[str]:
    gains = [with_interval(row.gain, (row.gain_low, row.gain_high), sign=True), row.by_part]
    return [
        row.idea,
        row.says,
        with_interval(row.kaggle, (row.low, row.high)),
        *(["-", "-"] if row.idea == BASELINE else gains),
        f"{row.seconds:.0f}",
        *([f"{row.predict_seconds:.0f}"] if timed else []),
        f"{row.megabytes:.2f}",
    ]


def _kinds_table(kinds: Sequence[KindGain], order: Sequence[str]) -> list[str]:
    """Tell the gains by type of image: one row an idea, one column a type."""
    images = {one.kind: one.images for one in kinds}
    if not images:
        return []
    found = {(one.idea, one.kind): one for one in kinds}
    rows = []
    for idea in order:
        of_idea = [found[idea, kind] for kind in images]
        rows.append([idea, *(f"{one.kaggle:.3f}" if idea == BASELINE else f"{one.gain:+.3f}" for one in of_idea)])
    heads = ["idea", *(f"{kind} ({number})" for kind, number in images.items())]
    return ["", "## By type of image", "", *markdown_table(heads, rows), "",
            "The score of the baseline, then gains over it; in brackets the number of held-out images."]  # fmt: skip
