"""One input, from its file to its results: read, segmented, written. Here in a thread, or on a worker of a cluster."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nucleate import __version__
from nucleate.core.lazy import lazy
from nucleate.core.project import project
from nucleate.core.text import one_line
from nucleate.errors import InputError, MissingExtraError, NucleateError, OutputError, TooLargeError, UsageError
from nucleate.run import outputs
from nucleate.run.journal import Outcome
from nucleate.run.large import segment_by_parts
from nucleate.run.need import writing_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.core.image import Image
    from nucleate.core.lazy import LazyImage
    from nucleate.run.inputs import Source

__all__ = [
    "BatchSettings",
    "Done",
    "SegmentationLike",
    "SegmenterLike",
    "Task",
    "Work",
    "WorkBench",
    "check_unchanged",
    "explain",
]


_UNKNOWN_MEMORY = 2_000_000_000
"""Bytes to work with where the system does not tell what is free."""


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

    def segment_stack(
        self, source: LazyImage, labels: Labels, /, *, max_bytes: int | None = None
    ) -> NDArray[np.float32]:
        """Do the same for what stays in its file, with labels that are written where they are kept."""

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
class Task:
    """One input to be done.

    Parameters
    ----------
    source : Source
    name : str
        Of its results.
    before : Outcome, optional
        How it ended in an earlier run.
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
        Whether it was finished in an earlier run.
    error : Exception, optional
        What went wrong, for ``--debug``.
    """

    outcome: Outcome
    resumed: bool = False
    error: Exception | None = None


@dataclass(frozen=True)
class Work:
    """An input that is segmented and not yet written.

    Parameters
    ----------
    task : Task
    sha256 : str
        Of its content.
    seconds : float
        So far.
    result : Result, optional
        What was found.
    resumed : bool
        Whether it was finished in an earlier run.
    error : Exception, optional
        Why nothing was found.
    """

    task: Task
    sha256: str = ""
    seconds: float = 0.0
    result: outputs.Result | None = None
    resumed: bool = False
    error: Exception | None = None


class WorkBench:
    """Does tasks, one after the other.

    Parameters
    ----------
    segmenter : SegmenterLike
    settings : BatchSettings
    output : Path
        Folder for the results.
    scratch : Path
        Folder for what is needed for a moment.
    """

    def __init__(self, segmenter: SegmenterLike, settings: BatchSettings, *, output: Path, scratch: Path) -> None:
        self._segmenter, self._settings, self._output, self._scratch = segmenter, settings, output, scratch

    def compute(self, task: Task) -> Work:
        """Read and segment an input, unless it is finished.

        Raises
        ------
        NucleateError
            If no other input could be done either.
        """
        started = time.perf_counter()
        sha256 = ""
        try:
            stamp = task.source.stamp()
            sha256 = task.source.sha256()
            if task.before is not None and self._is_finished(task.before, sha256):
                return Work(task, sha256, resumed=True)
            result = self._segment(task.source, task.name)
            check_unchanged(task.source, stamp, result=result)
        except (UsageError, InputError) as error:
            return Work(task, sha256, time.perf_counter() - started, error=error)
        except NucleateError:
            raise
        except Exception as error:
            return Work(task, sha256, time.perf_counter() - started, error=error)
        return Work(task, sha256, time.perf_counter() - started, result)

    def write(self, work: Work) -> Done:
        """Write what was found.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        source = work.task.source
        if work.resumed:
            assert work.task.before is not None
            return Done(work.task.before, resumed=True)
        base = Outcome(work.task.name, source.key, "failed", work.sha256, seconds=round(work.seconds, 3))
        if work.result is None:
            assert work.error is not None
            return Done(replace(base, error=explain(work.error, source)), error=work.error)
        started = time.perf_counter()
        try:
            outputs.write_result(work.result, self._output, exports=self._settings.exports)
            sizes = work.result.areas
        except OutputError:
            raise
        except Exception as error:  # what is odd about one result must not stop the others
            return Done(replace(base, error=explain(error, source)), error=error)
        finally:
            work.result.close()
        median = float(np.median(sizes)) if sizes.size else None
        seconds = round(work.seconds + time.perf_counter() - started, 3)
        return Done(replace(base, status="ok", nuclei=int(sizes.size), median_area_px=median, seconds=seconds))

    def _is_finished(self, before: Outcome, sha256: str) -> bool:
        files = outputs.files_of(self._output, before.name, exports=self._settings.exports)
        return before.status == "ok" and before.sha256 == sha256 and all(file.exists() for file in files)

    def _segment(self, source: Source, name: str) -> outputs.Result:
        limit = self._settings.max_bytes
        found = self._segment_whole(source, name, limit=limit)
        if found is not None:
            return found
        limit = _UNKNOWN_MEMORY if limit is None else limit
        return segment_by_parts(
            source, name, segmenter=self._segmenter, settings=self._settings, output=self._output, max_bytes=limit
        )

    def _segment_whole(self, source: Source, name: str, *, limit: int | None) -> outputs.Result | None:
        """Segment an input in memory; None where it does not fit."""
        try:
            image = source.read(self._scratch, max_bytes=None if limit is None else limit // 2)
        except TooLargeError:
            return None
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
            return None
        found = self._segmenter.segment(shown, max_bytes=spare)
        return outputs.Result(name, lazy(image), lazy(shown), found.labels, np.asarray(found.confidence))


def check_unchanged(source: Source, stamp: tuple[tuple[int, int], ...], *, result: outputs.Result) -> None:
    """Close a result and raise if its input is no longer what it was.

    Raises
    ------
    InputError
        If it was changed.
    """
    if source.stamp() != stamp:
        result.close()
        raise InputError(f"{source.shown}: was changed while it was read; do it again with --resume")


def explain(error: Exception, source: Source) -> str:
    """Say in one line why an input failed."""
    if isinstance(error, MissingExtraError):
        return f"{source.shown}: {one_line(str(error))}"
    if isinstance(error, NucleateError):
        return one_line(str(error))
    if isinstance(error, MemoryError):
        return f"{source.shown}: not enough memory; close other programs or crop the image"
    return f"{source.shown}: unexpected {type(error).__name__}: {one_line(str(error))}; see --debug"
