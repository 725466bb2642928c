"""A lock is held by one at a time, and is let go when its holder ends, killed or not."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from nucleate.core.lock import locked
from nucleate.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

HOLDER = """
import sys
from nucleate.core.lock import locked
with locked(sys.argv[1]) as ours:
    print(ours, flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with locked(path) as first:
        assert first
        with locked(path, wait=False) as second:
            assert not second
        with locked(tmp_path / "b.lock", wait=False) as other:
            assert other
    with locked(path, wait=False) as again:
        assert again


def test_who_waits_comes_after(tmp_path: Path) -> None:
    order = []

    def wait() -> None:
        with locked(tmp_path / "a.lock") as ours:
            order.append(ours)

    waiting = threading.Thread(target=wait)
    with locked(tmp_path / "a.lock"):
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        assert order == []
    waiting.join(10)
    assert order == [True]


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gone"), locked(tmp_path / "a.lock"):
        raise ValueError("gone")
    with locked(tmp_path / "a.lock", wait=False) as ours:
        assert ours


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    call = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with locked(path, wait=False) as ours:
            assert not ours
        holder.kill()
    with locked(path, wait=False) as ours:
        assert ours


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"), locked(tmp_path / "none" / "a.lock"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="locks of another kind")
def test_everyone_is_let_in_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path / "a.lock", wait=False) as first, locked(tmp_path / "a.lock", wait=False) as second:
        assert first
        assert second
