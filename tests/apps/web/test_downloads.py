"""Downloads: what is on the disk already is not written a second time."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image
from tests.fakes import FakeSegmenter, dressed

from nucleate.apps.web.choices import Choices, Machine
from nucleate.apps.web.downloads import Download
from nucleate.apps.web.session import Session
from nucleate.errors import OutputError
from nucleate.io.images import read_image
from nucleate.run.segmentation import Segmentation

pytestmark = pytest.mark.base

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _fake(choices: Choices, _: Machine) -> Any:  # noqa: ANN401 - for a Segmenter
    return dressed(FakeSegmenter(), min_area=choices.min_area)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    made = Session(Machine(tmp_path / "out"), load=_fake)
    for number in range(2):
        picture = np.full((40, 50), 10, np.uint8)
        picture[5:15, 5:20] = 200
        Image.fromarray(picture).save(tmp_path / f"f{number}.png")
        made.open(str(tmp_path / f"f{number}.png"))
    _run(made)
    yield made
    made.close()


def _run(session: Session, *numbers: int, **chosen: Any) -> None:  # noqa: ANN401 - of `Choices`
    job = session.run(numbers or None, Choices(**chosen))
    while job.state not in {"done", "failed"}:
        time.sleep(0.01)
    assert job.state == "done"


def _written(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_files_that_are_there_are_sent_from_where_they_lie(session: Session, tmp_path: Path) -> None:
    before = _written(tmp_path / "scratch")
    _, found = session.prepare(None, ["labels", "overlay"])
    assert {name: path.read_bytes() for name, path in found.files.items()} == {
        name: (tmp_path / "out" / name).read_bytes()
        for name in ("f0.labels.tif", "f0.overlay.png", "f1.labels.tif", "f1.overlay.png", "run.json", "summary.csv")
    }
    assert _written(tmp_path / "scratch") == before
    _, one = session.prepare([1], ["labels"])
    assert one.alone is not None
    assert one.alone.samefile(tmp_path / "out" / "f0.labels.tif")


def test_an_archive_comes_in_pieces_and_holds_all(tmp_path: Path) -> None:
    content = {"a.tif": np.random.default_rng(0).bytes(5_000_000), "deep/b.csv": b"1,2,3\n" * 500_000, "empty.csv": b""}
    for name, data in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    pieces = list(Download("all.zip", {name: tmp_path / name for name in content}).packed())
    assert max(map(len, pieces)) < 3_000_000
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == content
        assert archive.getinfo("deep/b.csv").compress_size < 100_000
        assert archive.getinfo("a.tif").date_time[0] > 2000


def test_what_was_removed_meanwhile_is_seen(session: Session, tmp_path: Path) -> None:
    _, found = session.prepare(None, ["labels"])
    assert found.is_there()
    (tmp_path / "out" / "f1.labels.tif").unlink()
    assert not found.is_there()


def test_what_is_being_packed_stays_until_it_is(session: Session, tmp_path: Path) -> None:
    _, found = session.prepare(None, ["geojson"])
    expected = {name: path.read_bytes() for name, path in found.files.items()}
    pieces = found.packed()
    first = next(pieces)
    del found
    for _ in range(3):
        session.prepare(None, ["geojson"])
    assert len(list(_scratch(tmp_path))) == 4
    with zipfile.ZipFile(io.BytesIO(first + b"".join(pieces))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == expected
    del pieces
    assert len(list(_scratch(tmp_path))) == 3


def test_regions_lie_in_their_frame_after_depth_is_gone(session: Session, tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 40, 50), np.uint8)
    pixels[1, 2, 10:18, 5:13] = 200
    tifffile.imwrite(tmp_path / "tz.tif", pixels, imagej=True, metadata={"axes": "TZYX"})
    (number,) = session.open(str(tmp_path / "tz.tif"))
    _run(session, number, project="max")
    _, one = session.prepare([number], ["imagej"])
    assert one.alone is not None
    rois: Any = roifile.roiread(one.alone)
    (roi,) = rois
    assert (roi.position, roi.t_position, roi.z_position) == (0, 2, 0)


def test_nuclei_that_were_corrected_by_hand_are_those_of_the_page(session: Session, tmp_path: Path) -> None:
    [entry] = session.store.entries([1])
    assert entry.finished is not None
    assert session.views.labels(entry, entry.finished, at=()).at(6, 6) == 1
    assert len(session.views.nuclei(entry.finished)) == 1
    labels = np.zeros((40, 50), np.int32)
    labels[20:24, :5], labels[30:33, :5] = 1, 2
    confidence = np.full(2, np.nan, np.float32)
    Segmentation(labels, confidence, read_image(tmp_path / "f0.png")).save(tmp_path / "out", ["labels", "measurements"])
    assert session.views.labels(entry, entry.finished, at=()).at(6, 6) == 0
    assert session.views.nuclei(entry.finished).counts == {"nuclei": 2, "median_area_px": 17.5}
    _, one = session.prepare([1], ["geojson"])
    assert one.alone is not None
    assert len(json.loads(one.alone.read_text())["features"]) == 2
    _run(session)
    assert [entry.shown()["nuclei"] for entry in session.store.entries()] == [2, 1]


def _scratch(folder: Path) -> Iterator[Path]:
    return (folder / "scratch").glob("*/download-*")


@pytest.mark.parametrize("export", ["geojson", "measurements", "ome-tiff"])
def test_a_full_disk_is_one_line_and_leaves_nothing(export: str, session: Session, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = list((tmp_path / "scratch").rglob("*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            session.prepare(None, [export])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "scratch").rglob("*")) == before
