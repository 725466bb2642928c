"""Label images as OME-TIFF: exact, with the pixel size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from nucleate.export.ome_tiff import write_ome_labels
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("shape", "axes", "seen"),
    [
        ((30, 40), "YX", "YX"),
        ((3, 30, 40), None, "TYX"),
        ((3, 30, 40), "ZYX", "ZYX"),
        ((2, 3, 30, 40), "TZYX", "TZYX"),
        ((2, 3, 4, 30, 40), "TZIYX", "TZCYX"),
    ],
)
@pytest.mark.parametrize(("highest", "dtype"), [(65535, np.uint16), (65536, np.uint32)])
def test_reads_back_equal(
    tmp_path: Path, shape: tuple[int, ...], axes: str | None, seen: str, highest: int, dtype: type
) -> None:
    labels = np.random.default_rng(0).integers(0, 9, shape).astype(np.int32)
    labels.flat[0] = highest
    path = tmp_path / "a.labels.ome.tif"
    write_ome_labels(path, labels, axes=axes, pixel_size_um=(0.5, 0.25))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert 'PhysicalSizeYUnit="µm"' in str(tiff.ome_metadata)
    image = read_image(path)
    assert image.axes == seen
    assert image.pixels.dtype == dtype
    assert image.pixel_size_um == pytest.approx((0.5, 0.25))
    np.testing.assert_array_equal(image.pixels, labels)


def test_without_a_pixel_size(tmp_path: Path) -> None:
    write_ome_labels(tmp_path / "a.ome.tif", np.eye(5, dtype=np.int32))
    assert read_image(tmp_path / "a.ome.tif").pixel_size_um is None
