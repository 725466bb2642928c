"""``nucleate serve`` as a process of its own: start, ask, segment, Ctrl-C."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.calls import call

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.base

_needed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn")), reason="needs the extra web"
)


class _Server:
    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        scratch = folder / "scratch"
        scratch.mkdir(exist_ok=True)
        quiet = [] if "BROWSER" in environment else ["--no-browser"]
        call = [sys.executable, "-m", "nucleate", "serve", *quiet, "--threads", "1", *words]
        given = os.environ | {"TMPDIR": str(scratch), "HOME": str(scratch)} | environment
        self.process = subprocess.Popen(call, cwd=folder, stderr=subprocess.PIPE, text=True, env=given)
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\?secret=(\S+)", self.said)
        assert found is not None, self.said + self.process.stderr.read()
        self.port, self.secret = int(found[1]), found[2]

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"cookie": f"nucleate-{self.port}={self.secret}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def stop(self, how: int = signal.SIGINT) -> tuple[int, float, str]:
        started = time.monotonic()
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, time.monotonic() - started, said


@pytest.fixture
def server(tmp_path: Path, shipped_model: Path) -> Iterator[_Server]:
    assert shipped_model.is_file()
    started = _Server(tmp_path)
    yield started
    started.process.kill()
    started.process.communicate(timeout=30)


def _wait(server: _Server, *states: str) -> dict[str, Any]:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        state = server.ask("/api/state")
        if state["job"] and state["job"]["state"] in states:
            return state
        time.sleep(0.05)
    pytest.fail(f"the run did not become {states}")


@_needed
def test_samples_are_segmented_and_ctrl_c_ends_it(server: _Server, tmp_path: Path) -> None:
    assert len(server.ask("/api/samples", {})["images"]) == 4
    server.ask("/api/run", {"images": [2]})
    state = _wait(server, "done", "failed")
    assert [image["status"] for image in state["images"]] == ["new", "ok", "new", "new"]
    assert (tmp_path / "nucleate-results" / "drawn-fluorescence.labels.tif").is_file()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/state", timeout=30)
    code, seconds, said = server.stop()
    assert code == 130
    assert seconds < 2
    assert "nucleate: stopped" in said
    assert "Traceback" not in said


@_needed
def test_ctrl_c_ends_it_while_it_computes(server: _Server, tmp_path: Path) -> None:
    server.ask("/api/samples", {})
    for scale in (4, 3):
        server.ask("/api/run", {"choices": {"scale": scale, "tta": True}})
    _wait(server, "running")
    code, seconds, said = server.stop()
    assert (code, seconds < 2, "Traceback" in said) == (130, True, False)
    assert not [*tmp_path.rglob("*.labels.tif.*"), *tmp_path.glob("nucleate-results/.writing-*")]
    assert not [*(tmp_path / "scratch").glob("nucleate*")]


@_needed
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_however_it_is_ended_nothing_is_left(name: str, server: _Server, tmp_path: Path) -> None:
    if signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as under nohup, and so by the server")
    number = server.ask("/api/samples", {})["images"][1]
    server.ask(f"/api/images/{number}")
    assert list((tmp_path / "scratch").iterdir())
    code, seconds, said = server.stop(getattr(signal, name))
    assert (code, "nucleate: stopped" in said, "Traceback" in said) == (130, True, False)
    assert seconds < 5
    assert list((tmp_path / "scratch").iterdir()) == []


@_needed
@pytest.mark.skipif(sys.platform == "win32", reason="others do not see what a program is started with there")
def test_the_browser_is_started_without_the_secret(tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser.py", tmp_path / "seen"
    browser.write_text("import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])")
    server = _Server(tmp_path, BROWSER=f"{sys.executable} {browser} {seen} %s")
    end = time.monotonic() + 30
    while time.monotonic() < end and not (seen.is_file() and seen.read_text()):
        time.sleep(0.05)
    page = Path(urllib.request.url2pathname(seen.read_text().removeprefix("file://")))
    assert server.secret not in seen.read_text()
    assert page.parent.stat().st_mode & 0o777 == 0o700
    assert f'url=http://127.0.0.1:{server.port}/?secret={server.secret}"' in page.read_text()
    assert server.stop()[0] == 130
    assert not page.exists()


def test_a_model_that_was_checked_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from nucleate.apps.web import choices, server

    model, given = object(), {}
    monkeypatch.setattr(choices, "load", lambda *_: model)
    monkeypatch.setattr(server, "serve", lambda *_, **options: given.update(options))
    assert call("serve", "--no-browser", "--model", "nucleate", "-o", tmp_path / "out") == 0
    assert given["ready"] is model


@_needed
def test_a_taken_port_is_one_line_and_a_free_one_is_found(
    server: _Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Before a model is looked for, which takes longer.
    assert call("serve", "--no-browser", "--port", server.port, "-o", tmp_path / "x", "--model", "nonesuch") == 2
    assert f"--port {server.port}" in capsys.readouterr().err
    other = _Server(tmp_path)
    assert other.port != server.port
    assert other.stop()[0] == 130


@_needed
def test_only_this_machine_reaches_it(server: _Server) -> None:
    assert server.said.startswith("nucleate: the page is at http://127.0.0.1:")
    with socket.socket() as outside:
        outside.settimeout(2)
        assert outside.connect_ex(("127.0.0.2", server.port)) != 0


@_needed
def test_a_wrong_model_is_said_before_the_page_opens(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("serve", "--no-browser", "--model", "nonesuch") == 2
    assert "nonesuch" in capsys.readouterr().err


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    if found("fastapi") is None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fastapi" else found(name))
    assert call("serve", "--no-browser") == 2
    assert "pip install 'nucleate[web]'" in capsys.readouterr().err


@_needed
def test_a_library_that_cannot_be_loaded_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError('no libfoo.so.1')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "uvicorn", raising=False)
    assert call("serve", "--no-browser", "-o", tmp_path / "out") == 2
    assert "uvicorn cannot be loaded: no libfoo.so.1; run: pip install" in capsys.readouterr().err


@_needed
def test_a_folder_that_may_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)
    monkeypatch.setattr("nucleate.apps.web.server.serve", lambda *_, **__: None)
    assert call("serve", "--output", tmp_path / "new" / "out", "--no-browser") == 0
    assert f"{tmp_path} may not be written, so no results can be; name another folder" in capsys.readouterr().err
    assert call("serve", "--output", Path(__file__).parent, "--no-browser") == 0
    assert capsys.readouterr().err == ""


def test_a_file_is_no_folder_for_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("")
    assert call("serve", "--no-browser", "-o", tmp_path / "out") == 2
    assert "nucleate: " in capsys.readouterr().err
