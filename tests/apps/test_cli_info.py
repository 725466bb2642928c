"""``nucleate info``, called as the command line calls it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.calls import call

from nucleate.apps.napari.reader import read_layers
from nucleate.errors import InputError
from nucleate.io.describe import describe
from nucleate.io.omezarr import pictures

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with an OME-TIFF of two channels and two levels, a PNG and a file that is no image."""
    pixels = np.zeros((2, 3, 64, 48), np.uint16)
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2}
    metadata = {"axes": "CZYX", "Channel": {"Name": ["GFP", "Hoechst"]}} | size
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(pixels, metadata=metadata, subifds=1, tile=(32, 32))
        writer.write(pixels[..., ::2, ::2], subfiletype=1, tile=(32, 32))
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "c.tif").write_bytes(b"II*\0 nothing")
    return tmp_path


def test_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", str(folder / "a.ome.tif")) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].startswith(f"{folder / 'a.ome.tif'}: TIFF, ")
    assert shown.out.splitlines()[1:] == [
        "  axes        ZCYX",
        "  shape       3 x 2 x 64 x 48",
        "  dtype       uint16",
        "  channels    GFP, Hoechst (nuclear stain)",
        "  pixel size  0.25 x 0.5 µm",
        "  z step      2 µm",
        "  levels      64 x 48, 32 x 24",
    ]
    assert shown.err == ""


@pytest.mark.parametrize(("names", "shown"), [([], "2 without a name"), (["red", "green"], "red, green")])
def test_channels_of_which_none_is_known_to_show_nuclei(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], shown: str
) -> None:
    metadata = {"axes": "CYX", **({"Labels": names} if names else {})}
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((2, 9, 8), np.uint16), imagej=True, metadata=metadata)
    assert call("info", str(tmp_path / "c.tif")) == 0
    line = f"  channels    {shown} (none is known to show nuclei: 0 is taken unless --channel says another)"
    assert line in capsys.readouterr().out.splitlines()


def test_colours_and_the_time_step_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    channels = {"Name": ["GFP", "DAPI"], "Color": [16711935, -1]}
    metadata = {"axes": "TCYX", "Channel": channels, "TimeIncrement": 2, "TimeIncrementUnit": "min"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((3, 2, 9, 8), np.uint16), ome=True, metadata=metadata)
    assert call("info", str(tmp_path / "a.ome.tif")) == 0
    assert capsys.readouterr().out.splitlines()[4:] == [
        "  channels    GFP, DAPI (nuclear stain)",
        "  colours     00FF00, unknown",
        "  pixel size  unknown",
        "  time step   120 s",
    ]
    (told,) = describe(tmp_path / "a.ome.tif")["pictures"]
    assert (told["channel_colours"], told["t_step_s"]) == (["00FF00", ""], 120.0)


def test_json_of_a_folder_with_a_bad_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", str(folder), "--json") == 1
    shown = capsys.readouterr()
    first, second = json.loads(shown.out)
    assert first["pictures"][0]["nuclear_channel"] == 1
    assert second == {
        "path": str(folder / "b.png"), "format": "PNG", "bytes": (folder / "b.png").stat().st_size,
        "pictures": [{"name": "", "axes": "YXS", "shape": [5, 6, 3], "dtype": "uint8", "channels": [],
                      "channel_colours": [], "nuclear_channel": None, "pixel_size_um": None, "z_step_um": None,
                      "t_step_s": None, "levels": [[5, 6]]}],
    }  # fmt: skip
    assert shown.err.startswith(f"nucleate: {folder / 'c.tif'}: ")
    assert shown.err.count("\n") == 1


def test_a_damaged_field_of_a_plate_is_told_and_the_others_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_plate

    plate = write_plate(tmp_path / "p.zarr", {f"A/{column}/0": np.zeros((2, 9, 8), np.uint8) for column in (1, 2)})
    (plate / "A/1/zarr.json").write_text("{")
    assert call("info", str(plate)) == 1
    shown = capsys.readouterr()
    assert "  picture 1: A/2/0" in shown.out.splitlines()
    assert shown.err.startswith(f"nucleate: {plate / 'A/1'}: damaged OME-Zarr file")
    assert shown.err.count("\n") == 1


def test_a_field_whose_folder_is_missing_is_told_as_one(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_plate

    plate = write_plate(tmp_path / "plate", dict.fromkeys(("A/1/0", "A/1/1"), np.zeros((2, 9, 8), np.uint8)))
    shutil.rmtree(plate / "A/1/1")
    told = f"{plate / 'A/1/1'}: no metadata of an image (multiscales) in it; copy it again"
    assert describe(plate)["pictures"][1] == {"name": "A/1/1", "error": told}
    with pytest.raises(InputError, match="no metadata of an image"):
        read_layers(str(plate))


def test_the_metadata_of_a_plate_are_read_once_for_all_its_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    from tests.io.zarr_files import write_plate

    fields = [f"A/{column}/0" for column in range(1, 6)]
    plate = write_plate(tmp_path / "plate", dict.fromkeys(fields, np.zeros((2, 9, 8), np.uint8)))
    listed: list[Path] = []

    def noted(folder: Path) -> list[str]:
        listed.append(folder)
        return pictures(folder)

    monkeypatch.setattr("nucleate.io.omezarr.pictures", noted)
    assert [one["name"] for one in describe(plate)["pictures"]] == fields
    assert listed == [plate, *(plate / field for field in fields)]
    listed.clear()  # the reader of napari does the same
    assert [meta["name"] for _, meta, _ in read_layers(str(plate))][::2] == [f"plate {field} DAPI" for field in fields]
    assert listed == [plate, *(plate / field for field in fields)]


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", str(tmp_path / "no.tif")) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_several_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(np.zeros((20, 30), np.uint8), metadata={"Name": "first"})
        writer.write(np.zeros((2, 25, 35), np.uint8), metadata={"Name": "second", "axes": "TYX"})
        writer.write(np.zeros((9, 9), np.uint8), metadata={"Name": "macro image"})
    assert call("info", str(path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("  picture")] == ["  picture 0: first", "  picture 1: second"]
    assert "    shape       2 x 25 x 35" in lines
    assert sum("TIFF" in line for line in lines) == 1
    monkeypatch.setattr("nucleate.io.describe._MOST_PICTURES", 1)
    few = describe(path)["pictures"]
    assert few[1] == {"name": "second"}
