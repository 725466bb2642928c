"""COCO annotations, read back by pycocotools and by the rule of the format."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from tests.export.painting import HOLED
from tests.strategies import label_images

from nucleate.export.coco import Picture, join_coco, write_coco

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _decoded(annotation: Any) -> NDArray[np.bool_]:  # noqa: ANN401
    # The rule: lengths of runs down the columns, background first.
    counts, (height, width) = annotation["segmentation"]["counts"], annotation["segmentation"]["size"]
    assert sum(counts) == height * width
    assert min(counts[1:]) > 0
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape((height, width), order="F")


def _assert_same(annotations: list[Any], labels: NDArray[np.int32]) -> None:
    assert [a["label"] for a in annotations] == np.unique(labels[labels > 0]).tolist()
    for annotation in annotations:
        mask = _decoded(annotation)
        np.testing.assert_array_equal(mask, labels == annotation["label"])
        rows, cols = np.nonzero(mask)
        box = [cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box
        assert annotation["area"] == mask.sum()


def test_what_is_in_the_file(tmp_path: Path) -> None:
    confidence = np.zeros(HOLED.max())
    confidence[np.unique(HOLED[HOLED > 0]) - 1] = np.linspace(0.5, 1, 6)
    empty = np.zeros((3, 4), np.int32)
    write_coco(tmp_path / "a.json", [Picture("é.png", HOLED, confidence), Picture("b.tif", empty, plane=2)])
    whole = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert whole["images"] == [
        {"id": 1, "file_name": "é.png", "height": 6, "width": 8},
        {"id": 2, "file_name": "b.tif", "height": 3, "width": 4, "plane": 2},
    ]
    assert [c["name"] for c in whole["categories"]] == ["nucleus"]
    assert [a["id"] for a in whole["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert {(a["image_id"], a["category_id"], a["iscrowd"]) for a in whole["annotations"]} == {(1, 1, 0)}
    assert [a["score"] for a in whole["annotations"]] == np.linspace(0.5, 1, 6).tolist()
    _assert_same(whole["annotations"], HOLED)


def test_each_nucleus_has_its_confidence_whatever_ids_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.zeros((4, 6), np.int32)
    labels[0, 4:], labels[2:, 1] = 2, 5
    write_coco(tmp_path / "a.json", [Picture("a", labels, np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))])
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["annotations"]
    assert {one["label"]: one["score"] for one in found} == {2: 0.2, 5: 0.5}


@given(label_images())
@settings(max_examples=40)
def test_equal_to_the_pixel(labels: NDArray[np.int32]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_coco(Path(folder) / "a.json", [Picture("a", labels)])
        whole = json.loads((Path(folder) / "a.json").read_text(encoding="utf-8"))
    _assert_same(whole["annotations"], labels)


# pycocotools hands numpy arrays that do not know the keyword copy.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_same(tmp_path: Path) -> None:
    module = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    other = np.kron(HOLED, np.ones((3, 2), np.int32))[:, ::-1]
    write_coco(tmp_path / "a.json", [Picture("a", HOLED), Picture("b", other)])
    coco = module.COCO(str(tmp_path / "a.json"))
    for image, labels in ((1, HOLED), (2, other)):
        painted = np.zeros(labels.shape, np.int32)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image])):
            painted[coco.annToMask(annotation) == 1] = annotation["label"]
        np.testing.assert_array_equal(painted, labels)


def test_joined_parts_are_one_file(tmp_path: Path) -> None:
    first, second, third = Picture("a", HOLED, plane=0), Picture("a", HOLED[::-1], plane=1), Picture("b", HOLED[:4])
    write_coco(tmp_path / "1.json", [first, second])
    write_coco(tmp_path / "none.json", [])
    write_coco(tmp_path / "2.json", [third])
    join_coco(tmp_path / "all.json", [tmp_path / name for name in ("1.json", "none.json", "2.json")])
    write_coco(tmp_path / "at-once.json", [first, second, third])
    assert (tmp_path / "all.json").read_bytes() == (tmp_path / "at-once.json").read_bytes()


def _names_when_joined(folder: Path, names: list[str]) -> list[str]:
    parts = [folder / f"{number}.json" for number in range(len(names))]
    for part, name in zip(parts, names, strict=True):
        write_coco(part, [Picture(name, np.ones((2, 2), np.int32))])
    join_coco(folder / "all.json", parts)
    images = json.loads((folder / "all.json").read_text(encoding="utf-8"))["images"]
    return [image["file_name"] for image in images]


def test_files_of_one_name_keep_the_folders_that_tell_them_apart(tmp_path: Path) -> None:
    names = ["/data/set/a/f.png", "/data/set/b/f.png", "/data/set/b/g.png", "/data/set/b/g.png"]
    assert _names_when_joined(tmp_path, names) == ["a/f.png", "b/f.png", "b/g.png", "b/g.png"]
    assert _names_when_joined(tmp_path, names[1:]) == ["f.png", "g.png", "g.png"]


@pytest.mark.parametrize("root", ["/home/me/", "C:/me/"])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["{}in/f.png", "f.png"], ["in/f.png", "f.png"]),
        (["{}in/f.png", "{}in/g.png", "old/f.png"], ["f.png", "g.png", "old/f.png"]),
        (["{}in/a/f.png", "{}in/b/f.png", "f.png"], ["a/f.png", "b/f.png", "f.png"]),
    ],
)
def test_pictures_saved_one_by_one_tell_no_folders_of_the_machine(
    tmp_path: Path, root: str, names: list[str], expected: list[str]
) -> None:
    assert _names_when_joined(tmp_path, [name.format(root) for name in names]) == expected
