"""The report of the next steps: table, figure of gains, overlay strips, and the types of image left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate import __version__
from nucleate.core.files import make_folder, write_text
from nucleate.core.labels import relabel
from nucleate.export.overlay import render_overlay
from nucleate.report.figures import draw_panels
from nucleate.report.tables import markdown_table, with_interval, write_records
from nucleate.study.gains import BASELINE, all_scores, gain_of, write_gains
from nucleate.study.next_ideas import BEST, CHANCE, FLAGSHIP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.study.gains import KindGain, Row
    from nucleate.study.next_steps import Outcome
    from nucleate.study.plan import NextPlan

__all__ = ["TypeRow", "strip", "type_row", "write_table", "write_types"]

_SHOWN_SIDE, _STEP = 256, 32  # pixels, of the window of a large picture, and between the windows tried


@dataclass(frozen=True)
class TypeRow:
    """How much a system loses on a type of image that it never saw.

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


def type_row(kind: str, unseen: Outcome, *, seen: Sequence[Outcome], groups: Mapping[str, str]) -> TypeRow | None:
    """Compare a system on a type left out with itself on the same pictures; None if they have none in common."""
    before = {name: score for name, score in all_scores(seen).items() if name in unseen.scores}
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
        Idea without a row -> the reason, "" if it was not asked for yet.
    command : str
        The call that made it.
    """
    last = {BASELINE: -1, BEST: 1, FLAGSHIP: 2}
    rows = sorted(rows, key=lambda row: (last.get(row.idea, 0), -row.gain))
    waiting = [name for name, reason in left.items() if not reason]
    missing = [f"- {name}: not run. {reason}" for name, reason in left.items() if reason]
    missing += [f"- Without a row yet: {', '.join(waiting)}."] if waiting else []
    notes = [*missing, *([""] if missing else []), *_notes(plan, rows, command=command)]
    figure = f"over the paper's system; {plan.budget} crops a network; | each fold"
    write_gains(out, heading="The paper's next steps", rows=rows, kinds=kinds, notes=notes, figure=figure)


def write_types(out: Path, rows: Sequence[TypeRow], *, command: str) -> None:
    """Write ``types.csv`` and ``types.md``: what each system loses on types of image it never saw."""
    write_records(out / "types.csv", rows)
    heads = ["type", "system", "images", "seen", "never seen", "change [95 %]"]
    cells = []
    for row in rows:
        change = with_interval(row.change, (row.low, row.high), sign=True)
        cells.append([row.kind, row.idea, str(row.images), f"{row.seen:.3f}", f"{row.unseen:.3f}", change])
    lines = [
        "# One type of image left out",
        "",
        *markdown_table(heads, cells),
        "",
        "Kaggle score, mean over the images of the type. Seen: other fields of view of the type were trained on. Never",
        "seen: none was. The change is paired image by image.",
        "",
        f"- Command: `{command}`",
    ]
    write_text(out / "types.md", "\n".join(lines) + "\n")


def strip(path: Path, shown: Sequence[Sample], *, found: Mapping[str, Any], scores: Mapping[str, float]) -> None:
    """Draw the outlines found in the pictures shown, side by side; pictures that were not held out are left out.

    For a large picture, the window with the most nuclei is shown; the score in the caption is that of the whole.
    """
    panels = []
    for sample in shown:
        if sample.image_id in found:
            caption = f"{sample.kind}\n{sample.image_id[:8]}  {scores[sample.image_id]:.2f}".strip()
            window = _window(sample.labels)
            panels.append((caption, render_overlay(sample.image[window], relabel(found[sample.image_id][window]))))
    if panels:
        make_folder(path.parent)
        draw_panels(path, [panels])


def _window(labels: NDArray[np.int32]) -> tuple[slice, slice]:
    """Find the window of at most `_SHOWN_SIDE` pixels a side that holds the centres of most nuclei."""
    ids = np.arange(1, int(labels.max(initial=0)) + 1)
    centres = np.reshape(ndimage.center_of_mass(labels > 0, labels, ids), (-1, 2))
    starts = [range(0, max(1, size - _SHOWN_SIDE + 1), _STEP) for size in labels.shape]
    corners = np.array([(row, col) for row in starts[0] for col in starts[1]])
    away: NDArray[np.float64] = centres - corners[:, None]
    inside = np.logical_and(away >= 0, away < _SHOWN_SIDE).all(axis=2).sum(axis=1)
    row, col = corners[inside.argmax()].tolist()
    return slice(row, row + _SHOWN_SIDE), slice(col, col + _SHOWN_SIDE)


def _notes(plan: NextPlan, rows: Sequence[Row], *, command: str) -> list[str]:
    made: dict[str, list[str]] = {}
    for row in rows:
        made.setdefault(row.made, []).append(row.idea)
    return [
        "The score is the mean over all held-out images; its interval is over the held-out folds (Student's t). The",
        "gain is paired with the baseline image by image, its interval by bootstrap over fields of view: it says how",
        "sure the gain of these trained networks is, not what another training would give. For that, see the gains by",
        f"fold and the row {CHANCE}. Seconds are of processor time (with a graphics card, by the clock), means of one",
        "network and of one fold; ideas after the network share the baseline's training and stored maps.",
        "",
        f"- Command: `{command}`",
        f"- Folds {', '.join(map(str, plan.folds))} held out in turn; {rows[0].images} images scored.",
        f"- Width {plan.width} (the paper's is 64), {plan.budget} crops a network, learning rate {plan.lr:g},",
        f"  {plan.precision}, seed {plan.seed}, the weights of the last step.",
        *(f"- nucleate {__version__}, {what}{': ' + ', '.join(names) if len(made) > 1 else ''}."
          for what, names in made.items()),
    ]  # fmt: skip
