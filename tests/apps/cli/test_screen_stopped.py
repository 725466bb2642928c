"""``nucleate screen`` that was stopped, and goes on: after some fields, and before the first."""

from __future__ import annotations

import json
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest
from tests.apps.cli.plates import draw_field, moved_plate, screen_call, well_counts
from tests.screen.otsu import OtsuSegmenter, leave

from nucleate.core.files import make_folder
from nucleate.run.journal import PARTS_NAME
from nucleate.run.outputs import alone
from nucleate.screen.results import RECORD_NAME, read_record

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _stop_at(monkeypatch: pytest.MonkeyPatch, number: int, *, folder: Path) -> list[int]:
    """Stop at a field, once those before it are in the journal; gives a list that has an entry for each field."""
    whole, calls = OtsuSegmenter.segment, list[int]()
    journal = folder / "out" / "fields" / ".nucleate-journal.jsonl"

    def stopped(self: OtsuSegmenter, *args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == number:
            until = monotonic() + 20
            while journal.read_text("utf-8").count('"ok"') < number - 1 and monotonic() < until:
                sleep(0.01)
            raise KeyboardInterrupt
        return whole(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(OtsuSegmenter, "segment", stopped)
    return calls


def test_a_screen_that_was_stopped_knows_its_plate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, nuclei in (("A01_1_DAPI", 2), ("A02_1_DAPI", 1)):
        draw_field(tmp_path / "p" / f"{name}.tif", nuclei)
    calls = _stop_at(monkeypatch, 2, folder=tmp_path)
    leave(*screen_call(tmp_path), "--threads", "1", "--quiet", code=130)
    assert not (tmp_path / "out" / "wells.csv").exists()
    other = tmp_path / "other"
    for name in ("A01_1_DAPI", "A02_1_DAPI"):
        draw_field(other / "p" / f"{name}.tif", 4)
    leave(*screen_call(other), "-o", tmp_path / "out", "--resume", "--quiet", code=2)
    assert "another plate: none of its pictures is in this one, or all of them were changed" in capsys.readouterr().err
    leave(*screen_call(tmp_path), "--pattern", "{well}_{field}_{any}", "--resume", "--quiet", code=2)
    leave(*moved_plate(tmp_path, "elsewhere"), "--resume", "--quiet")
    assert (well_counts(tmp_path), len(calls)) == ({"A01": "2", "A02": "1"}, 3)


def test_a_screen_that_was_stopped_at_once_knows_its_plate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("A01_1", "A02_1", "A02_2"):
        draw_field(tmp_path / "p" / f"{name}.tif", 1)
    words = (*screen_call(tmp_path), "--threads", "1", "--quiet")
    calls = _stop_at(monkeypatch, 1, folder=tmp_path)
    leave(*words, "--pattern", "{well}_{field}", "--unit", "nM", code=130)
    leave(*words, "--pattern", "{well}_{z}", "--resume", code=2)
    assert "made with --pattern {well}_{field}, got {well}_{z}" in capsys.readouterr().err
    leave(*words, "--pattern", "{well}_{field}", "--resume")
    assert (well_counts(tmp_path), len(calls)) == ({"A01": "1", "A02": "2"}, 4)
    assert read_record(tmp_path / "out" / RECORD_NAME).unit == "nM"


def test_a_screen_that_is_refused_before_its_first_field_leaves_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_field(tmp_path / "p" / "A01_1_DAPI.tif", 1)
    fields = tmp_path / "out" / "fields"
    make_folder(fields / PARTS_NAME)
    with alone(fields):
        leave(*screen_call(tmp_path), "--quiet", code=2)
    assert "another run is writing" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == [fields]


def test_a_screen_that_was_stopped_at_once_may_take_another_channel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A01_1_DAPI", "A01_1_GFP", "A02_1_DAPI", "A02_1_GFP"):
        draw_field(tmp_path / "p" / f"{name}.tif", 1)
    words = (*screen_call(tmp_path), "--threads", "1", "--quiet")
    for number, scale, channel, more in ((1, 0.25, "DAPI", []), (2, 1.0, "GFP", ["--resume"])):
        monkeypatch.setattr("nucleate.screen.scale.plate_scale", lambda *args, found=scale, **options: found)
        with monkeypatch.context() as stopping:
            _stop_at(stopping, number, folder=tmp_path)
            leave(*words, "--channel", channel, *more, code=130)
        assert read_record(tmp_path / "out" / RECORD_NAME).channel == channel
        assert _scale(tmp_path) == scale


def _scale(folder: Path) -> object:
    return json.loads((folder / "out" / "fields" / "run.json").read_text("utf-8"))["settings"]["scale"]


def test_a_screen_in_which_all_failed_settles_its_unit_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_field(tmp_path / "p" / "A01_1_DAPI.tif", 2)
    words = (*screen_call(tmp_path), "--threads", "1", "--quiet")
    monkeypatch.setattr("nucleate.screen.scale.plate_scale", lambda *args, **options: 0.25)
    with monkeypatch.context() as failing:
        failing.delattr(OtsuSegmenter, "segment")
        leave(*words, "--unit", "nM", code=1)
    monkeypatch.setattr("nucleate.screen.scale.plate_scale", lambda *args, **options: 1.0)
    leave(*words, "--resume")
    assert _scale(tmp_path) == 1.0
    assert read_record(tmp_path / "out" / RECORD_NAME).unit == "nM"


@pytest.mark.parametrize("is_broken", [False, True])
def test_another_plate_does_not_take_the_unit_of_one_in_which_all_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_broken: bool
) -> None:
    words = (*screen_call(tmp_path), "--threads", "1", "--quiet")
    draw_field(tmp_path / "p" / "A01_1_DAPI.tif", 2)
    with monkeypatch.context() as failing:
        failing.delattr(OtsuSegmenter, "segment")
        leave(*words, "--unit", "nM", code=1)
    if is_broken:
        (tmp_path / "out" / RECORD_NAME).write_text("{", "utf-8")
    (tmp_path / "p").rename(tmp_path / "gone")
    draw_field(tmp_path / "p" / "A01_2_DAPI.tif", 2)
    leave(*words, "--resume")
    assert read_record(tmp_path / "out" / RECORD_NAME).unit == ""
