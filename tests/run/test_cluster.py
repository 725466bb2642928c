"""A batch on Dask workers: the files of a batch without them, whatever happens to a worker."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import os
import re
import signal
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from tests import cluster_fakes
from tests.run.test_batch import contents, save, spots
from tests.run.test_large_planes import drawn, segmenter
from tests.tables import rows_of

from nucleate.errors import ClusterError, ModelError, UsageError
from nucleate.run.batch import BatchSummary, Progress, Report, run_batch
from nucleate.run.cluster import Cluster, ClusterSettings, open_cluster
from nucleate.run.cluster_batch import ClusterCrew
from nucleate.run.cluster_worker import Job, do_share
from nucleate.run.inputs import expand
from nucleate.run.outputs import kept_strips
from nucleate.run.settings import BatchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nucleate.run.engine import Engine
    from nucleate.run.single import Done, Work

distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra cluster)")

pytestmark = [pytest.mark.base, pytest.mark.once]

WORKERS = 2
EXPORTS = ("labels", "overlay", "measurements", "rle", "coco", "geojson")


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    """Start two workers; it takes seconds, so all tests share them."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with open_cluster(ClusterSettings("local", WORKERS)) as opened:
        # Workers that have nothing to do for a while leave; between two tests on a busy machine they must not.
        opened._cluster.adapt(minimum=WORKERS, maximum=WORKERS)
        yield opened


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """Give both workers; one that an earlier test killed has come again."""
    started.client.wait_for_workers(WORKERS, timeout=300)
    return started


def kill_one(cluster: Cluster) -> None:
    """Kill a worker at once, whatever it does."""
    os.kill(next(worker.pid for worker in cluster._cluster.workers.values() if worker.pid), signal.SIGKILL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(9):
        save(tmp_path / "in" / f"f{number}.png", spots(count=number % 4))
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    save(tmp_path / "in" / "odd.png", spots())
    return tmp_path / "in"


def nothing(_: Report) -> None:
    """Take a report."""


def go(
    folder: Path,
    out: Path,
    *,
    cluster: Cluster | None,
    notify: Callable[[Report], None] = nothing,
    **more: Any,  # noqa: ANN401 - settings
) -> BatchSummary:
    """Run the batch, on a cluster or here."""
    delay = more.pop("delay", 0.0)
    settings = BatchSettings(exports=EXPORTS, **more)
    load = functools.partial(cluster_fakes.load, str(folder.parent), delay)
    crew = None if cluster is None else ClusterCrew(cluster, Job(load, cluster_fakes.SHA256, settings, out))
    return run_batch(
        expand([str(folder)]), out, segmenter=cluster_fakes.Worker(), settings=settings, notify=notify, crew=crew
    )


def everything(out: Path) -> dict[str, Any]:
    """Give all that must not depend on who did the work."""
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in rows_of(out / "summary.csv")]
    record = re.sub(r'"command": .*', "", (out / "run.json").read_text())
    return {"files": contents(out), "summary": rows, "record": record}


def test_the_files_are_those_of_a_batch_without_workers(folder: Path, tmp_path: Path, cluster: Cluster) -> None:
    reports: list[Report] = []
    here = go(folder, tmp_path / "here", cluster=None)
    there = go(folder, tmp_path / "there", cluster=cluster, notify=reports.append)
    assert (there.count("ok"), there.count("failed")) == (here.count("ok"), here.count("failed")) == (9, 2)
    assert everything(tmp_path / "there") == everything(tmp_path / "here")
    assert [r.done for r in reports] == list(range(1, 12))
    odd = next(r for r in reports if r.outcome.name == "odd")
    assert "On the worker" in "".join(getattr(odd.exception, "__notes__", []))
    loads = (tmp_path / "loads").read_text().split()
    assert len(loads) == len(set(loads)) <= WORKERS


def test_a_worker_that_is_killed_changes_nothing(folder: Path, tmp_path: Path, cluster: Cluster) -> None:
    go(folder, tmp_path / "here", cluster=None)
    reports = []

    def kill(report: Report) -> None:
        reports.append(report.done)
        if report.done == 3:
            kill_one(cluster)

    there = go(folder, tmp_path / "there", cluster=cluster, notify=kill, delay=0.3)
    assert reports == list(range(1, 12))
    assert there.count("ok") == 9
    assert everything(tmp_path / "there") == everything(tmp_path / "here")


def test_what_kills_every_worker_has_failed_and_the_others_are_done(
    folder: Path, tmp_path: Path, cluster: Cluster
) -> None:
    save(folder / "poison.png", spots())
    summary = go(folder, tmp_path / "out", cluster=cluster)
    assert (summary.count("ok"), summary.count("failed")) == (9, 3)
    failed = next(o for o in summary.outcomes if o.name == "poison")
    assert "every worker that took it died" in failed.error
    assert "--memory" in failed.error
    (folder / "poison.png").unlink()
    again = go(folder, tmp_path / "out", cluster=cluster, resume=True)
    assert again.earlier == []


