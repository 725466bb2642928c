"""What goes wrong around a run: inputs that vanish or change, a folder that is removed. One line, and the rest done."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from tests.fakes import FakeSegmenter

from nucleate.errors import OutputError
from nucleate.run import inputs
from nucleate.run.batch import BatchSummary, Report, run_batch
from nucleate.run.inputs import expand
from nucleate.run.settings import BatchSettings
from nucleate.screen import sources
from nucleate.screen.layout import read_plate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.base


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(4):
        save(tmp_path / "in" / f"f{number}.tif", spots=number)
    return tmp_path / "in"


def save(path: Path, *, spots: int) -> None:
    image = np.full((40, 60), 10, np.uint8)
    for spot in range(spots):
        image[4:10, 3 + 12 * spot : 9 + 12 * spot] = 200
    tifffile.imwrite(path, image)


def go(folder: Path, out: Path, *, notify: Callable[[Report], None] = lambda _: None) -> BatchSummary:
    wanted = expand([str(folder)], output=out)
    return run_batch(wanted, out, segmenter=FakeSegmenter(), settings=BatchSettings(resume=True), notify=notify)


def after(number: int, act: Callable[[], object]) -> Callable[[Report], None]:
    """Do something as soon as so many inputs are finished."""

    def notify(report: Report) -> None:
        if report.done == number:
            act()

    return notify


def reading(
    monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[Path], object], *, by: tuple[Any, str] | None = None
) -> None:
    """Do something to a file between the moment it was hashed and the moment it is read."""
    place, reader = by or (inputs, "read_image")
    real = getattr(place, reader)

    def read(path: Path, **more: Any) -> Any:  # noqa: ANN401
        if path.name == name:
            act(path)
        return real(path, **more)

    monkeypatch.setattr(place, reader, read)


def check(summary: BatchSummary, wrong: int, *, said: str) -> None:
    """Expect one input to have failed with this in its line, and the others to be done."""
    assert [o.status for o in summary.outcomes] == ["failed" if n == wrong else "ok" for n in range(4)]
    assert said in summary.outcomes[wrong].error
    assert "\n" not in summary.outcomes[wrong].error
    assert f"f{wrong}.tif" in summary.outcomes[wrong].error
    assert [o.nuclei for o in summary.outcomes if o.status == "ok"] == [n for n in range(4) if n != wrong]


def test_an_input_that_vanishes_after_it_was_listed(folder: Path, tmp_path: Path) -> None:
    summary = go(folder, tmp_path / "out", notify=after(1, (folder / "f3.tif").unlink))
    check(summary, 3, said="cannot be read: No such file or directory; check that it is there")


def test_an_input_that_vanishes_before_it_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading(monkeypatch, "f2.tif", lambda path: path.unlink())
    check(go(folder, tmp_path / "out"), 2, said="f2.tif")


def test_an_input_that_changes_while_it_is_read_is_done_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        reading(patch, "f1.tif", lambda path: save(path, spots=4))
        check(go(folder, tmp_path / "out"), 1, said="was changed while it was read; do it again with --resume")
    again = go(folder, tmp_path / "out")
    assert [o.nuclei for o in again.outcomes] == [0, 4, 2, 3]


def test_an_input_that_is_cut_short_while_it_is_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading(monkeypatch, "f1.tif", lambda path: path.write_bytes(path.read_bytes()[:100]))
    check(go(folder, tmp_path / "out"), 1, said="f1.tif")


def test_a_folder_of_inputs_that_vanishes(folder: Path, tmp_path: Path) -> None:
    summary = go(folder, tmp_path / "out", notify=after(2, lambda: shutil.rmtree(folder)))
    assert [o.status for o in summary.outcomes] == ["ok", "ok", "failed", "failed"]
    assert (tmp_path / "out" / "summary.csv").is_file()


def test_fields_of_a_plate_that_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").mkdir()
    for name in ("A01_1_DAPI.tif", "A01_1_actin.tif", "A02_1_DAPI.tif"):
        save(tmp_path / "p" / name, spots=2)
    # Any file of a field counts, not the first one alone.
    reading(monkeypatch, "A01_1_actin.tif", lambda path: save(path, spots=1), by=(sources, "open_image"))
    fields = sources.field_sources(read_plate(tmp_path / "p"))
    settings = BatchSettings(channel="DAPI")
    summary = run_batch(fields, tmp_path / "out", segmenter=FakeSegmenter(), settings=settings)
    assert [(o.name, o.status) for o in summary.outcomes] == [("A01_f01", "failed"), ("A02_f01", "ok")]
    assert "was changed while it was read" in summary.outcomes[0].error


def test_folders_have_a_stamp_of_all_their_files(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    from tests.io.zarr_files import write_plate as write_zarr

    plate = write_zarr(tmp_path / "plate.zarr", {"A/1/0": np.zeros((2, 8, 8), np.uint16)})
    (source,) = expand([str(plate)])
    before = source.stamp()
    assert before == source.stamp() != ()
    chunk = next(p for p in source.path.rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes() + b" ")
    assert source.stamp() != before
    shutil.rmtree(plate)
    assert source.stamp() == ()


def test_an_output_folder_that_is_removed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = r"cannot write .*out.*: No such file or directory; its folder is not there: make it or choose another"
    with pytest.raises(OutputError, match=line):
        go(folder, out, notify=after(2, lambda: shutil.rmtree(out)))
    assert not out.exists()
    assert [o.nuclei for o in go(folder, out).outcomes] == [0, 1, 2, 3]
