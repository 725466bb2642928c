"""Workers that share the work: processes on this machine, a Dask cluster that runs already, jobs on SLURM.

Dask moves tasks and small answers. Pictures and results do not go through it: workers read and write the same folders
as this process, so these must lie where all of them see them. What Dask moves is pickled, by us and for us; nothing of
a user's file is ever unpickled.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import re
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from nucleate.core.cores import cores
from nucleate.core.extras import library
from nucleate.core.files import scratch_folder
from nucleate.errors import ClusterError, UsageError
from nucleate.run.memory import available_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Cluster", "ClusterSettings", "open_cluster"]

_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://.+:\d+/?")
_JOBS = 8
"""Most SLURM jobs if the user does not say."""

_JOB_BYTES = 7_000_000_000
_PROGRAM_BYTES = 1_000_000_000
"""Memory that a worker takes before its first task, and a little more."""

_PATIENCE_SECONDS = 10.0
_FRESH_SECONDS = 2.0
_STARTING_SECONDS = 0.5

_CONFIG = {
    # A task whose worker died is tried once more among the others; after a second death,
    # `nucleate.run.cluster_batch` tries it alone.
    "distributed.scheduler.allowed-failures": 1,
    "distributed.comm.timeouts.connect": "10s",
    # Dask would write results of tasks to disk, or give no more work to a process that uses much memory. Here a task
    # keeps to a limit of its own and gives next to nothing back, so neither is needed.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
}


@dataclass(frozen=True)
class ClusterSettings:
    """Where the workers are.

    Parameters
    ----------
    where : str
        ``local``, ``slurm`` (settings as partition and account come from dask-jobqueue's own configuration), or the
        address of a scheduler such as ``tcp://host:8786``.
    workers : int, optional
        Most workers; when None, as many as there are cores (``local``) or 8 (``slurm``). They come and go with the
        work. Without effect with an address.
    threads : int
        Cores for each worker.
    memory_bytes : int, optional
        Memory that a task may take. When None, an equal share of what is free now (``local``), 7 GB (``slurm``, whose
        jobs ask for 1 GB more), or what a worker has free when it loads the model (an address).

    Raises
    ------
    UsageError
        If a value is not possible.
    """

    where: str
    workers: int | None = None
    threads: int = 1
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.where not in {"local", "slurm"} and not _ADDRESS.fullmatch(self.where):
            raise UsageError(f"--cluster {self.where}: not known; use local, slurm or an address as tcp://host:8786")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers}: use 1 or more")

    @property
    def most(self) -> int | None:
        """Most workers; None for a cluster that was not started for this run."""
        if self.where == "local":
            return self.workers or max(cores() // self.threads, 1)
        return (self.workers or _JOBS) if self.where == "slurm" else None

    @property
    def elsewhere(self) -> bool:
        """Whether the workers may have another working folder."""
        return self.where != "local"

    @property
    def task_bytes(self) -> int | None:
        """Memory that a task may take; None if its worker is to decide."""
        if self.memory_bytes is not None or self.most is None:
            return self.memory_bytes
        if self.where == "slurm":
            return _JOB_BYTES
        free = available_bytes()
        return None if free is None else free // self.most


class Cluster:
    """A connection to the workers; made by `open_cluster`.

    Parameters
    ----------
    client : distributed.Client
    cluster : distributed.deploy.Cluster, optional
        The workers, if they were started for this run.
    most : int, optional
        Most workers it may have; None if they were not started for this run.
    """

    def __init__(self, client: Any, cluster: Any = None, *, most: int | None = None) -> None:  # noqa: ANN401 - Dask's own classes
        self.client, self._cluster, self._most, self._killed = client, cluster, most, False
        self._threads, self._asked = 0, -_FRESH_SECONDS

    @property
    def dashboard(self) -> str:
        """Address of the page that shows what every worker does."""
        return str(self.client.dashboard_link)

    @property
    def own(self) -> bool:
        """Whether the workers were started for this run."""
        return self._cluster is not None

    def room(self) -> int:
        """Tell how many tasks may be given out: two for each worker, so that no worker waits and few tasks are lost."""
        if self._most is not None:
            return 2 * self._most
        if time.monotonic() - self._asked > _FRESH_SECONDS:
            self._threads, self._asked = sum(self.client.nthreads().values()), time.monotonic()
        return max(2 * self._threads, 2)

    def kill(self) -> None:
        """End the workers of this run at once, whatever they do; workers that run for others are left alone."""
        if self._cluster is None or self._killed:
            return
        self._killed = True
        # Dask would show errors about workers that end before they have begun.
        self._cluster.loop.asyncio_loop.set_exception_handler(lambda _loop, _what: None)
        adaptive = getattr(self._cluster, "_adaptive", None)
        if adaptive is not None:
            adaptive.stop()
        for worker in list(self._cluster.workers.values()):
            if hasattr(worker, "close_gracefully"):  # a process here, not a job: Dask would replace one that ends
                worker.close_gracefully()
        # Dask's own list leaves out workers that are still starting, and some may start only now.
        killed, until = set(), time.monotonic() + _STARTING_SECONDS
        while True:
            for process in multiprocessing.active_children():
                if process.name.startswith("Dask Worker"):
                    process.kill()
                    killed.add(process.pid)
            if len(killed) >= len(self._cluster.worker_spec) or time.monotonic() > until:
                return
            time.sleep(0.01)

    def close(self) -> None:
        """Disconnect, and end workers that were started for this run."""
        if self._killed:
            return  # Dask would wait for answers of workers that were killed
        with contextlib.suppress(TimeoutError):
            self.client.close(timeout=_PATIENCE_SECONDS)
            if self._cluster is not None:
                self._cluster.close(timeout=_PATIENCE_SECONDS)


@contextlib.contextmanager
def open_cluster(settings: ClusterSettings) -> Iterator[Cluster]:
    """Start workers, or connect to them; workers that were started here are closed at the end.

    Parameters
    ----------
    settings : ClusterSettings

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    UsageError
        If there is no SLURM here, or nothing answers at the address.
    """
    dask, distributed = library("dask", "cluster"), library("distributed", "cluster")
    # Workers that are killed cannot remove what they unpacked, so it lies in a folder that is removed here.
    with scratch_folder() as scratch, dask.config.set(_CONFIG):
        cluster = None
        try:
            with _without_ctrl_c():
                cluster = _start(settings, distributed, scratch=scratch)
            client = _connected(settings, distributed, cluster=cluster)
        except KeyboardInterrupt:
            Cluster(None, cluster).kill()
            raise
        opened = Cluster(client, cluster, most=settings.most)
        try:
            yield opened
        except BaseException:
            opened.kill()
            raise
        finally:
            opened.close()


def _connected(settings: ClusterSettings, distributed: Any, *, cluster: Any) -> Any:  # noqa: ANN401 - Dask's own classes
    try:
        return distributed.Client(settings.where if cluster is None else cluster, timeout=_PATIENCE_SECONDS)
    except (OSError, ValueError) as error:
        if cluster is not None:
            cluster.close()
            raise ClusterError(f"the workers cannot be reached: {error}; see the log of the scheduler") from error
        raise UsageError(
            f"--cluster {settings.where}: nothing answers there; check it, or start it with: dask scheduler"
        ) from error


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C from the workers that are started: this process takes it, and ends them.

    A terminal sends Ctrl-C to all of them, and a Python that has only just begun shows a traceback. Threads and
    programs inherit a signal that the starting thread blocks; this process gets it once the workers are started.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Started before the block, since starting it lets Ctrl-C through again in this thread. It removes locks that a stop
    # leaves, and its warning about them would not help the user.
    sys.warnoptions.append("ignore:resource_tracker")
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove("ignore:resource_tracker")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(settings: ClusterSettings, distributed: Any, *, scratch: Path) -> Any:  # noqa: ANN401 - Dask's own classes
    if settings.where == "local":
        cluster = distributed.LocalCluster(
            n_workers=0,
            threads_per_worker=1,  # an engine has its own threads
            processes=True,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            local_directory=str(scratch),
            env={"TMPDIR": str(scratch)},
        )
        cluster.scale(settings.most)  # all at once; workers without work leave again
    elif settings.where == "slurm":
        cluster = _slurm(settings)
    else:
        return None
    # Dask expects tasks of milliseconds, so by default it would not start workers for a few of ours.
    cluster.adapt(minimum=0, maximum=settings.most, target_duration="10ms", interval="500ms", wait_count=20)
    return cluster


def _jobqueue() -> Any:  # noqa: ANN401 - a module
    """Import dask-jobqueue, which takes Ctrl-C for itself when it is imported, and give Ctrl-C back."""
    handler = signal.getsignal(signal.SIGINT)
    jobqueue = library("dask_jobqueue", "cluster")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    return jobqueue


def _slurm(settings: ClusterSettings) -> Any:  # noqa: ANN401 - Dask's own classes
    jobqueue = _jobqueue()
    if shutil.which("sbatch") is None:
        raise UsageError("--cluster slurm: no command sbatch here; run it where jobs are handed in")
    dask = library("dask", "cluster")
    memory = [
        f"export DASK_{key.upper().replace('.', '__')}={value}"
        for key, value in _CONFIG.items()
        if key.startswith("distributed.worker.memory")
    ]
    assert settings.task_bytes is not None
    return jobqueue.SLURMCluster(
        cores=1,  # one task at a time: an engine has its own threads
        job_cpu=settings.threads,
        processes=1,
        memory=f"{settings.task_bytes + _PROGRAM_BYTES}B",
        job_script_prologue=[*(dask.config.get("jobqueue.slurm.job-script-prologue", None) or []), *memory],
        # Any free port for the dashboard: many share the machine where jobs are handed in.
        scheduler_options={
            "dashboard_address": ":0",
            **(dask.config.get("jobqueue.slurm.scheduler-options", None) or {}),
        },
        silence_logs=logging.CRITICAL,
    )
