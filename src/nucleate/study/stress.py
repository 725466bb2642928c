"""How much is lost when held-out pictures are changed in the ways in which laboratories differ.

Each picture is segmented by one model, or by the network of its own fold with an ending fitted to other pictures (the
other folds, or the other half of the only one), through the one prediction path with ``scale = "auto"``: what a user
gets.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nucleate import __version__
from nucleate.core.files import make_folder, write_rows, write_text
from nucleate.core.labels import areas, relabel
from nucleate.core.resample import resample_labels
from nucleate.errors import UsageError
from nucleate.report.tables import markdown_table, with_interval
from nucleate.score.images import score_image
from nucleate.study.changes import CHANGES, check_changes, rescaled, whole_numbered
from nucleate.study.crossfold import load_fold, read_endings
from nucleate.study.crossfold_plan import ALL, folds_of, network_name, to_train
from nucleate.study.gains import gain_of
from nucleate.train.device import describe
from nucleate.train.tuning import each, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.run.segmenter import Segmenter
    from nucleate.run.weights import ModelCard
    from nucleate.score.images import ImageScore
    from nucleate.study.changes import Change
    from nucleate.study.crossfold_plan import CrossPlan

__all__ = [
    "HOW_STUDY",
    "LEAST",
    "SIDE",
    "StressRow",
    "balanced",
    "how_model",
    "judge",
    "run_changes",
    "run_stress",
    "write_stress",
]

SIDE = 512
"""Larger pictures are cut to their middle, with this many pixels a side."""

LEAST = 20
"""Nuclei of fewer pixels in the changed picture are not scored."""

HOW_STUDY = (
    "Each was segmented by the network of its own fold with an ending fitted to other pictures (the other folds, "
    "or the other half of the only one), as a user gets it (scale auto)."
)
"""How the pictures of a study are segmented, for the notes."""

_SEED = 0


@dataclass(frozen=True)
class StressRow:
    """How much score one change costs.

    Parameters
    ----------
    change : Change
    images : int
        Pictures compared.
    before, after : float
        Mean Kaggle score of the pictures unchanged and changed, judged by the same nuclei.
    found_before, found_after : float
        Mean F1 at IoU 0.5 of the same pictures, which tells how much of the loss is nuclei, and how much outlines.
    low, high : float
        95 % interval of ``after - before``, bootstrap over fields of view; nan where there are fewer than two.
    by_kind : mapping
        Type of picture -> (before, after).
    """

    change: Change
    images: int
    before: float
    after: float
    found_before: float
    found_after: float
    low: float
    high: float
    by_kind: Mapping[str, tuple[float, float]]

    @property
    def loss(self) -> float:
        """Share of the score that is lost; below 0 for a gain."""
        return 1 - self.after / self.before if self.before else 0.0


def balanced(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Take at most `count` pictures of each type, the first by id, cut to `SIDE`; those without nuclei are left out.

    Pictures without a type count as one type. Pictures that have neither 8 nor 16 bits are brought to 16
    (`nucleate.study.changes.whole_numbered`).
    """
    by_kind: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.image_id):
        middle = _middle(sample)
        if middle.labels.any() and len(by_kind.setdefault(sample.kind, [])) < count:
            by_kind[sample.kind].append(middle)
    return [sample for kind in sorted(by_kind) for sample in by_kind[kind]]


