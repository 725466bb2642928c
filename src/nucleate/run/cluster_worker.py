"""What a worker of a cluster does: an input from file to files, or its share of a large one.

A large input is done in three steps. One worker looks at it and says how it may be cut (`Large`), many find the nuclei
of its strips (`nucleate.run.strips`), one puts them together and writes the files.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import threading
import traceback
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate import __version__
from nucleate.errors import ClusterError, InputError, NucleateError, UsageError
from nucleate.run import outputs
from nucleate.run.cluster import library
from nucleate.run.inputs import Source
from nucleate.run.large import check_room, open_parts
from nucleate.run.memory import available_bytes
from nucleate.run.single import Done, Work, WorkBench, check_unchanged
from nucleate.run.strips import JoinedLabels, PlaneStrips, cut_plane, strip_folder, write_strip

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage
    from nucleate.core.plane import Plane
    from nucleate.run.regions import Strip
    from nucleate.run.segmenter import Segmenter
    from nucleate.run.single import BatchSettings, Task

__all__ = ["Job", "Large", "do_strip", "do_task", "finish_large", "forget"]

_LOADING = threading.Lock()

_DENSE = 16
"""Pixels to a byte of a file: one of fewer bytes is not looked at to see whether it is large."""

_UNKNOWN_MEMORY = 2_000_000_000


@dataclass(frozen=True)
class Job:
    """What a worker must know before its first task.

    Parameters
    ----------
    load : callable
        Loads the model; called once a worker. It travels by its name: a function of a module with plain arguments.
    sha256 : str
        Of the model, as this process knows it.
    settings : BatchSettings
        Its `max_bytes` holds for each worker; None is what the worker has free.
    output : Path
        Folder for the results, the same for all.
    strips : int
        Into how many strips a large plane is cut, about.
    large_pixels : int
        Planes of so many pixels are large.
    version : str
        Of nucleate.
    key : str
        Tells this job from every other.
    """

    load: Callable[[], Segmenter] = field(compare=False)
    sha256: str = field(compare=False)
    settings: BatchSettings = field(compare=False)
    output: Path = field(compare=False)
    strips: int = field(default=6, compare=False)
    large_pixels: int = field(default=50_000_000, compare=False)
    version: str = field(default=__version__, compare=False)
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Large:
    """An input that several workers share.

    Parameters
    ----------
    task : Task
    sha256 : str
        Of its content.
    seconds : float
        Spent so far.
    stamp : tuple
        `Source.stamp` when it was looked at.
    planes : tuple of PlaneStrips
        How it is cut.
    folder : Path
        Where its strips are kept.
    """

    task: Task
    sha256: str
    seconds: float
    stamp: tuple[tuple[int, int], ...]
    planes: tuple[PlaneStrips, ...]
    folder: Path

    @property
    def pieces(self) -> list[tuple[tuple[int, ...], Strip]]:
        """All strips, each with the place of its plane in the stack."""
        return [(plane.at, strip) for plane in self.planes for strip in plane.strips]


def do_task(job: Job, task: Task) -> Done | Large:
    """Do one input, or say how it may be shared.

    Raises
    ------
    NucleateError
        If no other input could be done either.
    """
    bench = _bench(job)
    work = bench.compute(task)
    if isinstance(work.error, _SharedError):
        folder = job.output / outputs.PARTS_NAME / f"{task.name}.strips-{work.sha256[:16]}"
        return Large(task, work.sha256, work.seconds, work.error.stamp, work.error.planes, folder)
    return _travelling(bench.write(work))


def do_strip(job: Job, piece: tuple[tuple[int, ...], Strip], *, large: Large) -> Exception | None:
    """Find the nuclei of one strip and store them; gives what is wrong with the input, if anything.

    Raises
    ------
    NucleateError
        If no other input could be done either.
    """
    bench = _bench(job)
    at, strip = piece
    try:
        with bench.opened(large.task.source) as (_, _, shown):
            cut = next(plane for plane in large.planes if plane.at == at)
            segmenter = bench.segmenter.at_scale(cut.scale)
            path = strip_folder(large.folder, strip, at=at)
            spare = max(bench.limit - (shown.nbytes if shown.in_memory else 0), 0)
            write_strip(segmenter, shown.plane(at), strip=strip, scaling=cut.scaling, path=path, max_bytes=spare)
    except (UsageError, InputError) as error:
        return _portable(error)
    except NucleateError:
        raise
    except Exception as error:
        return _portable(error)
    return None


def finish_large(job: Job, large: Large) -> Done:
    """Put the strips together and write the files.

    Raises
    ------
    NucleateError
        If no other input could be done either.
    """
    bench = _bench(job)
    done = _travelling(bench.write(bench.joined(large)))
    if done.outcome.status == "ok":
        shutil.rmtree(large.folder, ignore_errors=True)
    return done


def forget() -> None:
    """Let go of the model; for a worker that others go on using."""
    _load.cache_clear()


class _SharedError(Exception):
    """Not to be done by one worker: how it is to be cut."""

    def __init__(self, stamp: tuple[tuple[int, int], ...], planes: tuple[PlaneStrips, ...]) -> None:
        super().__init__()
        self.stamp, self.planes = stamp, planes


class _Bench(WorkBench):
    """Leaves inputs to several workers that are large enough."""

    def __init__(self, segmenter: Segmenter, job: Job, *, settings: BatchSettings, scratch: Path) -> None:
        super().__init__(segmenter, settings, output=job.output, scratch=scratch)
        self.segmenter, self.limit = segmenter, settings.max_bytes or _UNKNOWN_MEMORY
        self._job = job

    def opened(self, source: Source) -> contextlib.AbstractContextManager[tuple[LazyImage, LazyImage, LazyImage]]:
        """Open an input to be read window by window."""
        return open_parts(source, self._settings, scratch=self._scratch, max_bytes=self.limit)

    def joined(self, large: Large) -> Work:
        """Take what was found in the strips for what was found here."""
        work = Work(large.task, large.sha256, large.seconds)
        try:
            result = self._join(large)
            check_unchanged(large.task.source, large.stamp, result=result)
        except (UsageError, InputError) as error:
            return replace(work, error=error)
        except NucleateError:
            raise
        except Exception as error:
            return replace(work, error=error)
        return replace(work, result=result)

    def _join(self, large: Large) -> outputs.Result:
        with contextlib.ExitStack() as kept:
            _, image, shown = kept.enter_context(self.opened(large.task.source))
            labels = JoinedLabels(large.folder, (*shown.stack_shape, *shown.shape_HW), planes=large.planes)
            close = kept.pop_all().close
        return outputs.Result(large.task.name, image, shown, labels, labels.confidence, close)

    def _segment(self, source: Source, name: str) -> outputs.Result:
        # A field of a plate is another kind of source: several files, none of them large.
        if type(source) is Source and (source.path.is_dir() or _bytes_of(source) * _DENSE >= self._job.large_pixels):
            self._share(source)
        return super()._segment(source, name)

    def _share(self, source: Source) -> None:
        stamp = source.stamp()
        with self.opened(source) as (_, _, shown):
            rows, cols = shown.shape_HW
            if rows * cols < self._job.large_pixels:
                return
            check_room(shown, self.segmenter, exports=self._settings.exports, spare=self.limit, max_bytes=self.limit)
            planes = tuple(self._cut(shown.plane(at), at) for at in np.ndindex(*shown.stack_shape))
        if all(len(plane.strips) == 1 for plane in planes):
            return
        raise _SharedError(stamp, planes)

    def _cut(self, plane: NDArray[Any] | Plane, at: tuple[int, ...]) -> PlaneStrips:
        scaling, segmenter = self.segmenter.card.normalizer.measure(plane), self.segmenter.for_plane(plane)
        strips = cut_plane(segmenter, (plane.shape[0], plane.shape[1]), count=self._job.strips)
        return PlaneStrips(at, scaling, float(segmenter.settings.scale), strips)


def _bytes_of(source: Source) -> int:
    # The archive's size stands for its member's.
    return source.path.stat().st_size


def _bench(job: Job) -> _Bench:
    with _LOADING:  # a worker may have several threads
        return _load(job)[0]


@functools.lru_cache(maxsize=1)
def _load(job: Job) -> tuple[_Bench, tempfile.TemporaryDirectory[str]]:
    """Load the model and make a folder, which goes when both are let go of."""
    if job.version != __version__:
        raise ClusterError(f"a worker has nucleate {__version__}, here is {job.version}; install the same on both")
    segmenter = job.load()
    if segmenter.card.sha256 != job.sha256:
        raise ClusterError(
            f"a worker has another model {segmenter.card.name}: SHA-256 {segmenter.card.sha256[:12]}..., "
            f"here it is {job.sha256[:12]}...; install the same nucleate on both"
        )
    settings = job.settings
    if settings.max_bytes is None and (free := available_bytes()) is not None:
        settings = replace(settings, max_bytes=free // library("distributed").get_worker().state.nthreads)
    scratch = tempfile.TemporaryDirectory(prefix="nucleate-", ignore_cleanup_errors=True)
    return _Bench(segmenter, job, settings=settings, scratch=Path(scratch.name)), scratch


def _travelling(done: Done) -> Done:
    return done if done.error is None else replace(done, error=_portable(done.error))


def _portable(error: Exception) -> Exception:
    """Make an error that can travel, with the traceback that it has here."""
    carried = error if isinstance(error, NucleateError) else Exception(f"{type(error).__name__}: {error}")
    carried.add_note("On the worker:\n" + "".join(traceback.format_exception(error)))
    return carried
