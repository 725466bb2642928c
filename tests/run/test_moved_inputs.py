"""Inputs that lie elsewhere when a run goes on, and those that are part of other inputs by then."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from time import process_time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from tests.io.ome_sets import write_set
from tests.run.test_batch import contents, go, save, spots
from tests.tables import rows_of

from nucleate.core.image import Image
from nucleate.run.inputs import Source
from nucleate.run.journal import Journal, Outcome
from nucleate.run.moved_inputs import moved
from nucleate.run.segmentation import Segmentation

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _images(out: Path) -> list[str]:
    """List the images of a folder of results, as its tables, its record and its files have them."""
    names = [row["image"] for row in rows_of(out / "summary.csv")]
    assert sorted(path.name.removesuffix(".labels.tif") for path in out.glob("*.labels.tif")) == sorted(names)
    assert [one["name"] for one in json.loads((out / "run.json").read_text())["inputs"]] == names
    return names


def test_a_folder_that_was_moved_is_not_done_again(tmp_path: Path) -> None:
    for place in ("a/x.png", "b/x.png", "c.png"):
        save(tmp_path / "in" / place, spots(count=len(place) % 3 + 1))
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    go(tmp_path / "in", tmp_path / "out")
    before = contents(tmp_path / "out")
    shutil.copytree(tmp_path / "in", tmp_path / "copy")
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    told: list[bool] = []
    go(tmp_path / "elsewhere", tmp_path / "out", resume=True, notify=lambda report: told.append(report.resumed))
    assert (sorted(told), contents(tmp_path / "out")) == ([False, True, True, True], before)
    names = [row["image"] for row in rows_of(tmp_path / "out" / "summary.csv")]
    assert sorted(names) == ["bad", "c", "x", "x-2"]
    go(tmp_path / "copy", tmp_path / "out", resume=True)
    assert len(rows_of(tmp_path / "out" / "summary.csv")) == 7, "the others that went well are still there"


def test_what_was_corrected_by_hand_is_counted_so_and_stays_when_a_run_goes_on(tmp_path: Path) -> None:
    for count, name in enumerate(("a", "b", "c")):
        save(tmp_path / "in" / f"{name}.png", spots(count=count))
    out = tmp_path / "out"
    go(tmp_path / "in", out)
    before = rows_of(out / "summary.csv")
    labels = np.zeros((40, 50), np.int32)
    labels[:5, :5], labels[10:13, :5] = 1, 2
    corrected = Segmentation(labels, np.full(2, np.nan, np.float32), Image(spots(), name="b.png"))
    corrected.save(out, ["geojson"])
    assert rows_of(out / "summary.csv") == before, "outlines alone are beside the nuclei of the run"
    corrected.save(out)
    before[1] |= {"nuclei": "2", "median_area_px": "20"}
    assert rows_of(out / "summary.csv") == before
    after = contents(out, but=("run.json",))
    assert len(rows_of(out / "measurements.csv")) == 4
    told: list[bool] = []
    go(tmp_path / "in", out, resume=True, notify=lambda report: told.append(report.resumed))
    assert (told, contents(out, but=("run.json",))) == ([True] * 3, after)


def test_another_picture_of_the_name_of_one_that_is_gone_is_done(tmp_path: Path) -> None:
    save(tmp_path / "in" / "x.png", spots(count=1))
    go(tmp_path / "in", tmp_path / "out")
    shutil.rmtree(tmp_path / "in")
    save(tmp_path / "new" / "x.png", spots(count=2))
    go(tmp_path / "new", tmp_path / "out", resume=True)
    assert [row["nuclei"] for row in rows_of(tmp_path / "out" / "summary.csv")] == ["2", "1"]


def test_what_failed_moves_with_its_folder_and_takes_nothing_of_another(tmp_path: Path) -> None:
    for place in ("a", "b"):
        save(tmp_path / "in" / place / "x.png", spots(count=2))
    (tmp_path / "in" / "a" / "x.png").write_bytes(b"no picture")
    go(tmp_path / "in", tmp_path / "out")
    shutil.move(tmp_path / "in", tmp_path / "new")
    (tmp_path / "new" / "a" / "x.png").unlink()
    told: list[bool] = []
    go(tmp_path / "new", tmp_path / "out", resume=True, notify=lambda report: told.append(report.resumed))
    assert told == [True]
    save(tmp_path / "day2" / "x.png", spots(count=1))
    go(tmp_path / "day2", tmp_path / "out", resume=True)
    rows = [(row["image"], row["status"], row["nuclei"]) for row in rows_of(tmp_path / "out" / "summary.csv")]
    assert sorted(rows) == [("x-2", "ok", "2"), ("x-3", "ok", "1")]


def test_what_failed_and_is_gone_is_told_no_more(tmp_path: Path) -> None:
    save(tmp_path / "in" / "good.png", spots(count=1))
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    go(tmp_path / "in", tmp_path / "out")
    assert [row["status"] for row in rows_of(tmp_path / "out" / "summary.csv")] == ["failed", "ok"]
    (tmp_path / "in" / "bad.png").unlink()
    go(tmp_path / "in", tmp_path / "out", resume=True)
    assert _images(tmp_path / "out") == ["good"]


def test_what_failed_moves_with_its_folder_where_all_files_have_one_name(tmp_path: Path) -> None:
    for count, well in enumerate(("w1", "w2", "w3", "w4"), 1):
        save(tmp_path / "a" / well / "x.png", spots(count=count))
    kept = [path.read_bytes() for path in sorted((tmp_path / "a").glob("w[34]/*"))]
    for path in (tmp_path / "a").glob("w[34]/*"):
        path.write_bytes(path.read_bytes()[:40])
    go(tmp_path / "a", tmp_path / "out")
    (tmp_path / "a").rename(tmp_path / "b")
    for path, content in zip(sorted((tmp_path / "b").glob("w[34]/*")), kept, strict=True):
        path.write_bytes(content)
    go(tmp_path / "b", tmp_path / "out", resume=True)
    assert _images(tmp_path / "out") == ["x", "x-2", "x-3", "x-4"]
    assert [row["nuclei"] for row in rows_of(tmp_path / "out" / "summary.csv")] == ["1", "2", "3", "4"]


def test_members_of_an_archive_that_has_another_name_are_not_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for count, name in enumerate(("top.png", "sub/in.png"), 1):
            archive.write(save(tmp_path / "one.png", spots(count=count)), name)
    go(tmp_path / "a.zip", tmp_path / "out")
    (tmp_path / "a.zip").rename(tmp_path / "b.zip")
    go(tmp_path / "b.zip", tmp_path / "out", resume=True)
    assert (_images(tmp_path / "out"), caplog.text) == (["in", "top"], "")


def test_a_file_that_was_renamed_and_a_copy_are_said_to_count_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("x", "y"):
        save(tmp_path / "in" / f"{name}.png", spots(count=len(name)))
    (tmp_path / "in" / "z.png").write_bytes(b"no picture")
    go(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "x.png").rename(tmp_path / "in" / "control.png")
    save(tmp_path / "in" / "y.png", spots(count=3))
    (tmp_path / "in" / "z.png").rename(tmp_path / "in" / "bad.png")
    go(tmp_path / "in", tmp_path / "out", resume=True)
    assert [row["image"] for row in rows_of(tmp_path / "out" / "summary.csv")] == ["bad", "control", "y", "x"]
    assert "kept what was written of x: inputs of today" in caplog.text
    caplog.clear()
    shutil.copytree(tmp_path / "in", tmp_path / "copy")
    go(tmp_path / "copy", tmp_path / "out", resume=True)
    assert "kept what was written of x, y, control: inputs of today" in caplog.text


def test_one_picture_of_a_file_does_not_count_another_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name in "AB":
            writer.write(spots(count=1 + (name == "B")), metadata={"Name": name})
    go(path, tmp_path / "out")
    path.rename(tmp_path / "new.ome.tif")
    go(tmp_path / "new.ome.tif#1", tmp_path / "out", resume=True)
    assert _images(tmp_path / "out") == ["new_B", "two_A", "two_B"]
    assert "kept what was written of two_B: inputs of today" in caplog.text


def test_pictures_without_nuclei_do_not_count_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for day in ("one", "two"):
        save(tmp_path / day / f"empty_{day}.png", spots(count=0))
        go(tmp_path / day, tmp_path / "out", resume=day == "two")
    assert (_images(tmp_path / "out"), caplog.text) == (["empty_two", "empty_one"], "")


def test_a_file_that_came_to_its_set_is_said_to_count_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in" / "away").mkdir(parents=True)
    _, second = write_set(tmp_path / "in", [["c0.ome.tif", "c1.ome.tif"]])
    alone = second.rename(tmp_path / "in" / "away" / second.name)
    go(tmp_path / "in", tmp_path / "out")
    assert caplog.text == ""
    alone.rename(second)
    go(tmp_path / "in", tmp_path / "out", resume=True)
    assert _images(tmp_path / "out") == ["c0.ome", "c1.ome"]
    assert "kept what was written of c1.ome: inputs of today" in caplog.text


def test_many_inputs_of_one_name_are_looked_up_not_searched_for(tmp_path: Path) -> None:
    places = {f"/gone/{n}/x.png": tmp_path / "in" / str(n) / "x.png" for n in range(2000)}
    for number, path in enumerate(places.values()):
        path.parent.mkdir(parents=True)
        path.write_text(str(number))
    journal = Journal(tmp_path / "journal", {}, resume=False)
    sources = [Source(path) for path in places.values()]
    journal.names = {old: str(number) for number, old in enumerate(places)}
    journal.done = {
        old: Outcome(str(number), old, "ok", sha256=sources[number].sha256()) for number, old in enumerate(places)
    }
    started = process_time()
    found = moved(sources, journal, keep=True)
    assert process_time() - started < 2
    assert found == {old: str(path) for old, path in places.items()}


def test_a_set_that_is_complete_now_is_done_and_its_files_are_said_to_count_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = write_set(tmp_path, [["c0.ome.tif", "c1.ome.tif", "c2.ome.tif"]])
    kept = files[2].read_bytes()
    files[2].unlink()
    go(tmp_path, tmp_path / "out")
    assert _images(tmp_path / "out") == ["c0.ome", "c1.ome"]
    files[2].write_bytes(kept[:100])
    go(tmp_path, tmp_path / "out", resume=True)
    assert (tmp_path / "out" / "c1.ome.labels.tif").is_file(), "while it is copied nothing is lost"
    files[2].write_bytes(kept)
    caplog.clear()
    go(tmp_path, tmp_path / "out", resume=True)
    assert "kept what was written of c1.ome: inputs of today have the same planes" in caplog.text
    assert (tmp_path / "out" / "c1.ome.labels.tif").is_file()


def test_a_set_of_which_the_first_file_is_gone_is_said_to_count_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    first, *others = write_set(tmp_path / "in", [["c0.ome.tif", "c1.ome.tif", "c2.ome.tif"]])
    go(tmp_path / "in", tmp_path / "out")
    (listed,) = json.loads((tmp_path / "out" / "run.json").read_text())["inputs"]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, *others)]
    assert listed["files"] == [
        {"path": str(path), "sha256": one} for path, one in zip((first, *others), hashes, strict=True)
    ]
    assert listed["sha256"] == hashlib.sha256("".join(f"{one}\n" for one in hashes).encode()).hexdigest()
    (tmp_path / "in").rename(tmp_path / "new")
    go(tmp_path / "new", tmp_path / "out", resume=True)
    assert (_images(tmp_path / "out"), caplog.text) == (["c0.ome"], "")
    (tmp_path / "new" / first.name).unlink()
    go(tmp_path / "new", tmp_path / "out", resume=True)
    assert _images(tmp_path / "out") == ["c1.ome", "c2.ome", "c0.ome"]
    assert "kept what was written of c0.ome" in caplog.text


def test_a_file_that_has_more_pictures_now_is_said_to_count_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "in" / "grown.ome.tif"
    path.parent.mkdir()
    for count in (1, 3):
        with tifffile.TiffWriter(path, ome=True) as writer:
            for name in "ABC"[:count]:
                writer.write(spots(count=1), metadata={"Name": name})
        go(path.parent, tmp_path / "out", resume=True)
    assert _images(tmp_path / "out") == ["grown_A", "grown_B", "grown_C", "grown.ome"]
    assert "kept what was written of grown.ome" in caplog.text
    caplog.clear()
    path.write_bytes(b"")
    go(path.parent, tmp_path / "out", resume=True)
    assert sorted(one.name for one in (tmp_path / "out").glob("grown_*.labels.tif")) == [
        f"grown_{name}.labels.tif" for name in "ABC"
    ]
