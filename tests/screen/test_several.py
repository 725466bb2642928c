"""Files of a plate that hold several pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from tests.io import ome_sets

from nucleate.errors import UsageError
from nucleate.screen.layout import read_plate
from nucleate.screen.sources import field_sources

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _write(path: Path, *values: int) -> None:
    """Write a picture for each stage position, all of one value."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number, value in enumerate(values):
            writer.write(np.full((4, 5), value, np.uint8), metadata={"axes": "YX", "Name": f"Pos{number}"})


def test_each_picture_is_a_field_with_its_channels(tmp_path: Path) -> None:
    for well, first in (("A01", 1), ("A02", 10)):
        _write(tmp_path / f"{well}_DAPI.ome.tif", *range(first, first + 3))
        _write(tmp_path / f"{well}_GFP.ome.tif", *range(first + 100, first + 103))
    plate = read_plate(tmp_path, pattern="{well}_{channel}")
    assert plate.problems == ()
    found = {source.stem: source.read(tmp_path).pixels[:, 0, 0].tolist() for source in field_sources(plate)}
    assert found == {
        **{f"A01_f0{number}": [number, number + 100] for number in (1, 2, 3)},
        **{f"A02_f0{number}": [number + 9, number + 109] for number in (1, 2, 3)},
    }
    assert len({source.key for source in field_sources(plate)}) == 6


def test_each_picture_of_a_set_is_a_field_with_its_channels(tmp_path: Path) -> None:
    for well in ("A01", "A02"):
        ome_sets.write_set(tmp_path, [[f"{well}_C0.ome.tif", f"{well}_C1.ome.tif"]] * 2)
    plate = read_plate(tmp_path, pattern="{well}_C{channel}")
    assert not plate.problems
    assert [field.name for field in plate.fields] == ["A01_f01", "A01_f02", "A02_f01", "A02_f02"]
    for number, source in enumerate(field_sources(plate)):
        planes = [ome_sets.plane(number % 2, channel) for channel in range(2)]
        np.testing.assert_array_equal(source.read(tmp_path).pixels, planes)


def test_a_field_of_several_is_opened_as_it_is_read(tmp_path: Path) -> None:
    _write(tmp_path / "A01.ome.tif", 3, 4)
    plate = read_plate(tmp_path, pattern="{well}")
    for source, value in zip(field_sources(plate), (3, 4), strict=True):
        with source.open(tmp_path) as opened:
            assert (opened.name, int(opened.load().pixels.max())) == (source.shown, value)


def test_pictures_that_are_left_out_are_said(tmp_path: Path) -> None:
    _write(tmp_path / "A01_1.ome.tif", 1, 2, 3)
    _write(tmp_path / "A01_2.ome.tif", 4)
    plate = read_plate(tmp_path, pattern="{well}_{field}")
    assert [source.read(tmp_path).pixels.max() for source in field_sources(plate)] == [1, 4]
    said = "A01_1.ome.tif: holds 3 pictures, but names tell the fields: one is taken; give each its own file"
    assert plate.problems == (said,)
    (tmp_path / "A01_1.ome.tif").unlink()
    _write(tmp_path / "A02_1.ome.tif", 1, 2, 3)
    tifffile.imwrite(tmp_path / "A02_2.ome.tif", np.zeros((4, 5), np.uint8))
    (problem,) = read_plate(tmp_path, pattern="{well}_{channel}").problems
    assert problem.startswith("A02_1.ome.tif: holds 3 pictures, but another file of A02 holds 1: one is taken")


def test_a_damaged_well_of_an_ome_zarr_plate_is_left_out_and_named(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_plate

    folder = write_plate(tmp_path / "p.zarr", {f"{well}/0": np.zeros((2, 4, 5), np.uint8) for well in ("A/1", "B/3")})
    (folder / "A/1/zarr.json").unlink()
    plate = read_plate(folder)
    assert [field.name for field in plate.fields] == ["B03_f00"]
    assert plate.problems == ("p.zarr/A/1: metadata of a well are damaged or lacking; copy it again",)


def test_one_acquisition_of_an_ome_zarr_plate_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_group, write_plate

    names = [f"{well}/{field}" for well in ("A/1", "A/2") for field in ("0", "1", "2", "3")]
    folder = write_plate(tmp_path / "p.zarr", {name: np.zeros((2, 4, 5), np.uint8) for name in names})
    with pytest.raises(UsageError, match="no acquisition 1; it holds none"):
        read_plate(folder, acquisition=1)
    assert len(read_plate(folder, acquisition=0).fields) == len(names)
    images = [{"path": str(field), "acquisition": 1 + field // 2} for field in range(4)]
    for well in ("A/1", "A/2"):
        write_group(folder / well, {"well": {"images": images}})
    with pytest.raises(UsageError, match=r"holds the acquisitions 1, 2; choose one with --acquisition"):
        read_plate(folder)
    plate = read_plate(folder, acquisition=2)
    assert [field.name for field in plate.fields] == ["A01_f02", "A01_f03", "A02_f02", "A02_f03"]
    assert plate.acquisition == 2
    for second, taken in ((None, 1), (2, None)):
        for well, of in (("A/1", 1), ("A/2", second)):
            write_group(folder / well, {"well": {"images": [{"path": "0"} | ({"acquisition": of} if of else {})]}})
        plate = read_plate(folder)
        assert ([field.name for field in plate.fields], plate.acquisition) == (["A01_f00", "A02_f00"], taken)
    assert [field.name for field in read_plate(folder, acquisition=2).fields] == ["A02_f00"]
    _write(tmp_path / "A01.ome.tif", 1)
    with pytest.raises(UsageError, match="holds no acquisitions as an OME-Zarr plate may"):
        read_plate(tmp_path, acquisition=1)


def test_names_that_tell_time_point_0_leave_none_to_choose_in_files(tmp_path: Path) -> None:
    for time in (0, 1):
        tifffile.imwrite(
            tmp_path / f"A01_t{time}.tif", np.zeros((2, 4, 5), np.uint8), imagej=True, metadata={"axes": "TYX"}
        )
    (field,) = read_plate(tmp_path, time=0, pattern="{well}_t{time}").fields
    assert [file.path.name for file in field.files] == ["A01_t0.tif"]
