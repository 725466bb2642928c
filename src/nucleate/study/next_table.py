"""The next steps, told: table, figure of gains, overlay strips, and the types of image left out."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage, stats

from nucleate import __version__
from nucleate.core.files import atomic_path, make_folder
from nucleate.core.labels import relabel
from nucleate.export.overlay import render_overlay
from nucleate.report.figures import draw_gains, draw_panels
from nucleate.score.bootstrap import interval
from nucleate.study.next_ideas import BASELINE, BEST, CHANCE, FLAGSHIP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.study.next_ideas import Idea, NextPlan
    from nucleate.study.next_steps import Outcome

__all__ = [
    "KindGain",
    "Row",
    "TypeRow",
    "gain_of",
    "kind_gains",
    "row_of",
    "strip",
    "type_row",
    "write_table",
    "write_types",
]


_SHOWN_SIDE, _STEP = 256, 32  # pixels, of the window of a large picture, and between the windows tried


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
    by_part : str
        The gain on each part, in their order.
    verdict : str
        ``helped`` or ``hurt`` where the interval and all parts lie on one side of zero, else ``no clear difference``.
    seconds, predict_seconds, megabytes : float
        Training of one network, scoring of one part, weights of one network.
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
    parts = [float(np.mean([score - theirs[name] for name, score in one.scores.items()])) for one in outcomes]
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
        " ".join(f"{part:+.3f}" for part in parts),
        _verdict([gain_low, gain_high, *parts]),
        float(np.mean([outcome.seconds for outcome in outcomes])),
        float(np.mean([outcome.predict_seconds for outcome in outcomes])),
        float(np.mean([outcome.megabytes for outcome in outcomes])),
        "; ".join(sorted({outcome.made for outcome in outcomes})),
    )


def _verdict(bounds: Sequence[float]) -> str:
    return "helped" if min(bounds) > 0 else "hurt" if max(bounds) < 0 else "no clear difference"


def kind_gains(outcomes: Mapping[str, Sequence[Outcome]], *, kinds: Mapping[str, str]) -> list[KindGain]:
    """Part the gain of each idea by type of image; empty where no types are known.

    Parameters
    ----------
    outcomes : mapping
        Idea -> its outcomes; the baseline among them.
    kinds : mapping
        Image id -> type.
    """
    theirs = _all_scores(outcomes[BASELINE])
    found = []
    for idea, parts in outcomes.items():
        ours = _all_scores(parts)
        for kind in sorted({kinds[name] for name in ours} - {""}):
            names = [name for name in ours if kinds[name] == kind]
            kaggle = float(np.mean([ours[name] for name in names]))
            found.append(KindGain(idea, kind, len(names), kaggle, kaggle - float(np.mean([theirs[n] for n in names]))))
    return found


def type_row(kind: str, unseen: Outcome, *, seen: Sequence[Outcome], groups: Mapping[str, str]) -> TypeRow | None:
    """Compare a system on a type left out with itself on the same pictures; None if they have none in common."""
    before = {name: score for name, score in _all_scores(seen).items() if name in unseen.scores}
    if not before:
        return None
    after = {name: unseen.scores[name] for name in before}
    change, low, high = gain_of(after, before, groups=groups)
    means = (float(np.mean(list(before.values()))), float(np.mean(list(after.values()))))
    return TypeRow(kind, unseen.idea, len(before), *means, change, low, high)


def write_table(
    out: Path,
    plan: NextPlan,
    *,
    rows: Sequence[Row],
    kinds: Sequence[KindGain],
    left: Mapping[str, str],
    command: str,
) -> None:
    """Write ``table.csv``, ``table.md``, ``kinds.csv`` and ``gains.png``.

    Parameters
    ----------
    out : Path
        Folder.
    plan : NextPlan
        For the settings that stand under the table.
    rows : sequence of Row
        The baseline among them; the best combination and the flagship are put last.
    kinds : sequence of KindGain
        Of the same ideas.
    left : mapping
        Idea without a row -> why, "" where it was not asked for yet.
    command : str
        The call that made it.
    """
    last = {BASELINE: -1, BEST: 1, FLAGSHIP: 2}
    rows = sorted(rows, key=lambda row: (last.get(row.idea, 0), -row.gain))
    make_folder(out)
    _write_csv(out / "table.csv", rows)
    _write_csv(out / "kinds.csv", kinds)
    heads = ["idea", "what is changed", "Kaggle score [95 %]", "gain [95 %]", "gain by fold", "training s", "scoring s",
             "weights MB"]  # fmt: skip
    lines = ["# The paper's next steps", "", *_head(heads)]
    for row in rows:
        gains = [f"{row.gain:+.3f} [{row.gain_low:+.3f}, {row.gain_high:+.3f}]", row.by_part]
        cells = [row.idea, row.says, f"{row.kaggle:.3f} [{row.low:.3f}, {row.high:.3f}]"]
        cells += ["-", "-"] if row.idea == BASELINE else gains
        cells += [f"{row.seconds:.0f}", f"{row.predict_seconds:.0f}", f"{row.megabytes:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    waiting = [name for name, reason in left.items() if not reason]
    lines += [
        "",
        *(f"- {name}: not run. {reason}" for name, reason in left.items() if reason),
        *([f"- Without a row yet: {', '.join(waiting)}."] if waiting else []),
        *_notes(plan, rows, command=command),
        *_kinds_table(kinds, [row.idea for row in rows]),
    ]
    _write_text(out / "table.md", lines)
    gains_drawn = [(row.idea, row.gain, row.gain_low, row.gain_high) for row in rows if row.idea != BASELINE]
    if gains_drawn:
        title = f"over the paper's system; {plan.budget} crops a network; | each fold"
        parts = {row.idea: [float(gain) for gain in row.by_part.split()] for row in rows}
        draw_gains(out / "gains.png", gains_drawn, title=title, parts=parts)


def _head(cells: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(cells) + " |", "|---" * len(cells) + "|"]


def _kinds_table(kinds: Sequence[KindGain], order: Sequence[str]) -> list[str]:
    """Tell the gains by type of image: one row an idea, one column a type."""
    images = {one.kind: one.images for one in kinds}
    if not images:
        return []
    found = {(one.idea, one.kind): one for one in kinds}
    lines = ["", "## By type of image", "", *_head(["idea", *(f"{kind} ({images[kind]})" for kind in images)])]
    for idea in order:
        of_idea = [found[idea, kind] for kind in images]
        cells = [f"{one.kaggle:.3f}" if idea == BASELINE else f"{one.gain:+.3f}" for one in of_idea]
        lines.append("| " + " | ".join([idea, *cells]) + " |")
    return [*lines, "", "The score of the baseline, then gains over it; in brackets the number of held-out images."]


def write_types(out: Path, rows: Sequence[TypeRow], *, command: str) -> None:
    """Write ``types.csv`` and ``types.md``: what each system loses on types of image it never saw."""
    _write_csv(out / "types.csv", rows)
    heads = ["type", "system", "images", "seen", "never seen", "change [95 %]"]
    lines = ["# One type of image left out", "", *_head(heads)]
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
    _write_text(out / "types.md", lines)


def strip(path: Path, shown: Sequence[Sample], *, found: Mapping[str, Any], scores: Mapping[str, float]) -> None:
    """Draw the outlines found in the pictures shown, side by side; pictures that were not held out stay away.

    Of a large picture the window with the most nuclei is shown; the score in the caption is that of the whole.
    """
    panels = {}
    for sample in shown:
        if sample.image_id in found:
            caption = f"{sample.kind}\n{sample.image_id[:8]}  {scores[sample.image_id]:.2f}".strip()
            while caption in panels:  # ids that begin alike
                caption += " "
            window = _window(sample.labels)
            panels[caption] = render_overlay(sample.image[window], relabel(found[sample.image_id][window]))
    if panels:
        make_folder(path.parent)
        draw_panels(path, [panels])


def _window(labels: NDArray[np.int32]) -> tuple[slice, slice]:
    """Find the window of at most `_SHOWN_SIDE` pixels a side that holds the centres of most nuclei."""
    ids = np.arange(1, int(labels.max(initial=0)) + 1)
    centres = np.reshape(ndimage.center_of_mass(labels > 0, labels, ids), (-1, 2))
    starts = [range(0, max(1, size - _SHOWN_SIDE + 1), _STEP) for size in labels.shape]
    corners = np.array([(row, col) for row in starts[0] for col in starts[1]])
    inside = ((centres >= corners[:, None]) & (centres < corners[:, None] + _SHOWN_SIDE)).all(2).sum(1)
    row, col = corners[inside.argmax()].tolist()
    return slice(row, row + _SHOWN_SIDE), slice(col, col + _SHOWN_SIDE)


def _all_scores(outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {name: score for outcome in outcomes for name, score in outcome.scores.items()}


def _notes(plan: NextPlan, rows: Sequence[Row], *, command: str) -> list[str]:
    made: dict[str, list[str]] = {}
    for row in rows:
        made.setdefault(row.made, []).append(row.idea)
    return [
        "",
        "The score is the mean over all held-out images; its interval is over the held-out folds (Student's t). The",
        "gain is paired with the baseline image by image, its interval by bootstrap over fields of view: it says how",
        "sure the gain of these trained networks is, not what another training would give. For that, see the gains by",
        f"fold and the row {CHANCE}. Seconds are of processor time, means of one network and of one fold; ideas after",
        "the network share the baseline's training and stored maps.",
        "",
        f"- Command: `{command}`",
        f"- Folds {', '.join(map(str, plan.folds))} held out in turn; {rows[0].images} images scored.",
        f"- Width {plan.width} (the paper's is 64), {plan.budget} crops a network, learning rate {plan.lr:g},",
        f"  {plan.precision}, seed {plan.seed}, the weights of the last step.",
        *(f"- nucleate {__version__}, {what}{': ' + ', '.join(names) if len(made) > 1 else ''}."
          for what, names in made.items()),
    ]  # fmt: skip


def _write_csv(path: Path, rows: Sequence[Row] | Sequence[TypeRow] | Sequence[KindGain]) -> None:
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
