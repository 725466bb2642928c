"""Stacks of which one side of a score has each plane by itself: our COCO files and submissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nucleate.data.stacks import join_planes, planes_of_stacks
from nucleate.data.truth import read_pair
from nucleate.errors import DataError
from nucleate.export.coco import Picture, write_coco
from nucleate.export.label_tiff import write_labels
from nucleate.export.rle_csv import write_submission
from nucleate.score.sources import evaluate_sources

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

STACK = np.zeros((3, 12, 10), np.int32)
STACK[0, 1:4, 1:4], STACK[0, 6:9, 1:4], STACK[2, 2:6, 3:8] = 1, 2, 3
FLAT = np.where(STACK[0] > 1, 1, 0).astype(np.int32)


@pytest.fixture
def sides(tmp_path: Path) -> dict[str, Path]:
    """Write a stack and a picture in three ways."""
    found = {"labels": tmp_path / "labels", "coco": tmp_path / "coco.json", "rle": tmp_path / "submission.csv"}
    found["labels"].mkdir()
    write_labels(found["labels"] / "s.labels.tif", STACK, axes="ZYX")
    write_labels(found["labels"] / "b.labels.tif", FLAT)
    pictures = [Picture("s.tif", plane, name="s", plane=n) for n, plane in enumerate(STACK)]
    write_coco(found["coco"], [*pictures, Picture("b.tif", FLAT, name="b")])
    write_submission(found["rle"], [*((f"s/{n}", plane) for n, plane in enumerate(STACK)), ("b", FLAT)])
    return found


@pytest.mark.parametrize("table", ["coco", "rle"])
@pytest.mark.parametrize("swapped", [False, True])
def test_planes_of_a_table_are_the_stack_of_a_folder(sides: dict[str, Path], table: str, *, swapped: bool) -> None:
    ways = (sides["labels"], sides[table])
    pred, true = read_pair(*(ways[::-1] if swapped else ways))
    assert sorted(pred) == sorted(true) == ["b", "s"]
    np.testing.assert_array_equal(pred["s"], STACK)
    np.testing.assert_array_equal(true["s"], STACK)
    scores = evaluate_sources(pred, true)
    assert (scores.images, scores.kaggle, scores.missing, scores.ignored) == (2, 1.0, (), ())


def test_planes_stay_by_themselves_where_both_sides_have_them_so(sides: dict[str, Path]) -> None:
    pred, true = read_pair(sides["rle"], sides["coco"])
    assert sorted(pred) == sorted(true) == ["b", "s/0", "s/1", "s/2"]


def test_a_stack_that_lacks_a_plane_is_refused(sides: dict[str, Path]) -> None:
    text = sides["rle"].read_text(encoding="utf-8")
    sides["rle"].write_text(text.replace("s/1,\n", ""), encoding="utf-8")
    with pytest.raises(DataError, match="plane 1 of stack s is missing: got 2 others; export it again"):
        read_pair(sides["rle"], sides["labels"])


def test_planes_of_several_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="of several sizes"):
        join_planes([FLAT, FLAT[1:]])


def test_a_stack_of_one_plane(tmp_path: Path) -> None:
    (tmp_path / "l").mkdir()
    write_labels(tmp_path / "l" / "s.labels.tif", STACK[:1], axes="ZYX")
    write_coco(tmp_path / "coco.json", [Picture("s.tif", STACK[0], name="s", plane=0)])
    pred, true = read_pair(tmp_path / "l", tmp_path / "coco.json")
    assert evaluate_sources(pred, true).kaggle == 1.0


@pytest.mark.parametrize(("name", "like"), [("a", "a.ome"), ("a.ome", "a"), ("a_img", "a")])
def test_a_stack_may_be_called_otherwise_by_an_ending(name: str, like: str) -> None:
    planes = [f"{name}/{number}" for number in range(3)]
    assert planes_of_stacks(planes, like=[like, "b"]) == {name: planes}
