"""The tasks of a batch on the workers of a cluster: one task an input, a bounded number under way.

A worker that dies takes its task with it; Dask gives the task to another one. An input that kills its worker again and
again must not take the innocent along that wait for the same worker: what was under way at two deaths is put aside and
done at the end, alone. What then kills two workers more has failed, and the others are done.
"""

from __future__ import annotations

import functools
import tempfile
import threading
import traceback
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleate import __version__
from nucleate.core.text import one_line
from nucleate.errors import ClusterError, NucleateError
from nucleate.run.cluster import library
from nucleate.run.journal import Outcome
from nucleate.run.memory import available_bytes
from nucleate.run.single import Done, WorkBench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nucleate.run.cluster import Cluster
    from nucleate.run.segmenter import Segmenter
    from nucleate.run.single import BatchSettings, Task

__all__ = ["ClusterCrew", "Job"]

_LOADING = threading.Lock()


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
    version : str
        Of nucleate.
    key : str
        Tells this job from every other.
    """

    load: Callable[[], Segmenter] = field(compare=False)
    sha256: str = field(compare=False)
    settings: BatchSettings = field(compare=False)
    output: Path = field(compare=False)
    version: str = field(default=__version__, compare=False)
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


class ClusterCrew:
    """Does the tasks of a batch on a cluster; see `nucleate.run.batch.Crew`.

    Parameters
    ----------
    cluster : Cluster
    job : Job
    """

    def __init__(self, cluster: Cluster, job: Job) -> None:
        self._cluster, self._job = cluster, job
        self._pending: dict[Any, Task] = {}

    @property
    def pending(self) -> int:
        """Tasks that are waiting or running."""
        return len(self._pending)

    def run(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Do every task and tell of each as it ends.

        Raises
        ------
        NucleateError
            If no other input could be done either.
        """
        suspects: list[Task] = []
        for task, done in self._flow(tasks, room=self._cluster.room):
            if done is None:
                suspects.append(task)
            else:
                yield done
        for task, done in self._flow(suspects, room=lambda: 1):
            yield done or _killer(task)

    def stop(self) -> None:
        """Give up what is under way."""
        if self._pending:
            self._cluster.kill()
            self._cluster.client.cancel(list(self._pending), force=True)
            self._pending.clear()
        elif not self._cluster.own:
            self._cluster.client.run(_forget)

    def _flow(self, tasks: Sequence[Task], *, room: Callable[[], int]) -> Iterator[tuple[Task, Done | None]]:
        """Give every task with its end; None where its workers died."""
        client, waiting = self._cluster.client, iter(tasks)
        ended = library("distributed").as_completed()
        while True:
            while len(self._pending) < room() and (task := next(waiting, None)) is not None:
                future = client.submit(_do, self._job, task, pure=False)
                self._pending[future] = task
                ended.add(future)
            if not self._pending:
                return
            future = next(ended)
            task = self._pending.pop(future)
            yield task, _result(future)


def _result(future: Any) -> Done | None:  # noqa: ANN401 - Dask's own class
    if future.status == "finished":
        done: Done = future.result()
        return done
    if future.status == "cancelled":
        raise ClusterError("the scheduler of the cluster went away; start it again, then add --resume")
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        return None
    if isinstance(error, NucleateError):
        raise error
    raise ClusterError(
        f"a worker cannot do the work: {type(error).__name__}: {one_line(str(error))[:300]}; "
        f"install nucleate {__version__} with the same Python and Dask there"
    ) from error


def _killer(task: Task) -> Done:
    line = (
        f"{task.source.shown}: every worker that took it died, the last two with nothing else to do; "
        "give more --memory to fewer --workers, or look at it alone without --cluster"
    )
    return Done(Outcome(task.name, task.source.key, "failed", error=line))


def _do(job: Job, task: Task) -> Done:
    """Do one task; runs on a worker."""
    bench = _bench(job)
    done = bench.write(bench.compute(task))
    return done if done.error is None else replace(done, error=_portable(done.error))


def _bench(job: Job) -> WorkBench:
    with _LOADING:  # a worker may have several threads
        return _load(job)[0]


@functools.lru_cache(maxsize=1)
def _load(job: Job) -> tuple[WorkBench, tempfile.TemporaryDirectory[str]]:
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
    return WorkBench(segmenter, settings, output=job.output, scratch=Path(scratch.name)), scratch


def _forget() -> None:
    """Let go of the model; runs on a worker that others go on using."""
    _load.cache_clear()


def _portable(error: Exception) -> Exception:
    """Make an error that can travel, with the traceback that it has here."""
    carried = error if isinstance(error, NucleateError) else Exception(f"{type(error).__name__}: {error}")
    carried.add_note("On the worker:\n" + "".join(traceback.format_exception(error)))
    return carried