def test_resuming_does_what_is_left_and_no_more(folder: Path, tmp_path: Path, cluster: Cluster) -> None:
    go(folder, tmp_path / "here", cluster=None)
    out = tmp_path / "out"

    def stop(report: Report) -> None:
        if report.done == 4:
            raise KeyboardInterrupt

    first = go(folder, out, cluster=None, notify=stop)
    assert first.interrupted
    left = first.count("not done")
    resumed: list[bool] = []
    second = go(folder, out, cluster=cluster, notify=lambda r: resumed.append(r.resumed), resume=True)
    assert resumed.count(False) >= left > 0
    assert sum(resumed) == first.count("ok")
    assert second.count("ok") == 9
    assert everything(out) == everything(tmp_path / "here")


def test_few_tasks_are_under_way_at_once(folder: Path, tmp_path: Path, cluster: Cluster) -> None:
    settings = BatchSettings(exports=("rle",))
    load = functools.partial(cluster_fakes.load, str(tmp_path))
    crew = ClusterCrew(cluster, Job(load, cluster_fakes.SHA256, settings, tmp_path / "out"))
    most = []
    run_batch(
        expand([str(folder)]),
        tmp_path / "out",
        segmenter=cluster_fakes.Worker(),
        settings=settings,
        notify=lambda _: most.append(len(crew._pending)),
        crew=crew,
    )
    assert max(most) == 2 * WORKERS - 1
    assert most[-1] == 0


def test_another_model_on_the_workers_is_refused(folder: Path, tmp_path: Path, cluster: Cluster) -> None:
    settings = BatchSettings(exports=("rle",))
    job = Job(functools.partial(cluster_fakes.load, str(tmp_path)), "1" * 64, settings, tmp_path / "out")
    with pytest.raises(ClusterError, match=r"another model fake: SHA-256 000000000000\.\.\., here it is 111111111111"):
        run_batch(
            expand([str(folder)]),
            tmp_path / "out",
            segmenter=cluster_fakes.Worker(),
            settings=settings,
            crew=ClusterCrew(_alike(cluster), job),
        )


def test_what_ends_a_run_here_ends_it_there(folder: Path, tmp_path: Path, cluster: Cluster) -> None:
    settings = BatchSettings(exports=("rle",))
    job = Job(functools.partial(_no_model, "weights"), cluster_fakes.SHA256, settings, tmp_path / "out")
    with pytest.raises(ModelError, match="weights are damaged"):
        run_batch(
            expand([str(folder)]),
            tmp_path / "out",
            segmenter=cluster_fakes.Worker(),
            settings=settings,
            crew=ClusterCrew(_alike(cluster), job),
        )


def test_a_cluster_that_runs_already_is_used_and_left(folder: Path, tmp_path: Path, cluster: Cluster) -> None:
    address = str(cluster.client.scheduler.address)
    with open_cluster(ClusterSettings(address)) as other:
        assert not other.own
        assert other.room() == 2 * WORKERS
        assert go(folder, tmp_path / "out", cluster=other).count("ok") == 9
        other.kill()
    assert len(cluster.client.run(os.getpid)) == WORKERS


# --- one large image, shared by all -----------------------------------------------------------------------------------


TILE = 96
LARGE = ("labels", "overlay", "measurements", "geojson")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a large picture of two channels, a large stack and a small picture."""
    top = tmp_path_factory.mktemp("large") / "in"
    picture = drawn((701, 307), 150)
    save(top / "small.png", spots())
    tifffile.imwrite(
        top / "large.tif", np.stack([picture, np.full_like(picture, 9)]), metadata={"axes": "CYX"}, tile=(64, 64)
    )
    tifffile.imwrite(top / "stack.tif", np.stack([picture[:300], picture[300:600]]), metadata={"axes": "ZYX"})
    return top


@pytest.fixture(scope="module")
def whole(large: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give the results without workers."""
    out = tmp_path_factory.mktemp("whole") / "out"
    shared(large, out, crew=None)
    return everything(out)


def job_for(out: Path, load: Callable[[], Any]) -> Job:
    """Make a job for which a picture of 80,000 pixels is a large one."""
    settings = BatchSettings(exports=LARGE, channel=None, max_bytes=10**9, large_pixels=80_000)
    return Job(load, cluster_fakes.SHA256, settings, out, workers=WORKERS)


def shared(
    folder: Path,
    out: Path,
    *,
    crew: ClusterCrew | None,
    resume: bool = False,
    engine: Engine | None = None,
    watch: Callable[[Progress], None] = lambda _: None,
) -> BatchSummary:
    """Run the batch with a real segmenter; `engine` is for strips without workers."""
    pixels = 80_000 if engine else 10**9
    settings = BatchSettings(exports=LARGE, channel=None, max_bytes=10**9, large_pixels=pixels, resume=resume)
    found = segmenter(engine, tile=TILE)
    return run_batch(expand([str(folder)]), out, segmenter=found, settings=settings, watch=watch, crew=crew)


