"""The history as TensorBoard reads it, and a disk that is full."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from nucleate.errors import MissingExtraError, OutputError
from nucleate.train.boards import board

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tensorboard")


def _run(*epochs: int) -> Any:  # noqa: ANN401 - a run as far as the board looks at it
    return SimpleNamespace(history=[{"epoch": epoch, "loss": 1 / epoch, "score": epoch / 8} for epoch in epochs])


def _read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_each_epoch_stands_there_once(tmp_path: Path) -> None:
    for history in ([1], [1, 2], [1, 2, 3]):  # the second and third time the run goes on
        report = board(tmp_path / "b")
        report(_run(*history[:1]))
        report(_run(*history))
    assert _read(tmp_path / "b") == {
        "loss": [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))],
        "score": [(1, 0.125), (2, 0.25), (3, 0.375)],
    }


def test_a_full_disk_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    full_disk = pytest.importorskip("tests.full_disk", reason="no limits on this system").full_disk
    report = board(tmp_path / "b")
    report(_run(1))
    with full_disk(900), pytest.raises(OutputError, match=r"cannot write .*tfevents.*: File too large"):
        report(_run(*range(1, 60)))
    assert capfd.readouterr().err == ""


def test_what_cannot_be_loaded_is_told_before_the_first_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    with pytest.raises(MissingExtraError, match=r"^tensorboard cannot be loaded: .*; run: pip"):
        board(tmp_path / "b")
