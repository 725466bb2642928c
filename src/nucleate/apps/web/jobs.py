"""Runs that users ask for, done one after the other in one thread, so that the page stays responsive."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nucleate.apps.web.choices import Choices, Machine, batch_settings, command
from nucleate.apps.web.store import Entry, Finished, Store
from nucleate.core.files import scratch_folder
from nucleate.core.text import one_line
from nucleate.errors import NucleateError, OutputError, UsageError
from nucleate.run import outputs
from nucleate.run.batch import Progress, Report, run_batch
from nucleate.run.journal import JOURNAL_NAME, Journal
from nucleate.run.single import WorkBench
from nucleate.run.threads import WORKER_NAME, ThreadCrew

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nucleate.run.segmenter import Segmenter

__all__ = ["Job", "Worker", "results_folder"]

_ACTIVE, _ENDED = {"loading", "running"}, {"done", "stopped", "failed"}
"""States of a run; before these it is waiting."""


def results_folder(output: Path, settings: Mapping[str, Any]) -> Path:
    """Choose where results go: the first of OUT, OUT-2, OUT-3, ... that is free or holds results of the same settings.

    So nothing is overwritten, and images that were finished before are not done again.

    Parameters
    ----------
    output : Path
        OUT.
    settings : mapping
        `BatchSettings.fingerprint`.
    """
    for number in itertools.count(1):
        folder = output if number == 1 else output.with_name(f"{output.name}-{number}")
        journal = folder / JOURNAL_NAME
        try:
            Journal(journal, settings, resume=True)
            if not journal.exists():
                outputs.refuse_existing(folder, [folder / name for name in outputs.COMMON_FILES])
        except (UsageError, OutputError):
            continue
        return folder
    raise AssertionError("numbers do not end")


@dataclass
class Job:
    """One run.

    Parameters
    ----------
    entries : list of Entry
        The images.
    choices : Choices
    inputs : list of str
        The words for them on the command line.
    state : {"waiting", "loading", "running", "done", "stopped", "failed"}
    folder : Path, optional
        Folder of its results, once that is known.
    done, failed : int
        Images finished, and how many of them failed.
    fresh : int
        How many of the finished images had to be computed.
    part : Progress, optional
        Progress of a large image, also after it was stopped.
    started, part_started : float
        By the monotonic clock.
    part_first : int
        Strips of the large image that were there when it began.
    error : str
        Why the run failed.
    stopping : bool
        Whether the run was told to end.
    """

    entries: list[Entry]
    choices: Choices
    inputs: list[str]
    state: str = "waiting"
    folder: Path | None = None
    done: int = 0
    failed: int = 0
    fresh: int = 0
    part: Progress | None = None
    started: float = field(default_factory=time.monotonic)
    part_started: float = 0.0
    part_first: int = 0
    error: str = ""
    stopping: bool = False

    def shown(self, machine: Machine) -> dict[str, Any]:
        """Give what the page shows of the run."""
        part = self.part
        return {
            "state": self.state,
            "stopping": self.stopping and self.state not in _ENDED,
            "done": self.done,
            "failed": self.failed,
            "total": len(self.entries),
            "part": None
            if part is None
            else {"name": part.name, "done": part.done, "total": part.total, "seconds_left": self._part_left(part)},
            "seconds_left": self._seconds_left() if self.state == "running" else None,
            "folder": None if self.folder is None else str(self.folder),
            "command": self.command(machine),
            "error": self.error,
        }

    def command(self, machine: Machine) -> str:
        """Give the command line that does the same."""
        return command(self.inputs, self.choices, machine=machine, folder=self.folder)

    def note_part(self, part: Progress) -> None:
        """Note how far a large image is."""
        if self.part is None or self.part.name != part.name:
            self.part_started, self.part_first = time.monotonic(), part.done
        self.part = part

    def _seconds_left(self) -> float | None:
        left = len(self.entries) - self.done
        if self.part is not None:  # how long the images after a large one take is not known
            return self._part_left(self.part) if left == 1 else None
        if not self.fresh:
            return None
        return round((time.monotonic() - self.started) / self.fresh * left, 1)

    def _part_left(self, part: Progress) -> float | None:
        """Estimate how much longer a large image will take."""
        if part.done <= self.part_first:
            return None
        each = (time.monotonic() - self.part_started) / (part.done - self.part_first)
        return round(each * (part.total - part.done), 1)


class Worker:
    """Does runs one after the other.

    Parameters
    ----------
    store : Store
        Of the images; their status is kept there.
    machine : Machine
    load : callable
        Makes a segmenter of choices.
    ready : Segmenter, optional
        The segmenter of the default choices, if it was made before.
    scratch : Path, optional
        Folder for temporary files of a run, which stay there if the program ends while the run computes; the system's
        folder when None.
    """

    def __init__(
        self,
        store: Store,
        machine: Machine,
        *,
        load: Callable[[Choices, Machine], Segmenter],
        ready: Segmenter | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._store, self._machine, self._load, self._scratch = store, machine, load, scratch
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._jobs: list[Job] = []
        self._crew: ThreadCrew | None = None
        self._loaded = None if ready is None else (Choices().of_segmenter(machine), ready)
        # A daemon, so that after Ctrl-C the program does not wait for an engine that is still computing.
        self._thread = threading.Thread(target=self._work, name=WORKER_NAME, daemon=True)
        self._thread.start()

    @property
    def job(self) -> Job | None:
        """The run under way, else the last one."""
        active = [job for job in self._jobs if job.state in _ACTIVE]
        ended = [job for job in self._jobs if job.state != "waiting"]
        return active[0] if active else ended[-1] if ended else None

    @property
    def waiting(self) -> int:
        """How many runs wait for their turn."""
        return sum(job.state == "waiting" for job in self._jobs)

    def submit(self, entries: Sequence[Entry], choices: Choices, *, inputs: Sequence[str]) -> Job:
        """Ask for a run."""
        job = Job(list(entries), choices, list(inputs))
        for entry in job.entries:
            self._store.change(entry.number, status="waiting", error="")
        ended = [one for one in self._jobs if one.state in _ENDED]
        self._jobs = [*ended[-20:], *(one for one in self._jobs if one.state not in _ENDED), job]
        self._waiting.put(job)
        return job

    def stop(self) -> None:
        """End the run under way, and those that wait.

        The computation is broken off; finished images, and finished parts of large ones, are kept.
        """
        # Waiting runs are ended before the one under way, since the page shows the last one.
        self._jobs = sorted(self._jobs, key=lambda job: job.state in _ACTIVE)
        for job in self._jobs:
            job.stopping = True
            if job.state == "waiting":
                self._end(job, "stopped")
        if (crew := self._crew) is not None:
            crew.interrupt()

    def close(self, patience: float) -> None:
        """Stop, and give the run under way some seconds to write its tables."""
        self.stop()
        self._waiting.put(None)
        self._thread.join(patience)

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            if job.state != "waiting":
                continue
            try:
                interrupted = self._run(job)
            except NucleateError as error:
                job.error = one_line(str(error))
                self._end(job, "failed")
            except Exception as error:  # one run must not end the server
                job.error = f"unexpected {type(error).__name__}: {one_line(str(error))}"
                self._end(job, "failed")
            else:
                self._end(job, "stopped" if interrupted else "done")

    def _run(self, job: Job) -> bool:
        job.state = "loading"
        segmenter = self._segmenter(job.choices)
        settings = batch_settings(job.choices, self._machine, segmenter=segmenter, told="")
        job.folder = folder = results_folder(self._machine.output, settings.fingerprint())
        settings.record["command"] = job.command(self._machine)
        job.state, job.started = "running", time.monotonic()
        by_key = {entry.source.key: entry.number for entry in job.entries}

        def notify(report: Report) -> None:
            outcome = report.outcome
            job.done, job.part = report.done, None
            job.failed += outcome.status == "failed"
            job.fresh += not report.resumed
            results = {"finished": Finished(outcome, folder, job.choices)} if outcome.status == "ok" else {}
            self._store.change(by_key[outcome.source], status=outcome.status, error=outcome.error, **results)
            self._begin(job, settings.at_once)

        self._begin(job, settings.at_once)

        with scratch_folder(self._scratch) as scratch:
            bench = WorkBench(segmenter, settings, output=folder, scratch=scratch)
            self._crew = crew = ThreadCrew(bench, at_once=min(settings.at_once, len(job.entries)))
            if job.stopping:  # it was told before there was a crew to stop
                crew.interrupt()
            try:
                summary = run_batch(
                    [entry.source for entry in job.entries],
                    folder,
                    segmenter=segmenter,
                    settings=settings,
                    notify=notify,
                    watch=job.note_part,
                    crew=crew,
                )
            finally:
                self._crew = None  # it holds the segmenter, which would stay in memory beside a new one
        return summary.interrupted

    def _begin(self, job: Job, at_once: int) -> None:
        """Mark the images under way, which are begun in order."""
        for entry in job.entries[job.done : job.done + at_once]:
            now = self._store.get(entry.number)
            if now is not None and now.status == "waiting":
                self._store.change(entry.number, status="running")

    def _segmenter(self, choices: Choices) -> Segmenter:
        wanted = choices.of_segmenter(self._machine)
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # the old one goes first, so that two are never in memory
            self._loaded = wanted, self._load(wanted, self._machine)
        return self._loaded[1]

    def _end(self, job: Job, state: str) -> None:
        if state != "stopped":  # then its finished parts are kept
            job.part = None
        others = [one for one in self._jobs if one is not job and one.state not in _ENDED]
        wanted = {entry.number for one in others for entry in one.entries}
        for entry in job.entries:
            now = self._store.get(entry.number)
            if now is None or now.status not in {"waiting", "running"}:
                continue
            status = "waiting" if now.number in wanted else "ok" if now.finished else "new"
            problem = "" if status == "waiting" else now.source.problem
            self._store.change(entry.number, status="failed" if problem else status, error=problem or job.error)
        job.state = state
