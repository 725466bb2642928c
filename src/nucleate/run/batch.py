"""Many files: each is read, segmented and written by itself; one bad file never stops the others."""

from __future__ import annotations

import hashlib
import platform
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nucleate import __version__
from nucleate.core.files import cannot_write
from nucleate.run import outputs
from nucleate.run.exports import EXPORTS
from nucleate.run.journal import JOURNAL_NAME, Journal, Outcome
from nucleate.run.moved_inputs import moved, tell_of_twice
from nucleate.run.naming import unique_names
from nucleate.run.single import Done, Progress, SegmenterLike, Task, WorkBench
from nucleate.run.threads import ThreadCrew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from nucleate.run.inputs import Source
    from nucleate.run.segmenter import Segmenter
    from nucleate.run.settings import BatchSettings

__all__ = ["BatchSummary", "Crew", "Progress", "Report", "decided_by", "run_batch"]

_NUMBERS = {"normalizer", "maps", "recipe", "confidence", "scale_rule", "multiple", "input_size", "margin", "blend"}
"""What a card says that decides the results, beyond what `SegmentSettings` take from it."""


@dataclass(frozen=True)
class Report:
    """Told to the caller when an input is finished.

    Parameters
    ----------
    outcome : Outcome
        How it ended.
    done, total : int
        Inputs finished so far, and all of them.
    resumed : bool
        Whether it was finished in an earlier run.
    exception : Exception, optional
        What went wrong, for ``--debug``.
    """

    outcome: Outcome
    done: int
    total: int
    resumed: bool = False
    exception: Exception | None = None


@dataclass(frozen=True)
class BatchSummary:
    """How a batch ended.

    Parameters
    ----------
    outcomes : list of Outcome
        One an input, in order. An input that an earlier run finished counts as finished, even if it was not reached.
    earlier : list of Outcome
        Those that went well, of inputs that only earlier runs into the folder had.
    interrupted : bool
        Whether Ctrl-C stopped the batch.
    """

    outcomes: list[Outcome]
    earlier: list[Outcome]
    interrupted: bool = False

    def count(self, status: str) -> int:
        """Count the inputs that ended with a status."""
        return sum(outcome.status == status for outcome in self.outcomes)


class Crew(Protocol):
    """What does the tasks of a batch: threads, or the workers of a cluster."""

    def run(self, tasks: Sequence[Task], watch: Callable[[Progress], None], /) -> Iterator[Done]:
        """Do all tasks, in any order; give each when its files are written, and tell `watch` of parts of large ones."""

    def stop(self, *, wait: bool) -> None:
        """Start no further task and give up those under way. Called at the end, however the batch ended.

        Engines must not be pulled down while they compute; with `wait` this waits for them.
        """


def decided_by(segmenter: Segmenter) -> dict[str, Any]:
    """Give the properties of a segmenter that decide the results, for `BatchSettings.deciding`."""
    card = segmenter.card
    numbers = card.model_dump_json(include=_NUMBERS).encode()
    model = {"model": card.name, "model_sha256": card.sha256, "card_sha256": hashlib.sha256(numbers).hexdigest()}
    return model | asdict(segmenter.settings) | {"min_confidence": segmenter.min_confidence}


def run_batch(
    sources: Sequence[Source],
    output: Path,
    *,
    segmenter: SegmenterLike,
    settings: BatchSettings,
    notify: Callable[[Report], None] = lambda _: None,
    watch: Callable[[Progress], None] = lambda _: None,
    crew: Crew | None = None,
) -> BatchSummary:
    """Segment inputs and write their results, the common tables, summary.csv and run.json.

    Parameters
    ----------
    sources : sequence of Source
        From `inputs.expand`.
    output : Path
        Folder for the results; made where it is missing.
    segmenter : SegmenterLike
        Finds the nuclei.
    settings : BatchSettings
        How to run.
    notify : callable
        Called in this thread after each input.
    watch : callable
        Called, perhaps in another thread, when a part of a large input is done.
    crew : Crew, optional
        Does the inputs; threads of this process when None.

    Returns
    -------
    BatchSummary
        After Ctrl-C too: what was finished is kept and written.

    Raises
    ------
    UsageError
        If the folder holds results and this is no resume, they were made with other settings, or another run is
        writing there.
    OutputError
        If results cannot be written; a later run with ``resume`` goes on from there.
    """
    _prepare(output)
    with outputs.alone(output):
        if crew is None:
            bench = WorkBench(segmenter, settings, output=output)
            crew = ThreadCrew(bench, at_once=min(settings.at_once, len(sources)))
        return _run(sources, output, settings=settings, notify=notify, watch=watch, crew=crew)


