"""Label images as TIFF: exact, compact, with the pixel size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from nucleate.core.image import LENGTHS_UM, Image
from nucleate.errors import OutputError
from nucleate.export.label_tiff import write_labels
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


@pytest.mark.parametrize(("highest", "dtype"), [(0, np.uint16), (65535, np.uint16), (65536, np.uint32)])
def test_reads_back_equal(tmp_path: Path, highest: int, dtype: type) -> None:
    labels = np.zeros((40, 50), np.int32)
    labels[3:9, 4:20] = highest
    path = tmp_path / "a.labels.tif"
    write_labels(path, labels, pixel_size_um=(0.5, 0.25))
    image = read_image(path)
    assert image.pixels.dtype == dtype
    assert image.axes == "YX"
    assert image.pixel_size_um == pytest.approx((0.5, 0.25))
    np.testing.assert_array_equal(image.pixels, labels)


@pytest.mark.parametrize("size", [*LENGTHS_UM, 0.16253, 1e-5, 123456.7])
def test_sizes_of_pixels_that_an_image_can_have_are_kept(tmp_path: Path, size: float) -> None:
    path = tmp_path / "a.labels.tif"
    image = Image(np.ones((2, 4, 5), np.int32), "ZYX", (size, size), z_step_um=size)
    write_labels(path, image.pixels, axes="ZYX", pixel_size_um=image.pixel_size_um, z_step_um=image.z_step_um)
    again = read_image(path)
    assert again.pixel_size_um == pytest.approx((size, size))
    assert again.z_step_um == pytest.approx(size)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("shape", "axes", "seen"),
    [
        ((3, 8, 9), "ZYX", "ZYX"),
        ((3, 8, 9), "TYX", "TYX"),
        ((3, 8, 9), None, "TYX"),
        ((2, 3, 8, 9), "TZYX", "TZYX"),
        ((2, 3, 4, 8, 9), "TZIYX", "TZCYX"),
        ((3, 4, 8, 9), "ZIYX", "ZCYX"),
    ],
)
def test_stacks(tmp_path: Path, dtype: type, shape: tuple[int, ...], axes: str | None, seen: str) -> None:
    labels: NDArray[Any] = np.arange(np.prod(shape)).reshape(shape).astype(dtype) * 600
    path = tmp_path / "a.tif"
    write_labels(path, labels, axes=axes)
    image = read_image(path)
    assert image.axes == seen
    assert image.pixel_size_um is None
    np.testing.assert_array_equal(image.pixels, labels)
    np.testing.assert_array_equal(tifffile.imread(path), labels)


def test_it_is_compressed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_labels(path, np.zeros((1000, 1000), np.int32))
    assert path.stat().st_size < 20_000


def test_opens_in_imagej_with_all_ids_in_the_display_range(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_labels(path, np.arange(12, dtype=np.int32).reshape(3, 4), pixel_size_um=(0.2, 0.2))
    with tifffile.TiffFile(path) as tiff:
        metadata = tiff.imagej_metadata
    assert metadata is not None
    assert (metadata["unit"], metadata["max"]) == ("micron", 11.0)


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_labels(tmp_path / "no" / "a.tif", np.zeros((2, 2), np.int32))
    assert list(tmp_path.iterdir()) == []
