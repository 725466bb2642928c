"""``--cluster`` and ``--workers`` of the verbs that segment, and the cluster that they open."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nucleate.run.batch import Crew
    from nucleate.run.cluster import ClusterSettings
    from nucleate.run.segmenter import Segmenter
    from nucleate.run.settings import BatchSettings

__all__ = ["ClusterOption", "Sharing", "WorkersOption", "choose_cluster", "hired"]

ClusterOption = Annotated[
    str | None,
    typer.Option(metavar="local|slurm|ADDRESS", help="Share the work among Dask workers: here, on SLURM, tcp://..."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Most workers of --cluster local (cores) or slurm (8).")
]


@dataclass(frozen=True)
class Sharing:
    """How the work is shared among workers.

    Parameters
    ----------
    cluster : ClusterSettings
    load : callable
        Called on each worker, so it must pickle; gives the model with the settings that were chosen.
    """

    cluster: ClusterSettings
    load: Callable[[], Segmenter]


def choose_cluster(
    cluster: str | None, workers: int | None, *, threads: int | None, memory: float | None
) -> ClusterSettings | None:
    """Read the two options; None where no cluster is wanted.

    Raises
    ------
    UsageError
        If a value is not possible, or ``--workers`` stands without ``--cluster``.
    MissingExtraError
        If Dask is not installed.
    """
    if cluster is None:
        if workers is not None:
            raise UsageError(f"--workers {workers}: it goes with --cluster; add --cluster local")
        return None
    from nucleate.core.extras import require
    from nucleate.run.cluster import ClusterSettings

    chosen = ClusterSettings(cluster, workers, threads or 1, None if memory is None else int(memory * 1e9))
    require("cluster", "dask", "distributed", *(["dask_jobqueue"] if cluster == "slurm" else []))
    return chosen


@contextlib.contextmanager
def hired(
    sharing: Sharing | None, output: Path, *, sha256: str, settings: BatchSettings, say: Callable[[str], None]
) -> Iterator[Crew | None]:
    """Open the cluster for one batch and say where its dashboard is; None where no cluster is wanted."""
    if sharing is None:
        yield None
        return
    from nucleate.run.cluster import open_cluster
    from nucleate.run.cluster_batch import ClusterCrew
    from nucleate.run.cluster_worker import Job

    chosen = replace(settings, max_bytes=sharing.cluster.task_bytes)
    with open_cluster(sharing.cluster) as cluster:
        most = sharing.cluster.most
        say(f"workers: {f'up to {most}' if most else 'at ' + sharing.cluster.where}; watch them at {cluster.dashboard}")
        job = Job(sharing.load, sha256, chosen, output.absolute(), workers=cluster.room() // 2)
        yield ClusterCrew(cluster, job)
