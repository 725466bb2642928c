"""The next steps from the first row to the last table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nucleate.errors import UsageError
from nucleate.study.gains import BASELINE, kind_gains, row_of
from nucleate.study.next_ideas import BEST, FLAGSHIP, TYPES, combine, ideas, wanted_of
from nucleate.study.next_steps import Study, fold_parts, type_parts
from nucleate.study.next_table import strip, type_row, write_table, write_types

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.study.gains import Row
    from nucleate.study.next_ideas import Idea
    from nucleate.study.next_steps import Outcome, Part
    from nucleate.study.plan import NextPlan
    from nucleate.train.loop import Run

__all__ = ["SHOWN", "choose_shown", "publish_study", "run_study"]

SHOWN = 6
"""Pictures in an overlay strip."""

_NO_BEST = "No idea alone helped, or none was run."


def choose_shown(samples: Sequence[Sample], folds: Sequence[int]) -> list[Sample]:
    """Choose the pictures of the strips: one of each type in turn, the first by id, out of the held-out folds."""
    by_kind: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.image_id):
        if sample.fold in folds:
            by_kind.setdefault(sample.kind, []).append(sample)
    longest = max((len(of_kind) for of_kind in by_kind.values()), default=0)
    turns = [by_kind[kind][turn] for turn in range(longest) for kind in sorted(by_kind) if turn < len(by_kind[kind])]
    return turns[:SHOWN]


@dataclass(frozen=True)
class _Story:
    """The report of a study, made from the rows that are done; it never trains."""

    study: Study
    samples: Sequence[Sample]
    shown: Sequence[Sample]
    command: str
    wanted: Collection[str]
    """Names of the rows that were asked for; of the others nobody needs to know why they cannot be run."""

    @property
    def folds(self) -> list[Part]:
        """The parts that every idea is scored on."""
        return fold_parts(self.study.plan, self.samples)

    def outcomes(self, idea: Idea) -> list[Outcome]:
        """Give the outcomes of an idea on all folds; empty if one is missing."""
        found = [self.study.known(idea, part.name) for part in self.folds]
        return [one for one in found if one is not None] if None not in found else []

    def listed(self) -> dict[str, Idea]:
        """List the ideas by name, and the combination of all that helped if any did."""
        known = ideas(self.study.plan)
        helped = sorted((row for row in self.rows(known) if row.verdict == "helped"), key=lambda row: -row.gain)
        best = combine([row.idea for row in helped], self.study.plan)
        return {**known, BEST: best} if best.changes else known

    def rows(self, listed: Mapping[str, Idea]) -> list[Row]:
        """Sum up every idea that is done; empty if the baseline is not."""
        baseline = self.outcomes(listed[BASELINE])
        if not baseline:
            return []
        groups = {sample.image_id: sample.group for sample in self.samples}
        done = [(idea, outcomes) for idea in listed.values() if (outcomes := self.outcomes(idea))]
        return [row_of(idea, outcomes, baseline=baseline, groups=groups) for idea, outcomes in done]

    def tell(self, out: Path) -> None:
        """Write the tables and the figure of gains."""
        listed = self.listed()
        rows = self.rows(listed)
        if not rows:
            return
        outcomes = {name: self.outcomes(idea) for name, idea in listed.items()}
        kinds = {sample.image_id: sample.kind for sample in self.samples}
        gains = kind_gains({row.idea: outcomes[row.idea] for row in rows}, kinds=kinds)
        left = {name: self.study.obstacle(idea) for name, idea in listed.items() if not outcomes[name]}
        left |= {} if BEST in listed else {BEST: _NO_BEST}
        left = {name: reason if name in self.wanted else "" for name, reason in left.items()}
        write_table(out, self.study.plan, rows=rows, kinds=gains, left=left, command=self.command)
        self._tell_types(out)

    def _tell_types(self, out: Path) -> None:
        groups = {sample.image_id: sample.group for sample in self.samples}
        rows = []
        for idea in (ideas(self.study.plan)[name] for name in (BASELINE, FLAGSHIP)):
            seen = self.outcomes(idea)
            for part in _types(self.samples):
                unseen = self.study.known(idea, part.name)
                if unseen and (row := type_row(part.held[0].kind, unseen, seen=seen, groups=groups)):
                    rows.append(row)
        if rows:
            write_types(out, rows, command=self.command)

    def draw(self, idea: Idea, out: Path) -> None:
        """Draw the overlay strip of an idea that is done."""
        found: dict[str, NDArray[Any]] = {}
        scores: dict[str, float] = {}
        for outcome in self.outcomes(idea):
            found |= self.study.kept_labels(idea.name, outcome.part)
            scores |= outcome.scores
        strip(self.strip_of(idea, out), self.shown, found=found, scores=scores)

    def strip_of(self, idea: Idea, out: Path) -> Path:
        """Say where the strip of an idea is."""
        return out / "strips" / f"{idea.name}.jpg"

    def draw_truth(self, out: Path) -> None:
        """Draw the strip of the truth."""
        truth = {sample.image_id: sample.labels for sample in self.shown}
        strip(out / "strips" / "truth.jpg", self.shown, found=truth, scores=dict.fromkeys(truth, 1.0))


def _types(samples: Sequence[Sample]) -> list[Part]:
    return type_parts(samples) if len({sample.kind for sample in samples} - {""}) > 1 else []


def run_study(
    plan: NextPlan,
    *,
    only: Sequence[str] = (),
    command: str,
    resume: bool = False,
    device: str = "cpu",
    report: Callable[[str, str, Run], None] = lambda idea, part, run: None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Run the rows asked for and write all tables and figures into the plan's folder.

    Parameters
    ----------
    plan : NextPlan
    only : sequence of str
        As for `wanted_of`. The baseline always runs.
    command : str
        The call, for the notes.
    resume : bool
        Go on in a folder that holds this study; rows that are done are not done again. Several processes may work in
        one folder at the same time, and share the rows.
    device : str
        ``cpu`` or ``cuda``.
    report : callable
        Called after each epoch with the idea, the part and the run.
    say : callable
        Takes one line for the user.

    Raises
    ------
    UsageError
        If a name is unknown, or the folder holds another study or one of other pictures.
    DataError
        If one type after the other is to be left out and there are not two.
    """
    wanted = {BASELINE, *wanted_of(plan, only)}
    samples = plan.pictures(plan.folds, seed=plan.seed)
    types = type_parts(samples) if TYPES in only else _types(samples)
    plan.claim(samples, resume=resume)
    shown = choose_shown(samples, plan.folds)
    study = Study(plan, shown=shown, device=device, report=report)
    story = _Story(study, samples, shown, command, wanted)
    story.draw_truth(plan.out)

    def run(listed: Iterable[Idea], parts: Sequence[Part]) -> None:
        tasks = []
        for idea in listed:
            if reason := study.obstacle(idea):
                say(f"{idea.name}: not run: {reason}")
            else:
                tasks += [(idea, part) for part in parts]
        # First the rows that no other process works on, then those that are left.
        busy = [(idea, part) for idea, part in tasks if _do(story, idea, part=part, wait=False) is None]
        for idea, part in busy:
            say(f"{idea.name}  {part.name}  waits for another process")
            _do(story, idea, part=part, wait=True)

    named = ideas(plan)
    run((idea for name, idea in named.items() if name in wanted - {FLAGSHIP}), story.folds)
    if BEST in wanted and (best := story.listed().get(BEST)):
        run([best], story.folds)
    if FLAGSHIP in wanted:
        run([named[FLAGSHIP]], story.folds)
    if TYPES in wanted:
        run([named[BASELINE], named[FLAGSHIP]], [*story.folds, *types])
    story.tell(plan.out)


