"""What a worker of a cluster does: an input from file to files, or its share of a large one.

A large input is done in three steps. One worker looks at it and says how it is cut, many find the nuclei of its strips
(`nucleate.run.strips`), one puts them together and writes the files. A fault of one input is given back; a
`NucleateError` is raised for faults that would stop every other input, too.
"""

from __future__ import annotations

import functools
import threading
import traceback
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nucleate import __version__
from nucleate.core.extras import library
from nucleate.errors import ClusterError, NucleateError
from nucleate.run.memory import available_bytes
from nucleate.run.single import Done, Work, WorkBench

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nucleate.run.segmenter import Segmenter
    from nucleate.run.settings import BatchSettings
    from nucleate.run.single import Task
    from nucleate.run.strips import PlaneStrips

__all__ = ["Job", "do_share", "do_task", "finish", "forget"]

_LOADING = threading.Lock()


@dataclass(frozen=True)
class Job:
    """What a worker must know before its first task.

    Parameters
    ----------
    load : callable
        Loads the model; called once by each worker. It is sent by name, so it must be a function of a module with plain
        arguments.
    sha256 : str
        Hash of the model that this process has.
    settings : BatchSettings
        `max_bytes` holds for each worker; None allows what the worker has free.
    output : Path
        Folder for the results, the same for all workers.
    workers : int
        About how many workers share a large input.
    version : str
        Of nucleate.
    key : str
        Tells this job from every other.
    """

    load: Callable[[], Segmenter] = field(compare=False)
    sha256: str = field(compare=False)
    settings: BatchSettings = field(compare=False)
    output: Path = field(compare=False)
    workers: int = field(default=2, compare=False)
    version: str = field(default=__version__, compare=False)
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


def do_task(job: Job, task: Task) -> Done | Work:
    """Do one input, or say how it may be shared.

    Raises
    ------
    NucleateError
        If no other input could be done either.
    """
    work = _bench(job).look(task)
    return work if work.plan is not None and not work.ended else finish(job, work)


def do_share(job: Job, strips: PlaneStrips, *, work: Work) -> Exception | None:
    """Find the nuclei of some strips and store them; gives the fault of the input, if it has one.

    Raises
    ------
    NucleateError
        If no other input could be done either.
    """
    error = _bench(job).share(work, strips).error
    return None if error is None else _portable(error)


def finish(job: Job, work: Work) -> Done:
    """Put the strips of a large input together and write the files.

    Raises
    ------
    NucleateError
        If no other input could be done either.
    """
    bench = _bench(job)
    done = bench.write(bench.find(work))
    return done if done.error is None else replace(done, error=_portable(done.error))


def forget() -> None:
    """Let go of the model, on a worker that goes on running for others."""
    _load.cache_clear()


def _bench(job: Job) -> WorkBench:
    with _LOADING:  # a worker may have several threads
        return _load(job)


@functools.lru_cache(maxsize=1)
def _load(job: Job) -> WorkBench:
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
        settings = replace(settings, max_bytes=free // library("distributed", "cluster").get_worker().state.nthreads)
    return WorkBench(segmenter, settings, output=job.output)


def _portable(error: Exception) -> Exception:
    """Make an error that can be pickled, with the traceback that it has here."""
    carried = error if isinstance(error, NucleateError) else Exception(f"{type(error).__name__}: {error}")
    carried.add_note("On the worker:\n" + "".join(traceback.format_exception(error)))
    return carried
