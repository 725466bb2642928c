"""Stopped runs: Ctrl-C, kill, a reader that leaves; and what a terminal shows meanwhile."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.apps.stopped import contents, survive

pytestmark = [pytest.mark.base, pytest.mark.once]

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 7


def start(
    words: list[str], *, delay: float, stderr: int = subprocess.PIPE, before: str = ""
) -> subprocess.Popen[bytes]:
    """Start the command line with the fake segmenter in a process of its own, after some code."""
    call = f"from tests import fakes; fakes.run({words!r}, delay={delay})"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {before}{call}"
    # The program looks at its own words to say how to go on.
    program = [sys.executable, "-c", code, *words]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=stderr, env=os.environ | {"TERM": "xterm"})


def finish(words: list[str]) -> int:
    """Run to the end and give the exit code."""
    running = start(words, delay=0)
    running.communicate(timeout=60)
    return running.returncode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("in")
    for number in range(IMAGES):
        image = np.full((60, 120), 10, np.uint8)
        for spot in range(number):
            image[4:10, 3 + 12 * spot : 9 + 12 * spot] = 200
        Image.fromarray(image).save(top / f"f{number}.png")
    return top


@pytest.fixture(scope="module")
def unbroken(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the results of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert finish(["segment", str(folder), "-o", str(out)]) == 0
    return contents(out)


def _wait_for(out: Path, finished: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if len(list(out.glob("*.overlay.png"))) >= finished:
            return
        time.sleep(0.01)
    pytest.fail(f"no {finished} results in {out}")


def test_killed_at_any_moment_a_run_goes_on_to_the_same_end(
    folder: Path, tmp_path: Path, unbroken: dict[str, str]
) -> None:
    # The long form, with the real program, every export and fifty kills, is benchmarks/kills.py.
    out, rng = tmp_path / "out", np.random.default_rng()
    words = ["segment", str(folder), "-o", str(out), "--resume"]
    finished = iter((0, 2, 3, 5))

    def begin() -> subprocess.Popen[bytes]:
        running = start(words, delay=0.05)
        _wait_for(out, next(finished, 0))
        return running

    tally = survive(begin, out, expected=unbroken, kills=4, moment=lambda: float(rng.uniform(0, 0.1)))
    assert (tally.kills, tally.finished) == (4, 0)


def test_a_kill_that_spoils_a_file_is_seen(tmp_path: Path) -> None:
    # The check itself: a program that writes its file in two goes is caught at the first kill, or at the end.
    code = "import sys,time; f=open(sys.argv[1],'w'); f.write('a'); f.flush(); time.sleep(60)"
    (tmp_path / "out").mkdir()
    spoiling = [sys.executable, "-c", code, str(tmp_path / "out" / "x.csv")]

    def begin() -> subprocess.Popen[bytes]:
        running = subprocess.Popen(spoiling, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not (tmp_path / "out" / "x.csv").exists() or not (tmp_path / "out" / "x.csv").read_bytes():
            time.sleep(0.01)
        return running

    whole = {"x.csv": hashlib.sha256(b"ab").hexdigest()}
    with pytest.raises(AssertionError, match=r"after kill 1: \['x.csv'\] differ"):
        survive(begin, tmp_path / "out", expected=whole, kills=1, moment=lambda: 0.0)


def test_ctrl_c_stops_within_two_seconds_and_says_how_to_go_on(
    folder: Path, tmp_path: Path, unbroken: dict[str, str]
) -> None:
    out = tmp_path / "my out"
    running = start(["segment", str(folder), "-o", str(out)], delay=1.0)
    _wait_for(out, 2)
    running.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, said = running.communicate(timeout=60)
    assert time.monotonic() - asked < 2
    assert running.returncode == 130
    lines = said.decode().splitlines()
    assert re.fullmatch(
        rf"nucleate: stopped; [12] of {IMAGES} inputs are finished and written to .*; go on with:", lines[0]
    )
    again = shlex.split(lines[1])
    assert again == ["nucleate", "segment", str(folder), "-o", str(out), "--resume"]
    assert b"not done" in (out / "summary.csv").read_bytes()
    assert finish(again[1:]) == 0
    assert contents(out) == unbroken


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_what_else_ends_a_run_does_it_like_ctrl_c(
    name: str, code: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, scratch, wanted = tmp_path / "out", tmp_path / "scratch", getattr(signal, name)
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    usual = f"import signal; signal.signal(signal.{name}, signal.SIG_DFL); "  # nohup may run the tests
    before = f"{usual}from nucleate.apps.cli import ctrl_c; ctrl_c.remember(); "
    running = start(["segment", str(folder), "-o", str(out)], delay=1.0, before=before)
    _wait_for(out, 2)
    running.send_signal(wanted)
    _, said = running.communicate(timeout=60)
    assert running.returncode == code
    assert said.decode().splitlines()[0].endswith("go on with:")
    assert b"not done" in (out / "summary.csv").read_bytes()
    assert list(scratch.iterdir()) == []


def test_ctrl_c_while_one_long_picture_is_computed(folder: Path, tmp_path: Path) -> None:
    running = start(["segment", str(folder / "f1.png"), "-o", str(tmp_path / "out")], delay=30.0)
    while not (tmp_path / "out" / ".nucleate-journal.jsonl").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    asked = time.monotonic()
    running.communicate(timeout=60)
    assert time.monotonic() - asked < 2
    assert running.returncode == 130


def _terminal(words: list[str], *, delay: float, before: str = "") -> tuple[str, int]:
    """Run on a terminal; give all it showed and the exit code."""
    ours, theirs = pty.openpty()
    running = start(words, delay=delay, stderr=theirs, before=before)
    os.close(theirs)
    shown = b""
    while True:
        ready, _, _ = select.select([ours], [], [], 30)
        try:
            block = os.read(ours, 65536) if ready else b""
        except OSError:  # the other side is closed
            block = b""
        if not block:
            break
        shown += block
    os.close(ours)
    running.communicate(timeout=60)
    return shown.decode(), running.returncode


def test_a_terminal_sees_progress_with_rate_and_time_left(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x[red]y.png").write_bytes(b"")
    words = ["segment", str(folder), str(tmp_path / "x[red]y.png"), "-o", str(tmp_path / "out")]
    shown, code = _terminal(words, delay=0.4)
    assert code == 1
    assert f"/{IMAGES + 1}" in shown
    assert re.search(r"\d images a second|\d s each", shown)
    assert "left" in shown
    assert "x[red]y.png" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r\n", "")


@pytest.mark.parametrize(("delay", "more"), [(0.0, []), (0.3, ["--quiet"])])
def test_quick_or_quiet_work_shows_no_bar(folder: Path, tmp_path: Path, delay: float, more: list[str]) -> None:
    # On a busy machine nothing is quick: what counts as quick is a minute here.
    patient = "from nucleate.apps.cli import console; console._PATIENCE_SECONDS = 60.0; " if not more else ""
    words = ["segment", str(folder), "-o", str(tmp_path / "out"), *more]
    shown, code = _terminal(words, delay=delay, before=patient)
    assert code == 0
    assert "a second" not in shown
    assert shown.count("\n") == (0 if more else 1)


def test_a_reader_that_leaves_is_no_error() -> None:
    running = start(["models"], delay=0)
    assert running.stdout is not None
    running.stdout.close()
    assert running.stderr is not None
    said = running.stderr.read()
    running.wait(60)
    running.stderr.close()
    assert said == b""
