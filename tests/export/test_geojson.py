"""GeoJSON for QuPath, read back by shapely."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from tests.export.painting import HOLED, paint
from tests.strategies import label_images

from nucleate.export.geojson import write_geojson
from nucleate.export.measurements import measure
from nucleate.export.shapes import Position

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _features(
    path: Path, labels: NDArray[np.int32], place: Position | None = None, *, confidence: NDArray[Any] | None = None
) -> list[Any]:
    table = measure(labels, {"": np.ones(labels.shape)})
    if confidence is not None:
        table["confidence"] = confidence
    write_geojson(path, [(place, labels, table)])
    whole = json.loads(path.read_text(encoding="utf-8"))
    assert whole["type"] == "FeatureCollection"
    found: list[Any] = whole["features"]
    return found


def _rings(feature: Any) -> list[Any]:  # noqa: ANN401
    geometry = feature["geometry"]
    pieces = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    assert all(ring[0] == ring[-1] for piece in pieces for ring in piece)
    return [ring[:-1] for piece in pieces for ring in piece]


def test_a_feature_has_all_that_is_known(tmp_path: Path) -> None:
    features = _features(tmp_path / "a.geojson", HOLED, confidence=np.linspace(0.5, 1, 6))
    assert [feature["properties"]["name"] for feature in features] == ["1", "2", "3", "4", "5", "7"]
    first = features[0]
    assert first["geometry"]["coordinates"][0] == [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
    assert "plane" not in first["geometry"]
    assert first["properties"]["objectType"] == "detection"
    values = first["properties"]["measurements"]
    assert (values["area_px"], values["confidence"], values["mean_intensity"]) == (14, 0.5, 1.0)
    assert "area_um2" not in values  # not known
    assert "label" not in values  # it is the name
    assert type(values["area_px"]) is int
    assert values["equivalent_diameter_px"] == 4.22201  # of 4.2220089...
    assert all(isinstance(value, int | float) for value in values.values())
    assert [feature["geometry"]["type"] for feature in features] == [
        "Polygon", "MultiPolygon", "MultiPolygon", "Polygon", "Polygon", "Polygon",
    ]  # fmt: skip


def test_measurements_in_another_order_go_with_their_nuclei(tmp_path: Path) -> None:
    labels = np.array([[1, 2, 2, 0, 9, 9, 9]], np.int32)
    table = {name: values[[1, 2, 0]] for name, values in measure(labels, {}).items()}
    write_geojson(tmp_path / "a.geojson", [(None, labels, table)])
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [f["properties"]["measurements"]["area_px"] for f in features] == [1, 2, 3]


def test_planes_are_named_as_qupath_names_them(tmp_path: Path) -> None:
    (feature,) = _features(tmp_path / "a.geojson", np.ones((2, 2), np.int32), Position(t=2, z=1))
    assert feature["geometry"]["plane"] == {"c": -1, "z": 1, "t": 2}


def test_no_nucleus_is_a_collection_without_features(tmp_path: Path) -> None:
    assert _features(tmp_path / "a.geojson", np.zeros((3, 3), np.int32)) == []


@given(label_images())
@settings(max_examples=25)
def test_equal_to_the_pixel(labels: NDArray[np.int32]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        features = _features(Path(folder) / "a.geojson", labels)
    painted = np.zeros_like(labels)
    for feature in features:
        painted[paint(_rings(feature), labels.shape)] = int(feature["properties"]["name"])
    np.testing.assert_array_equal(painted, labels)


@given(label_images())
@settings(max_examples=25)
def test_shapely_reads_valid_polygons_of_the_same_pixels(labels: NDArray[np.int32]) -> None:
    shapely = pytest.importorskip("shapely", reason="shapely is not installed")
    for one in (labels, HOLED):
        with tempfile.TemporaryDirectory() as folder:
            features = _features(Path(folder) / "a.geojson", one)
        rows, cols = np.mgrid[: one.shape[0], : one.shape[1]] + 0.5
        for feature in features:
            geometry = shapely.geometry.shape(feature["geometry"])
            assert geometry.is_valid, shapely.is_valid_reason(geometry)
            mask = shapely.contains_xy(geometry, cols, rows)
            np.testing.assert_array_equal(mask, one == int(feature["properties"]["name"]))
            assert geometry.area == mask.sum()
