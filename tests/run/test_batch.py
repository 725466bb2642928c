"""A batch of files: results complete, bad inputs kept apart, nothing lost, resumed equals unbroken."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from tests.fakes import FakeSegmenter
from tests.tables import rows_of

from nucleate.apps.cli import main as door
from nucleate.errors import ModelError, OutputError, UsageError
from nucleate.run import outputs
from nucleate.run.batch import BatchSummary, Report, run_batch
from nucleate.run.inputs import expand
from nucleate.run.journal import PARTS_NAME
from nucleate.run.settings import BatchSettings
from nucleate.run.threads import WORKER_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def spots(rows: int = 40, columns: int = 50, *, count: int = 3) -> NDArray[np.uint8]:
    """Draw `count` bright squares of 36 pixels on a dark ground."""
    image = np.full((rows, columns), 10, np.uint8)
    for i in range(count):
        image[4:10, 3 + 12 * i : 9 + 12 * i] = 200
    return image


def save(path: Path, pixels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Pillow.fromarray(pixels).save(path)
    return path


def go(top: Path, out: Path, *, segmenter: Any = None, notify: Any = lambda _: None, **settings: Any) -> BatchSummary:  # noqa: ANN401
    sources, chosen = expand([str(top)], output=out), BatchSettings(**settings)
    return run_batch(sources, out, segmenter=segmenter or FakeSegmenter(), settings=chosen, notify=notify)


def contents(out: Path, *, but: tuple[str, ...] = ("summary.csv", "run.json")) -> dict[str, str]:
    """Hash every visible file of a folder whose content must not depend on the clock."""
    files = [p for p in sorted(out.iterdir()) if p.is_file() and not p.name.startswith(".") and p.name not in but]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        save(tmp_path / "in" / f"f{number}.png", spots(count=number))
    return tmp_path / "in"


def test_every_file_is_there_and_says_the_truth(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    summary = go(folder, out, exports=("labels", "overlay", "measurements", "rle"))
    assert [o.nuclei for o in summary.outcomes] == [0, 1, 2, 3]
    labels = tifffile.imread(out / "f3.labels.tif")
    assert labels.dtype == np.uint16
    assert (labels.shape, int(labels.max())) == ((40, 50), 3)
    with Pillow.open(out / "f3.overlay.png") as overlay:
        assert overlay.size == (50, 40)
    rows = rows_of(out / "measurements.csv")
    assert [(r["image"], r["label"], r["area_px"]) for r in rows] == [
        (f"f{n}", str(i), "36") for n in range(4) for i in range(1, n + 1)
    ]
    assert rows[0]["mean_intensity"] == "200"
    assert [r["ImageId"] for r in rows_of(out / "submission.csv")] == ["f0", "f1", "f2", "f2", "f3", "f3", "f3"]
    assert rows_of(out / "submission.csv")[0]["EncodedPixels"] == ""
    lines = rows_of(out / "summary.csv")
    assert list(lines[0]) == ["image", "status", "nuclei", "median_area_px", "seconds", "error"]
    assert [(r["status"], r["nuclei"], r["median_area_px"]) for r in lines][:2] == [("ok", "0", ""), ("ok", "1", "36")]
    record = json.loads((out / "run.json").read_text())
    content = (folder / "f0.png").read_bytes()
    assert record["inputs"][0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["settings"]["export"] == "labels,measurements,overlay,rle"


def test_only_what_was_asked_for_is_written(folder: Path, tmp_path: Path) -> None:
    go(folder, tmp_path / "out", exports=("rle",))
    assert sorted(contents(tmp_path / "out", but=())) == ["run.json", "submission.csv", "summary.csv"]


def test_unknown_exports_are_named() -> None:
    assert outputs.check_exports("rle, Labels,rle") == ("rle", "labels")
    with pytest.raises(UsageError, match="no export roi; available: labels, overlay, measurements, rle, geojson"):
        outputs.check_exports("labels,roi")
    with pytest.raises(UsageError, match="no export named"):
        outputs.check_exports(",")


def test_stacks_are_one_label_stack_and_rows_name_the_plane(tmp_path: Path) -> None:
    stack = np.stack([spots(count=1), spots(count=0), spots(count=3)])
    tifffile.imwrite(tmp_path / "in.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"})
    save(tmp_path / "flat.png", spots(count=1))
    sources = expand([str(tmp_path / "flat.png"), str(tmp_path / "in.tif")])
    settings = BatchSettings(exports=("labels", "overlay", "measurements", "rle"))
    run_batch(sources, tmp_path / "out", segmenter=FakeSegmenter(), settings=settings)
    labels = tifffile.imread(tmp_path / "out" / "in.labels.tif")
    assert labels.shape == (3, 40, 50)
    assert [int(p.max()) for p in labels] == [1, 0, 4]
    rows = rows_of(tmp_path / "out" / "measurements.csv")
    assert list(rows[0])[:3] == ["image", "plane", "label"]
    assert [(r["image"], r["plane"], r["label"]) for r in rows] == [
        ("flat", "", "1"), ("in", "0", "1"), ("in", "2", "2"), ("in", "2", "3"), ("in", "2", "4"),
    ]  # fmt: skip
    assert {r["confidence"] for r in rows} == {"0.5"}
    assert [r["ImageId"] for r in rows_of(tmp_path / "out" / "submission.csv")][:3] == ["flat", "in/0", "in/1"]


def test_two_runs_do_not_write_into_one_folder_at_once(folder: Path, tmp_path: Path) -> None:
    def second(_: Report) -> None:
        (tmp_path / "out" / ".writing-f.png").touch()  # of the first run
        with pytest.raises(UsageError, match="out: another run is writing there; wait for it or choose another output"):
            go(folder, tmp_path / "out", resume=True)
        assert (tmp_path / "out" / ".writing-f.png").exists()

    assert go(folder, tmp_path / "out", notify=second).count("ok") == 4
    assert go(folder, tmp_path / "out", resume=True).count("ok") == 4


def test_channels_are_chosen_and_all_of_them_measured(tmp_path: Path) -> None:
    pixels = np.stack([np.full((40, 50), 7, np.uint16), spots(count=2).astype(np.uint16)])
    metadata = {"axes": "CYX", "Labels": ["GFP", "DAPI"]}
    tifffile.imwrite(tmp_path / "c.tif", pixels, imagej=True, metadata=metadata)
    go(tmp_path / "c.tif", tmp_path / "auto")
    rows = rows_of(tmp_path / "auto" / "measurements.csv")
    assert [(r["mean_intensity_GFP"], r["mean_intensity_DAPI"]) for r in rows] == [("7", "200"), ("7", "200")]
    go(tmp_path / "c.tif", tmp_path / "first", channel="0")
    assert rows_of(tmp_path / "first" / "summary.csv")[0]["nuclei"] == "0"
    bad = go(tmp_path / "c.tif", tmp_path / "none", channel="5")
    assert "no channel '5'" in bad.outcomes[0].error


def test_inputs_of_one_stem_never_overwrite_each_other(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a" / "x.png", spots(count=1))
    save(tmp_path / "in" / "b" / "x.png", spots(count=2))
    save(tmp_path / "in" / "b" / "x.tif", spots(count=3))
    out = tmp_path / "out"
    go(tmp_path / "in", out)
    found = {r["image"]: r["nuclei"] for r in rows_of(out / "summary.csv")}
    assert found == {"x": "1", "x-2": "2", "x-3": "3"}
    assert [tifffile.imread(out / f"{n}.labels.tif").max() for n in found] == [1, 2, 3]
    save(tmp_path / "in" / "0" / "x.png", spots(count=0))
    go(tmp_path / "in", out, resume=True)
    assert {r["image"]: r["nuclei"] for r in rows_of(out / "summary.csv")} == found | {"x-4": "0"}


def test_results_in_the_input_folder_are_not_segmented_again(folder: Path) -> None:
    go(folder, folder)
    again = go(folder, folder, resume=True)
    assert [o.name for o in again.outcomes] == ["f0", "f1", "f2", "f3"]


@pytest.mark.parametrize("standing", ["summary.csv", "run.json", "measurements.csv", "f1.labels.tif", "f2.overlay.png"])
@pytest.mark.parametrize("resume", [False, True])
def test_what_stands_in_the_folder_is_not_overwritten(
    folder: Path,
    tmp_path: Path,
    standing: str,
    resume: bool,
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / standing).write_text("mine")
    with pytest.raises(UsageError, match="would be overwritten"):
        go(folder, out, resume=resume)
    assert (out / standing).read_text() == "mine"
    assert not (out / "f0.labels.tif").exists()


def test_resume_starts_where_nothing_was_begun(folder: Path, tmp_path: Path) -> None:
    assert go(folder, tmp_path / "out", resume=True).count("ok") == 4


def test_resume_asks_for_the_same_settings(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    go(folder, out, deciding={"min_area": 5})
    before = contents(out, but=())
    with pytest.raises(UsageError, match="min_area was 5, is now 6"):
        go(folder, out, deciding={"min_area": 6}, resume=True)
    with pytest.raises(UsageError, match="add --resume to go on"):
        go(folder, out, deciding={"min_area": 5})
    assert contents(out, but=()) == before


class Counting(FakeSegmenter):
    """Notes the names of what it segments."""

    def segment(self, image: Any, *, max_bytes: int | None = None) -> Any:  # noqa: ANN401
        self.__dict__.setdefault("seen", []).append(image.name.rsplit("/", 1)[-1])
        return super().segment(image, max_bytes=max_bytes)


def test_resume_does_what_is_new_changed_lost_or_failed_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (folder / "bad.png").write_bytes(b"")
    go(folder, out)
    save(folder / "f1.png", spots(count=3))
    (out / "f2.labels.tif").unlink()
    save(folder / "bad.png", spots(count=1))
    save(folder / "new.png", spots(count=2))
    reports: list[Report] = []
    counting = Counting()
    summary = go(folder, out, segmenter=counting, resume=True, notify=reports.append)
    assert counting.__dict__["seen"] == ["bad.png", "f1.png", "f2.png", "new.png"]
    assert [r.outcome.name for r in reports if r.resumed] == ["f0", "f3"]
    assert [(o.name, o.nuclei) for o in summary.outcomes] == [
        ("bad", 1), ("f0", 0), ("f1", 3), ("f2", 2), ("f3", 3), ("new", 2),
    ]  # fmt: skip
    assert len(rows_of(out / "measurements.csv")) == 11
    fewer = run_batch(
        expand([str(folder / "f3.png")]), out, segmenter=FakeSegmenter(), settings=BatchSettings(resume=True)
    )
    assert (fewer.count("ok"), len(fewer.earlier)) == (1, 5)
    assert len(rows_of(out / "measurements.csv")) == 11


@pytest.mark.parametrize("emptied", ["f2.labels.tif", f"{PARTS_NAME}/f2.measurements.csv"])
def test_resume_does_again_what_left_an_empty_file(folder: Path, tmp_path: Path, emptied: str) -> None:
    out, counting = tmp_path / "out", Counting()
    go(folder, out)
    before = contents(out)
    (out / emptied).write_bytes(b"")
    go(folder, out, segmenter=counting, resume=True)
    assert counting.__dict__["seen"] == ["f2.png"]
    assert contents(out) == before


def test_one_bad_file_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    (folder / "f1x.png").write_bytes(b"no picture")
    summary = go(folder, tmp_path / "out")
    assert [o.status for o in summary.outcomes] == ["ok", "ok", "failed", "ok", "ok"]
    row = rows_of(tmp_path / "out" / "summary.csv")[2]
    assert (row["image"], row["status"], row["nuclei"]) == ("f1x", "failed", "")
    assert "f1x.png" in row["error"]


def test_fail_fast_stops_and_keeps_what_is_finished(folder: Path, tmp_path: Path) -> None:
    (folder / "f1x.png").write_bytes(b"")
    summary = go(folder, tmp_path / "out", fail_fast=True)
    assert [o.status for o in summary.outcomes] == ["ok", "ok", "failed", "not done", "not done"]
    assert [r["status"] for r in rows_of(tmp_path / "out" / "summary.csv")].count("not done") == 2
    assert (tmp_path / "out" / "f1.labels.tif").exists()


def test_workers_have_ended_when_a_batch_stops_at_a_failure(folder: Path, tmp_path: Path) -> None:
    class Slow(FakeSegmenter):
        def segment(self, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it is given
            time.sleep(0.3)
            return super().segment(*words, **named)

    before = set(threading.enumerate())
    (folder / "e.png").write_bytes(b"")
    summary = go(folder, tmp_path / "out", segmenter=Slow(), fail_fast=True, at_once=3)
    assert summary.count("failed") == 1
    assert not set(threading.enumerate()) - before


def test_what_is_finished_stays_in_the_tables_when_a_resume_stops(folder: Path, tmp_path: Path) -> None:
    go(folder, tmp_path / "out")
    (folder / "e.png").write_bytes(b"")
    summary = go(folder, tmp_path / "out", resume=True, fail_fast=True)
    assert [o.status for o in summary.outcomes] == ["failed", "ok", "ok", "ok", "ok"]
    assert len(rows_of(tmp_path / "out" / "measurements.csv")) == 6
    (folder / "e.png").unlink()
    again = go(folder, tmp_path / "out", resume=True)
    assert (again.count("failed"), [o.status for o in again.earlier]) == (0, [])


def test_a_fault_of_the_program_is_one_input_s_failure(folder: Path, tmp_path: Path) -> None:
    summary = go(folder, tmp_path / "out", segmenter=FakeSegmenter(error=ZeroDivisionError("by\nzero")))
    assert summary.count("failed") == 4
    assert summary.outcomes[0].error.endswith("f0.png: unexpected ZeroDivisionError: by\\nzero; see --debug")
    summary = go(folder, tmp_path / "memory", segmenter=FakeSegmenter(error=MemoryError()))
    assert "f0.png: not enough memory; give a lower --memory" in summary.outcomes[0].error


def test_a_broken_model_stops_everything(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights"):
        go(folder, tmp_path / "out", segmenter=FakeSegmenter(error=ModelError("weights")))


def test_a_picture_too_large_for_the_memory_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "in" / "big.png", np.zeros((2000, 2000), np.uint8))
    save(tmp_path / "in" / "small.png", spots())
    summary = go(tmp_path / "in", tmp_path / "out", max_bytes=10_000_000)
    assert [o.status for o in summary.outcomes] == ["failed", "ok"]
    assert "2000 x 2000 pixels need about" in summary.outcomes[0].error


def test_a_zip_gives_the_names_of_its_members(tmp_path: Path) -> None:
    save(tmp_path / "p" / "ab.png", spots(count=2))
    path = tmp_path / "test.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "p" / "ab.png", "ab/images/ab.png")
        archive.writestr("cd/images/cd.png", b"")
    summary = go(path, tmp_path / "out", exports=("rle",))
    assert [(o.name, o.status) for o in summary.outcomes] == [("ab", "ok"), ("cd", "failed")]
    assert f"{path}!cd/images/cd.png" in summary.outcomes[1].error
    assert [r["ImageId"] for r in rows_of(tmp_path / "out" / "submission.csv")] == ["ab", "ab"]


class Disk:
    """Gives out, after a number of writes, the error of a full disk."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def fsync(self, _: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize("writes", [0, 1, 2, 3, 5, 9, 14, 19])