def _do(story: _Story, idea: Idea, *, part: Part, wait: bool) -> Outcome | None:
    """Run one row; once an idea is complete, write the tables, so that a broken study has them, too."""
    out = story.study.plan.out
    before = story.study.known(idea, part.name)
    outcome = before or story.study.outcome(idea, part, wait=wait)
    if outcome is not None and before is None:
        story.tell(out)
    if outcome is not None and story.outcomes(idea) and (before is None or not story.strip_of(idea, out).is_file()):
        story.draw(idea, out)
    return outcome


def publish_study(plan: NextPlan, out: Path, *, only: Sequence[str] = (), command: str) -> None:
    """Write tables, figure and strips of all rows that are done into another folder, and the rows; nothing is trained.

    Parameters
    ----------
    plan : NextPlan
        Of the study, which stands in the plan's folder.
    out : Path
        Gets what `run_study` writes, without weights and maps: a study that can be gone on with.
    only : sequence of str
        Rows of which it is told why they were not run, as for `wanted_of`; what is done is written whatever they are.
    command : str
        The call that made the study, for the notes.

    Raises
    ------
    UsageError
        If a name is unknown, or the plan's folder holds no study, or another one, or nothing in it is done yet, or
        `out` holds another one.
    """
    samples = plan.pictures(plan.folds, seed=plan.seed)
    plan.claim(samples, resume=True, new=False)
    shown = choose_shown(samples, plan.folds)
    study = Study(plan, shown=shown)
    story = _Story(study, samples, shown, command, wanted_of(plan, only))
    listed = story.listed()
    rows = story.rows(listed)
    if not rows:
        raise UsageError(f"{plan.out} has no whole row of the baseline yet; run the study first")
    replace(plan, out=out).claim(samples, resume=True)
    study.copy_rows(out)
    story.tell(out)
    story.draw_truth(out)
    for row in rows:
        story.draw(listed[row.idea], out)
