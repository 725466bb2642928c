"""Every kind of oddity planted once, and found once."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.data.files import pack, png, read_samples, snapshot, two_nuclei, write

from nucleate.data.check import FATAL, KINDS, Report, check_dataset
from nucleate.data.samples import load_samples
from nucleate.data.source import open_source
from nucleate.errors import DataError, UnfitDataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

IMAGE = np.arange(48, dtype=np.uint8).reshape(6, 8)


def mask(*boxes: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    made = np.zeros(IMAGE.shape, dtype=np.uint8)
    for top, left, bottom, right in boxes:
        made[top:bottom, left:right] = 255
    return made


def check_masks(path: Path, *masks: NDArray[np.uint8] | bytes) -> Report:
    files = {"x/images/x.png": png(IMAGE)}
    files |= {f"x/masks/{n}.png": m if isinstance(m, bytes) else png(m) for n, m in enumerate(masks)}
    return check_dataset(write(path, files))


def shown(report: Report) -> list[tuple[str, str, str]]:
    return [(f.kind, f.place, f.detail) for f in report.findings]


RING = mask((0, 0, 3, 3))
RING[1, 1] = 0
DIAGONAL = mask((0, 0, 1, 1), (1, 1, 2, 2))
# Corner to corner around one pixel: joined by corners, and the pixel inside is cut off from outside by edges.
DIAMOND = mask((0, 1, 1, 2), (1, 0, 2, 1), (1, 2, 2, 3), (2, 1, 3, 2))


def test_a_file_of_no_known_layout_is_named_with_the_layouts_there_are(tmp_path: Path) -> None:
    write(tmp_path, {"bad.tif": png(IMAGE), "other.tif": png(IMAGE)})
    said = []
    for read in (check_dataset, load_samples):
        with pytest.raises(UnfitDataError) as refused:
            read(tmp_path / "bad.tif")
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert said[0].startswith(f"{tmp_path / 'bad.tif'} has no known layout: got 1 file; give <id>/images + <id>/masks")


def test_nothing_is_found_in_a_sound_set(tmp_path: Path) -> None:
    report = check_masks(tmp_path, mask((0, 0, 3, 3)), mask((0, 3, 3, 5)), DIAGONAL[::-1])
    assert shown(report) == []
    assert report.usable
    assert (report.images, report.nuclei) == (1, 3)
    assert set(report.counts()) == set(KINDS)


@pytest.mark.parametrize(
    ("second", "finding"),
    [
        (mask((2, 2, 4, 4)), ("overlapping masks", "x/masks/1.png", "1 of 4 px")),
        (mask((1, 1, 2, 3)), ("hidden mask", "x/masks/1.png", "2 of 2 px")),
        (mask(), ("empty mask", "x/masks/1.png", "")),
        (mask((4, 0, 5, 1), (4, 2, 5, 3)), ("several pieces", "x/masks/1.png", "2 pieces")),
        (RING[::-1], ("holes", "x/masks/1.png", "1 holes, 1 px")),
        (DIAMOND[::-1], ("holes", "x/masks/1.png", "1 holes, 1 px")),
        (np.ones((2, 2), np.uint8), ("another size", "x/masks/1.png", "(2, 2), image (6, 8)")),
    ],
)
def test_one_odd_mask(tmp_path: Path, second: NDArray[np.uint8], finding: tuple[str, str, str]) -> None:
    report = check_masks(tmp_path, mask((0, 0, 3, 3)), second)
    assert shown(report) == [finding]
    assert report.usable == (finding[0] not in FATAL)
    assert report.counts()[finding[0]] == (1, 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    others = {"y/images/y.png": png(IMAGE[::-1]), "y/masks/0.png": png(mask((0, 0, 3, 3)))}
    write(tmp_path, {"x/images/x.png": png(IMAGE), **others})
    (tmp_path / "x" / "masks").mkdir()
    os.mkfifo(tmp_path / "x" / "masks" / "0.png")
    report = check_dataset(tmp_path)
    assert [(found.kind, found.place) for found in report.findings] == [("unreadable file", "x/masks/0.png")]
    assert "not a regular file" in report.findings[0].detail
    assert report.nuclei == 1


def test_a_double_is_hidden_too(tmp_path: Path) -> None:
    report = check_masks(tmp_path, mask((0, 0, 3, 3)), mask((0, 0, 3, 3)), mask((3, 0, 6, 3)))
    assert [f.kind for f in report.findings] == ["hidden mask", "duplicate mask"]
    assert report.findings[1].detail == "equals x/masks/0.png"


def test_unreadable_files(tmp_path: Path) -> None:
    report = check_masks(tmp_path / "mask", mask((0, 0, 3, 3)), b"rubbish")
    assert [(f.kind, f.place) for f in report.findings] == [("unreadable file", "x/masks/1.png")]
    files = {**two_nuclei(), "two/images/two.png": b"\x89PNG\r\n\x1a\nrubbish"}
    report = check_dataset(pack(tmp_path / "s.zip", files))
    assert [f.kind for f in report.findings] == ["overlapping masks", "unreadable file"]
    assert not report.usable


def test_images_doubled_lonely_and_empty(tmp_path: Path) -> None:
    files = {
        "a/images/a.png": png(IMAGE),
        "a/masks/1.png": png(mask((0, 0, 2, 2))),
        "b/images/b.png": png(np.dstack([IMAGE] * 3)),
        "b/masks/": b"",
        "c/images/c.png": png(IMAGE + 1),
        "d/masks/1.png": png(IMAGE),
    }
    seen: list[tuple[int, int]] = []
    before = snapshot(write(tmp_path, files))
    report = check_dataset(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert [(f.kind, f.image_id) for f in report.findings] == [
        ("duplicate image", "b"),
        ("no nuclei", "b"),
        ("no annotation", "c"),
        ("stray file", "d"),
    ]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert snapshot(tmp_path) == before


def test_label_images(tmp_path: Path) -> None:
    labels = RING // 255 + DIAGONAL[::-1] // 255 * 2 + mask((5, 7, 6, 8), (0, 7, 1, 8)) // 255 * 3
    files = {
        "images/a.png": png(IMAGE),
        "labels/a.png": png(labels),
        "images/b.png": png(IMAGE + 1),
        "labels/b.png": png(mask()),
        "images/c.png": png(IMAGE + 2),
        "labels/c.png": png(np.ones((2, 2), np.uint8)),
        "images/d.png": png(IMAGE + 3),
        "labels/e.png": png(mask()),
        "images/f.png": png(IMAGE + 4),
        "labels/f.png": png(np.dstack([IMAGE, IMAGE, IMAGE + 1])),
    }
    report = check_dataset(write(tmp_path, files))
    assert [(f.kind, f.image_id) for f in report.findings] == [
        ("holes", "a"),
        ("several pieces", "a"),
        ("no nuclei", "b"),
        ("another size", "c"),
        ("no annotation", "d"),
        ("no image", "e"),
        ("no nuclei", "e"),
        ("unreadable file", "f"),
    ]
    assert report.findings[0].place == "labels/a.png, nucleus 1"
    assert (report.images, report.nuclei) == (5, 3)


def test_the_table_of_findings(tmp_path: Path) -> None:
    report = check_masks(tmp_path / "set", mask((0, 0, 3, 3)), mask((2, 2, 4, 4)))
    report.write_csv(tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [["kind", "image", "place", "detail"], ["overlapping masks", "x", "x/masks/1.png", "1 of 4 px"]]


def test_a_nucleus_is_named_by_its_id_in_the_file(tmp_path: Path) -> None:
    labels = np.zeros(IMAGE.shape, np.uint8)
    labels[0, 0] = 3
    labels[2:5, 2:5] = 9
    labels[3, 3] = 0
    report = check_dataset(write(tmp_path / "set", {"images/x.png": png(IMAGE), "labels/x.png": png(labels)}))
    assert shown(report) == [("holes", "labels/x.png, nucleus 9", "1 holes, 1 px")]


def test_findings_in_files_whose_names_are_no_text_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    try:
        folder = write(tmp_path / "set", {f"images/{name}.png": png(IMAGE), "labels/other.png": png(mask())})
    except OSError:
        pytest.skip("names must be text on this file system")
    report = check_dataset(folder)
    report.write_csv(tmp_path / "found.csv")
    assert "caf\\udce9" in (tmp_path / "found.csv").read_text(encoding="utf-8")
    assert len(open_source(folder).fingerprint()) == 64


def test_a_set_without_any_nucleus_is_not_usable(tmp_path: Path) -> None:
    files = {f"{folder}/{name}.png": png(mask()) for name in "ab" for folder in ("images", "labels")}
    report = check_dataset(write(tmp_path, files))
    assert [f.kind for f in report.findings if f.kind in FATAL] == ["nothing annotated"]
    assert not report.usable


def test_classes_and_masks_turned_over_are_no_nuclei(tmp_path: Path) -> None:
    nuclei = mask((1, 1, 4, 4), (1, 5, 4, 8)) > 0
    classes = nuclei + 1 * np.pad(nuclei[1:-1, 2:] & nuclei[1:-1, :-2], ((1, 1), (1, 1)))
    for name, labels in (("classes", classes), ("over", 255 - mask((1, 1, 4, 4), (1, 5, 4, 7)))):
        files = {"images/x.png": png(IMAGE), "labels/x.png": png(labels.astype(np.uint8))}
        report = check_dataset(write(tmp_path / name, files))
        assert "binary mask" in [f.kind for f in report.findings], name
        with pytest.raises(DataError, match="binary masks"):
            read_samples(tmp_path / name)


def test_masks_of_several_nuclei_each_are_told(tmp_path: Path) -> None:
    report = check_masks(tmp_path, *(mask(*((r, c, r + 1, c + 1) for r in (0, 2, 4))) for c in (0, 3, 6)))
    told = [(f.place, f.detail) for f in report.findings if f.kind == "binary mask"]
    assert told == [("x/masks/0.png", "3 of 3 ids in 9 pieces")]
    with pytest.raises(DataError, match="binary masks"):
        read_samples(tmp_path)
