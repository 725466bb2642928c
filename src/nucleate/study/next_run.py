"""The next steps from the first row to the last table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nucleate.errors import UsageError
from nucleate.study.next_ideas import BASELINE, BEST, FLAGSHIP, TYPES, combine, ideas
from nucleate.study.next_steps import Study, claim, fold_parts, load_pictures, type_parts
from nucleate.study.next_table import row_of, strip, type_row, write_table, write_types

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.study.next_ideas import Idea, NextPlan
    from nucleate.study.next_steps import Outcome, Part
    from nucleate.study.next_table import Row
    from nucleate.train.loop import Run

__all__ = ["SHOWN", "choose_shown", "names_of", "run_study"]

SHOWN = 6
"""Pictures in an overlay strip."""


@dataclass
class _State:
    """What is known so far."""

    groups: Mapping[str, str]
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    says: dict[str, Idea] = field(default_factory=dict)

    def rows(self) -> list[Row]:
        baseline = self.outcomes[BASELINE]
        return [
            row_of(self.says[name], outcomes, baseline=baseline, groups=self.groups)
            for name, outcomes in self.outcomes.items()
        ]


def names_of(plan: NextPlan) -> list[str]:
    """List all names that can be asked for, in the order in which they run."""
    known = [name for name in ideas(plan) if name != FLAGSHIP]
    return [*known, BEST, FLAGSHIP, TYPES]


def choose_shown(samples: Sequence[Sample], folds: Sequence[int]) -> list[Sample]:
    """Choose the pictures of the strips: one of each type in turn, the first by id, out of the held-out folds."""
    by_kind: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.image_id):
        if sample.fold in folds:
            by_kind.setdefault(sample.kind, []).append(sample)
    longest = max((len(of_kind) for of_kind in by_kind.values()), default=0)
    turns = [by_kind[kind][turn] for turn in range(longest) for kind in sorted(by_kind) if turn < len(by_kind[kind])]
    return turns[:SHOWN]


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
    """Run the rows asked for and write everything that is known into the plan's folder.

    Parameters
    ----------
    plan : NextPlan
    only : sequence of str
        Names of `names_of`; all when empty. The baseline always runs.
    command : str
        The call, for the notes.
    resume : bool
        Go on in a folder that holds this study; rows that are done are not done again.
    device : str
        ``cpu`` or ``cuda``.
    report : callable
        Called after each epoch with the idea, the part and the run.
    say : callable
        Takes one line for the user.

    Raises
    ------
    UsageError
        If a name is unknown, or the folder holds another study.
    """
    known = names_of(plan)
    unknown = [name for name in only if name not in known]
    if unknown:
        raise UsageError(f"no idea {unknown[0]!r}; choose of {', '.join(known)}")
    wanted = set(only or known)
    samples = load_pictures(plan)
    claim(plan, resume=resume)
    shown = choose_shown(samples, plan.folds)
    study = Study(plan, shown=shown, device=device, report=report)
    state = _State({sample.image_id: sample.group for sample in samples})
    parts = fold_parts(plan, samples)
    not_run: dict[str, str] = {}
    strip(plan.out / "strips" / "truth.png", shown, found={s.image_id: s.labels for s in shown},
          scores=dict.fromkeys((s.image_id for s in shown), 1.0))  # fmt: skip
    for name in (name for name in known if name != TYPES):
        idea = _idea(name, state, plan=plan)
        if idea is None:
            if BEST in wanted:
                not_run[BEST] = "No idea alone has an interval above zero, or none was run."
                write_table(plan, state.rows(), not_run=not_run, command=command)
            continue
        if name not in wanted | {BASELINE} and any(study.known(idea, part.name) is None for part in parts):
            continue
        if (reason := study.obstacle(idea)) and any(study.known(idea, part.name) is None for part in parts):
            not_run[name] = reason
            say(f"{name}: not run: {reason}")
        else:
            state.says[name] = idea
            state.outcomes[name] = [study.outcome(idea, part) for part in parts]
            _draw(study, state.outcomes[name], shown=shown)
        # After every row, so that a broken study has its table too.
        write_table(plan, state.rows(), not_run=not_run, command=command)
    if TYPES in only or (not only and len({sample.kind for sample in samples}) > 1):
        _types(study, state, parts=type_parts(samples), folds=parts, command=command)


def _idea(name: str, state: _State, *, plan: NextPlan) -> Idea | None:
    if name != BEST:
        return ideas(plan)[name]
    rows = sorted((row for row in state.rows() if row.gain_low > 0), key=lambda row: -row.gain)
    names = [row.idea for row in rows if row.idea in ideas(plan)]
    idea = combine(names, plan)
    return idea if idea.changes else None


def _draw(study: Study, outcomes: Sequence[Outcome], *, shown: Sequence[Sample]) -> None:
    idea = outcomes[0].idea
    found: dict[str, NDArray[Any]] = {}
    scores: dict[str, float] = {}
    for outcome in outcomes:
        found |= study.kept_labels(idea, outcome.part)
        scores |= outcome.scores
    strip(study.plan.out / "strips" / f"{idea}.png", shown, found=found, scores=scores)


def _types(study: Study, state: _State, *, parts: Sequence[Part], folds: Sequence[Part], command: str) -> None:
    """Leave out one type after the other, for the paper's system and for the flagship."""
    rows = []
    for idea in (ideas(study.plan)[name] for name in (BASELINE, FLAGSHIP)):
        seen = state.outcomes.get(idea.name) or [study.outcome(idea, part) for part in folds]
        for part in parts:
            row = type_row(part.held[0].kind, study.outcome(idea, part), seen=seen, groups=state.groups)
            rows += [] if row is None else [row]
            write_types(study.plan, rows, command=command)
