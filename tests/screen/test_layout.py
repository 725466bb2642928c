"""Names of files to wells, fields and channels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from nucleate.errors import InputError, UsageError
from nucleate.screen.layout import read_plate
from nucleate.screen.names import compile_pattern
from nucleate.screen.sources import field_sources, nuclear_channel

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("style", "names", "place"),
    [
        (
            "yokogawa",
            [
                "AssayPlate_Greiner_#655090_B07_T0001F003L01A01Z02C01.tif",
                "AssayPlate_Greiner_#655090_B07_T0001F003L01A02Z02C02.png",
            ],
            ("B07", 3, [("01", 2), ("02", 2)]),
        ),
        (
            "opera",
            ["r02c07f03p01-ch1sk1fk1fl1.tiff", "r02c07f03p01-ch2sk1fk1fl1.tiff"],
            ("B07", 3, [("1", 1), ("2", 1)]),
        ),
        (
            "imagexpress",
            [f"Week1_150607_B07_s3_{end}.tif" for end in ("w1D6A5B5B1-4C0D-4B39", "w1_thumb01A2B3C4-5D6E", "w2")],
            ("B07", 3, [("1", 0), ("2", 0)]),
        ),
        ("opera", ["r02c07f03p01-ch01t01.tiff", "r02c07f03p01-ch02t01.tiff"], ("B07", 3, [("01", 1), ("02", 1)])),
        (
            "imagexpress",
            ["P_B07_w1_s3_z2_t1.tif", "P_B07_w2_s3_z2_t1.tif", "P_B07_w2_s3_z1_t1.tif"],
            ("B07", 3, [("1", 2), ("2", 1), ("2", 2)]),
        ),
        ("imagexpress", ["B2_run_B07_s3_w1.tif"], ("B07", 3, [("1", 0)])),
        (
            "gen5",
            ["B7_01_1_3_DAPI_001.tif", "B7_01_2_3_Bright Field_001.tif"],
            ("B07", 3, [("Bright Field", 0), ("DAPI", 0)]),
        ),
        (
            "incell",
            ["B - 07(fld 3 wv UV - DAPI).tif", "B - 07(fld 3 wv Blue - FITC).tif"],
            ("B07", 3, [("DAPI", 0), ("FITC", 0)]),
        ),
        ("free", ["B07_3_DAPI.tif", "sub/B7_f3_actin.tif"], ("B07", 3, [("DAPI", 0), ("actin", 0)])),
    ],
)
def test_styles(tmp_path: Path, style: str, names: list[str], place: tuple[str, int, list[tuple[str, int]]]) -> None:
    plate = read_plate(_touch(tmp_path, *names))
    assert (plate.style, plate.problems) == (style, ())
    (field,) = plate.fields
    assert (field.well, field.number, [(file.channel, file.z) for file in field.files]) == place


def test_fields_stand_in_the_order_of_the_plate(tmp_path: Path) -> None:
    plate = read_plate(_touch(tmp_path, "AA01_1_x.tif", "B10_2_x.tif", "B10_10_x.tif", "B2_1_x.tif"))
    assert [field.name for field in plate.fields] == ["B02_f01", "B10_f02", "B10_f10", "AA01_f01"]


def test_what_does_not_fit_is_told_in_one_line_each(tmp_path: Path) -> None:
    _touch(tmp_path, "A01_1_DAPI.tif", "A1_1_DAPI.tif", "overview.tif", "notes.txt", "A01_1_DAPI.labels.tif")
    plate = read_plate(_touch(tmp_path, "plate_thumb.png", "sub/overview_Thumb1.tif"))
    assert [field.name for field in plate.fields] == ["A01_f01"]
    assert plate.problems == (
        "A1_1_DAPI.tif: a second picture of A01 field 1 channel 'DAPI'; remove one",
        "overview.tif: its name does not fit the style free of the others; rename it, move it away or give --pattern",
    )


LEICA = "image--L0000--S00--U{:02d}--V00--J{:02d}--E00--O00--X{:02d}--Y02--T0000--Z{:02d}--C{:02d}.ome.tif"


def _leica(folder: Path, *jobs: tuple[int, int, int, int], wells: int = 2) -> str:
    """Write pictures of each job, X, plane and channel, and give what is said of them."""
    _touch(folder, *(LEICA.format(well, *job) for well in range(wells) for job in jobs))
    with pytest.raises(UsageError, match=r"pictures of several jobs: J08 \(\d+ files\), J") as refused:
        read_plate(folder)
    return str(refused.value)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_channels_of_several_jobs_of_leica_can_be_taken_together(tmp_path: Path, channels: int) -> None:
    jobs = [(job, 1, 0, channel) for job in (8, 9) for channel in range(channels)]
    (one, each) = _leica(tmp_path, *jobs).split('"')[1::2]
    plate = read_plate(tmp_path, pattern=each)
    names = tuple(f"{job:02d}-{channel:02d}" for job, _, _, channel in jobs)
    assert (plate.problems, plate.channels) == ((), names)
    assert [field.name for field in plate.fields] == ["A01_f2001", "A02_f2001"]
    assert nuclear_channel(read_plate(tmp_path, pattern=each, channels={names[0]: "DAPI"}), None) == "DAPI"
    alone = read_plate(tmp_path, pattern=one)
    assert all("--J08--" in file.path.name for field in alone.fields for file in field.files)
    assert len(alone.problems) == 2 * channels


def test_jobs_of_leica_make_no_field_together(tmp_path: Path) -> None:
    jobs = [(8, 1, 0, 0), (8, 2, 0, 0), (9, 3, 0, 0)]
    said = _leica(tmp_path, *jobs)
    (one,) = said.split('"')[1::2]
    assert said.endswith(f'; take one, --pattern "{one}", or move the others away')
    plate = read_plate(tmp_path, pattern=one)
    own = {LEICA.format(well, *job) for well in range(2) for job in jobs if job[0] == 8}
    assert {file.path.name for field in plate.fields for file in field.files} == own
    assert plate.channels == ("00",)


@pytest.mark.parametrize(
    "pictures",
    [
        [(0, 8, 1, 0, 0), (1, 9, 1, 0, 0)],
        [(0, 8, 1, 0, 0), (0, 9, 1, 0, 1), (1, 8, 1, 0, 0), (1, 9, 1, 0, 1)],
        [(0, 8, 1, 0, 0), (0, 9, 1, 0, 1), (0, 8, 2, 0, 0), (1, 8, 1, 0, 0)],
    ],
    ids=["each well of one job", "each channel of one job", "two pictures of one are missing"],
)
def test_jobs_of_leica_that_mix_nowhere_are_one_plate(tmp_path: Path, pictures: list[tuple[int, ...]]) -> None:
    plate = read_plate(_touch(tmp_path, *(LEICA.format(*one) for one in pictures)))
    names = sorted({f"A0{well + 1}_f200{place}" for well, _, place, _, _ in pictures})
    assert (plate.problems, [field.name for field in plate.fields]) == ((), names)
    assert sum(len(field.files) for field in plate.fields) == len(pictures)


def test_an_overview_of_another_job_is_told(tmp_path: Path) -> None:
    overview = LEICA.format(0, 1, 1, 0, 0)
    assert "J08 (4 files), J01 (1 files); take one" in _leica(_touch(tmp_path, overview), (8, 1, 0, 0), (8, 1, 0, 1))


@pytest.mark.parametrize("channels", [("C1", "C2"), ("CH1", "CH2"), ("Cy3", "Cy5"), ("w1", "w2"), ("DAPI", "Cy5")])
def test_a_channel_that_looks_like_a_well_is_none(tmp_path: Path, channels: tuple[str, str]) -> None:
    names = [f"{well}_{field}_{channel}.tif" for well in ("A01", "B02") for field in (1, 2) for channel in channels]
    plate = read_plate(_touch(tmp_path, *names))
    assert (plate.style, plate.channels, plate.problems) == ("free", tuple(sorted(channels)), ())
    assert [field.name for field in plate.fields] == ["A01_f01", "A01_f02", "B02_f01", "B02_f02"]
    assert read_plate(tmp_path, pattern="free").fields == plate.fields


@pytest.mark.parametrize(
    "form",
    ["A01_1_DAPI_t{}", "img_A01_f1_c{}", "A01_d{}", "A01_1_z{}", "A01_1_z{}_DAPI", "A01_1_DAPI_mask{}"],
)
def test_names_that_are_read_as_no_style_rather_than_wrongly(tmp_path: Path, form: str) -> None:
    with pytest.raises(UsageError, match=r"no name fits a plate \(such as .*1.*\.tif\)"):
        read_plate(_touch(tmp_path, *(f"{form.format(number)}.tif" for number in (1, 2))))


def test_planes_and_masks_are_no_channels(tmp_path: Path) -> None:
    plate = read_plate(_touch(tmp_path, "A01_1_DAPI.tif", "A01_1_DAPI_mask.tif", "A01_2_DAPI.tif"))
    assert plate.channels == ("DAPI",)
    assert [problem.partition(":")[0] for problem in plate.problems] == ["A01_1_DAPI_mask.tif"]
    own = read_plate(tmp_path, pattern="{well}_{field}_{channel}")
    assert own.channels == ("DAPI", "DAPI_mask")


def test_names_that_tell_nothing_apart_are_refused(tmp_path: Path) -> None:
    names = [f"A01_1_{number}.tif" for number in range(4)]
    with pytest.raises(UsageError, match=r"names read as free do not tell pictures apart.*--pattern"):
        read_plate(_touch(tmp_path, *names), pattern="{well}_{field}_{any}")


def test_names_that_begin_with_two_plates(tmp_path: Path) -> None:
    names = [f"Plate{plate}_{well}0{n}_s1_w1.tif" for plate, well in ((1, "A"), (2, "B")) for n in (1, 2)]
    with pytest.raises(UsageError, match=r"several plates: Plate1 \(2 files\), Plate2 .*--pattern \"{any}_{well}_"):
        read_plate(_touch(tmp_path, *names))


def test_pictures_of_the_microscopes_own_are_passed_over(tmp_path: Path) -> None:
    _touch(tmp_path, "DC_sCMOS #1_CAM1.tif", "SC_BP445-45_40x_M01_CH01.tif", "FFC_Profile/FFC_Profile_1.tif")
    assert read_plate(_touch(tmp_path, "P_A01_T0001F001L01A01Z01C01.tif")).problems == ()


def test_rows_and_columns_that_count_from_0(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"i--U{u:02d}--V{v:02d}--C00.tif" for u in (0, 1) for v in (0, 1)))
    with pytest.raises(UsageError, match=r"count from 0 in these names; write {row0} and {column0}"):
        read_plate(tmp_path, pattern="i--U{column}--V{row}--C{channel}")
    plate = read_plate(tmp_path, pattern="i--U{column0}--V{row0}--C{channel}")
    assert [field.well for field in plate.fields] == ["A01", "A02", "B01", "B02"]


def test_two_plates_in_one_folder_are_no_plate(tmp_path: Path) -> None:
    names = [f"{folder}/A0{well}_1_DAPI.tif" for folder in ("P1", "P2") for well in (1, 2, 3)]
    with pytest.raises(UsageError, match="holds two plates, or one twice: P1 and P2 have the same wells"):
        read_plate(_touch(tmp_path, *names))
    (tmp_path / "P2" / "A01_1_DAPI.tif").rename(tmp_path / "P2" / "B01_1_DAPI.tif")
    (tmp_path / "P2" / "A02_1_DAPI.tif").rename(tmp_path / "P2" / "B02_1_DAPI.tif")
    plate = read_plate(tmp_path)
    assert len(plate.fields) == 5
    assert plate.problems == ("P2/A03_1_DAPI.tif: a second picture of A03 field 1 channel 'DAPI'; remove one",)


@pytest.mark.parametrize(
    ("good", "odd", "pattern"),
    [
        ("r01c01f01p01-ch1sk1fk1fl1.tiff", "r00c00f01p01-ch1sk1fk1fl1.tiff", None),
        ("row1col1.tif", "row1col0.tif", "row{row}col{column}"),
        ("row1col1.tif", "row703col1.tif", "row{row}col{column}"),
        ("rowAcol1.tif", "rowAcol0.tif", "row{row}col{column}"),
        ("A01_1_DAPI.tif", "A00_1_DAPI.tif", None),
    ],
)
def test_one_name_that_is_no_well_stops_no_plate(tmp_path: Path, good: str, odd: str, pattern: str | None) -> None:
    plate = read_plate(_touch(tmp_path, good, odd), pattern=pattern)
    assert [field.name for field in plate.fields] == ["A01_f01"]
    (problem,) = plate.problems
    assert problem.startswith(f"{odd}: ")
    assert "is no well; " in problem


@pytest.mark.parametrize(
    ("names", "pattern", "said"),
    [
        ([], None, "no picture in this folder"),
        (["overview.tif"], None, "no name fits a plate .*yokogawa, .*, leica, {well}_"),
        (["A01_1_D.tif"], "{field}", "needs {well}"),
        (["A01_1_D.tif"], "{well}_{place}", "needs {well}"),
        (["A01_1_D.tif"], "{well}{well}", "each once"),
        (["A01_1_D.tif"], "{well}{channel}{channel}{channel}", "up to twice"),
        (["P_A01_T0001F001L01A01Z01C01.tif", "P_A01_T0002F001L01A01Z01C01.tif"], None, "time points 1, 2.*--time"),
    ],
)
def test_plates_that_cannot_be(tmp_path: Path, names: list[str], pattern: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_plate(_touch(tmp_path, *names), pattern=pattern)
    with pytest.raises(UsageError, match="no such folder"):
        read_plate(tmp_path / "no")
    with pytest.raises(UsageError, match=r"^s3:/b/p.zarr: an address; remote stores are not read"):
        read_plate("s3://b/p.zarr")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    _touch(tmp_path / "store", "A01_1_DAPI.tif", "deep/A02_1_DAPI.tif")
    plate = _touch(tmp_path / "p", "A03_1_DAPI.tif")
    for link, target in {"p/day1": "store", "p/again": "store/deep", "p/up": ".", "store/loop": "store"}.items():
        (tmp_path / link).symlink_to(tmp_path / target, target_is_directory=True)
    found = read_plate(plate)
    assert [(field.well, len(field.files)) for field in found.fields] == [("A01", 1), ("A02", 1), ("A03", 1)]
    assert found.problems == ()


def test_folders_that_cannot_be_listed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "A01_1_DAPI.tif", "shut/A02_1_DAPI.tif")
    plain = os.scandir

    def closed(path: str) -> Any:  # noqa: ANN401 - as os.scandir
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert read_plate(tmp_path).problems == ("shut: cannot be listed: Permission denied; check that it may be read",)
    (tmp_path / "A01_1_DAPI.tif").unlink()
    with pytest.raises(UsageError, match="shut: cannot be listed: Permission denied; check that it may be read"):
        read_plate(tmp_path)


def test_time_points_of_folders(tmp_path: Path) -> None:
    _touch(tmp_path, "TimePoint_1/ZStep_2/P_A01_s1_w1.tif", "TimePoint_2/ZStep_2/P_A01_s1_w1.tif")
    (field,) = read_plate(tmp_path, time=2).fields
    assert [(file.z, file.time) for file in field.files] == [(2, 2)]
    with pytest.raises(UsageError, match="no time point 3; it holds 1, 2"):
        read_plate(tmp_path, time=3)


def test_a_pattern_of_the_users(tmp_path: Path) -> None:
    plate = read_plate(
        _touch(tmp_path, "day2/B-07/site 4 (DNA).tif"), pattern="{any}/{row}-{column}/site {field} ({channel})"
    )
    assert [(f.name, f.files[0].channel) for f in plate.fields] == [("B07_f04", "DNA")]
    assert compile_pattern("r{row}c{column}").fullmatch("r02c07") is not None


def test_channels_are_named_and_chosen(tmp_path: Path) -> None:
    plate = read_plate(_touch(tmp_path, "r01c01f01p01-ch1sk1fk1fl1.tiff", "r01c01f01p01-ch3sk1fk1fl1.tiff"))
    assert plate.channels == ("1", "3")
    assert (nuclear_channel(plate, None), nuclear_channel(plate, "03")) == ("1", "3")
    named = read_plate(tmp_path, channels={"01": "actin", "3": "DAPI"})
    assert (named.channels, nuclear_channel(named, None)) == (("DAPI", "actin"), "DAPI")
    with pytest.raises(UsageError, match="no channel '2'; it has 1, 3; give one of these"):
        nuclear_channel(plate, "2")
    with pytest.raises(UsageError, match="--channels: no channel '5'; the files have 1, 3"):
        read_plate(tmp_path, channels={"5": "x"})
    swapped = read_plate(tmp_path, channels={"1": "3", "3": "1"})
    assert (swapped.channels, swapped.names) == (("1", "3"), (("3", "1"), ("1", "3")))
    for twice in ({"1": "DAPI", "3": "DAPI"}, {"1": "3"}):
        with pytest.raises(UsageError, match="two channels would be called"):
            read_plate(tmp_path, channels=twice)


@pytest.mark.parametrize("name", ["A01_1_DAPI.ome.tif", "Plate_A01_T0001F001L01A01Z01C01.ome.tif"])
def test_ome_is_no_part_of_a_name(tmp_path: Path, name: str) -> None:
    plate = read_plate(_touch(tmp_path, name))
    assert plate.channels in {("DAPI",), ("01",)}
    assert not plate.problems


def _write(folder: Path, values: dict[str, int]) -> None:
    for name, value in values.items():
        tifffile.imwrite(folder / name, np.full((4, 5), value, np.uint16))


def test_a_field_becomes_one_image(tmp_path: Path) -> None:
    pattern = "{well}_{field}_z{z}_{channel}"
    _write(tmp_path, {"A01_1_z1_DAPI.tif": 3, "A01_1_z2_DAPI.tif": 7, "A01_1_z1_actin.tif": 5})
    (source,) = field_sources(read_plate(tmp_path, pattern=pattern))
    image = source.read(tmp_path)
    assert (image.axes, image.channel_names, image.pixels[:, 0, 0].tolist()) == ("CYX", ("DAPI", "actin"), [7, 5])
    before = source.sha256()
    _write(tmp_path, {"A01_1_z2_DAPI.tif": 8})
    assert source.sha256() != before
    assert (source.stem, source.shown) == ("A01_f01", "A01_f01 (A01_1_z1_DAPI.tif)")


def test_channels_of_different_sizes_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, {"A01_1_DAPI.tif": 3})
    tifffile.imwrite(tmp_path / "A01_1_actin.tif", np.zeros((4, 6), np.uint16))
    (source,) = field_sources(read_plate(tmp_path))
    with pytest.raises(InputError, match=r"A01_f01 .*another size: \(4, 6\) beside \(4, 5\)"):
        source.read(tmp_path)


def test_an_ome_zarr_plate(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    from tests.io.zarr_files import write_plate

    pixels = {
        f"{well}/{field}": np.full((2, 4, 5), field + 10 * (well == "B/3"), np.uint16)
        for well in ("B/3", "A/12")
        for field in (0, 1)
    }
    plate = read_plate(write_plate(tmp_path / "p.zarr", pixels))
    assert [field.name for field in plate.fields] == ["A12_f00", "A12_f01", "B03_f00", "B03_f01"]
    sources = field_sources(plate)
    assert [int(source.read(tmp_path).channel().pixels[0, 0]) for source in sources] == [0, 1, 10, 11]
    assert len({source.sha256() for source in sources}) == 4
    assert (plate.style, nuclear_channel(plate, None)) == ("ome-zarr", "DAPI")
    # What the plate says of itself is read once, however many fields it has.
    (tmp_path / "p.zarr" / ".zattrs").unlink(missing_ok=True)
    (tmp_path / "p.zarr" / "zarr.json").unlink(missing_ok=True)
    again = field_sources(plate)
    assert [int(source.read(tmp_path).channel().pixels[0, 0]) for source in again] == [0, 1, 10, 11]
