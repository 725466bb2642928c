"""What a segmentation gives: table, outlines, files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate.core.image import Image
from nucleate.errors import UsageError
from nucleate.export.measurements import measure
from nucleate.run.segmentation import Segmentation

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

LABELS = np.array([[1, 1, 0, 0], [1, 1, 0, 2], [0, 0, 0, 2]], np.int32)
CONFIDENCE = np.array([0.9, 0.4], np.float32)
PICTURE = np.arange(12, dtype=np.uint8).reshape(3, 4)


def single() -> Segmentation:
    return Segmentation(LABELS, CONFIDENCE, Image(PICTURE, "YX", (0.5, 0.5), name="folder/cells.tif"))


def stacked() -> Segmentation:
    labels = np.stack([LABELS, np.zeros_like(LABELS), np.where(LABELS == 2, 3, 0)])
    image = Image(np.stack([PICTURE] * 3), "ZYX", name="stack.tif")
    return Segmentation(labels, np.array([0.9, 0.4, 0.7], np.float32), image)


def test_table_of_a_picture() -> None:
    table = single().table
    assert table["label"].tolist() == [1, 2]
    assert table["area_px"].tolist() == [4, 2]
    assert table["area_um2"].tolist() == [1.0, 0.5]
    assert table["mean_intensity"].tolist() == [2.5, 9.0]
    np.testing.assert_allclose(table["confidence"], CONFIDENCE)
    assert "plane" not in table


def test_table_of_a_stack_names_the_plane() -> None:
    table = stacked().table
    assert table["label"].tolist() == [1, 2, 3]
    assert table["plane"].tolist() == [0, 0, 2]
    np.testing.assert_allclose(table["confidence"], [0.9, 0.4, 0.7], rtol=1e-6)


def test_table_of_a_stack_in_time_and_depth_names_both(tmp_path: Path) -> None:
    labels = np.zeros((2, 3, *LABELS.shape), np.int32)
    labels[0, 2], labels[1, 1] = LABELS == 1, np.where(LABELS == 2, 2, 0)
    image = Image(np.zeros(labels.shape, np.uint8), "TZYX", name="recording.tif")
    found = Segmentation(labels, CONFIDENCE, image)
    assert [found.table[column].tolist() for column in ("plane", "time", "z")] == [[2, 4], [0, 1], [2, 1]]
    exports = ["measurements", "geojson"]
    for one in (single(), found):
        one.save(tmp_path, exports)
    header, first, *_, last = (tmp_path / "measurements.csv").read_text().splitlines()
    assert header.startswith("image,plane,time,z,label,area_px,")
    assert first.startswith("cells,,,,1,")
    assert last.startswith("recording,4,1,1,2,")
    drawn = json.loads((tmp_path / "recording.geojson").read_text())["features"]
    assert [one["geometry"]["plane"] for one in drawn] == [{"c": -1, "z": 2, "t": 0}, {"c": -1, "z": 1, "t": 1}]
    assert not {"plane", "time", "z"} & set(drawn[0]["properties"]["measurements"])


def test_table_measures_every_channel() -> None:
    image = Image(np.stack([PICTURE, PICTURE * 2]), "CYX", channel_names=("DAPI", "actin"))
    table = Segmentation(LABELS, CONFIDENCE, image).table
    assert table["mean_intensity_DAPI"].tolist() == [2.5, 9.0]
    assert table["mean_intensity_actin"].tolist() == [5.0, 18.0]


def test_empty_table_has_its_columns() -> None:
    empty = Segmentation(np.zeros((3, 4), np.int32), np.zeros(0, np.float32), Image(PICTURE))
    assert len(empty.table["area_px"]) == 0
    assert empty.outlines() == []


def test_colour_is_measured_in_grey() -> None:
    image = Image(np.stack([PICTURE] * 3, axis=-1), "YXS")
    np.testing.assert_allclose(Segmentation(LABELS, CONFIDENCE, image).table["mean_intensity"], [2.5, 9.0], rtol=1e-6)


def test_outlines_in_the_order_of_the_ids() -> None:
    first, second = single().outlines()
    assert first.tolist() == [[-0.5, -0.5], [-0.5, 1.5], [1.5, 1.5], [1.5, -0.5]]
    assert second.tolist() == [[0.5, 2.5], [0.5, 3.5], [2.5, 3.5], [2.5, 2.5]]
    assert len(stacked().outlines()) == 3


def test_outline_of_a_nucleus_in_pieces_is_the_largest() -> None:
    labels = np.array([[1, 0, 1, 1]], np.int32)
    (outline,) = Segmentation(labels, np.ones(1, np.float32), Image(PICTURE[:1])).outlines()
    assert outline[0].tolist() == [-0.5, 1.5]


def test_save_writes_what_the_command_writes(tmp_path: Path) -> None:
    single().save(tmp_path, ["labels", "measurements"])
    stacked().save(tmp_path, ["labels", "measurements"])
    import tifffile

    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells.labels.tif"), LABELS)
    rows = (tmp_path / "measurements.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 + 3
    assert {row.split(",")[0] for row in rows[1:]} == {"cells", "stack"}


def test_a_picture_in_a_folder_is_saved_under_the_names_of_both(tmp_path: Path) -> None:
    stems = {"a/b.png": "b", "p.ome.zarr/A/1/0": "p_A_1_0", "plate/AB/12/f0": "plate_AB_12_f0", "series/0": "series_0"}
    for name in stems:
        part = "" if name == "a/b.png" else name.partition("/")[2]
        replace(single(), image=Image(PICTURE, name=name, part=part)).save(tmp_path, "coco")
    shown = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert {one["file_name"]: one["name"] for one in shown} == stems


def test_a_picture_that_was_made_in_python_is_saved_under_both_names_as_far_as_its_own_tells(tmp_path: Path) -> None:
    stems = {"p.zarr/A/1/0": "p_A_1_0", "plate/A/1/0": "plate_A_1_0", "mice.lif#S_2": "mice_S_2", "a#1.png": "a#1"}
    for name in stems:
        replace(single(), image=Image(PICTURE, name=name)).save(tmp_path, "labels")
    assert {one.name for one in tmp_path.glob("*.tif")} == {f"{stem}.labels.tif" for stem in stems.values()}


@pytest.mark.parametrize("table_first", [True, False])
def test_table_and_files_are_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, table_first: bool
) -> None:
    planes = 0

    def counted(*words: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it is given
        nonlocal planes
        planes += 1
        return measure(*words, **named)

    monkeypatch.setattr("nucleate.run.results.measure", counted)
    found = stacked()
    before = found.table if table_first else None
    found.save(tmp_path, ["measurements", "geojson"])
    found.save(tmp_path, ["measurements"], name="again")
    assert planes == len(found.labels)
    assert found.table["label"].tolist() == [1, 2, 3]
    assert before is None or before is found.table
    assert planes == len(found.labels)
    rows = (tmp_path / "measurements.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["again"] * 3 + ["stack"] * 3


def test_results_are_looked_up_by_identity() -> None:
    found, other = single(), single()
    assert found in [other, found]
    assert len({found, other, found}) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folder": ""}, "no path: got an empty text"),
        ({"folder": 5}, "no path: got int"),
        ({"exports": None}, "exports = None; name some of labels"),
        ({"exports": [1]}, "no export 1"),
        ({"name": 5}, "name = 5"),
    ],
)
def test_wrong_calls_of_save_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, options: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        single().save(**{"folder": tmp_path / "out", **options})
    assert list(tmp_path.iterdir()) == []
