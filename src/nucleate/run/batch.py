"""Many files: each is read, segmented and written by itself; one bad file never stops the others.

Inputs are read and segmented in a second thread, so that the main thread stays free and Ctrl-C acts at once even
while an engine computes. One input is in memory at a time: working one ahead of the writing gained nothing that could
be measured on two cores, since the engine keeps them busy, and would take twice the memory.
"""

from __future__ import annotations

import math
import platform
import queue
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nucleate import __version__
from nucleate.core.labels import areas
from nucleate.core.project import project
from nucleate.core.text import one_line
from nucleate.errors import InputError, MissingExtraError, NucleateError, OutputError, TooLargeError, UsageError
from nucleate.run import outputs
from nucleate.run.inputs import unique_names
from nucleate.run.journal import JOURNAL_NAME, Journal, Outcome
from nucleate.run.need import writing_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from nucleate.core.image import Image
    from nucleate.run.inputs import Source

__all__ = ["WORKER_NAME", "BatchSettings", "BatchSummary", "Report", "SegmentationLike", "SegmenterLike", "run_batch"]


WORKER_NAME = "nucleate-worker"
"""Of the thread that computes; after Ctrl-C it may be alive until its engine comes back."""


class SegmentationLike(Protocol):
    """What a segmenter gives back for one image."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """Label image or stack."""

    @property
    def confidence(self) -> NDArray[np.float32]:
        """One number a nucleus, 0..1."""


class SegmenterLike(Protocol):
    """Anything that finds nuclei in an image of one channel."""

    def segment(self, image: Image, /, *, max_bytes: int | None = None) -> SegmentationLike:
        """Give the nuclei of a picture or of each plane of a stack, each with at most so much memory if it can be."""

    def estimate_bytes(self, shape_HW: tuple[int, int], /, *, max_bytes: int | None = None) -> int:
        """Estimate the memory for one plane of this shape beyond the image itself, labels included.

        A plane that takes more than `max_bytes` all at once may be done part by part.
        """


@dataclass(frozen=True)
class BatchSettings:
    """How a batch runs.

    Parameters
    ----------
    exports : tuple of str
        What is written, from `outputs.EXPORTS`.
    channel : str, optional
        Name or index of the channel to segment; None takes the nuclear stain.
    project : str, optional
        How planes in depth are put together, of `nucleate.core.project.PROJECTIONS`; None takes plane by plane.
    resume : bool
        Leave out inputs that are finished with the same content.
    fail_fast : bool
        Stop at the first input that fails.
    max_bytes : int, optional
        Memory that one input may need; None is no limit.
    deciding : dict
        Everything else that decides the results (model, hash, scale, ...): resuming asks for the same.
    record : dict
        More for run.json that does not decide the results (threads, device, the command, ...).
    """

    exports: tuple[str, ...] = outputs.DEFAULT_EXPORTS
    channel: str | None = None
    project: str | None = None
    resume: bool = False
    fail_fast: bool = False
    max_bytes: int | None = None
    deciding: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> dict[str, Any]:
        """Give what must be the same for results to be the same."""
        return {
            "version": __version__,
            "export": ",".join(sorted(self.exports)),
            "channel": self.channel,
            **({"project": self.project} if self.project else {}),
            **self.deciding,
        }


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
        One an input, in order.
    interrupted : bool
        Whether Ctrl-C stopped it.
    """

    outcomes: list[Outcome]
    interrupted: bool = False

    def count(self, status: str) -> int:
        """Count the inputs that ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)


@dataclass(frozen=True)
class _Work:
    """What the second thread hands over for one input."""

    source: Source
    name: str
    sha256: str = ""
    seconds: float = 0.0
    result: outputs.Result | None = None
    finished: Outcome | None = None
    error: Exception | None = None


def run_batch(
    sources: Sequence[Source],
    output: Path,
    *,
    segmenter: SegmenterLike,
    settings: BatchSettings,
    notify: Callable[[Report], None] = lambda _: None,
) -> BatchSummary:
    """Segment inputs one by one and write their results, the common tables, summary.csv and run.json.

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

    Returns
    -------
    BatchSummary
        After Ctrl-C too: what was finished is kept and written.

    Raises
    ------
    UsageError
        If the folder holds results and this is no resume, or they were made with other settings.
    OutputError
        If results cannot be written; a later run with ``resume`` goes on from there.
    """
    journal, names = _open_journal(sources, output, settings=settings)
    outcomes = {source.key: Outcome(names[source.key], source.key, "not done") for source in sources}
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="nucleate-", ignore_cleanup_errors=True) as scratch:
        worker = _Worker(segmenter, settings, finished=journal.done, output=output, scratch=Path(scratch))
        try:
            for done, work in enumerate(worker.run(sources, names), 1):
                outcome, error = _finish(work, output, settings=settings)
                outcomes[outcome.source] = outcome
                if work.finished is None:
                    journal.add(outcome)
                notify(Report(outcome, done, len(sources), work.finished is not None, error))
                if settings.fail_fast and outcome.status == "failed":
                    break
        except KeyboardInterrupt:
            interrupted = True
        finally:
            worker.stop()
    earlier = [o for key, o in journal.done.items() if key not in outcomes]
    summary = BatchSummary([*outcomes.values(), *earlier], interrupted)
    _write_common(summary, output, settings=settings)
    return summary


def _open_journal(
    sources: Sequence[Source], output: Path, *, settings: BatchSettings
) -> tuple[Journal, dict[str, str]]:
    path = output / JOURNAL_NAME
    if not path.exists():
        _refuse_results(output, [output / name for name in outputs.COMMON_FILES])
    if not (path.exists() and not settings.resume):
        outputs.prepare_folder(output)
    journal = Journal(path, settings.fingerprint(), resume=settings.resume)
    names = unique_names(sources, journal.names)
    new = [name for key, name in names.items() if key not in journal.names]
    _refuse_results(output, [f for name in new for f in outputs.files_of(output, name, exports=settings.exports)])
    journal.add_names(names)
    return journal, names


def _refuse_results(output: Path, files: Sequence[Path]) -> None:
    there = next((file for file in files if file.exists()), None)
    if there is not None:
        shown = one_line(there.name)
        raise UsageError(f"{output} already has {shown}, which would be overwritten; choose another output folder")


class _Worker:
    """Reads and segments inputs in a thread, one when the results of the one before are written."""

    def __init__(
        self,
        segmenter: SegmenterLike,
        settings: BatchSettings,
        *,
        finished: dict[str, Outcome],
        output: Path,
        scratch: Path,
    ) -> None:
        self._segmenter, self._settings = segmenter, settings
        self._finished, self._output, self._scratch = dict(finished), output, scratch
        self._stop = threading.Event()
        # A result counts against the limit until the caller asks for the next one.
        self._room = threading.Semaphore(1)

    def stop(self) -> None:
        """Start no further input; one that is being computed is given up."""
        self._stop.set()
        self._room.release()  # it may be waiting for the results to be written

    def run(self, sources: Sequence[Source], names: dict[str, str]) -> Iterator[_Work]:
        """Give every input in order when it is segmented."""
        ready: queue.Queue[_Work | BaseException] = queue.Queue()

        def produce() -> None:
            for source in sources:
                self._room.acquire()
                if self._stop.is_set():
                    return
                try:
                    ready.put(self._one(source, names[source.key]))
                except BaseException as error:  # raised again in the caller's thread
                    ready.put(error)
                    return

        # A daemon: after Ctrl-C the program does not wait for an engine that is still computing.
        threading.Thread(target=produce, name=WORKER_NAME, daemon=True).start()
        for _ in sources:
            work = _take(ready)
            if isinstance(work, BaseException):
                raise work
            yield work
            self._room.release()

    def _one(self, source: Source, name: str) -> _Work:
        started = time.perf_counter()
        sha256 = ""
        try:
            sha256 = source.sha256()
            before = self._finished.get(source.key)
            if before is not None and self._is_finished(before, sha256):
                return _Work(source, name, sha256, finished=before)
            result = self._segment(source, name)
        except (UsageError, InputError) as error:
            return _Work(source, name, sha256, time.perf_counter() - started, error=error)
        except NucleateError:
            raise
        except Exception as error:
            return _Work(source, name, sha256, time.perf_counter() - started, error=error)
        return _Work(source, name, sha256, time.perf_counter() - started, result)

    def _is_finished(self, before: Outcome, sha256: str) -> bool:
        files = outputs.files_of(self._output, before.name, exports=self._settings.exports)
        return before.status == "ok" and before.sha256 == sha256 and all(file.exists() for file in files)

    def _segment(self, source: Source, name: str) -> outputs.Result:
        limit = self._settings.max_bytes
        image = source.read(self._scratch, max_bytes=limit)
        if self._settings.project:
            image = project(image, self._settings.project)
        shown = image.channel(self._settings.channel)
        rows, columns = shown.shape_HW
        # The labels of one plane are in the segmenter's own count.
        held = 2 * image.pixels.nbytes + 4 * rows * columns * (math.prod(shown.stack_shape) - 1)
        spare = None if limit is None else max(limit - held, 0)
        writing = writing_bytes(self._settings.exports, rows * columns, colour="S" in shown.axes)
        finding = self._segmenter.estimate_bytes((rows, columns), max_bytes=spare)
        needed = held + max(finding, 4 * rows * columns + writing)
        if limit is not None and needed > limit:
            raise TooLargeError(
                f"{source.shown}: {rows} x {columns} pixels need about {needed / 1e9:.1f} GB, "
                f"{limit / 1e9:.1f} GB are allowed; raise --memory, export less (--export labels) or cut the picture"
            )
        found = self._segmenter.segment(shown, max_bytes=spare)
        return outputs.Result(name, image, shown, found.labels, np.asarray(found.confidence))


def _take(ready: queue.Queue[_Work | BaseException]) -> _Work | BaseException:
    while True:
        try:
            # A wait without end would not let Ctrl-C through on every system.
            return ready.get(timeout=0.2)
        except queue.Empty:
            continue


def _finish(work: _Work, output: Path, *, settings: BatchSettings) -> tuple[Outcome, Exception | None]:
    if work.finished is not None:
        return work.finished, None
    base = Outcome(work.name, work.source.key, "failed", work.sha256, seconds=round(work.seconds, 3))
    if work.result is None:
        assert work.error is not None
        return replace(base, error=_explain(work.error, work.source)), work.error
    started = time.perf_counter()
    try:
        outputs.write_result(work.result, output, exports=settings.exports)
    except OutputError:
        raise
    except Exception as error:  # what is odd about one result must not stop the others
        return replace(base, error=_explain(error, work.source)), error
    sizes = areas(work.result.labels)
    median = float(np.median(sizes)) if sizes.size else None
    seconds = round(work.seconds + time.perf_counter() - started, 3)
    return replace(base, status="ok", nuclei=int(sizes.size), median_area_px=median, seconds=seconds), None


def _explain(error: Exception, source: Source) -> str:
    if isinstance(error, MissingExtraError):
        return f"{source.shown}: {one_line(str(error))}"
    if isinstance(error, NucleateError):
        return one_line(str(error))
    if isinstance(error, MemoryError):
        return f"{source.shown}: not enough memory; close other programs or crop the image"
    return f"{source.shown}: unexpected {type(error).__name__}: {one_line(str(error))}; see --debug"


def _write_common(summary: BatchSummary, output: Path, *, settings: BatchSettings) -> None:
    finished = [outcome.name for outcome in summary.outcomes if outcome.status == "ok"]
    outputs.join_tables(output, finished, exports=settings.exports)
    outputs.write_summary(output / "summary.csv", summary.outcomes)
    record = {
        "nucleate": __version__,
        "settings": settings.fingerprint(),
        **settings.record,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "inputs": [
            {"name": o.name, "path": o.source, "sha256": o.sha256, "status": o.status} for o in summary.outcomes
        ],
    }
    outputs.write_record(output / "run.json", record)
