"""The next steps, told: table, figure of gains, overlay strips, and the types of image left out."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from nucleate import __version__
from nucleate.core.files import atomic_path, make_folder
from nucleate.export.overlay import render_overlay
from nucleate.report.figures import draw_gains, draw_panels
from nucleate.score.bootstrap import interval
from nucleate.study.next_ideas import BASELINE, BEST, FLAGSHIP
from nucleate.train.device import describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.study.next_ideas import Idea, NextPlan
    from nucleate.study.next_steps import Outcome

__all__ = ["Row", "TypeRow", "gain_of", "row_of", "strip", "type_row", "write_table", "write_types"]


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
        Mean over pictures, and the 95 % interval over parts (Student's t).
    gain, gain_low, gain_high : float
        Mean difference to the baseline, picture by picture, with its bootstrap interval over groups.
    seconds, predict_seconds, megabytes : float
        Training of one network, scoring of one part, weights of one network.
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
    seconds: float
    predict_seconds: float
    megabytes: float


@dataclass(frozen=True)
class TypeRow:
    """What a system loses on a type of image that it never saw.

    Parameters
    ----------
    kind, idea : str
        The type of image and the system.
    images : int
        Pictures of that type scored both ways.
    seen, unseen : float
        Mean Kaggle score when the type was trained on (other groups of it), and when it was not.
    change, low, high : float
        Unseen less seen, picture by picture, with its bootstrap interval over groups.
    """

    kind: str
    idea: str
    images: int
    seen: float
    unseen: float
    change: float
    low: float
    high: float


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

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((weights @ differences / weights.sum(1))[:, None])

    bounds = interval(mean, [groups[name] for name in common], resamples=2000)
    low, high = (math.nan, math.nan) if bounds is None else (float(bounds[0][0]), float(bounds[1][0]))
    return float(differences.mean()), low, high


def row_of(idea: Idea, outcomes: Sequence[Outcome], *, baseline: Sequence[Outcome], groups: Mapping[str, str]) -> Row:
    """Sum up the outcomes of an idea on all parts."""
    ours, theirs = _all_scores(outcomes), _all_scores(baseline)
    means = [float(np.mean(list(outcome.scores.values()))) for outcome in outcomes]
    kaggle = float(np.mean(list(ours.values())))
    spread = math.nan
    if len(means) > 1:
        spread = float(stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / math.sqrt(len(means)))
    gain, gain_low, gain_high = gain_of(ours, theirs, groups=groups)
    return Row(
        idea.name,
        idea.says,
        len(outcomes),
        len(ours),
        kaggle,
        kaggle - spread,
        kaggle + spread,
        gain,
        gain_low,
        gain_high,
        float(np.mean([outcome.seconds for outcome in outcomes])),
        float(np.mean([outcome.predict_seconds for outcome in outcomes])),
        float(np.mean([outcome.megabytes for outcome in outcomes])),
    )


def type_row(kind: str, unseen: Outcome, *, seen: Sequence[Outcome], groups: Mapping[str, str]) -> TypeRow | None:
    """Compare a system on a type left out with itself on the same pictures; None if they have none in common."""
    before = {name: score for name, score in _all_scores(seen).items() if name in unseen.scores}
    if not before:
        return None
    after = {name: unseen.scores[name] for name in before}
    change, low, high = gain_of(after, before, groups=groups)
    means = (float(np.mean(list(before.values()))), float(np.mean(list(after.values()))))
    return TypeRow(kind, unseen.idea, len(before), *means, change, low, high)


def write_table(plan: NextPlan, rows: Sequence[Row], *, not_run: Mapping[str, str], command: str) -> None:
    """Write ``table.csv``, ``table.md`` and ``gains.png``.

    Parameters
    ----------
    plan : NextPlan
        For the folder and the settings that stand under the table.
    rows : sequence of Row
        The baseline among them; the best combination and the flagship are put last.
    not_run : mapping
        Idea -> why it has no row.
    command : str
        The call that made it.
    """
    last = {BASELINE: -1, BEST: 1, FLAGSHIP: 2}
    rows = sorted(rows, key=lambda row: (last.get(row.idea, 0), -row.gain))
    _write_csv(plan.out / "table.csv", rows)
    heads = ["idea", "what is changed", "Kaggle score [95 %]", "gain [95 %]", "training s", "scoring s", "weights MB"]
    lines = ["# The paper's next steps", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        gain = "-" if row.idea == BASELINE else f"{row.gain:+.3f} [{row.gain_low:+.3f}, {row.gain_high:+.3f}]"
        cells = [row.idea, row.says, f"{row.kaggle:.3f} [{row.low:.3f}, {row.high:.3f}]", gain]
        cells += [f"{row.seconds:.0f}", f"{row.predict_seconds:.0f}", f"{row.megabytes:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        *(f"- {name}: not run. {reason}" for name, reason in not_run.items()),
        *_notes(plan, rows, command=command),
    ]
    _write_text(plan.out / "table.md", lines)
    gains = [(row.idea, row.gain, row.gain_low, row.gain_high) for row in rows if row.idea != BASELINE]
    if gains:
        draw_gains(plan.out / "gains.png", gains, title=f"over the paper's system; {plan.budget} crops a network")


def write_types(plan: NextPlan, rows: Sequence[TypeRow], *, command: str) -> None:
    """Write ``types.csv`` and ``types.md``: what each system loses on types of image it never saw."""
    _write_csv(plan.out / "types.csv", rows)
    lines = ["# One type of image left out", "", "| type | system | images | seen | never seen | change [95 %] |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        change = f"{row.change:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        cells = [row.kind, row.idea, str(row.images), f"{row.seen:.3f}", f"{row.unseen:.3f}", change]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "Kaggle score, mean over the images of the type. Seen: other fields of view of the type were trained on. Never",
        "seen: none was. The change is paired image by image.",
        "",
        f"- Command: `{command}`",
    ]
    _write_text(plan.out / "types.md", lines)


def strip(path: Path, shown: Sequence[Sample], *, found: Mapping[str, Any], scores: Mapping[str, float]) -> None:
    """Draw the outlines found in the pictures shown, side by side; pictures that were not held out stay away."""
    panels = {}
    for sample in shown:
        if sample.image_id in found:
            caption = f"{sample.image_id[:8]}  {scores[sample.image_id]:.2f}"
            while caption in panels:  # ids that begin alike
                caption += " "
            panels[caption] = render_overlay(sample.image, found[sample.image_id])
    if panels:
        make_folder(path.parent)
        draw_panels(path, [panels])


def _all_scores(outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {name: score for outcome in outcomes for name, score in outcome.scores.items()}


def _notes(plan: NextPlan, rows: Sequence[Row], *, command: str) -> list[str]:
    return [
        "",
        "The score is the mean over all held-out images; its interval is over the held-out folds (Student's t). The",
        "gain is paired with the baseline image by image, its interval by bootstrap over fields of view. Seconds are",
        "means of one network and one fold; ideas after the network share the baseline's training and stored maps.",
        "",
        f"- Command: `{command}`",
        f"- Folds {', '.join(map(str, plan.folds))} held out in turn; {rows[0].images} images scored.",
        f"- Width {plan.width} (the paper's is 64), {plan.budget} crops a network, learning rate {plan.lr:g},",
        f"  {plan.precision}, seed {plan.seed}, the weights of the last step.",
        f"- nucleate {__version__}, {describe()}.",
    ]


def _write_csv(path: Path, rows: Sequence[Row] | Sequence[TypeRow]) -> None:
    if not rows:
        return
    names = list(type(rows[0]).__dataclass_fields__)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        for row in rows:
            values = (getattr(row, name) for name in names)
            writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in values])


def _write_text(path: Path, lines: Sequence[str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