def test_a_large_image_is_shared_and_the_files_are_the_same(
    large: Path, tmp_path: Path, whole: dict[str, Any], cluster: Cluster
) -> None:
    job = job_for(tmp_path / "out", functools.partial(cluster_fakes.load_local, TILE))
    told: list[Progress] = []
    summary = shared(large, tmp_path / "out", crew=ClusterCrew(cluster, job), watch=told.append)
    assert [(p.name, p.done) for p in told if p.done == 0] == [("large", 0), ("stack", 0)]
    assert len(told) == len(set(told))
    assert all(p.done <= p.total >= 4 for p in told)
    assert [o.error for o in summary.outcomes] == [""] * 3
    assert (summary.outcomes[0].nuclei or 0) > 50
    assert everything(tmp_path / "out") == whole
    assert not list((tmp_path / "out").rglob("*strips*"))


def test_a_worker_killed_over_a_large_image_changes_nothing(
    large: Path, tmp_path: Path, whole: dict[str, Any], cluster: Cluster
) -> None:

    strips: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not any(strips) and not over.wait(0.01):
            with contextlib.suppress(FileNotFoundError):  # folders come and go
                strips.append(kept_strips(tmp_path / "out"))
        kill_one(cluster)

    killer = threading.Thread(target=kill)
    killer.start()
    job = job_for(tmp_path / "out", functools.partial(cluster_fakes.load_local, TILE))
    summary = shared(large, tmp_path / "out", crew=ClusterCrew(cluster, job))
    over.set()
    killer.join()
    assert any(strips)
    assert [o.error for o in summary.outcomes] == [""] * 3
    assert everything(tmp_path / "out") == whole


@pytest.mark.parametrize("workers", [True, False])
def test_strips_that_are_finished_are_not_done_again(
    large: Path, tmp_path: Path, whole: dict[str, Any], cluster: Cluster, *, workers: bool
) -> None:
    out = tmp_path / "out"

    class Stopped(ClusterCrew):
        """Stops when all strips are there."""

        def _share(self, work: Work, watch: Callable[[Progress], None]) -> Done:
            assert work.plan is not None
            done = self._sturdy(do_share, work.plan.shares(WORKERS), work=work)
            assert all(alive and error is None for _, (alive, error) in done)
            raise KeyboardInterrupt

    job = job_for(out, functools.partial(cluster_fakes.load_local, TILE))
    first = shared(large / "large.tif", out, crew=Stopped(_alike(cluster), job))
    assert first.interrupted
    assert len(list(out.rglob("strip-*"))) > 3
    again = job_for(out, functools.partial(cluster_fakes.load_broken, TILE))
    crew = ClusterCrew(_alike(cluster), again) if workers else None
    second = shared(large / "large.tif", out, crew=crew, resume=True, engine=cluster_fakes.must_not_be_asked)
    assert [o.error for o in second.outcomes] == [""]
    name = "large.labels.tif"
    assert contents(out)[name] == whole["files"][name]


def test_a_large_image_that_cannot_be_done_fails_alone(large: Path, tmp_path: Path, cluster: Cluster) -> None:
    job = job_for(tmp_path / "out", functools.partial(cluster_fakes.load_broken, TILE))
    summary = shared(large / "large.tif", tmp_path / "out", crew=ClusterCrew(_alike(cluster), job))
    assert summary.count("failed") == 1
    assert "large.tif: unexpected Exception: ZeroDivisionError: asked for" in summary.outcomes[0].error


@pytest.mark.parametrize(
    ("where", "workers", "said"),
    [
        ("nowhere", None, "--cluster nowhere: not known; use local, slurm or an address"),
        ("local", 0, "--workers 0: use 1 or more"),
        ("tcp://scheduler", None, "--cluster tcp://scheduler: not known; use .* as tcp://host:8786"),
        ("tcp://:x", None, "not known"),
    ],
)
def test_what_cannot_be_is_said(where: str, workers: int | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ClusterSettings(where, workers)


def test_an_address_without_a_scheduler_is_a_wrong_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.run.cluster._PATIENCE_SECONDS", 0.5)
    with (
        pytest.raises(UsageError, match="nothing answers there; check it, or start it with: dask scheduler"),
        open_cluster(ClusterSettings("tcp://127.0.0.1:9")),
    ):
        pass


def test_slurm_without_its_commands_is_a_wrong_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if importlib.util.find_spec("dask_jobqueue") is None:
        pytest.skip("dask-jobqueue is not installed (extra cluster)")
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no command sbatch here"), open_cluster(ClusterSettings("slurm")):
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_memory_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.run.cluster.available_bytes", lambda: 9_000_000_001)
    assert [ClusterSettings("local", workers).task_bytes for workers in (1, 2)] == [9_000_000_001, 4_500_000_000]
    assert ClusterSettings("local", 2, memory_bytes=5).task_bytes == 5
    assert ClusterSettings("slurm").task_bytes == 7_000_000_000
    assert ClusterSettings("tcp://a:1").task_bytes is None


def _no_model(name: str) -> Any:  # noqa: ANN401 - never gives one
    raise ModelError(f"{name} are damaged")


def _alike(cluster: Cluster) -> Cluster:
    """Give the same workers as if they were not ours, so that they outlive an error."""
    return Cluster(cluster.client)
