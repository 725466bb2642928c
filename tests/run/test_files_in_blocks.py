"""From a file that is read in parts to labels that are written in parts: the same as through memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from tests.run.test_large_planes import drawn, segmenter

from nucleate.io.images import open_image, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


@pytest.fixture(scope="module")
def channels() -> NDArray[Any]:
    """Give a channel without nuclei and one with them."""
    picture = drawn((603, 517), 150)
    return np.stack([np.full_like(picture, 9), picture])


def _check(path: Path, labels: Any) -> None:  # noqa: ANN401 - whatever takes labels
    found = segmenter(tile=256)
    image = read_image(path).channel()
    want, sure = found.segment_plane(image.pixels, max_bytes=10**12)
    with open_image(path) as source:
        confidence = found.segment_into(source.channel(), labels, max_bytes=0)
    assert want.max() > 50
    np.testing.assert_array_equal(labels[:, :], want)
    np.testing.assert_array_equal(confidence, sure)


def test_a_pyramid_to_a_memory_map(channels: NDArray[Any], tmp_path: Path) -> None:
    path = tmp_path / "slide.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["actin", "DAPI"]}}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(channels, metadata=metadata, subifds=1, tile=(128, 128), compression="zlib")
        writer.write(channels[:, ::2, ::2], subfiletype=1, tile=(128, 128), compression="zlib")
    _check(path, np.memmap(tmp_path / "labels", np.int32, "w+", shape=channels.shape[1:]))


def test_ome_zarr_to_zarr(channels: NDArray[Any], tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_image

    path = write_image(tmp_path / "a.zarr", channels, axes="cyx", channels=("actin", "DAPI"), chunks=(1, 100, 100))
    shape = channels.shape[1:]
    _check(path, zarr.create_array(tmp_path / "labels.zarr", shape=shape, chunks=(128, 128), dtype="int32"))
