"""Reads, segments and writes one input, in a thread of this process or on a worker of a cluster."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nucleate.core.lazy import lazy
from nucleate.core.project import project
from nucleate.core.text import one_line
from nucleate.errors import InputError, MissingExtraError, NucleateError, OutputError, TooLargeError, UsageError
from nucleate.run import outputs
from nucleate.run.exports import writing_bytes
from nucleate.run.journal import Outcome
from nucleate.run.large import Plan, StripBench
from nucleate.run.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.image import Image
    from nucleate.core.plane import Plane
    from nucleate.run.inputs import Source
    from nucleate.run.segmenter import Segmenter
    from nucleate.run.settings import BatchSettings
    from nucleate.run.strips import PlaneStrips
    from nucleate.run.survey import Survey

__all__ = [
    "Done",
    "Progress",
    "SegmentationLike",
    "SegmenterLike",
    "Task",
    "Work",
    "WorkBench",
    "explain",
]


class SegmentationLike(Protocol):
    """The result of a segmenter for one image."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """Label image or stack."""

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Confidence of each nucleus, 0..1."""


class SegmenterLike(Protocol):
    """Anything that finds nuclei in an image of one channel."""

    def segment(self, image: Image, /, *, max_bytes: int | None = None) -> SegmentationLike:
        """Give the nuclei of a picture or of each plane of a stack; a plane takes at most `max_bytes` if possible."""

    def estimate_bytes(self, shape_HW: tuple[int, int], /, *, max_bytes: int | None = None) -> int:
        """Estimate the memory for one plane of this shape beyond the image itself, labels included.

        A plane that takes more than `max_bytes` all at once may be done part by part.
        """

    def survey(self, plane: NDArray[Any] | Plane, /) -> Survey:
        """Measure what strips of a plane must share: intensities and scale."""

    def at_scale(self, scale: float, /, *, tile: int | None = None) -> Segmenter:
        """Give the segmenter that segments a plane strip by strip."""

    def warm_up(self) -> None:
        """Load what is needed, so that the first plane does not wait for it."""


@dataclass(frozen=True)
class Task:
    """One input to be done.

    Parameters
    ----------
    source : Source
    name : str
        Name of its results.
    before : Outcome, optional
        Its outcome in an earlier run.
    """

    source: Source
    name: str
    before: Outcome | None = None


@dataclass(frozen=True)
class Done:
    """How a task ended.

    Parameters
    ----------
    outcome : Outcome
    resumed : bool
        Whether the task was finished in an earlier run.
    error : Exception, optional
        The error that ended it, for ``--debug``.
    """

    outcome: Outcome
    resumed: bool = False
    error: Exception | None = None


@dataclass(frozen=True)
class Progress:
    """The progress of a large input.

    Parameters
    ----------
    name : str
        Name of its results.
    done, total : int
        Finished strips and all strips.
    """

    name: str
    done: int
    total: int


