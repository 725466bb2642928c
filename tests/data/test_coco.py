"""COCO files as programs write them: categories, numbers as text, paths of another system, missing sizes."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.data.files import png, read_samples, write

from nucleate.data.check import check_dataset
from nucleate.data.coco import coco_pictures, coco_regions
from nucleate.data.parsing import outline_damage
from nucleate.data.truth import read_labels_source
from nucleate.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

PICTURE = png(np.arange(48, dtype=np.uint8).reshape(6, 8))
LEFT, RIGHT = [[1, 1, 3, 1, 3, 4, 1, 4]], [[5, 1, 7, 1, 7, 4, 5, 4]]


def coco(*categories: dict[str, Any], of_right: int = 2, **image: Any) -> bytes:  # noqa: ANN401 - of the entry
    entry = {"id": 1, "file_name": "a.png", "height": 6, "width": 8, **image}
    annotations = [
        {"image_id": 1, "category_id": category, "segmentation": code}
        for category, code in ((1, LEFT), (of_right, RIGHT))
    ]
    return json.dumps({"images": [entry], "annotations": annotations, "categories": categories}).encode()


def read(folder: Path, data: bytes) -> int:
    (sample,) = read_samples(write(folder, {"a.png": PICTURE, "coco.json": data}))
    return int(sample.labels.max())


NUCLEUS, DEBRIS = {"id": 1, "name": "Nuclei"}, {"id": 2, "name": "artefact"}


def test_of_several_categories_those_of_no_nuclei_are_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path / "two", coco(NUCLEUS, DEBRIS)) == 1
    told = "1 of 2 outlines: no nuclei by their category (artefact)"
    assert [(f.kind, f.detail) for f in check_dataset(tmp_path / "two").findings] == [("passed over", told)]
    assert read(tmp_path / "one", coco(NUCLEUS, DEBRIS, of_right=1)) == 2
    assert read(tmp_path / "alone", coco({"id": 1, "name": "cell"}, of_right=1)) == 2
    assert read(tmp_path / "debris", coco({"id": 1, "name": "artefact"}, of_right=1)) == 2
    assert read(tmp_path / "cells", coco({"id": 1, "name": "Cell"}, DEBRIS)) == 1
    for name in ("non-nuclear", "Nucleoli", "micronucleus", "Nuclear membrane", "cell", "Tissue region 1", "Ignore*"):
        assert read(tmp_path / name, coco(NUCLEUS, {"id": 2, "name": name})) == 1
    above = (
        {"id": at, "name": name, "supercategory": "nuclei-and-cells"} for at, name in ((1, "cell"), (2, "nucleus"))
    )
    assert read(tmp_path / "above", coco(*above)) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("nucleus", "mitosis"), ("nucleus_tumor", "lymphocyte"), ("Epithelial", "Lymphocyte"), ("Zellkern", "Zellen"),
        ("Neoplastic cells", "Connective/soft tissue cells"), ("1", "2"), ("", "mononuclear cell"),
    ],
)  # fmt: skip
def test_all_kinds_of_nuclei_are_taken(names: tuple[str, str], tmp_path: Path) -> None:
    assert read(tmp_path, coco(*({"id": at, "name": name} for at, name in enumerate(names, 1)))) == 2
    assert check_dataset(tmp_path).findings == []


def test_what_is_passed_over_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read(tmp_path, coco(NUCLEUS, DEBRIS))
    found = read_labels_source(tmp_path)
    assert found["a"].max() == found["a"].max() == 1
    said = f"{tmp_path}: passed over 1 of 2 outlines: no nuclei by their category (artefact), in a"
    assert [said in one for one in caplog.messages] == [True, True]  # in training and in scoring


def test_other_programs_write_ids_paths_and_sizes_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path / "text", coco(of_right=1, id="1")) == 2
    assert read(tmp_path / "float", coco(NUCLEUS, {"id": 2.0, "name": "cell"}, id=1.0)) == 1
    assert read(tmp_path / "path", coco(of_right=1, file_name="C:\\data\\a.png")) == 2
    assert read(tmp_path / "size", coco(of_right=1, height=None)) == 2
    assert list(coco_pictures(coco(of_right=1, name="b", plane=3), "x.json") or ()) == ["a"]
    with pytest.raises(DataError, match=r"outlines image 1, which it does not list"):
        coco_pictures(coco(of_right=1, id=7), "x.json")


def test_a_crowd_in_two_pieces_is_no_nucleus() -> None:
    crowds = [{"segmentation": code, "iscrowd": 1} for code in (LEFT, [*LEFT, *RIGHT])]
    said: list[str] = []
    (one,) = coco_regions(crowds, "x", shape=(6, 8), note=said.append)
    assert one.mask.sum() == 6
    assert said == ["1 of 2 outlines: crowds (iscrowd) in several pieces"]


def test_parts_of_one_nucleus_take_the_memory_of_their_box() -> None:
    at = range(0, 1900, 38)
    parts = [{"segmentation": [[x, x, x + 9, x, x + 9, x + 9], [x + 12, x, x + 20, x, x + 20, x + 10]]} for x in at]
    tracemalloc.start()
    found = coco_regions(parts, "x", shape=(2000, 2000))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == len(at)
    assert most < 4_000_000  # one mask of the whole picture


def test_want_of_memory_is_no_damage() -> None:
    with pytest.raises(MemoryError), outline_damage("x"):
        raise MemoryError
    with pytest.raises(DataError, match="cannot read the outlines in x: two; export them again"), outline_damage("x"):
        raise ValueError("two")
