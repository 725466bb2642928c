from __future__ import annotations

import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest
from tests.calls import call

from nucleate.apps.cli import ctrl_c
from nucleate.apps.cli.console import Bar, say_step
from nucleate.apps.cli.entry import start

pytestmark = pytest.mark.base

_SWALLOWS = """
import signal
from nucleate.apps.cli import entry, info

def swallow():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass
    {then}

info.info = swallow
entry.start()
"""

_FINALISER = """
import signal, time
from nucleate.apps.cli import ctrl_c, entry, info

class Finalised:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def work():
    Finalised()
    {then}

info.info = work
entry.start()
"""

_LOADING = """
import importlib.abc, runpy, signal, sys

sys.argv[1:] = {words}

class Press(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "{name}":
            {does}

sys.meta_path.insert(0, Press())
runpy.run_module("nucleate", run_name="__main__")
"""


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    event = threading.Event()
    monkeypatch.setattr(ctrl_c, "_pressed", event)
    return event


def test_work_ends_at_the_next_step_where_ctrl_c_got_lost(pressed: threading.Event) -> None:
    with Bar("images", 2) as bar:
        bar.show(1)
        bar.stage("maps", 1, total=2)
        pressed.set()
        with pytest.raises(KeyboardInterrupt):
            bar.show(2)
        with pytest.raises(KeyboardInterrupt):
            bar.stage("maps", 2, total=2)
    for quiet in (False, True):
        with pytest.raises(KeyboardInterrupt):
            say_step("trial 2 of 3", quiet=quiet)


def test_nothing_is_said_where_all_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    say_step("trial 1 of 3")
    say_step("trial 2 of 3", quiet=True)
    assert capsys.readouterr().err == "trial 1 of 3\n"


def test_other_threads_are_left_alone(pressed: threading.Event) -> None:
    pressed.set()
    ended = []

    def step() -> None:
        with Bar("images", 2) as bar:
            bar.show(1)
        ended.append(True)

    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    assert ended


def test_an_error_that_ctrl_c_has_become_is_no_error(
    pressed: threading.Event, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pressed.set()
    assert call("info", tmp_path / "none.png") == 130
    assert capsys.readouterr().err == "nucleate: stopped\n"


@pytest.mark.parametrize(
    ("then", "code"), [("raise ImportError('initialization failed')", 130), ("raise SystemExit(0)", 0)]
)
def test_ctrl_c_is_remembered(then: str, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SWALLOWS.format(then=then), "info"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == code
    assert ("stopped" in ended.stderr) == (code == 130)


def test_ctrl_c_in_the_midst_of_a_finaliser_is_not_lost() -> None:
    began = time.monotonic()
    code = _FINALISER.format(then="time.sleep(20)")
    ended = subprocess.run([sys.executable, "-c", code, "info"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "nucleate: stopped\n")
    assert time.monotonic() - began < 20


def test_ctrl_c_that_was_raised_again_is_not_pressed_again() -> None:
    then = """try:
        ctrl_c.raise_again()
    except KeyboardInterrupt:
        time.sleep(0.3)
        print("put in order")
        raise"""
    code = _FINALISER.format(then=then)
    ended = subprocess.run([sys.executable, "-c", code, "info"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "put in order\n", "nucleate: stopped\n")


def test_a_thread_that_is_broken_off_in_a_finaliser_does_not_end_the_program() -> None:
    then = """class BrokenOff:
        def __del__(self):
            raise KeyboardInterrupt
    import threading
    thread = threading.Thread(target=BrokenOff)
    thread.start()
    thread.join()
    time.sleep(0.3)
    print("goes on")"""
    code = _FINALISER.replace("    Finalised()\n", "").format(then=then)
    ended = subprocess.run([sys.executable, "-c", code, "info"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "goes on\n", "")


@pytest.mark.parametrize(
    ("name", "does", "code", "said"),
    [
        ("typer", "signal.raise_signal(signal.SIGINT)", 130, "nucleate: stopped"),
        ("nucleate.run.weights", "signal.raise_signal(signal.SIGINT)", 130, "nucleate: stopped"),
        ("typer", "raise ImportError('typer is broken')", 1, "ImportError: typer is broken"),
    ],
)
def test_ctrl_c_while_the_program_loads_is_one_line(name: str, does: str, code: int, said: str, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.touch()
    words = ["segment", str(picture), "-o", str(tmp_path / "out")]
    ended = subprocess.run(
        [sys.executable, "-c", _LOADING.format(words=words, name=name, does=does)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert ended.stderr.splitlines()[-1] == said
    assert (len(ended.stderr.splitlines()) == 1) == (code == 130)


@pytest.mark.parametrize(("more", "goes_on"), [(["--resume"], True), (["--", "--resume"], False)])
def test_ctrl_c_while_an_earlier_call_is_taken_up_says_how_to_go_on(more: list[str], goes_on: bool) -> None:
    words = ["segment", "my images", "-o", "out", *more]
    does = "signal.raise_signal(signal.SIGINT)"
    code = _LOADING.format(words=words, name="typer", does=does)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 130
    again = [
        "nucleate: stopped; what is finished is kept; go on with:",
        "  nucleate segment 'my images' -o out --resume",
    ]
    assert ended.stderr.splitlines() == (again if goes_on else ["nucleate: stopped"])


def test_the_command_starts_there_too() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"nucleate": f"{start.__module__}:{start.__name__}"}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_is_ignored_stays_ignored(name: str) -> None:
    code = (
        f"import signal; from nucleate.apps.cli import ctrl_c; signal.signal(signal.{name}, signal.SIG_IGN); "
        f"ctrl_c.remember(); signal.raise_signal(signal.{name}); print(ctrl_c.was_pressed())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
