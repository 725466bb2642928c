"""Fields as inputs: opened in parts, and one scale for all of them."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.io import ome_sets

from nucleate.core.normalize import to_grey
from nucleate.errors import InputError, UsageError
from nucleate.screen.layout import read_plate
from nucleate.screen.scale import earlier_scale, plate_scale
from nucleate.screen.sources import field_sources, nuclear_channel

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.screen.sources import FieldSource

pytestmark = pytest.mark.base

WELLS = ("A01", "A02")


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


def test_grey_files_keep_the_name_of_their_channel(tmp_path: Path) -> None:
    for well, name in zip(WELLS, ("DAPI", "Hoechst"), strict=True):
        picture, metadata = np.ones((5, 6), np.uint16), {"Channel": {"Name": [name]}}
        tifffile.imwrite(tmp_path / f"{well}.ome.tif", picture, metadata=metadata)
    plate = read_plate(tmp_path, pattern="{well}")
    assert nuclear_channel(plate, "DAPI") == "DAPI"
    assert [one.read(tmp_path).channel_names for one in field_sources(plate)] == [("DAPI",), ("Hoechst",)]


def test_channels_in_one_file_are_named_anew(tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.uint16).reshape(2, 5, 6)
    for well in ("A01", "A02"):
        tifffile.imwrite(tmp_path / f"{well}.tif", pixels, imagej=True, metadata={"axes": "CYX"})
    plate = read_plate(tmp_path, pattern="{well}")
    assert (plate.channels, nuclear_channel(plate, "1")) == (("0", "1"), "1")
    named = read_plate(tmp_path, pattern="{well}", channels={"1": "DAPI"})
    assert (named.channels, nuclear_channel(named, None)) == (("0", "DAPI"), "DAPI")
    _, second = field_sources(named)
    assert second.read(tmp_path).channel_names == ("0", "DAPI")
    with second.open(tmp_path) as opened:
        assert (opened.in_memory, opened.channel_names) == (False, ("0", "DAPI"))
        np.testing.assert_array_equal(opened.channel("DAPI").load().pixels, pixels[1])
    for names, said in (({"2": "x"}, "--channels: no channel '2'; the files have 0, 1"), ({"0": "1"}, "two channels")):
        with pytest.raises(UsageError, match=said):
            read_plate(tmp_path, pattern="{well}", channels=names)


@pytest.mark.parametrize("names", [("GFP", "DAPI"), ("DAPI", "actin"), ("DAPI",), ()])
def test_fields_of_other_channels_than_the_first_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    _write_channels(tmp_path / "A01.ome.tif", "DAPI", "GFP")
    _write_channels(tmp_path / "A02.ome.tif", *names)
    _, second = field_sources(read_plate(tmp_path, pattern="{well}"))
    if set(names) == {"DAPI", "GFP"}:
        assert second.read(tmp_path).channel_names == names
        return
    has = ", ".join(names if len(names) > 1 else ()) or "none"
    with pytest.raises(InputError, match=f"A02_f01 .*: has the channels {has}, the plate DAPI, GFP; make them"):
        second.read(tmp_path)
    with pytest.raises(InputError, match="has the channels"), second.open(tmp_path):
        pass


def test_channels_are_those_of_the_first_file_that_can_be_opened(tmp_path: Path) -> None:
    for damaged in ("A01", "A02"):
        (tmp_path / f"{damaged}.tif").write_bytes(b"II*\0")
    plate = read_plate(tmp_path, pattern="{well}")
    assert (plate.channels, nuclear_channel(plate, None)) == ((), None)
    _write_channels(tmp_path / "A03.ome.tif", "DAPI", "GFP")
    plate = read_plate(tmp_path, pattern="{well}", channels={"GFP": "p53"})
    assert plate.names == (("DAPI", "DAPI"), ("GFP", "p53"))


def test_no_other_channel_stands_for_that_of_the_nuclei(tmp_path: Path) -> None:
    for name in ("A01_1_1", "A01_1_2", "A01_1_3", "A02_1_2", "A02_1_3"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((5, 6), np.uint16))
    first, second = field_sources(read_plate(tmp_path), "1")
    assert first.read(tmp_path).channel_names == ("1", "2", "3")
    with pytest.raises(InputError, match=r"A02_f01 \(A02_1_2\.tif\): no channel '1'; it has 2, 3; add its file"):
        second.read(tmp_path)


def _write_channels(path: Path, *names: str) -> None:
    """Write a picture with a plane of its own for each channel; a grey one without any."""
    planes = np.arange(5 * 6 * max(len(names), 1), dtype=np.uint16).reshape(-1, 5, 6)
    told: dict[str, Any] = {"axes": "CYX", "Channel": {"Name": list(names)}} if names else {"axes": "CYX"}
    tifffile.imwrite(path, planes, metadata=told)


def test_names_in_a_file_become_others_by_name(tmp_path: Path) -> None:
    _write_channels(tmp_path / "A01.ome.tif", "blue laser", "red laser")
    plate = read_plate(tmp_path, pattern="{well}", channels={"Blue laser": "DAPI", "red laser": "p53"})
    assert (plate.channels, nuclear_channel(plate, "0")) == (("DAPI", "p53"), "DAPI")


@pytest.mark.parametrize("new", [{}, {"cy3-2": "p53"}])
def test_channels_of_one_name_in_a_file_are_told_apart(tmp_path: Path, new: dict[str, str]) -> None:
    pixels = np.arange(90, dtype=np.uint16).reshape(3, 5, 6)
    _write_channels(tmp_path / "A01.ome.tif", "Cy3", "Cy3", "DAPI")
    plate = read_plate(tmp_path, pattern="{well}", channels=new)
    names = ("Cy3", new.get("cy3-2", "Cy3-2"), "DAPI")
    assert plate.channels == names
    (source,) = field_sources(plate)
    for number, name in enumerate(names):
        assert nuclear_channel(plate, str(number)) == name
        np.testing.assert_array_equal(source.read(tmp_path).channel(name).pixels, pixels[number])
        with source.open(tmp_path) as opened:
            np.testing.assert_array_equal(opened.channel(name).load().pixels, pixels[number])


def test_a_colour_is_chosen_and_no_channel_named_where_a_file_has_none(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / "A01.png")
    plate = read_plate(tmp_path, pattern="{well}")
    assert (plate.channels, nuclear_channel(plate, None), nuclear_channel(plate, "red")) == ((), None, "red")
    with pytest.raises(UsageError, match="--channels: the files hold no channels"):
        read_plate(tmp_path, pattern="{well}", channels={"0": "DAPI"})


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("A01_1_z1.tif", "A01_1_z2.tif"), "{well}_{field}_z{z}"),
        (("ZStep_1/P_A01_s1.tif", "ZStep_2/P_A01_s1.tif"), "imagexpress"),
    ],
)
@pytest.mark.parametrize("axes", ["YX", "CYX", "YXS", "ZYX"])
def test_planes_in_files_of_their_own_become_one(
    tmp_path: Path, names: tuple[str, str], pattern: str, axes: str
) -> None:
    rng = np.random.default_rng(0)
    lengths = {"C": 2, "Y": 6, "X": 7, "S": 3, "Z": 4}
    shape = tuple(lengths[axis] for axis in axes)
    planes = [rng.integers(0, 99, shape, dtype=np.uint8) for _ in names]
    for name, plane in zip(names, planes, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        told: dict[str, Any] = {"photometric": "rgb"} if "S" in axes else {"imagej": True}
        tifffile.imwrite(tmp_path / name, plane, metadata={"axes": axes}, **told)
    (source,) = field_sources(read_plate(tmp_path, pattern=pattern))
    brightest = np.maximum(*planes)
    _check_read(source, tmp_path, expected=brightest.max(0) if "Z" in axes else brightest)


@pytest.mark.parametrize(("axes", "shape"), [("ZYX", (3, 6, 7)), ("ZCYX", (3, 2, 6, 7)), ("IYX", (3, 6, 7))])
@pytest.mark.parametrize("name", ["A01.tif", "A01_1_DAPI.tif"])
def test_a_stack_in_one_file_becomes_one_plane(tmp_path: Path, axes: str, shape: tuple[int, ...], name: str) -> None:
    stack = np.random.default_rng(0).integers(0, 99, shape, dtype=np.uint16)
    told: dict[str, Any] = (
        {"photometric": "minisblack"} if "I" in axes else {"imagej": True, "metadata": {"axes": axes}}
    )
    tifffile.imwrite(tmp_path / name, stack, **told)
    (source,) = field_sources(read_plate(tmp_path, pattern="{well}" if name == "A01.tif" else None))
    if name == "A01.tif" or "C" not in axes:
        _check_read(source, tmp_path, expected=stack.max(0) if name == "A01.tif" else stack.max(0)[None])
    else:
        with pytest.raises(InputError, match="holds several channels"):
            source.read(tmp_path)


def test_a_stack_of_an_ome_zarr_plate_becomes_one_plane(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    from tests.io.zarr_files import write_plate

    stack = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 5), dtype=np.uint16)
    (source,) = field_sources(read_plate(write_plate(tmp_path / "p.zarr", {"A/1/0": stack}, axes="czyx")))
    _check_read(source, tmp_path, expected=stack.max(1))
    with source.open(tmp_path) as opened:
        assert not opened.in_memory


def test_stage_positions_are_not_mixed(tmp_path: Path) -> None:
    pytest.importorskip("nd2", reason="nd2 is not installed (extra formats)")
    from tests.io.nd2_files import Recording, write_nd2

    write_nd2(tmp_path / "A01.nd2", Recording(np.zeros((3, 2, 5, 6), np.uint16), "PZYX", ("DAPI",), 0.65))
    (source,) = field_sources(read_plate(tmp_path, pattern="{well}"))
    said = "holds 3 stage positions, a screen takes one a file"
    with pytest.raises(InputError, match=said):
        source.read(tmp_path)
    with pytest.raises(InputError, match=said), source.open(tmp_path):
        pass


@pytest.mark.parametrize("name", ["A01.tif", "A01_1_DAPI.tif"])
def test_times_are_not_mixed(tmp_path: Path, name: str) -> None:
    stack = np.zeros((2, 6, 7), np.uint16)
    stack[1] = 9
    tifffile.imwrite(tmp_path / name, stack, imagej=True, metadata={"axes": "TYX"})
    pattern = "{well}" if name == "A01.tif" else None
    for time, said in ((None, "holds 2 time points; choose one with --time 1 to --time 2"), (3, "no time point 3; ")):
        with pytest.raises(UsageError, match=said):
            read_plate(tmp_path, pattern=pattern, time=time)
    plate = read_plate(tmp_path, pattern=pattern, time=2)
    assert plate.time == 2
    (source,) = field_sources(plate)
    _check_read(source, tmp_path, expected=stack[1] if name == "A01.tif" else stack[1:])
    tifffile.imwrite(tmp_path / name, stack[0])
    said = "no time point 2: it holds 1; export the field again"
    with pytest.raises(InputError, match=said):
        source.read(tmp_path)
    with pytest.raises(InputError, match=said), source.open(tmp_path):
        pass
    with pytest.raises(UsageError, match="no time point 2; a field holds one; leave --time out"):
        read_plate(tmp_path, pattern=pattern, time=2)


def test_a_time_point_of_an_ome_zarr_plate_is_chosen(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    from tests.io.zarr_files import write_plate

    stack = np.random.default_rng(0).integers(0, 99, (2, 2, 3, 4, 5), dtype=np.uint16)
    folder = write_plate(tmp_path / "p.zarr", {"A/1/0": stack}, axes="tczyx")
    with pytest.raises(UsageError, match=r"p\.zarr: each field holds 2 time points; choose one with --time"):
        read_plate(folder)
    (source,) = field_sources(read_plate(folder, time=1))
    assert source.shown == "A01_f00 (p.zarr/A/1/0)"
    _check_read(source, tmp_path, expected=stack[0].max(1))


def test_times_in_the_files_of_a_set_are_not_mixed(tmp_path: Path) -> None:
    ome_sets.write_set(tmp_path, [["A01_1_DAPI.ome.tif", "A01_1_GFP.ome.tif"]], times=3)
    with pytest.raises(UsageError, match="holds 3 time points; choose one with --time 1 to --time 3"):
        read_plate(tmp_path)


@pytest.mark.parametrize("pointing", [False, True])
def test_channels_that_are_files_of_a_set_count_alone(tmp_path: Path, pointing: bool) -> None:
    ome_sets.write_set(tmp_path, [["A01_1_DAPI.ome.tif", "A01_1_GFP.ome.tif"]], pointing=pointing)
    plate = read_plate(tmp_path)
    assert plate.problems == ()
    (source,) = field_sources(plate)
    _check_read(source, tmp_path, expected=np.stack([ome_sets.plane(0, 0), ome_sets.plane(0, 1)]))
    each: dict[str, str] = {}
    source.sha256(each)
    assert each == {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}


def test_files_that_count_alone_are_hashed_alone(tmp_path: Path) -> None:
    ome_sets.write_set(tmp_path, [[f"{well}_1_{channel}.ome.tif" for channel in ("DAPI", "GFP")] for well in WELLS])
    first, second = field_sources(read_plate(tmp_path))
    before = [(one.sha256(), one.stamp()) for one in (first, second)]
    tifffile.imwrite(tmp_path / "A02_1_GFP.ome.tif", np.zeros((5, 6), np.uint8))
    assert (first.sha256(), first.stamp()) == before[0]
    assert (second.sha256() != before[1][0], second.stamp() != before[1][1]) == (True, True)


def test_a_field_of_one_file_lists_no_files(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "A01_1_DAPI.tif", np.zeros((5, 6), np.uint8))
    (source,) = field_sources(read_plate(tmp_path))
    each: dict[str, str] = {}
    source.sha256(each)
    assert each == {}


@pytest.mark.parametrize(("named", "time"), [("z", None), ("t", 0), ("t", 1)])
def test_planes_and_times_that_are_files_of_a_set_count_alone(tmp_path: Path, named: str, time: int | None) -> None:
    # What the metadata call channels: they may be wrong, and names say what the planes are.
    ome_sets.write_set(tmp_path, [[f"A01_{named}{number}.ome.tif" for number in (0, 1)]])
    pattern = f"{{well}}_{named}{{{'time' if named == 't' else 'z'}}}"
    (source,) = field_sources(read_plate(tmp_path, pattern=pattern, time=time))
    planes = [ome_sets.plane(0, number) for number in (0, 1)]
    _check_read(source, tmp_path, expected=np.maximum(*planes) if time is None else planes[time])


def test_the_rest_of_a_set_is_read_where_names_tell_a_well_alone(tmp_path: Path) -> None:
    ome_sets.write_set(tmp_path, [["A01.ome.tif", "more.ome.tif"]])
    (source,) = field_sources(read_plate(tmp_path, pattern="{well}"))
    _check_read(source, tmp_path, expected=np.stack([ome_sets.plane(0, 0), ome_sets.plane(0, 1)]))


def test_files_with_and_without_a_channel_are_not_mixed(tmp_path: Path) -> None:
    for name in ("P_A01_s1.tif", "P_A01_s1_w1.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((4, 5), np.uint16))
    (source,) = field_sources(read_plate(tmp_path, pattern="imagexpress"))
    with pytest.raises(InputError, match=r"P_A01_s1\.tif tells no channel, other files do"):
        source.read(tmp_path)


def test_coloured_files_of_one_channel_are_as_grey_as_they_are_measured(tmp_path: Path) -> None:
    colours = np.zeros((20, 30, 3), np.uint8)
    colours[5:9, 5:9] = (10, 0, 200)
    for name in ("A01_1_DAPI.png", "A01_1_ER.png"):
        Image.fromarray(colours).save(tmp_path / name)
    (source,) = field_sources(read_plate(tmp_path))
    np.testing.assert_array_equal(source.read(tmp_path).channel("DAPI").pixels, to_grey(colours))


def _check_read(source: FieldSource, folder: Path, *, expected: NDArray[Any]) -> None:
    """Check that both ways to read give one plane of these pixels."""
    image = source.read(folder)
    with source.open(folder) as opened:
        loaded = opened.load()
        assert (opened.stack_shape, opened.name, opened.axes) == ((), source.shown, image.axes)
    np.testing.assert_array_equal(image.pixels, expected)
    np.testing.assert_array_equal(loaded.pixels, expected)


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


@pytest.mark.parametrize(
    ("text", "scale"),
    [('{"settings": {"scale": 0.5}}', 0.5), ('{"settings": {"scale": "auto"}}', None), ("{}", None), ("[", None)],
)
def test_the_scale_of_an_earlier_run_is_looked_up(tmp_path: Path, text: str, scale: float | None) -> None:
    assert earlier_scale(tmp_path) is None
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    assert earlier_scale(tmp_path) == scale


@pytest.mark.parametrize("scale", ["1" + "0" * 400, "NaN", "Infinity", "-1", "0", "true", "1e300"])
def test_a_scale_that_no_run_has_is_none(tmp_path: Path, scale: str) -> None:
    (tmp_path / "run.json").write_text(f'{{"settings": {{"scale": {scale}}}}}', encoding="utf-8")
    assert earlier_scale(tmp_path) is None
