"""Writers of Labels layers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import roifile

from nucleate.apps.napari.found import FOUND, Found
from nucleate.apps.napari.writer import write_label_image, write_outlines, write_regions
from nucleate.errors import UsageError
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

LABELS = np.zeros((20, 30), np.int32)
LABELS[2:6, 2:8], LABELS[10:15, 3:9] = 2, 5
META: dict[str, Any] = {"name": "a", "scale": (0.5, 0.5), "units": ("micrometer", "micrometer")}


def test_label_image(tmp_path: Path) -> None:
    path = str(tmp_path / "a.labels.tif")
    assert write_label_image(path, LABELS, META) == [path]
    written = read_image(path)
    assert written.pixels.tolist() == LABELS.tolist()
    assert written.pixel_size_um == (0.5, 0.5)


def test_stack_keeps_its_axes(tmp_path: Path) -> None:
    stack = np.stack([LABELS, LABELS[::-1]])
    meta = {"scale": (1.0, 0.5, 0.5), "axis_labels": ("t", "y", "x"), "multiscale": True}
    write_label_image(str(tmp_path / "a.tif"), [stack, stack[:, ::2, ::2]], meta)
    written = read_image(tmp_path / "a.tif")
    assert (written.axes, written.pixels.tolist()) == ("TYX", stack.tolist())


def test_stack_in_depth_keeps_its_step(tmp_path: Path) -> None:
    meta = {"scale": (2.0, 0.5, 0.5), "axis_labels": ("z", "y", "x"), "units": ("um", "um", "um")}
    write_label_image(str(tmp_path / "a.tif"), np.stack([LABELS, LABELS]), meta)
    written = read_image(tmp_path / "a.tif")
    assert (written.axes, written.pixel_size_um, written.z_step_um) == ("ZYX", (0.5, 0.5), 2.0)


def test_outlines(tmp_path: Path) -> None:
    found = Found(LABELS, {"index": np.array([2, 5]), "confidence": np.array([0.5, 0.75])})
    path = str(tmp_path / "a.geojson")
    assert write_outlines(path, LABELS, META | {"metadata": {FOUND: found}}) == [path]
    features = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["features"]
    measured = [one["properties"]["measurements"] for one in features]
    assert [(one["area_px"], one["area_um2"], one["confidence"]) for one in measured] == [(24, 6, 0.5), (30, 7.5, 0.75)]
    corner = np.array(features[0]["geometry"]["coordinates"][0])
    assert (corner.min(axis=0).tolist(), corner.max(axis=0).tolist()) == ([2, 2], [8, 6])


def test_hidden_nuclei_are_not_written(tmp_path: Path) -> None:
    found = Found(LABELS, {"index": np.array([2, 5]), "confidence": np.array([0.5, 0.75])}, least=0.6)
    meta = META | {"metadata": {FOUND: found}}
    write_label_image(str(tmp_path / "a.tif"), LABELS, meta)
    assert np.unique(read_image(tmp_path / "a.tif").pixels).tolist() == [0, 5]
    write_outlines(str(tmp_path / "a.geojson"), LABELS, meta)
    features = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["features"]
    assert [one["properties"]["measurements"]["confidence"] for one in features] == [0.75]
    write_regions(str(tmp_path / "a.zip"), LABELS, meta)
    regions: Any = roifile.roiread(str(tmp_path / "a.zip"))
    assert len(regions) == 1


def test_outlines_of_a_stack_say_their_plane(tmp_path: Path) -> None:
    write_outlines(str(tmp_path / "a.geojson"), np.stack([LABELS, LABELS]), {"axis_labels": ("z", "y", "x")})
    features = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["features"]
    assert [one["geometry"]["plane"]["z"] for one in features] == [0, 0, 1, 1]
    assert [one["properties"]["name"] for one in features] == ["1", "2", "3", "4"]


def test_depth_before_time(tmp_path: Path) -> None:
    stack = np.zeros((2, 2, 20, 30), np.int32)
    for number, at in enumerate(np.ndindex(2, 2), 1):
        stack[at][2 : 4 + number, 2:8] = number
    found = Found(stack, {"index": np.arange(1, 5), "confidence": np.array([0.1, 0.2, 0.3, 0.4])})
    meta = {"axis_labels": ("z", "t", "y", "x"), "metadata": {FOUND: found}}
    write_outlines(str(tmp_path / "a.geojson"), stack, meta)
    features = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["features"]
    told = [one["properties"]["measurements"] for one in features]
    assert [(one["area_px"], one["confidence"]) for one in told] == [(18, 0.1), (30, 0.3), (24, 0.2), (36, 0.4)]


@pytest.mark.parametrize("number", [-1, 2**33])
def test_ids_that_a_label_image_cannot_hold_are_refused(tmp_path: Path, number: int) -> None:
    labels = LABELS.astype(np.int64)
    labels[0, 0] = number
    with pytest.raises(UsageError, match=r"a label image holds 0 to 4294967295"):
        write_label_image(str(tmp_path / "a.tif"), labels, META)
    assert list(tmp_path.iterdir()) == []


def test_regions(tmp_path: Path) -> None:
    path = str(tmp_path / "a.zip")
    assert write_regions(path, np.stack([LABELS, LABELS]), {}) == [path]
    regions: Any = roifile.roiread(path)
    assert [(one.name, one.position) for one in regions] == [("1", 1), ("2", 1), ("3", 2), ("4", 2)]


def test_regions_of_frames_whose_depth_is_put_together_lie_in_every_slice(tmp_path: Path) -> None:
    # Such nuclei lie in a layer with one plane in depth, which is stretched over that of the image.
    path, stack = str(tmp_path / "a.zip"), np.stack([LABELS, LABELS])[:, None]
    write_regions(path, stack, {"axis_labels": ("t", "z", "y", "x")})
    regions: Any = roifile.roiread(path)
    places = [(one.position, one.t_position, one.z_position) for one in regions]
    assert places == [(0, 1, 0), (0, 1, 0), (0, 2, 0), (0, 2, 0)]
