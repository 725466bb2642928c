"""The tasks of a batch on the workers of a cluster: one task an input, a bounded number under way.

If a worker dies, Dask gives its task to another worker. An input that kills its worker again and again must not fail
the tasks that wait for the same worker, so tasks that were under way at two deaths are put aside and done at the end,
one at a time. An input that then kills two more workers has failed. Inputs that are large come back unfinished and are
shared by all workers.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from nucleate import __version__
from nucleate.core.extras import library
from nucleate.core.text import one_line
from nucleate.errors import ClusterError, NucleateError
from nucleate.run.cluster_worker import do_share, do_task, finish, forget
from nucleate.run.journal import Outcome
from nucleate.run.single import Done, Progress, Work, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nucleate.run.cluster import Cluster
    from nucleate.run.cluster_worker import Job
    from nucleate.run.large import Plan
    from nucleate.run.single import Task

__all__ = ["ClusterCrew"]

_Item = TypeVar("_Item")

_WATCH_SECONDS = 2.0


class ClusterCrew:
    """Does the tasks of a batch on a cluster; see `nucleate.run.batch.Crew`.

    Parameters
    ----------
    cluster : Cluster
    job : Job
    """

    def __init__(self, cluster: Cluster, job: Job) -> None:
        self._cluster, self._job = cluster, job
        self._pending: dict[Any, Any] = {}

    def run(self, tasks: Sequence[Task], watch: Callable[[Progress], None]) -> Iterator[Done]:
        """Do every task and tell of each as it ends.

        Raises
        ------
        NucleateError
            If a fault would stop every other input, too.
        """
        shared: list[Work] = []
        for task, (alive, ended) in self._sturdy(do_task, tasks):
            if isinstance(ended, Work):
                shared.append(ended)
            else:
                yield ended if alive else _killer(task)
        for work in shared:
            yield self._share(work, watch)

    def stop(self, *, wait: bool) -> None:
        """Give up the tasks that are under way."""
        del wait  # engines are in processes of their own
        if self._pending:
            self._cluster.kill()
            self._drop()
        elif not self._cluster.own:
            with contextlib.suppress(OSError, TimeoutError):  # a worker that has just left has let go of the model, too
                self._cluster.client.run(forget, on_error="ignore")

    def _drop(self) -> None:
        self._cluster.client.cancel(list(self._pending), force=True)
        self._pending.clear()

    def _share(self, work: Work, watch: Callable[[Progress], None]) -> Done:
        """Do the strips of a large input, then write its files."""
        started, task = time.perf_counter(), work.task
        assert work.plan is not None
        with _watched(work.plan, lambda there, total: watch(Progress(task.name, there, total))):
            for _, (alive, error) in self._sturdy(do_share, work.plan.shares(self._job.workers), work=work):
                if error is not None or not alive:
                    self._drop()
                    failed = Outcome(task.name, task.source.key, "failed", work.sha256)
                    line = explain(error, task.source) if alive else _deadly(task)
                    return Done(replace(failed, error=line), error=error)
        spent = replace(work, seconds=work.seconds + time.perf_counter() - started)
        [(_, (alive, done))] = self._sturdy(finish, [spent])
        return done if alive else _killer(task)

    def _sturdy(
        self, do: Callable[..., Any], items: Sequence[_Item], **more: object
    ) -> Iterator[tuple[_Item, tuple[bool, Any]]]:
        """Give every item with whether its worker survived, and the result."""
        suspects: list[_Item] = []
        for item, (alive, ended) in self._flow(do, items, room=self._cluster.room, **more):
            if alive:
                yield item, (True, ended)
            else:
                suspects.append(item)
        yield from self._flow(do, suspects, room=lambda: 1, **more)

    def _flow(
        self, do: Callable[..., Any], items: Sequence[_Item], *, room: Callable[[], int], **more: object
    ) -> Iterator[tuple[_Item, tuple[bool, Any]]]:
        client, waiting = self._cluster.client, list(reversed(items))
        ended = library("distributed", "cluster").as_completed()
        while waiting or self._pending:
            while waiting and len(self._pending) < room():
                item = waiting.pop()
                future = client.submit(do, self._job, item, pure=False, **more)
                self._pending[future] = item
                ended.add(future)
            future = next(ended)
            yield self._pending.pop(future), _end(future)


@contextlib.contextmanager
def _watched(plan: Plan, tell: Callable[[int, int], None]) -> Iterator[None]:
    """Tell how many strips are finished, at first and whenever workers have finished more."""
    ended = threading.Event()

    def look() -> None:
        before = -1
        while True:
            if (there := plan.there()) != before:
                tell(before := there, len(plan))
            if ended.wait(_WATCH_SECONDS):
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _end(future: Any) -> tuple[bool, Any]:  # noqa: ANN401 - Dask's own class
    try:
        # If a worker died before its result was fetched, this waits until the result is made anew.
        return True, future.result()
    except NucleateError:
        raise
    except Exception as error:
        name = type(error).__name__
        if name == "KilledWorker":
            return False, None
        if name.endswith("CancelledError"):
            raise ClusterError("the scheduler of the cluster went away; start it again, then add --resume") from error
        raise ClusterError(
            f"a worker cannot do the work: {name}: {one_line(str(error))[:300]}; "
            f"install nucleate {__version__} with the same Python and Dask there"
        ) from error


def _killer(task: Task) -> Done:
    return Done(Outcome(task.name, task.source.key, "failed", error=_deadly(task)))


def _deadly(task: Task) -> str:
    return (
        f"{task.source.shown}: every worker that took it died, the last two with nothing else to do; "
        "give more --memory to fewer --workers, or look at it alone without --cluster"
    )
