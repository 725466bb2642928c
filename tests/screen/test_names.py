"""What stands before a well in the names of a plate, and what looks like a well there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nucleate.errors import UsageError
from nucleate.screen.layout import Plate, read_plate

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _plate(folder: Path, *names: str) -> Plate:
    for name in names:
        (folder / name).write_bytes(b"")
    return read_plate(folder)


def _wells(plate: Plate) -> list[str]:
    return [field.well for field in plate.fields]


@pytest.mark.parametrize("front", ["A549", "HT29", "P1", "P1_2", "Exp1_P1", "U2_OS"])
@pytest.mark.parametrize("wells", [("A01", "A02", "B01"), ("A1", "A2", "B1")])
def test_a_short_name_before_the_well_is_none(tmp_path: Path, front: str, wells: tuple[str, ...]) -> None:
    plate = _plate(tmp_path, *(f"{front}_{well}.tif" for well in wells))
    assert (_wells(plate), plate.problems) == (["A01", "A02", "B01"], ())


@pytest.mark.parametrize("front", ["A549", "HT29", "P1"])
def test_one_well_behind_a_short_name(tmp_path: Path, front: str) -> None:
    assert _wells(_plate(tmp_path, f"{front}_A01.tif")) == ["A01"]


def test_rows_that_look_like_steps(tmp_path: Path) -> None:
    plate = _plate(tmp_path, *(f"D1_{row}05_s1_w{w}.tif" for row in "RSTUZWF" for w in (1, 2)))
    assert (_wells(plate), plate.channels) == ([f"{row}05" for row in "FRSTUWZ"], ("1", "2"))


def test_a_field_that_looks_like_a_well(tmp_path: Path) -> None:
    plate = _plate(tmp_path, *(f"{well}_f{f}_w1.tif" for well in ("A01", "B02") for f in (1, 2)))
    assert [field.name for field in plate.fields] == ["A01_f01", "A01_f02", "B02_f01", "B02_f02"]


@pytest.mark.parametrize("channel", ["C1", "C01"])
def test_channels_of_one_well_are_no_wells(tmp_path: Path, channel: str) -> None:
    plate = _plate(tmp_path, f"A01_1_{channel}.tif", f"A01_1_{channel[:-1]}2.tif")
    assert (_wells(plate), len(plate.channels)) == (["A01"], 2)


def test_running_numbers_and_capitals_make_no_plates(tmp_path: Path) -> None:
    numbered = _plate(tmp_path, *(f"000{n}_A0{n}_s1_w{w}.tif" for n in (1, 2, 3) for w in (1, 2)))
    assert (_wells(numbered), numbered.problems) == (["A01", "A02", "A03"], ())
    (folder := tmp_path / "other").mkdir()
    names = ["Plate_A01_s1_w1.tif", "Plate_A02_s1_w1.tif", "plate_B01_s1_w1.tif", "plate_B02_s1_w1.tif"]
    assert _wells(_plate(folder, *names)) == ["A01", "A02", "B01", "B02"]


def test_an_overview_and_a_rescan_stop_no_plate(tmp_path: Path) -> None:
    plate = _plate(tmp_path, "overview_A01.tif", *(f"A0{n}_s1_w1.tif" for n in (1, 2, 3)))
    assert _wells(plate) == ["A01", "A02", "A03"]
    assert plate.problems == ("overview_A01.tif: names no channel, others do; move it away",)
    (folder := tmp_path / "other").mkdir()
    names = [f"{front}_T0001F001L01A01Z01C01.tif" for front in ("P_A01", "P_A02", "P_rescan_B03")]
    assert _wells(_plate(folder, *names)) == ["A01", "A02", "B03"]
    again = _plate(folder, "P_B03_T0001F001L01A01Z01C01.tif")
    assert [line.partition(":")[0] for line in again.problems] == ["P_rescan_B03_T0001F001L01A01Z01C01.tif"]


def test_two_plates_of_one_well_each(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names begin with those of several plates"):
        _plate(tmp_path, "A549_A01.tif", "HT29_A01.tif")


def test_pictures_that_were_saved_thrice(tmp_path: Path) -> None:
    endings = ("jpg", "png", "tif")
    plate = _plate(tmp_path, *(f"A0{n}_1_DAPI.{ending}" for n in (1, 2) for ending in endings))
    assert [file.path.name for field in plate.fields for file in field.files] == ["A01_1_DAPI.tif", "A02_1_DAPI.tif"]
    assert len(plate.problems) == 4


def test_planes_and_times_of_in_cell(tmp_path: Path) -> None:
    names = [f"A - 01(fld 1 wv UV - DAPI z {z} time 1 - 0ms).tif" for z in (1, 2)]
    plate = _plate(
        tmp_path, *names, "A - 02(fld 1 wv UV - DAPI time 1 - 0ms).tif", "A - 03(fld 1 wv UV - DAPI z 1 time 1).tif"
    )
    assert (plate.style, plate.channels, plate.time) == ("incell", ("DAPI",), 1)
    assert [file.z for file in plate.fields[0].files] == [1, 2]
