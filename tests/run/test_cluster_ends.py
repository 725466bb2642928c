"""How the work of a worker ends: with what it made, with its death, or with the scheduler's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import pytest

from nucleate.errors import ClusterError
from nucleate.run.cluster import ClusterSettings, open_cluster
from nucleate.run.cluster_batch import _end

distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra cluster)")

pytestmark = [pytest.mark.base, pytest.mark.once]


def test_what_a_worker_made_is_made_anew_where_the_worker_is_lost_with_it() -> None:
    with open_cluster(ClusterSettings("local", 2)) as cluster:
        future = cluster.client.submit(os.getpid, pure=False)
        first = future.result()
        os.kill(first, signal.SIGKILL)
        until = time.monotonic() + 60
        # At first the old answer is there still; at no time is it an error.
        while (ended := _end(future)) == (True, first) and time.monotonic() < until:
            time.sleep(0.001)
    assert ended[0]
    assert ended[1] != first


def test_no_worker_follows_one_that_was_killed() -> None:
    with open_cluster(ClusterSettings("local", 1)) as cluster:
        first = cluster.client.submit(os.getpid).result()
        cluster.kill()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert {process.pid for process in multiprocessing.active_children()} <= {first}
            time.sleep(0.01)


def test_a_scheduler_that_went_away_is_one_line() -> None:
    def gone() -> None:
        raise distributed.client.FutureCancelledError("do_task", "lost")

    with pytest.raises(ClusterError, match="scheduler of the cluster went away"):
        _end(SimpleNamespace(result=gone))
