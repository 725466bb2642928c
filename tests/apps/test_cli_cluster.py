"""``--cluster`` from the command line, in processes of its own: the same files, Ctrl-C, a stand-in for SLURM."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.apps.stopped import contents as all_contents
from tests.run.test_batch import contents
from tests.tiny_model import write_tiny_model

from nucleate.data.plates import DrawnPlate, write_plate

pytest.importorskip("distributed", reason="Dask is not installed (extra cluster)")
if importlib.util.find_spec("dask_jobqueue") is None:  # importing it here would take Ctrl-C from other tests
    pytest.skip("dask-jobqueue is not installed (extra cluster)", allow_module_level=True)
pytest.importorskip("onnx", reason="onnx, which makes the model of these tests, is not installed")

pytestmark = pytest.mark.base

IMAGES = 6

SBATCH = """#!/bin/sh
grep -q 'cpus-per-task=1' "$1" || exit 1
cp "$1" "{jobs}/script.sh"
setsid sh "{jobs}/script.sh" > "{jobs}/log" 2>&1 &
echo $! > "{jobs}/pid"
echo Submitted batch job 7
"""
SCANCEL = """#!/bin/sh
kill -- -$(cat "{jobs}/pid")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with pictures in ``in`` and a model."""
    top = tmp_path_factory.mktemp("cluster")
    (top / "in").mkdir()
    for number in range(IMAGES):
        image = np.full((60, 120), 10, np.uint8)
        for spot in range(number):
            image[4:10, 3 + 12 * spot : 9 + 12 * spot] = 200
        Image.fromarray(image).save(top / "in" / f"f{number}.png")
    (top / "in" / "broken.png").write_bytes(b"no picture")
    write_tiny_model(top, "tiny")
    return top


@pytest.fixture(scope="module")
def plain(folder: Path) -> dict[str, str]:
    """Give the files of a run without workers."""
    ended = start(folder, "plain")
    ended.communicate(timeout=300)
    assert ended.returncode == 1
    return contents(folder / "plain")


def start(
    folder: Path, out: str, *more: str, path: str = "", verb: tuple[str, ...] = ("segment", "in")
) -> subprocess.Popen[str]:
    """Start the program in the folder."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "nucleate", *verb, "-o", out, "--model", "tiny.onnx", "--threads", "1"]
    return subprocess.Popen(
        [*words, *more],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PATH": os.pathsep.join(filter(None, (path, os.environ["PATH"]))), "TMPDIR": str(scratch)},
        start_new_session=True,
    )


def test_local_workers_write_the_same_and_say_where_to_watch(folder: Path, plain: dict[str, str]) -> None:
    _, said = (running := start(folder, "local", "--cluster", "local", "--workers", "2")).communicate(timeout=300)
    lines = said.splitlines()
    assert running.returncode == 1
    assert lines[0].startswith("workers: up to 2; watch them at http://127.0.0.1:")
    assert lines[1].startswith("nucleate: in/broken.png: ")
    assert lines[-1] == f"nucleate: 1 of {IMAGES + 1} inputs failed; see local/summary.csv"
    assert len(lines) == 4
    assert contents(folder / "local") == plain


@pytest.mark.once
def test_a_plate_is_screened_the_same(folder: Path) -> None:
    write_plate(folder, DrawnPlate(rows=4, columns=3, fields=1, size=120, nuclei=15, doses=1), seed=2)
    for out, more in (("screened", []), ("shared", ["--cluster", "local", "--workers", "2"])):
        running = start(folder, out, *more, "--quiet", verb=("screen", "plate", "--map", "map.csv"))
        _, said = running.communicate(timeout=300)
        assert running.returncode == 0
        assert "negative control" in said
        assert said.count("\n") == 1
    alone = all_contents(folder / "screened")
    assert {"wells.csv", "nuclei.csv", "plate.html", "fields/measurements.csv"} <= set(alone)
    assert all_contents(folder / "shared") == alone


def test_ctrl_c_stops_workers_within_two_seconds(folder: Path, plain: dict[str, str]) -> None:
    running = start(folder, "stopped", "--cluster", "local", "--workers", "1", "--tta", "--quiet")
    end = time.monotonic() + 120
    while not list((folder / "stopped").glob("*.overlay.png")) and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)
    asked = time.monotonic()
    _, said = running.communicate(timeout=60)
    took = time.monotonic() - asked
    if running.returncode == 1:
        pytest.skip("this machine was done before Ctrl-C reached it")
    assert running.returncode == 130
    assert took < 2
    assert not list((folder / "scratch").glob("nucleate-*"))
    lines = [line for line in said.splitlines() if "broken.png" not in line]
    assert len(lines) == 2, said
    assert lines[0].startswith("nucleate: stopped; "), said
    assert lines[1].endswith("--cluster local --workers 1 --tta --quiet --resume")


def _starting(pid: int) -> bool:
    """Tell whether a process has begun to start a worker."""
    for other in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has just ended
            parent = (other / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(pid) and b"spawn_main" in (other / "cmdline").read_bytes():
                return True
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to see workers start")
@pytest.mark.parametrize("later", [0.0, 0.4])
def test_ctrl_c_while_workers_start_shows_nothing_of_theirs(folder: Path, later: float) -> None:
    running = start(folder, "early", "--cluster", "local", "--workers", "2", "--quiet")
    while running.poll() is None and not _starting(running.pid):
        time.sleep(0.005)
    time.sleep(later)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    lines = said.splitlines()
    assert len(lines) == 2, said
    assert lines[0].startswith("nucleate: stopped; "), said


def _gone_within(pid: int, *, seconds: float) -> bool:
    """Wait for a process to end; one that nobody has asked for its end counts as gone."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.once
def test_slurm_jobs_are_handed_in_and_cancelled(folder: Path, plain: dict[str, str], tmp_path: Path) -> None:
    jobs, commands = tmp_path / "jobs", tmp_path / "bin"
    for place in (jobs, commands):
        place.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (commands / name).write_text(text.format(jobs=jobs))
        (commands / name).chmod(0o755)
    running = start(folder, "slurm", "--cluster", "slurm", "--workers", "1", "--memory", "2", path=str(commands))
    _, said = running.communicate(timeout=300)
    assert running.returncode == 1, said
    assert said.splitlines()[0].startswith("workers: up to 1; watch them at http://")
    script = (jobs / "script.sh").read_text()
    assert "#SBATCH --mem=3G" in script
    assert "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False" in script
    assert contents(folder / "slurm") == plain
    pid = int((jobs / "pid").read_text())
    assert _gone_within(pid, seconds=20)


def test_workers_without_a_cluster_are_a_wrong_call(folder: Path) -> None:
    _, said = (running := start(folder, "none", "--workers", "2")).communicate(timeout=300)
    assert running.returncode == 2
    assert said == "nucleate: --workers 2: it goes with --cluster; add --cluster local\n"
    assert not (folder / "none").exists()
