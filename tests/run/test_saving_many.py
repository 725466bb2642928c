"""Many images saved into one folder, one after the other: the tables hold all, and each is written once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.fakes import FakeSegmenter
from tests.tables import rows_of

from nucleate.core.image import Image
from nucleate.run import exports, outputs
from nucleate.run.batch import run_batch
from nucleate.run.inputs import expand
from nucleate.run.journal import PARTS_NAME
from nucleate.run.segmentation import Segmentation
from nucleate.run.settings import BatchSettings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

TABLES = ("measurements", "rle", "coco")
FILES = ("measurements.csv", "submission.csv", "coco.json")


def _found(nuclei: int, *, planes: int = 0, channels: tuple[str, ...] = ()) -> Segmentation:
    labels = np.zeros((max(planes, 1), 8, 2 * nuclei + 1), np.int32)
    for plane in range(len(labels)):
        labels[plane, 2:5, 1::2] = plane * nuclei + np.arange(1, nuclei + 1)
    confidence = np.linspace(0.5, 1, int(labels.max()), dtype=np.float32)
    if planes:
        return Segmentation(labels, confidence, Image(labels.astype(np.uint8), "ZYX"))
    pixels = np.stack([labels[0]] * len(channels)) if channels else labels[0]
    image = Image(pixels.astype(np.uint8), "CYX" if channels else "YX", channel_names=channels)
    return Segmentation(labels[0], confidence, image)


def _tables(folder: Path) -> list[str]:
    return [(folder / name).read_text(encoding="utf-8") for name in FILES]


def _check(folder: Path) -> None:
    """Compare the tables with those that are joined anew from all parts."""
    before = _tables(folder)
    outputs.join_tables(folder, [], exports=TABLES)
    assert _tables(folder) == before


def test_rows_come_where_a_joining_of_all_puts_them(tmp_path: Path) -> None:
    for name, nuclei in {"d": 2, "b": 1, "e": 3, "a": 0, "c": 2, "zz": 1}.items():
        _found(nuclei).save(tmp_path, TABLES, name=name)
        _check(tmp_path)
    names = [row.split(",")[0] for row in (tmp_path / "measurements.csv").read_text().splitlines()[1:]]
    assert names == ["b", "c", "c", "d", "d", "e", "e", "e", "zz"]
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [one["id"] for one in coco["annotations"]] == list(range(1, 10))
    assert [coco["images"][one["image_id"] - 1]["name"] for one in coco["annotations"]] == names


def test_what_was_saved_before_is_replaced(tmp_path: Path) -> None:
    for nuclei in (1, 2):
        _found(nuclei).save(tmp_path, TABLES, name="a")
        _found(3).save(tmp_path, TABLES, name="b")
        _check(tmp_path)
    assert (tmp_path / "measurements.csv").read_text().count("\n") == 1 + 2 + 3


def test_other_columns_join_too(tmp_path: Path) -> None:
    found = (_found(1), _found(2, planes=2), _found(6, channels=("DAPI", "a, b")), _found(6), _found(1, planes=3))
    for number, one in enumerate(found):
        one.save(tmp_path, TABLES, name=f"{9 - number}")
        _check(tmp_path)


@pytest.mark.parametrize("order", ["bda", "dba", "adb", "abd"])
def test_rows_of_a_batch_in_any_order_stay_whole(tmp_path: Path, order: str) -> None:
    (tmp_path / "in").mkdir()
    for nuclei, name in enumerate("abd", 1):
        pixels = np.zeros((20, 40), np.uint8)
        for number in range(nuclei):
            pixels[4:9, 8 * number + 1 : 8 * number + 6] = 200
        Pillow.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    sources, settings = expand([f"{tmp_path}/in/{name}.png" for name in order]), BatchSettings(exports=TABLES)
    run_batch(sources, tmp_path / "out", segmenter=FakeSegmenter(), settings=settings)
    for name in "ce0":
        _found(2).save(tmp_path / "out", TABLES, name=name)
        for file, column in (("measurements.csv", "image"), ("submission.csv", "ImageId")):
            rows = rows_of(tmp_path / "out" / file)
            assert all(None not in row and None not in row.values() for row in rows)
            found = [row[column] for row in rows]
            saved = "ce0"[: "ce0".index(name) + 1]
            assert sorted(found) == sorted("abbddd" + 2 * saved)


@pytest.mark.parametrize("harm", ["table", "part", "row"])
def test_a_table_that_is_not_what_it_should_be_is_joined_anew(tmp_path: Path, harm: str) -> None:
    for name in ("a", "b"):
        _found(2).save(tmp_path, TABLES, name=name)
    table, part = tmp_path / "measurements.csv", tmp_path / PARTS_NAME / "a.measurements.csv"
    if harm == "table":
        table.unlink()
    elif harm == "part":  # of the same length, as a save that was killed before the tables leaves it
        part.write_bytes(part.read_bytes().replace(b"a,1", b"a,7"))
    else:
        table.write_bytes(table.read_bytes()[:-5])
    _found(1).save(tmp_path, TABLES, name="c")
    _check(tmp_path)


def test_what_is_there_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _found(2).save(tmp_path, TABLES, name="a")

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} is made of its parts")

    monkeypatch.setattr(exports, "atomic_text", refuse)
    for name in ("b", "Z", "c"):
        _found(2).save(tmp_path, TABLES, name=name)
    assert (tmp_path / "measurements.csv").read_text().count("\n") == 1 + 4 * 2
