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


@pytest.mark.parametrize("tiff", ["tif", "ome.tif", "TIFF"])
def test_pictures_that_were_saved_thrice(tmp_path: Path, tiff: str) -> None:
    plate = _plate(tmp_path, *(f"A0{n}_1_DAPI.{ending}" for n in (1, 2) for ending in ("jpg", "png", tiff)))
    taken = [file.path.name for field in plate.fields for file in field.files]
    assert taken == [f"A01_1_DAPI.{tiff}", f"A02_1_DAPI.{tiff}"]
    assert plate.problems == ()


@pytest.mark.parametrize(("first", "second"), [("png", "jpg"), ("bmp", "JPEG"), ("tif", "tiff"), ("ome.tif", "tif")])
def test_pictures_that_were_saved_twice_without_one_that_is_sure(tmp_path: Path, first: str, second: str) -> None:
    plate = _plate(tmp_path, f"A01_1_DAPI.{second}", f"A01_1_DAPI.{first}")
    assert [file.path.name for file in plate.fields[0].files] == [f"A01_1_DAPI.{first}"]
    assert plate.problems == (f"A01_1_DAPI.{second}: a second picture of A01 field 1 channel 'DAPI'; remove one",)


def test_planes_and_times_of_in_cell(tmp_path: Path) -> None:
    names = [f"A - 01(fld 1 wv UV - DAPI z {z} time 1 - 0ms).tif" for z in (1, 2)]
    plate = _plate(
        tmp_path, *names, "A - 02(fld 1 wv UV - DAPI time 1 - 0ms).tif", "A - 03(fld 1 wv UV - DAPI z 1 time 1).tif"
    )
    assert (plate.style, plate.channels, plate.time) == ("incell", ("DAPI",), 1)
    assert [file.z for file in plate.fields[0].files] == [1, 2]


@pytest.mark.parametrize("names", [("P1_A1",), ("P1_A1", "P1_A2"), ("Exp7_P2_B3", "Exp7_P2_B11"), ("P12_C1", "P12_D1")])
def test_a_plate_with_a_number_and_a_well_and_nothing_else(tmp_path: Path, names: tuple[str, ...]) -> None:
    plate = _plate(tmp_path, *(f"{name}.tif" for name in names))
    wells = [name.rpartition("_")[2] for name in names]
    assert _wells(plate) == [f"{well[0]}{int(well[1:]):02d}" for well in wells]
    assert (plate.channels, plate.problems) == ((), ())


@pytest.mark.parametrize("wells", [("A1",), ("A1", "B1"), ("C11",)])
def test_two_plates_with_numbers_and_wells_are_told_apart(tmp_path: Path, wells: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"names begin with those of several plates: P1 \(\d files?\), P2 "):
        _plate(tmp_path, *(f"{plate}_{well}.tif" for plate in ("P1", "P2") for well in wells))


def test_a_position_behind_a_well_is_no_plate(tmp_path: Path) -> None:
    plate = _plate(tmp_path, "A01_P1_C1.tif", "A01_P1_C2.tif")
    assert (_wells(plate), plate.channels) == (["A01"], ("C1", "C2"))


@pytest.mark.parametrize("front", ["A01", "B02"])
def test_a_well_in_front_is_no_plate(tmp_path: Path, front: str) -> None:
    with pytest.raises(UsageError, match="no name fits a plate"):
        _plate(tmp_path, *(f"{front}_C{n}.tif" for n in (1, 2)))


LEICA = "image--L0000--S00--U{:02d}--V{:02d}--J08--E00--O00--X{:02d}--Y{:02d}--T0000--Z{:02d}--C{:02d}.ome.tif"


def test_leicas_wells_count_from_nothing_whatever_is_there(tmp_path: Path) -> None:
    # No row 0, no column 0: one who counted from the least would be a row and a column off.
    places = [
        (u, v, x, y, z, c) for u in (2, 3) for v in (1, 4) for x in (0, 1) for y in (0, 1) for z, c in ((0, 0), (1, 1))
    ]
    plate = _plate(tmp_path, *(LEICA.format(*place) for place in places))
    assert (plate.style, plate.channels, plate.problems) == ("leica", ("00", "01"), ())
    numbers = (0, 1, 1000, 1001)
    assert [field.name for field in plate.fields] == [
        f"{w}_f{n:02d}" for w in ("B03", "B04", "E03", "E04") for n in numbers
    ]
    assert plate.fields[2].files[0].path.name == LEICA.format(2, 1, 0, 1, 0, 0)


def test_leicas_names_without_places_and_in_folders(tmp_path: Path) -> None:
    folder = tmp_path / "chamber--U01--V00" / "field--X00--Y00"
    folder.mkdir(parents=True)
    (folder / "image--L0000--S00--U01--V00--J08--C01.tif").write_bytes(b"")
    plate = _plate(tmp_path)
    assert ([field.name for field in plate.fields], plate.channels) == (["A02_f01"], ("01",))


def test_two_slides_of_leica_are_two_plates(tmp_path: Path) -> None:
    names = [LEICA.format(u, 1, 0, 0, 0, 0).replace("S00", f"S0{s}") for s in (0, 1) for u in (0, 1)]
    with pytest.raises(UsageError, match=r"those of several plates: S00 \(2 files\), S01"):
        _plate(tmp_path, *names)


def test_a_number_alone_is_the_field_between_plate_and_channel(tmp_path: Path) -> None:
    plate = _plate(tmp_path, *(f"exp_{well}_{f}_w{w}.tif" for well in ("B02", "C11") for f in (1, 2) for w in (1, 2)))
    assert (plate.style, plate.channels, plate.problems) == ("imagexpress", ("1", "2"), ())
    assert [field.name for field in plate.fields] == ["B02_f01", "B02_f02", "C11_f01", "C11_f02"]


def test_without_a_plate_such_names_are_read_as_before(tmp_path: Path) -> None:
    plate = _plate(tmp_path, *(f"A01_{f}_w{w}.tif" for f in (1, 2) for w in (1, 2)))
    assert (plate.style, plate.channels, [field.name for field in plate.fields]) == (
        "free",
        ("w1", "w2"),
        ["A01_f01", "A01_f02"],
    )


def test_places_in_a_well_by_pattern(tmp_path: Path) -> None:
    for name in ("B02_x1_y3_DAPI.tif", "B02_x13_y0_DAPI.tif", "B02_x3_y1_DAPI.tif"):
        (tmp_path / name).write_bytes(b"")
    plate = read_plate(tmp_path, pattern="{well}_x{x}_y{y}_{channel}")
    assert [field.number for field in plate.fields] == [13, 1003, 3001]
    with pytest.raises(UsageError, match=r"needs {well}, or {row} and {column}; may have {field} or {x} and {y}; each"):
        read_plate(tmp_path, pattern="{well}_x{x}_y{field}_{channel}")
