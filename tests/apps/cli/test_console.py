"""The progress bar: what it shows, where, and what counts for its rate."""

from __future__ import annotations

import io
import sys
import time

import pytest

from nucleate.apps.cli import console

pytestmark = pytest.mark.base


class Screen(io.StringIO):
    """A terminal, or not, that keeps what was shown."""

    def __init__(self, *, terminal: bool = True) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + 30
        while text not in self.getvalue():
            assert time.monotonic() < end, f"no {text!r} in {self.getvalue()!r}"
            time.sleep(0.01)

    def forget(self) -> None:
        self.seek(0)
        self.truncate()


def look_at(monkeypatch: pytest.MonkeyPatch, screen: Screen) -> Screen:
    """Put a screen in the place of stderr, with a bar that comes at once; not in a fixture: pytest has its own."""
    monkeypatch.setattr(console, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return screen


def test_another_thing_takes_the_place_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = look_at(monkeypatch, Screen())
    with console.Bar("batches", None) as bar:
        bar.stage("batches", 3, total=4)
        screen.wait_for("3/4")
        bar.stage("recipes tried", 17, total=None)
        screen.wait_for("17/?")
        time.sleep(0.3)
        screen.forget()
        bar.stage("recipes tried", 18, total=None)
        screen.wait_for("18/?")
        assert "batches" not in screen.getvalue()


def test_strips_of_a_large_image_have_a_line_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = look_at(monkeypatch, Screen())
    with console.Bar("images", 2) as bar:
        screen.wait_for("0/2")
        assert "strips" not in screen.getvalue()
        bar.show_part("strips of [b]huge", 40, total=50)  # 40 of them from an earlier run
        bar.show_part("strips of [b]huge", 41, total=50)
        screen.wait_for("41/50")
        assert "strips of [b]huge" in screen.getvalue()
        bar.show_part("strips of [b]huge", 42, total=50)
        screen.wait_for("42/50")
        bar.show(1)
        screen.wait_for("1/2")
        time.sleep(0.3)
        screen.forget()
        bar.say("a [line]")
        time.sleep(0.3)
        assert "strips" not in screen.getvalue()
        assert "a [line]" in screen.getvalue()


def test_what_was_there_does_not_count_for_the_rate() -> None:
    line = console._Line("strips of a", 50, first=40)
    assert line.rate() == ""
    line._since -= 20
    line.done = 42
    assert line.rate() == "10.0 s each"
    line.done = 80
    assert line.rate() == "2.0 strips a second"


@pytest.mark.parametrize(("terminal", "quiet"), [(False, False), (True, True)])
def test_nothing_is_shown_where_nobody_looks(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, quiet: bool) -> None:
    screen = look_at(monkeypatch, Screen(terminal=terminal))
    with console.Bar("images", 2, quiet=quiet) as bar:
        bar.show_part("strips of a", 1, total=5)
        bar.show(1)
        time.sleep(0.2)
    assert screen.getvalue() == ""
