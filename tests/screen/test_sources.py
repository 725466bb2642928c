"""Fields as inputs: opened in parts, and one scale for all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from nucleate.screen.layout import read_plate
from nucleate.screen.scale import plate_scale
from nucleate.screen.sources import field_sources

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def test_a_field_that_is_opened_is_the_field_that_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("A01_1_actin.tif", "A01_1_DAPI.tif"):
        tifffile.imwrite(tmp_path / name, rng.integers(0, 99, (6, 7), dtype=np.uint16))
    (source,) = field_sources(read_plate(tmp_path))
    image = source.read(tmp_path)
    with source.open(tmp_path) as opened:
        assert (opened.axes, opened.channel_names, opened.name) == ("CYX", ("DAPI", "actin"), source.shown)
        np.testing.assert_array_equal(opened.load().pixels, image.pixels)


def test_a_field_of_an_ome_zarr_plate_stays_in_its_file(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    from tests.io.zarr_files import write_plate

    pixels = {f"A/1/{field}": np.full((2, 4, 5), field, np.uint16) for field in (0, 1)}
    sources = field_sources(read_plate(write_plate(tmp_path / "p.zarr", pixels)))
    for number, source in enumerate(sources):
        with source.open(tmp_path) as opened:
            assert (opened.in_memory, opened.name) == (False, source.shown)
            assert opened.channel(1).read(slice(0, 1), slice(0, 1)).tolist() == [[number]]


class _Asked:
    """Wants the scale that the lowest pixel says; 99 wants 1."""

    def __init__(self, scale: float | str) -> None:
        self.settings = SimpleNamespace(scale=scale)

    def survey(self, plane: Any) -> SimpleNamespace:  # noqa: ANN401 - any plane
        pixel = float(plane.read(slice(0, 1), slice(0, 1))[0, 0])
        return SimpleNamespace(scale=1.0 if pixel == 99 else pixel)


@pytest.mark.parametrize(
    ("fields", "scale"),
    [
        ([99] * 8 + [3, 2], 2.0),
        ([99] * 9 + [3], 1.0),
        ([99] * 5, 1.0),
        ([2, 3, 4], 3.0),
        # Of fields that are drawn by chance, about as many want another one.
        ([99] * 200 + [4] * 200, 4.0),
    ],
)
def test_all_fields_get_the_scale_that_a_fifth_of_them_want(tmp_path: Path, fields: list[int], scale: float) -> None:
    for number, value in enumerate(fields):
        tifffile.imwrite(tmp_path / f"A01_{number}_DAPI.tif", np.full((4, 5), value, np.uint8))
    (tmp_path / f"A01_{len(fields)}_DAPI.tif").write_bytes(b"no picture")
    sources = field_sources(read_plate(tmp_path))
    asked: Any = _Asked("auto")
    assert plate_scale(sources, asked, channel="DAPI") == scale
    settled: Any = _Asked(0.5)
    assert plate_scale(sources, settled) == 0.5