def _middle(sample: Sample) -> Sample:
    rows, cols = (slice(max(n - SIDE, 0) // 2, max(n - SIDE, 0) // 2 + SIDE) for n in sample.labels.shape)
    image, labels = whole_numbered(sample.image[rows, cols]), relabel(sample.labels[rows, cols])
    return replace(sample, image=image, labels=labels)


def judge(
    truth: NDArray[np.int32], found: NDArray[np.int32], *, left_out: NDArray[np.bool_], least: float
) -> ImageScore | None:
    """Score a picture when some true nuclei are left out.

    Parameters
    ----------
    truth, found : (H, W) int32 ndarray
        Label images.
    left_out : (n + 1,) bool ndarray
        For each id of the truth whether it is left out; entry 0 is background and False. Found nuclei that lie with
        more than half of their pixels in those are left out too.
    least : float
        Found nuclei of fewer pixels are left out.

    Returns
    -------
    ImageScore or None
        None if no true nucleus is left.
    """
    kept_truth = np.where(left_out[truth], 0, truth)
    if not kept_truth.any():
        return None
    sizes = np.bincount(found.ravel())
    covered = np.bincount(found.ravel(), left_out[truth].ravel(), minlength=len(sizes))
    drop = (sizes < least) | (covered > sizes / 2)
    drop[0] = True
    return score_image(kept_truth, np.where(drop[found], 0, found))


def run_stress(
    plan: CrossPlan,
    *,
    count: int = 12,
    only: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> list[StressRow]:
    """Compare as `run_changes` does, each picture by the network of its fold.

    Parameters
    ----------
    plan : CrossPlan
        A study that has its endings.
    count : int
        Pictures of each type.
    only, say
        As of `run_changes`.

    Raises
    ------
    UsageError
        If there is no such change, or a network is not there or was trained with other settings or on other folds.
    """
    check_changes(only)
    samples = plan.pictures(plan.folds)
    for fold in folds_of(plan, samples):
        to_train(replace(plan, train=False), samples, fold=fold)
    held = [sample for sample in samples if not plan.folds or sample.fold in plan.folds]
    pictures = balanced(held, count)
    return run_changes(pictures, _open(plan, pictures, held=held), only=only, jobs=plan.jobs, say=say)


def run_changes(
    pictures: Sequence[Sample],
    segmenters: Mapping[str, Segmenter],
    *,
    only: Sequence[str] = (),
    jobs: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> list[StressRow]:
    """Change pictures in every way and compare.

    Parameters
    ----------
    pictures : sequence of Sample
        From `balanced`, none of which its segmenter was trained on.
    segmenters : mapping
        Id of a picture -> what segments it.
    only : sequence of str
        Names of changes; all when empty.
    jobs : int
        Threads, each with a picture of its own.
    say : callable
        Takes one line for the user after each change.

    Raises
    ------
    UsageError
        If no picture is left to compare.
    """
    unchanged = each(lambda one: segmenters[one.image_id].segment_plane(one.image)[0], pictures, jobs=jobs)
    say(f"{len(pictures)} pictures unchanged")
    rows = []
    for change in CHANGES:
        if only and change.name not in only:
            continue
        row = _row(change, pictures, unchanged=unchanged, segmenters=segmenters, jobs=jobs)
        if row is not None:
            rows.append(row)
            say(f"{change.name} {change.level}: {row.before:.3f} to {row.after:.3f}")
    if not rows:
        raise UsageError(
            f"nothing to compare: {', '.join(only) or 'all changes'} leave the {len(pictures)} pictures as they are "
            "(JPEG is for 8 bits a number), or without a nucleus; choose other changes or images"
        )
    return rows


def _open(plan: CrossPlan, pictures: Sequence[Sample], *, held: Sequence[Sample]) -> dict[str, Segmenter]:
    """Open for each picture, by its id, the network of its fold with an ending that was not fitted to it."""
    endings = read_endings(plan.out)
    halves = _halves(held) if "half-0" in endings else {}
    opened: dict[tuple[str, str], Segmenter] = {}
    segmenters = {}
    for one in pictures:
        fold = network_name(one.fold)
        # Where the study knows no ending for a fold, that of all pictures is fitted to other folds.
        name = fold if fold in endings else halves.get(one.image_id, ALL)
        if (fold, name) not in opened:
            opened[fold, name] = load_fold(plan, fold, ending=endings[name])
        segmenters[one.image_id] = opened[fold, name]
    return segmenters


def _halves(held: Sequence[Sample]) -> dict[str, str]:
    """Name the half of its fold that each picture is in, by its id: in a study of one fold, halves have endings."""
    halves: dict[str, str] = {}
    for fold in {one.fold for one in held}:
        own = [one for one in held if one.fold == fold]
        for index, (places, _) in enumerate(parts_of(own)):
            halves |= {own[place].image_id: f"half-{index}" for place in places}
    return halves


def _row(
    change: Change,
    pictures: Sequence[Sample],
    *,
    unchanged: Sequence[NDArray[np.int32]],
    segmenters: Mapping[str, Segmenter],
    jobs: int,
) -> StressRow | None:
    """Score one change on the pictures that it changes; None where none of them has a nucleus left."""

    def compare(place: int) -> tuple[ImageScore | None, ImageScore | None]:
        one = pictures[place]
        image, truth = one.image, one.labels
        if change.apply is not None:
            image = change.apply(image, np.random.default_rng((_SEED, place)))
            if image is one.image:
                return None, None  # such a picture is not changed
        if change.zoom != 1:
            image = rescaled(image, change.zoom)
            truth = resample_labels(truth, (image.shape[0], image.shape[1]))
        # Nothing is left out if nothing got smaller.
        least = LEAST if change.zoom < 1 else 0
        sizes = np.zeros(int(one.labels.max()), np.int64)
        sizes[: int(truth.max(initial=0))] = areas(truth)
        left_out = np.append(False, sizes < least)
        found, _ = segmenters[one.image_id].segment_plane(image)
        before = judge(one.labels, unchanged[place], left_out=left_out, least=least / change.zoom**2)
        return before, judge(truth, found, left_out=left_out, least=least)

    pairs = zip(pictures, each(compare, range(len(pictures)), jobs=jobs), strict=True)
    compared = [(one, b, a) for one, (b, a) in pairs if b is not None and a is not None]
    if not compared:
        return None
    earlier = {one.image_id: b.kaggle for one, b, _ in compared}
    later = {one.image_id: a.kaggle for one, _, a in compared}
    _, low, high = gain_of(later, earlier, groups={one.image_id: one.group for one in pictures})
    before, after = _mean_pair([(b.kaggle, a.kaggle) for _, b, a in compared])
    found_before, found_after = _mean_pair([(b.f1_50, a.f1_50) for _, b, a in compared])
    by_kind = {
        kind: _mean_pair([(b.kaggle, a.kaggle) for one, b, a in compared if one.kind == kind])
        for kind in {one.kind for one, _, _ in compared}
    }
    return StressRow(change, len(compared), before, after, found_before, found_after, low, high, by_kind)


def _mean_pair(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    before, after = np.mean(pairs, axis=0).tolist()
    return before, after


def how_model(card: ModelCard) -> str:
    """Say how pictures were segmented by one model."""
    told = card.trained_on is not None and not card.trained_on_more
    known = "None with these very pixels is" if told else "The card does not tell whether they are"
    return (
        f"Each was segmented by {card.name} as a user gets it (scale auto; sha256 {card.sha256[:16]}). {known} among "
        "those that it was trained on; numbers after the network may have been fitted to them."
    )


def write_stress(
    folder: Path, rows: Sequence[StressRow], *, how: str, device: str, command: str, called: str = "stress"
) -> str:
    """Write a table, as Markdown and as CSV, and give its text.

    Parameters
    ----------
    folder : Path
        Where to; made if need be.
    rows : sequence of StressRow
        From `run_changes`.
    how : str
        How the pictures were segmented: `HOW_STUDY` or `how_model`.
    device : str
        On which they were, ``cpu`` or ``cuda``.
    command : str
        The call, for the notes.
    called : str
        Name of the files, without their endings.
    """
    folder = make_folder(folder)
    kinds = sorted({kind for row in rows for kind in row.by_kind} - {""})
    names = ["change", "level", "person", "images", "before", "after", "loss", "low", "high"]
    names += ["found before", "found after", *(f"{kind} {side}" for kind in kinds for side in ("before", "after"))]
    table: list[list[object]] = []
    for row in rows:
        numbers = [row.before, row.after, row.loss, row.low, row.high, row.found_before, row.found_after]
        numbers += [value for kind in kinds for value in row.by_kind.get(kind, (float("nan"),) * 2)]
        facts = [row.change.name, row.change.level, row.change.person, row.images]
        table.append([*facts, *(f"{number:.4f}" for number in numbers)])
    write_rows(folder / f"{called}.csv", table, header=names)
    heads = ["change", "level", "images", "unchanged", "changed", "difference [95 %]", "loss", "F1 at 0.5"]
    heads.append("a person still could")
    cells = [
        [
            row.change.name,
            row.change.level or "-",
            str(row.images),
            f"{row.before:.3f}",
            f"{row.after:.3f}",
            with_interval(row.after - row.before, (row.low, row.high), sign=True),
            f"{row.loss:.1%}",
            f"{row.found_before:.3f} to {row.found_after:.3f}",
            row.change.person,
        ]
        for row in rows
    ]
    most = max((row.images for row in rows), default=0)
    notes = (
        f"Kaggle score, mean over {most} held-out pictures, as many of each type as there are up to a number; larger "
        f"ones are cut to their middle of {SIDE} pixels a side, numbers of other than 8 or 16 bits spread over 16. "
        f"{how} Where pictures were made smaller, true nuclei of fewer than {LEAST} pixels are left out, found ones "
        "of fewer pixels too, and found ones that lie for more than half in those; the unchanged pictures are judged "
        "by the same nuclei. Pictures without any nucleus left are left out, and those that a change leaves as they "
        "are: light ones get no burnt spot, grey ones no other hue, those in 16 bits no JPEG and nothing in 8 bits. "
        "The difference is paired picture by picture, its interval is a bootstrap over fields of view. F1 at IoU 0.5 "
        "tells nuclei that are lost from outlines that are off: of small nuclei a pixel is much. What a person could "
        f"still outline is our own judgement. `{called}.csv` has the types."
    )
    lines = ["# Changed pictures", "", *markdown_table(heads, cells), "", *textwrap.wrap(notes, 118), ""]
    lines += [f"- Command: `{command}`", f"- nucleate {__version__}, {describe(device)}."]
    text = "\n".join(lines) + "\n"
    write_text(folder / f"{called}.md", text)
    return text