@dataclass(frozen=True)
class Work:
    """The state of a task, which is passed from one step to the next.

    Parameters
    ----------
    task : Task
    sha256, files : str, dict of str to str
        Hash of its content, and of each of its files if there are several.
    seconds : float
        Time spent so far.
    stamp : tuple
        Value of `Source.stamp` when the input was hashed.
    plan : Plan, optional
        How the input is cut into strips, if it is large.
    result : Result, optional
        The nuclei, once they are found.
    resumed : bool
        Whether the task was finished in an earlier run.
    error : Exception, optional
        The reason for which no nuclei were looked for or found.
    """

    task: Task
    sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stamp: tuple[tuple[int, int], ...] = ()
    plan: Plan | None = None
    result: Result | None = None
    resumed: bool = False
    error: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether the search for nuclei is over."""
        return self.resumed or self.result is not None or self.error is not None


class WorkBench:
    """Does tasks, each by `look`, `find` and `write`; several workers may `share` the strips of one input.

    A fault of an input ends its work only; a `NucleateError` is raised if no other input could be done either.

    Parameters
    ----------
    segmenter : SegmenterLike
    settings : BatchSettings
    output : Path
        Folder for the results.
    scratch : Path, optional
        Folder where a member of an archive may be unpacked for a while; that of the system when None.
    """

    def __init__(
        self, segmenter: SegmenterLike, settings: BatchSettings, *, output: Path, scratch: Path | None = None
    ) -> None:
        self._segmenter, self._settings, self._output, self._scratch = segmenter, settings, output, scratch
        self._large = StripBench(segmenter, settings, output=output, scratch=scratch)

    def warm_up(self) -> None:
        """Load the model, so that the first input does not wait for it; `ModelError` if it cannot be read."""
        self._segmenter.warm_up()

    def look(self, task: Task) -> Work:
        """Hash an input, find out whether it was finished before, and plan how it is cut if it is large."""
        return _through(Work(task), self._hash, self._plan)

    def find(self, work: Work, *, beside: int = 1, watch: Callable[[Progress], None] = lambda _: None) -> Work:
        """Read and segment an input, unless its work has ended; of a large input, the strips that are not finished.

        Parameters
        ----------
        work : Work
        beside : int
            Number of inputs that are done at once. If there are several, an input that is large or needs more than its
            share of the memory is given back without result, to be done alone later.
        watch : callable
            Called when a strip of a large input is done.
        """
        return _through(work, lambda work: self._find(work, beside=beside, watch=watch))

    def share(self, work: Work, strips: PlaneStrips) -> Work:
        """Find the nuclei of some strips of a large input; a later call of `find` takes them up."""

        def some(work: Work) -> Work:
            assert work.plan is not None
            self._large.write(work.task.source, work.plan, share=strips)
            return work

        return _through(work, some)

    def write(self, work: Work) -> Done:
        """Write the results of an input.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        task, source = work.task, work.task.source
        if work.resumed:
            assert task.before is not None
            return Done(replace(task.before, files=work.files), resumed=True)
        base = Outcome(task.name, source.key, "failed", work.sha256, seconds=round(work.seconds, 3), files=work.files)
        if work.result is None:
            assert work.error is not None
            return Done(replace(base, error=explain(work.error, source)), error=work.error)
        started = time.perf_counter()
        try:
            outputs.write_result(work.result, self._output, exports=self._settings.exports)
            counts = work.result.counts
        except OutputError:
            raise
        except Exception as error:  # a fault in one result must not stop the other inputs
            return Done(replace(base, error=explain(error, source)), error=error)
        finally:
            work.result.close()
        seconds = round(work.seconds + time.perf_counter() - started, 3)
        return Done(replace(base, status="ok", seconds=seconds, **counts))

    def _is_finished(self, before: Outcome, sha256: str) -> bool:
        files = outputs.files_of(self._output, before.name, exports=self._settings.exports)
        return before.status == "ok" and before.sha256 == sha256 and all(map(_is_written, files))

    def _hash(self, work: Work) -> Work:
        task, files = work.task, dict[str, str]()
        work = replace(work, stamp=task.source.stamp(), sha256=task.source.sha256(files), files=files)
        return replace(work, resumed=task.before is not None and self._is_finished(task.before, work.sha256))

    def _plan(self, work: Work) -> Work:
        source, least = work.task.source, self._settings.large_pixels
        if not self._large.may_be_large(source):
            return work
        return replace(work, plan=self._large.plan(source, work.task.name, sha256=work.sha256, least_pixels=least))

    def _find(self, work: Work, *, beside: int, watch: Callable[[Progress], None]) -> Work:
        source, name, plan = work.task.source, work.task.name, work.plan
        result = self._segment_whole(source, name, beside=beside) if plan is None else None
        if result is None and beside > 1:
            return work
        if result is None:
            plan = plan or self._large.plan(source, name, sha256=work.sha256)
            assert plan is not None
            total = len(plan)
            result = self._large.segment(source, plan, name=name, watch=lambda done: watch(Progress(name, done, total)))
        if source.stamp() != work.stamp:
            result.close()
            raise InputError(f"{source.shown}: was changed while it was read; do it again with --resume")
        return replace(work, result=replace(result, file_name=source.file_name))

    def _segment_whole(self, source: Source, name: str, *, beside: int) -> Result | None:
        """Segment an input in memory; None if it does not fit."""
        limit = None if self._settings.max_bytes is None else self._settings.max_bytes // beside
        try:
            stored = source.read(self._scratch, max_bytes=None if limit is None else limit // 2)
        except TooLargeError:
            return None
        image = project(stored, self._settings.project)
        shown = image.channel(self._settings.channel)
        rows, columns = shown.shape_HW
        # The estimate of the segmenter includes the labels of one plane.
        held = 2 * image.pixels.nbytes + 4 * rows * columns * (math.prod(shown.stack_shape) - 1)
        spare = None if limit is None else max(limit - held, 0)
        writing = writing_bytes(self._settings.exports, rows * columns, colour="S" in shown.axes)
        # Beside others no plane is cut, since results must not depend on how many inputs are done at once.
        finding = self._segmenter.estimate_bytes((rows, columns), max_bytes=spare if beside == 1 else None)
        needed = held + max(finding, 4 * rows * columns + writing)
        if limit is not None and needed > limit:
            return None
        found = self._segmenter.segment(shown, max_bytes=spare)
        sure, together = np.asarray(found.confidence), image is not stored
        return Result(name, lazy(image), lazy(shown), found.labels, sure, is_projected=together)


def _is_written(path: Path) -> bool:
    # A file may be empty after a crash of the machine.
    return path.is_dir() or (path.is_file() and path.stat().st_size > 0)


def _through(work: Work, *steps: Callable[[Work], Work]) -> Work:
    """Take steps until the work has ended; a fault of the input ends it."""
    for step in steps:
        if work.ended:
            break
        started = time.perf_counter()
        try:
            work = step(work)
        except (UsageError, InputError) as error:
            work = replace(work, error=error)
        except NucleateError:
            raise
        except Exception as error:
            work = replace(work, error=error)
        work = replace(work, seconds=work.seconds + time.perf_counter() - started)
    return work


def explain(error: Exception, source: Source) -> str:
    """Say in one line why an input failed."""
    if isinstance(error, MissingExtraError):
        return f"{source.shown}: {one_line(str(error))}"
    if isinstance(error, NucleateError):
        line = one_line(str(error))
        # The engine, which runs out of memory, does not know what the tile is of.
        return f"{source.shown}: {line}" if isinstance(error, TooLargeError) and source.shown not in line else line
    if isinstance(error, MemoryError):
        return f"{source.shown}: not enough memory; give a lower --memory, close other programs or crop the image"
    return f"{source.shown}: unexpected {type(error).__name__}: {one_line(str(error))}; see --debug"
