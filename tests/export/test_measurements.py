"""Measurements against scikit-image's regionprops, and the CSV of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.measure import regionprops_table
from tests.tables import rows_of

from nucleate.export.measurements import measure, write_measurements

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

THEIRS = {
    "label": "label", "area": "area_px", "centroid-0": "centroid_row", "centroid-1": "centroid_col",
    "bbox-0": "bbox_row_min", "bbox-1": "bbox_col_min", "bbox-2": "bbox_row_max", "bbox-3": "bbox_col_max",
    "perimeter": "perimeter_px", "equivalent_diameter_area": "equivalent_diameter_px",
    "axis_major_length": "major_axis_px", "axis_minor_length": "minor_axis_px", "eccentricity": "eccentricity",
    "orientation": "orientation_rad", "solidity": "solidity", "intensity_mean": "mean_intensity",
    "intensity_min": "min_intensity", "intensity_max": "max_intensity", "intensity_std": "std_intensity",
    "extent": "extent",
}  # fmt: skip
PROPERTIES = sorted({name.split("-")[0] for name in THEIRS})


_oracle: Any = regionprops_table  # it has no annotations


def _blobs(seed: int, side: int = 120, sigma: float = 3.0) -> NDArray[np.int32]:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side + 17)), sigma)
    labels, _ = ndimage.label(noise > 0.3 * noise.std())
    return np.asarray(labels, np.int32)


def _compare(labels: NDArray[Any], plane: NDArray[Any]) -> None:
    ours = measure(labels, {"": plane})
    theirs: dict[str, NDArray[Any]] = _oracle(labels, plane, properties=PROPERTIES)
    round_ones = ours["eccentricity"] < 1e-3  # their direction is rounding noise
    for name, column in THEIRS.items():
        expected, got = theirs[name], ours[column]
        if name == "orientation":
            turn = np.abs(expected - got) % np.pi
            np.testing.assert_allclose(np.minimum(turn, np.pi - turn)[~round_ones], 0, atol=1e-6, err_msg=name)
        else:
            # Near-equal variances cancel: their axes and eccentricity carry errors of the square root of the epsilon.
            near = 2e-6 if name in {"eccentricity", "axis_minor_length"} else 1e-9
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=near, err_msg=name)
    if plane.min() >= 0 and ours["integrated_intensity"].min() > 0:  # regionprops divides by the sum
        weighted: dict[str, NDArray[Any]] = _oracle(labels, plane, properties=("centroid", "centroid_weighted"))
        row, col = (weighted[f"centroid_weighted-{i}"] - weighted[f"centroid-{i}"] for i in (0, 1))
        np.testing.assert_allclose(ours["mass_displacement_px"], np.hypot(row, col), atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_regionprops_on_blobs(seed: int) -> None:
    labels = _blobs(seed)
    assert labels.max() > 10
    _compare(labels, np.random.default_rng(seed).integers(0, 4000, labels.shape, np.uint16))


def test_equal_to_regionprops_on_scattered_pixels() -> None:
    labels = np.random.default_rng(0).integers(0, 40, (30, 45)).astype(np.int32)  # nuclei in many parts, with holes
    _compare(labels, np.random.default_rng(1).normal(size=labels.shape))


def test_equal_to_regionprops_with_gaps_in_the_ids_and_touching_neighbours() -> None:
    labels = np.kron(np.random.default_rng(2).permutation(30).reshape(5, 6), np.ones((7, 9))).astype(np.int32) * 3
    _compare(labels, np.arange(labels.size).reshape(labels.shape))


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)))
@settings(max_examples=60)
def test_equal_to_regionprops_on_anything(labels: NDArray[np.int32]) -> None:
    if labels.any():
        _compare(labels, np.arange(labels.size).reshape(labels.shape))
    assert len(measure(labels, {})["label"]) == len(set(labels[labels > 0].tolist()))


def test_a_large_convex_nucleus_is_solid() -> None:
    row, col = np.mgrid[:400, :300]
    disk = ((row - 200) ** 2 + (col - 150) ** 2 <= 140**2).astype(np.int32)
    table = measure(disk, {})
    assert table["solidity"][0] == pytest.approx(1.0, abs=5e-3)
    assert table["solidity"][0] <= 1
    assert table["equivalent_diameter_px"][0] == pytest.approx(280, rel=1e-3)


# One pair three columns apart in each row: grey levels 0 and 6 in the first, 9 and 15 in the second.
BY_HAND_TEXTURE = {
    "texture_contrast_DAPI": 36.0, "texture_homogeneity_DAPI": 1 / 37, "texture_asm_DAPI": 0.25,
    "texture_entropy_DAPI": math.log(4), "texture_correlation_DAPI": (67.5 - 7.5**2) / (85.5 - 7.5**2),
}  # fmt: skip


def test_by_hand() -> None:
    labels = np.zeros((5, 8), np.int32)
    labels[1:3, 2:6] = 1
    plane = np.zeros((5, 8))
    plane[1, 2:6], plane[2, 2:6] = [1, 2, 3, 4], [5, 6, 7, 8]
    table = measure(labels, {"DAPI": plane}, pixel_size_um=(0.5, 0.5))
    assert {name: values.tolist()[0] for name, values in table.items()} == pytest.approx({
        "label": 1, "area_px": 8, "area_um2": 2.0, "centroid_row": 1.5, "centroid_col": 3.5,
        "centroid_row_um": 0.75, "centroid_col_um": 1.75, "touches_border": 0,
        "bbox_row_min": 1, "bbox_col_min": 2, "bbox_row_max": 3, "bbox_col_max": 6,
        "perimeter_px": 8.0, "perimeter_um": 4.0, "equivalent_diameter_px": math.sqrt(32 / math.pi),
        "equivalent_diameter_um": math.sqrt(8 / math.pi), "extent": 1.0, "form_factor": math.pi / 2,
        "major_axis_px": 4 * math.sqrt(1.25), "minor_axis_px": 2.0, "eccentricity": math.sqrt(0.8),
        "orientation_rad": math.pi / 2, "solidity": 1.0, "mean_intensity_DAPI": 4.5, "min_intensity_DAPI": 1,
        "max_intensity_DAPI": 8, "std_intensity_DAPI": math.sqrt(5.25), "integrated_intensity_DAPI": 36,
        "mass_displacement_px_DAPI": math.hypot(8, 10) / 36, "neighbors_touching": 0, "neighbors_near": 0,
        **BY_HAND_TEXTURE, "nearest_neighbor_px": math.nan, "nearest_neighbor_um": math.nan, "confidence": math.nan,
    }, nan_ok=True)  # fmt: skip


def test_places_and_areas_on_pixels_that_are_not_square() -> None:
    labels = np.zeros((7, 9), np.int32)
    labels[2:4, 3:6] = 1  # the centre lies at row 2.5, column 4
    table = measure(labels, {}, pixel_size_um=(2.0, 0.5))
    assert (table["centroid_row_um"][0], table["centroid_col_um"][0]) == (5.0, 2.0)
    assert (table["area_px"][0], table["area_um2"][0]) == (6, 6.0)
    assert table["equivalent_diameter_um"][0] == pytest.approx(math.sqrt(4 * 6 / math.pi))
    wide = measure(labels, {}, pixel_size_um=(2.0, 1.0))
    assert (wide["area_um2"][0], wide["area_px"][0]) == (12.0, 6)
    assert wide["equivalent_diameter_um"][0] == pytest.approx(math.sqrt(4 * 12 / math.pi))


def test_each_edge_of_the_picture_is_touched() -> None:
    labels = np.zeros((7, 9), np.int32)
    labels[0, 4], labels[3, 0], labels[6, 4], labels[3, 8], labels[3, 4] = 1, 2, 3, 4, 5
    assert measure(labels, {})["touches_border"].tolist() == [1, 1, 1, 1, 0]


def test_what_is_as_long_as_wide_points_where_regionprops_says() -> None:
    square = np.ones((4, 4), np.int32)
    theirs = _oracle(square, properties=("orientation",))["orientation"][0]
    assert measure(square, {})["orientation_rad"][0] == theirs == -math.pi / 4


def test_one_pixel_and_none() -> None:
    table = measure(np.array([[0, 0], [0, 4]]), {"": np.array([[1, 2], [3, 4]])})
    assert table["label"].tolist() == [4]
    assert (table["perimeter_px"][0], table["solidity"][0], table["std_intensity"][0]) == (0.0, 1.0, 0.0)
    empty = measure(np.zeros((4, 5), np.int32), {"": np.zeros((4, 5))})
    assert list(empty) == list(table)
    assert all(len(values) == 0 for values in empty.values())


def test_pixels_that_are_not_finite_are_left_out() -> None:
    labels = np.array([[1, 1, 1, 2]])
    table = measure(labels, {"": np.array([[1.0, np.nan, 3.0, np.inf]])})
    assert table["mean_intensity"][0] == 2.0
    assert table["integrated_intensity"][0] == 4.0
    assert (table["min_intensity"][0], table["max_intensity"][0]) == (1.0, 3.0)
    for name in ("mean", "min", "max", "std", "integrated"):
        assert math.isnan(table[f"{name}_intensity"][1])


def test_the_long_axis_points_where_it_should() -> None:
    diagonal = np.eye(20, dtype=np.int32)  # down and to the right
    assert measure(diagonal, {})["orientation_rad"][0] == pytest.approx(math.pi / 4)
    upright = np.ones((20, 2), np.int32)
    assert measure(upright, {})["orientation_rad"][0] == pytest.approx(0)


def test_csv_rows_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    labels = np.array([[1, 1, 0, 2]], np.int32)
    first = measure(labels, {"DAPI, raw": np.array([[1, 2, 3, 1e6 + 0.25]])})
    write_measurements(path, [('odd, "name"\nhere.png', first)])
    assert b"\r" not in path.read_bytes()
    rows = rows_of(path)
    assert [row["image"] for row in rows] == ['odd, "name"\nhere.png'] * 2
    assert [row["label"] for row in rows] == ["1", "2"]
    assert rows[0]["centroid_col"] == "0.500"
    assert rows[0]["mean_intensity_DAPI, raw"] == "1.5"
    assert rows[1]["mean_intensity_DAPI, raw"] == "1000000.25"
    assert rows[0]["area_um2"] == rows[0]["perimeter_um"] == rows[0]["confidence"] == ""
    assert list(rows[0])[:3] == ["image", "label", "area_px"]
    assert list(rows[0])[-1] == "confidence"


def test_csv_of_images_with_different_channels(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    labels = np.ones((1, 2), np.int32)
    plane = np.ones((1, 2))
    write_measurements(
        path, [("a", measure(labels, {})), ("b", {"plane": np.array([3]), **measure(labels, {"x": plane})})]
    )
    rows = rows_of(path)
    assert list(rows[0])[:3] == ["image", "plane", "label"]
    assert list(rows[0])[-3:] == ["nearest_neighbor_px", "nearest_neighbor_um", "confidence"]
    assert list(rows[0]).index("integrated_intensity_x") < list(rows[0]).index("neighbors_touching")
    assert (rows[0]["mean_intensity_x"], rows[1]["mean_intensity_x"]) == ("", "1")
    assert (rows[0]["plane"], rows[1]["plane"]) == ("", "3")


def test_csv_without_any_nucleus_has_its_header(tmp_path: Path) -> None:
    write_measurements(tmp_path / "a.csv", [])
    write_measurements(tmp_path / "b.csv", [("a", measure(np.zeros((3, 3), np.int32), {"": np.zeros((3, 3))}))])
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert (tmp_path / "a.csv").read_text().startswith("image,label,area_px,area_um2,")


@pytest.mark.parametrize("pixels", [1, 700, 5000])
def test_bands_measure_what_the_whole_does(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = _blobs(3)
    labels[labels == 5] = 0
    rng = np.random.default_rng(0)
    planes = {"": rng.integers(0, 255, labels.shape), "b": rng.random(labels.shape)}
    whole = measure(labels, planes, pixel_size_um=(0.5, 0.4))
    monkeypatch.setattr("nucleate.core.bands.BAND_PIXELS", pixels)
    bands = measure(labels, planes, pixel_size_um=(0.5, 0.4))
    assert list(bands) == list(whole)
    for column, values in whole.items():
        assert bands[column].dtype == values.dtype
        np.testing.assert_array_equal(bands[column], values, err_msg=column)
    empty = measure(np.zeros((90, 90), np.int32), {"": np.zeros((90, 90))})
    assert len(empty["label"]) == 0


@pytest.mark.parametrize(
    ("size", "low", "high"), [((0.5, 0.5), 0.98, 1.05), ((0.25, 0.5), 1.0, 1.1), ((0.5, 0.25), 1.0, 1.1)]
)
def test_perimeters_in_micrometres_are_of_pixels_that_need_not_be_square(
    size: tuple[float, float], low: float, high: float
) -> None:
    rows, cols = (np.arange(-12, 12, step) for step in size)
    for angle in np.linspace(0, np.pi, 8):
        along = np.cos(angle) * cols + np.sin(angle) * rows[:, None]
        beside = np.cos(angle) * rows[:, None] - np.sin(angle) * cols
        ellipse = ((along / 9) ** 2 + (beside / 5) ** 2 <= 1).astype(np.int32)
        (found,) = measure(ellipse, {}, pixel_size_um=size)["perimeter_um"]
        length = np.pi * (3 * 14 - np.sqrt((3 * 9 + 5) * (9 + 3 * 5)))  # Ramanujan
        assert low < found / length < high


@pytest.mark.parametrize("size", [(1.0, 0.5), (0.25, 0.5)])
def test_shapes_on_pixels_that_are_not_square_are_those_in_micrometres(size: tuple[float, float]) -> None:
    labels = _blobs(4)
    ours, in_pixels = measure(labels, {}, pixel_size_um=size), measure(labels, {})
    theirs: dict[str, NDArray[Any]] = _oracle(labels, spacing=size, properties=("eccentricity", "orientation"))
    np.testing.assert_allclose(ours["eccentricity"], theirs["eccentricity"], rtol=1e-9)
    np.testing.assert_allclose(np.cos(2 * (ours["orientation_rad"] - theirs["orientation"])), 1)
    for name in ("major_axis_px", "minor_axis_px", "solidity", "extent"):
        np.testing.assert_array_equal(ours[name], in_pixels[name])
    rows, cols = (np.arange(-12, 12, step) for step in size)
    disk = (rows[:, None] ** 2 + cols**2 <= 100).astype(np.int32)
    assert measure(disk, {}, pixel_size_um=size)["eccentricity"][0] < 0.25
    assert 0.8 < measure(disk, {}, pixel_size_um=size)["form_factor"][0] < 1.1
    assert measure(disk, {})["eccentricity"][0] > 0.8


@pytest.mark.parametrize(
    ("across", "excess", "form"), [(5, -0.13, 1.3), (9, -0.05, 1.1), (18, 0, 1), (32, 0.03, 0.95), (240, 0.05, 0.9)]
)
def test_outlines_of_small_disks_are_short_and_their_form_factor_is_over_1(
    across: int, excess: float, form: float
) -> None:
    rng, radius, lengths, forms = np.random.default_rng(across), across / 2, [], []
    place = np.arange(-across // 2 - 2, across // 2 + 3)
    for _ in range(60):
        row, col = rng.uniform(-0.5, 0.5, 2)
        disk = ((place[:, None] - row) ** 2 + (place - col) ** 2 <= radius**2).astype(np.int32)
        table = measure(disk, {})
        lengths.append(table["perimeter_px"][0] / (np.pi * across))
        forms.append(table["form_factor"][0])
    assert np.mean(lengths) == pytest.approx(1 + excess, abs=0.015)
    assert np.median(forms) == pytest.approx(form, abs=0.06)


def test_perimeters_of_nuclei_two_pixels_thick_go_along_them() -> None:
    labels = np.pad(np.ones((2, 30), np.int32), 1)
    lying = measure(labels, {}, pixel_size_um=(2.0, 0.5))["perimeter_um"]
    standing = measure(labels.T, {}, pixel_size_um=(0.5, 2.0))["perimeter_um"]
    assert lying.tolist() == standing.tolist() == [2 * (2.0 + 29 * 0.5)]
