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
from nucleate.data.parsing import Damaged
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


def test_of_several_categories_the_nuclei_are_taken(tmp_path: Path) -> None:
    assert read(tmp_path / "two", coco(NUCLEUS, DEBRIS)) == 1
    told = "1 of 2 outlines: of categories not called nucleus"
    assert [(f.kind, f.detail) for f in check_dataset(tmp_path / "two").findings] == [("passed over", told)]
    assert read(tmp_path / "one", coco(NUCLEUS, DEBRIS, of_right=1)) == 2
    assert read(tmp_path / "other", coco({"id": 1, "name": "cell"}, of_right=1)) == 2
    for name in ("non-nuclear", "Nucleoli", "micronucleus"):
        assert read(tmp_path / name, coco(NUCLEUS, {"id": 2, "name": name})) == 1
    kinds = (
        {"id": number, "name": name, "supercategory": "nucleus"} for number, name in ((1, "tumour"), (2, "stroma"))
    )
    assert read(tmp_path / "kinds", coco(*kinds)) == 2


def test_categories_of_which_none_is_a_nucleus_are_asked_about(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.png": PICTURE, "coco.json": coco({"id": 1, "name": "n"}, DEBRIS)})
    for look in (read_samples, check_dataset):
        with pytest.raises(DataError, match="has 2 categories, none called nucleus: n, artefact; give nuclei one"):
            look(folder)


def test_other_programs_write_ids_paths_and_sizes_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path / "text", coco(of_right=1, id="1")) == 2
    assert read(tmp_path / "path", coco(of_right=1, file_name="C:\\data\\a.png")) == 2
    assert read(tmp_path / "size", coco(of_right=1, height=None)) == 2
    with pytest.raises(DataError, match=r"outlines image 1, which it does not list"):
        coco_pictures(coco(of_right=1, id=7), "x.json")


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
    with pytest.raises(MemoryError), Damaged("x"):
        raise MemoryError
    with pytest.raises(DataError, match="cannot read the outlines in x: two; export them again"), Damaged("x"):
        raise ValueError("two")