def _run(
    sources: Sequence[Source],
    output: Path,
    *,
    settings: BatchSettings,
    notify: Callable[[Report], None],
    watch: Callable[[Progress], None],
    crew: Crew,
) -> BatchSummary:
    journal, names = _open_journal(sources, output, settings=settings)
    outcomes = {source.key: Outcome(names[source.key], source.key, "not done") for source in sources}
    tasks = [Task(source, names[source.key], journal.done.get(source.key)) for source in sources]
    interrupted = False
    try:
        for count, done in enumerate(crew.run(tasks, watch), 1):
            outcomes[done.outcome.source] = done.outcome
            before = journal.done.get(done.outcome.source)
            if done.outcome != before:
                journal.add(done.outcome)
            if done.outcome.status == "ok":
                shutil.rmtree(outputs.strips_folder(output, done.outcome.name), ignore_errors=True)
            elif _is_past(before, done.outcome):
                outputs.remove_result(output, done.outcome.name, exports=settings.exports)
            notify(Report(done.outcome, count, len(sources), done.resumed, done.error))
            if settings.fail_fast and done.outcome.status == "failed":
                break
    except KeyboardInterrupt:
        interrupted = True
    finally:
        crew.stop(wait=not interrupted)
        outputs.clear_half_written(output)
    kept = {key: o for key, o in journal.done.items() if o.status == "ok"}
    ended = [kept.get(key, o) if o.status == "not done" else o for key, o in outcomes.items()]
    earlier = [o for key, o in kept.items() if settings.keep_earlier and key not in outcomes]
    summary = BatchSummary(ended, earlier, interrupted)
    _write_common(summary, output, settings=settings, names=journal.names.values())
    tell_of_twice(ended, earlier)
    return summary


def _prepare(output: Path) -> None:
    path = output / JOURNAL_NAME
    try:
        begun = path.exists()
    except OSError as error:
        raise cannot_write(path, error) from error
    if not begun:
        outputs.refuse_existing(output, [output / name for name in outputs.COMMON_FILES])
    outputs.prepare_folder(output)


def _is_past(before: Outcome | None, failed: Outcome) -> bool:
    """Tell whether the files that lie there of a failed input are to go: of other content, or begun just now.

    An input that cannot be read for the moment keeps its results. If it failed before, too, files that have its names
    are not ours.
    """
    return before is None or (before.status == "ok" and failed.sha256 not in {"", before.sha256})


def _open_journal(
    sources: Sequence[Source], output: Path, *, settings: BatchSettings
) -> tuple[Journal, dict[str, str]]:
    journal = Journal(output / JOURNAL_NAME, settings.fingerprint(), resume=settings.resume)
    begun, exports = journal.given_up
    for name in begun:
        outputs.remove_result(output, name, exports=exports & EXPORTS.keys())
    journal.rename(moved(sources, journal, keep=settings.keep_earlier))
    names = unique_names(sources, journal.names)
    new = [name for key, name in names.items() if key not in journal.names]
    written = [file for name in new for file in outputs.files_of(output, name, exports=settings.exports)]
    outputs.refuse_existing(output, written)
    outputs.clear_half_written(output)  # what a killed run left
    journal.begin(names)
    return journal, names


def _write_common(summary: BatchSummary, output: Path, *, settings: BatchSettings, names: Iterable[str]) -> None:
    everything = [*summary.outcomes, *summary.earlier]
    finished = [outcome.name for outcome in everything if outcome.status == "ok"]
    outputs.join_tables(output, finished, exports=settings.exports, but=set(names))
    outputs.write_summary(output / "summary.csv", everything)
    record = {
        "nucleate": __version__,
        "settings": settings.fingerprint(),
        **settings.record,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "inputs": [_recorded(outcome) for outcome in everything],
    }
    outputs.write_record(output / "run.json", record)


def _recorded(outcome: Outcome) -> dict[str, Any]:
    files = [{"path": path, "sha256": sha256} for path, sha256 in outcome.files.items()]
    known = {"name": outcome.name, "path": outcome.source, "sha256": outcome.sha256, "status": outcome.status}
    return known | ({"files": files} if files else {})