def test_a_full_disk_is_one_line_and_nothing_is_half_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    go(folder, whole)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Disk(writes).fsync)
        with pytest.raises(OutputError, match=r"No space left on device; free space"):
            go(folder, out)
    assert contents(out).items() <= contents(whole).items()
    assert not list(out.rglob(".writing-*"))
    go(folder, out, resume=True)
    assert contents(out) == contents(whole)


def test_ctrl_c_keeps_what_is_finished(folder: Path, tmp_path: Path) -> None:
    def interrupt(report: Report) -> None:
        if report.done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "out"
    summary = go(folder, out, notify=interrupt)
    assert summary.interrupted
    assert [o.status for o in summary.outcomes] == ["ok", "ok", "not done", "not done"]
    assert len(rows_of(out / "measurements.csv")) == 1
    resumed = go(folder, out, resume=True)
    assert resumed.count("ok") == 4
    go(folder, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_one_input_is_in_hand_at_a_time(folder: Path, tmp_path: Path) -> None:
    class Watching(FakeSegmenter):
        started = 0

        def segment(self, image: Any, *, max_bytes: int | None = None) -> Any:  # noqa: ANN401
            Watching.started += 1
            return super().segment(image, max_bytes=max_bytes)

    ahead = []

    def notify(report: Report) -> None:
        threading.Event().wait(0.05)
        ahead.append(Watching.started - report.done)

    go(folder, tmp_path / "out", segmenter=Watching(), notify=notify)
    assert ahead == [0, 0, 0, 0]


def test_no_thread_is_left_behind(folder: Path, tmp_path: Path) -> None:
    (folder / "f0.png").write_bytes(b"")
    go(folder, tmp_path / "out", fail_fast=True)
    go(folder, tmp_path / "whole")
    end = time.monotonic() + 10
    while any(thread.name == WORKER_NAME for thread in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert WORKER_NAME not in {thread.name for thread in threading.enumerate()}
    assert WORKER_NAME in door._LINGERING


def test_settings_name_what_decides() -> None:
    settings = BatchSettings(exports=("rle", "labels"), deciding={"scale": 1.5})
    assert settings.fingerprint() == replace(settings, exports=("labels", "rle"), resume=True).fingerprint()
    assert settings.fingerprint()["scale"] == 1.5
