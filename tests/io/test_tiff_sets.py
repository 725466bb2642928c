"""Sets of OME-TIFF files with several pictures: each picture once, with its own pixels, size and channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.io.micromanager_files import write_position
from tests.io.ome_sets import NAMES, plane, write_set
from tests.io.reading import read_both_ways

from nucleate.errors import InputError
from nucleate.io import tiff_ome
from nucleate.io.faults import quiet
from nucleate.io.images import layout_of, open_image, pictures_of, read_image
from nucleate.run.content import content_hash
from nucleate.run.inputs import expand

pytestmark = pytest.mark.base

POSITIONS = [["p0.ome.tif"] * 2, ["p1.ome.tif"] * 2, ["p2.ome.tif"] * 2]


def _is_position(path: Path, number: int, *, picture: int | None = None) -> None:
    image = read_both_ways(path) if picture is None else read_image(path, picture=picture)
    np.testing.assert_array_equal(image.pixels, [plane(number, channel) for channel in range(2)])
    assert image.axes == "CYX"
    assert image.pixel_size_um == pytest.approx(((number + 1) / 10,) * 2)
    assert image.channel_names == NAMES[number % 2 :][:2]


@pytest.mark.parametrize("uuids", [True, False])
@pytest.mark.parametrize("pointing", [False, True])
def test_positions_in_files_of_their_own_are_read_each_once(tmp_path: Path, *, pointing: bool, uuids: bool) -> None:
    files = write_set(tmp_path, POSITIONS, pointing=pointing, uuids=uuids)
    for number, path in enumerate(files):
        assert layout_of(path) == ([""], {})
        _is_position(path, number)
    sources = expand([str(tmp_path)])
    assert [(one.path, one.picture, one.stem) for one in sources] == [(one, None, one.stem) for one in files]
    assert len({content_hash(one) for one in sources}) == 3


@pytest.mark.parametrize("gone", [0, 1])
def test_positions_are_read_where_the_file_of_another_is_gone(tmp_path: Path, gone: int) -> None:
    files = write_set(tmp_path, POSITIONS)
    files[gone].unlink()
    for number in {0, 1, 2} - {gone}:
        _is_position(files[number], number)
    assert [one.path for one in expand([str(tmp_path)])] == [one for one in files if one.is_file()]


def test_pixels_are_read_where_the_file_with_the_metadata_is_gone(tmp_path: Path) -> None:
    first, second, _ = write_set(tmp_path, POSITIONS, pointing=True)
    for damage in (first.unlink, lambda: first.write_bytes(b"II*\0")):
        damage()
        image = read_both_ways(second)
        assert (image.axes, image.pixel_size_um) == ("IYX", None)
        np.testing.assert_array_equal(image.pixels, [plane(1, channel) for channel in range(2)])


def test_a_file_that_got_another_name_keeps_its_pixels(tmp_path: Path) -> None:
    for uuids in (True, False):
        _, second, _ = write_set(tmp_path, POSITIONS, uuids=uuids)
        copy = tmp_path / "copy.ome.tif"
        copy.write_bytes(second.read_bytes())
        for path in (copy, second):
            np.testing.assert_array_equal(read_both_ways(path).pixels, [plane(1, channel) for channel in range(2)])


@pytest.mark.parametrize("pointing", [False, True])
def test_positions_that_micro_manager_wrote_are_read_each_once(tmp_path: Path, *, pointing: bool) -> None:
    names = [[f"s_MMStack_Pos{number}.ome.tif"] * 2 for number in range(3)]
    files = write_set(tmp_path, names, pointing=pointing)
    for number, path in enumerate(files):
        with tifffile.TiffFile(path) as tiff:
            text = str(tiff.ome_metadata)
        planes = [plane(number, channel) for channel in range(2)]
        write_position(path, planes, position=number, positions=3, description=text)
    with quiet(), tifffile.TiffFile(files[1]) as tiff:
        assert tiff.series[0].shape == (3, 2, 5, 6), "tifffile takes all as one stack"
    for number, path in enumerate(files):
        _is_position(path, number)
    assert [one.path for one in expand([str(tmp_path)])] == files


def test_positions_without_ome_metadata_are_read_each_once(tmp_path: Path) -> None:
    files = [tmp_path / f"s_MMStack_Pos{number}.tif" for number in range(2)]
    for number, path in enumerate(files):
        write_position(path, [plane(number, c) for c in range(2)], position=number, positions=2, description="")
    for number, path in enumerate(files):
        image = read_both_ways(path)
        assert (image.axes, image.channel_names) == ("CYX", NAMES[:2])
        np.testing.assert_array_equal(image.pixels, [plane(number, channel) for channel in range(2)])


@pytest.mark.parametrize("imagej", ["", "images=4", "images=2"])
@pytest.mark.parametrize("stopped", [False, True])
def test_channels_that_micro_manager_wrote_stay_channels(tmp_path: Path, *, stopped: bool, imagej: str) -> None:
    """OME metadata that tell of planes which were never taken, or that lay in a file which is gone."""
    first, other = write_set(tmp_path, [["s_MMStack_Pos0.ome.tif"] * 2, ["s_MMStack_Pos1.ome.tif"] * 2], pointing=True)
    path = first if stopped else other
    with tifffile.TiffFile(path) as tiff:
        text = str(tiff.ome_metadata).replace('SizeT="1"', 'SizeT="2"').replace("DAPI", "Hoechst")
    first.unlink()
    if imagej:
        imagej = f"ImageJ=1.52\n{imagej}\nchannels=2\nslices=1\nframes=2\nhyperstack=true\nmode=composite\n"
    planes = [plane(0, channel) for channel in range(2)]
    write_position(path, planes, position=int(not stopped), positions=2, description=text, imagej=imagej)
    image = read_both_ways(path)
    assert (image.axes, image.pixel_size_um) == ("CYX", pytest.approx((0.1, 0.1)) if stopped else None)
    assert image.channel_names == (("Hoechst" if stopped else "DAPI"), "GFP")
    np.testing.assert_array_equal(image.pixels, planes)


@pytest.mark.parametrize(("lengths", "axes", "kept"), [((2, 1), "CYX", 2), ((2, 2, 1), "TCYX", 4), ((1, 2), "IYX", 3)])
def test_the_time_in_which_micro_manager_was_stopped_is_left_out(
    tmp_path: Path, lengths: tuple[int, ...], axes: str, kept: int
) -> None:
    """Each time with so many of two channels; planes that are missing before the last time leave a plain stack."""
    path = tmp_path / "s_MMStack_Pos0.tif"
    places = [(channel, t) for t, length in enumerate(lengths) for channel in range(length)]
    planes = [plane(t, channel) for channel, t in places]
    imagej = f"ImageJ=1.52\nimages={2 * len(lengths)}\nchannels=2\nframes={len(lengths)}\nhyperstack=true\n"
    write_position(path, planes, position=0, positions=1, description="", imagej=imagej, places=places)
    image = read_both_ways(path)
    assert (image.axes, image.channel_names) == (axes, NAMES[:2] if "C" in axes else ())
    np.testing.assert_array_equal(image.pixels.reshape(-1, 5, 6), planes[:kept])


@pytest.mark.parametrize("pointing", [False, True])
def test_positions_of_which_each_is_spread_over_files_are_put_together(tmp_path: Path, *, pointing: bool) -> None:
    files = write_set(tmp_path, [["a0.ome.tif", "a1.ome.tif"], ["b0.ome.tif", "b1.ome.tif"]], pointing=pointing)
    sources = expand([str(tmp_path)])
    assert [one.path for one in sources] == [files[0], files[2]]
    for number in range(2):
        _is_position(files[2 * number], number)
        assert layout_of(files[2 * number])[1] == {files[2 * number + 1]: False}
        other = read_both_ways(files[2 * number + 1])
        np.testing.assert_array_equal(other.pixels, plane(number, 1))
        assert other.pixel_size_um == pytest.approx(((number + 1) / 10,) * 2)


def test_channels_in_files_of_their_own_are_put_together_for_all_positions(tmp_path: Path) -> None:
    first, other = write_set(tmp_path, [["c0.ome.tif", "c1.ome.tif"]] * 3)
    assert layout_of(first)[1] == {other: False}
    sources = expand([str(tmp_path)])
    assert [(one.path, one.picture, one.stem) for one in sources] == [(first, n, f"c0_Pos{n}") for n in range(3)]
    for number in range(3):
        _is_position(first, number, picture=number)
    other.unlink()
    for source, number in zip(expand([str(tmp_path)]), range(3), strict=True):
        np.testing.assert_array_equal(source.read(tmp_path).pixels.squeeze(), plane(number, 0))


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("positions", [1, 2])
def test_the_planes_of_one_file_keep_their_axes(tmp_path: Path, *, positions: int, gone: bool) -> None:
    files = write_set(tmp_path, [["c0.ome.tif", "c1.ome.tif"]] * positions, times=3)
    if gone:
        files.pop().unlink()
    for channel, path in enumerate(files):
        assert len(pictures_of(path, alone=True)) == positions
        for number in range(positions):
            with open_image(path, picture=number if positions > 1 else None, alone=True) as image:
                assert image.axes == "TYX"
                assert image.pixel_size_um == pytest.approx(((number + 1) / 10,) * 2)
                np.testing.assert_array_equal(image.load().pixels, [plane(number, channel, t) for t in range(3)])


def test_the_channels_of_one_file_stay_channels(tmp_path: Path) -> None:
    files = write_set(tmp_path, [["a.ome.tif", "a.ome.tif", "b.ome.tif"]])
    with open_image(files[0], alone=True) as image:
        assert image.axes == "CYX"
        np.testing.assert_array_equal(image.load().pixels, [plane(0, 0), plane(0, 1)])


@pytest.mark.parametrize("damage", ["cut", "size", "type"])
def test_the_file_of_a_set_that_is_damaged_is_named(tmp_path: Path, damage: str) -> None:
    first, _, third = write_set(tmp_path, [["c0.ome.tif", "c1.ome.tif", "c2.ome.tif"]])
    with tifffile.TiffFile(third) as tiff:
        text = str(tiff.ome_metadata)
    other = plane(0, 2)[:2] if damage == "size" else plane(0, 2)
    tifffile.imwrite(third, other.astype(np.uint16 if damage == "type" else np.uint8), description=text, metadata=None)
    if damage == "cut":
        third.write_bytes(third.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"c2\.ome\.tif: (cut short|pixels of .* in a set of \(5, 6\) uint8; move)"):
        read_image(first)
    with pytest.raises(InputError, match=r"c2\.ome\.tif: "), open_image(first):
        pass


def test_a_file_that_ends_one_position_and_begins_another_is_an_input_too(tmp_path: Path) -> None:
    a, b, c = write_set(tmp_path, [["a.ome.tif", "b.ome.tif"], ["b.ome.tif", "c.ome.tif"]])
    assert [one.path for one in expand([str(tmp_path)])] == [a, b]
    _is_position(a, 0)
    _is_position(b, 1)
    a.unlink()
    sources = expand([str(b), str(c)])
    assert [(one.path, one.stem) for one in sources] == [(b, "b_Pos0"), (b, "b_Pos1")]
    np.testing.assert_array_equal(sources[0].read(tmp_path).pixels.squeeze(), plane(0, 1))
    _is_position(b, 1, picture=1)


def test_positions_of_one_file_that_ends_too_soon_have_their_own_planes(tmp_path: Path) -> None:
    (path,) = write_set(tmp_path, [["all.ome.tif"] * 2] * 3)
    with tifffile.TiffFile(path) as tiff:
        text = str(tiff.ome_metadata)
    with tifffile.TiffWriter(path) as writer:
        for i in range(3):
            writer.write(plane(i // 2, i % 2), description=None if i else text, metadata=None, contiguous=False)
    assert pictures_of(path) == ["Pos0", "Pos1"]
    _is_position(path, 0, picture=0)
    with open_image(path, picture=1) as image:
        assert image.pixel_size_um == pytest.approx((0.2, 0.2))
        np.testing.assert_array_equal(image.load().pixels.squeeze(), plane(1, 0))


def test_pictures_without_planes_do_not_shift_what_is_told_of_others(tmp_path: Path) -> None:
    (path,) = write_set(tmp_path, [["all.ome.tif"] * 2] * 3)
    with tifffile.TiffFile(path) as tiff:
        text, pages = str(tiff.ome_metadata), [page.asarray() for page in tiff.pages]
    for ifd in (0, 1):  # the first picture is told to lie behind the end of the file
        text = text.replace(f'IFD="{ifd}"', f'IFD="{ifd + 90}"')
    with tifffile.TiffWriter(path) as writer:
        for i, page in enumerate(pages):
            writer.write(page, description=None if i else text, metadata=None, contiguous=False)
    assert pictures_of(path) == ["Pos1", "Pos2"]
    for number in (1, 2):
        _is_position(path, number, picture=number - 1)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the TIFF files that are opened from now on."""
    names: list[str] = []
    plain = tifffile.TiffFile.__init__

    def noted(self: tifffile.TiffFile, file: Path, **how: object) -> None:
        names.append(Path(file).name)
        plain(self, file, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(tifffile.TiffFile, "__init__", noted)
    return names


def test_of_many_positions_only_the_files_that_are_needed_are_opened(tmp_path: Path, opened: list[str]) -> None:
    files = write_set(tmp_path, [[f"p{n}.ome.tif"] for n in range(9)])
    np.testing.assert_array_equal(read_image(files[4]).pixels, plane(4, 0))
    assert set(opened) == {files[4].name}


def test_of_many_positions_only_those_of_a_file_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_set(tmp_path, [[f"p{n}.ome.tif"] * 2 for n in range(9)])
    asked = set()
    plain = tiff_ome._Here.file_of

    def noted(here: tiff_ome._Here, plane: tuple[str | None, str] | None) -> str:
        asked.add(plane)
        return plain(here, plane)

    monkeypatch.setattr(tiff_ome._Here, "file_of", noted)
    np.testing.assert_array_equal(read_image(files[4]).pixels, [plane(4, channel) for channel in range(2)])
    assert asked == {("urn:uuid:p4.ome.tif", "p4.ome.tif")}


def test_metadata_that_all_point_to_are_read_once(tmp_path: Path, opened: list[str]) -> None:
    first, *others = write_set(tmp_path, POSITIONS, pointing=True)
    for number, path in enumerate(others, 1):
        _is_position(path, number)
    assert opened.count(first.name) == 1
    write_set(tmp_path, [["p0.ome.tif"] * 2, ["p2.ome.tif"] * 2, ["p1.ome.tif"] * 2], pointing=True)
    _is_position(others[0], 2)


def test_a_file_with_all_pictures_is_opened_once(tmp_path: Path, opened: list[str]) -> None:
    (path,) = write_set(tmp_path, [["all.ome.tif"] * 2] * 3)
    assert pictures_of(path) == ["Pos0", "Pos1", "Pos2"]
    assert opened == [path.name]


@pytest.mark.parametrize("begin", ["", "\ufeff", '<?xml version="1.0" encoding="UTF-8"?>\n'])
def test_metadata_are_read_from_a_text_of_their_own(tmp_path: Path, begin: str) -> None:
    files = write_set(tmp_path, POSITIONS)
    with tifffile.TiffFile(files[0]) as tiff:
        text = str(tiff.ome_metadata)
    (tmp_path / "s.companion.ome").write_text(begin + text.replace(' UUID="urn:uuid:p0.ome.tif"', ""), "utf-8")
    for number, path in enumerate(files):
        told = f'<OME UUID="urn:uuid:{path.name}"><BinaryOnly MetadataFile="s.companion.ome" UUID="urn:uuid:s"/></OME>'
        with tifffile.TiffWriter(path) as writer:
            for i in range(2):
                writer.write(plane(number, i), description=None if i else told, metadata=None, contiguous=False)
        _is_position(path, number)


def _pointing(path: Path, text: str, encoding: str = "utf-8") -> None:
    """Write a file whose metadata lie in a text beside it."""
    path.with_name("s.companion.ome").write_text(text, encoding)
    told = f'<OME UUID="urn:uuid:{path.name}"><BinaryOnly MetadataFile="s.companion.ome" UUID="urn:uuid:s"/></OME>'
    tifffile.imwrite(path, plane(0, 0), description=told, metadata=None)


def test_a_text_of_metadata_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_ome, "_MOST_BYTES", 2 << 20)
    path = tmp_path / "a.ome.tif"
    _pointing(path, "<OME>" + " " * (3 << 20) + "</OME>")
    with pytest.raises(InputError, match=r"companion\.ome: 3 MiB of OME metadata, at most 2 are read; move it away"):
        read_image(path)
    path.with_name("s.companion.ome").unlink()
    assert read_image(path).pixels.shape == plane(0, 0).shape


@pytest.mark.parametrize("encoding", ["", "utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_entities_are_not_resolved(tmp_path: Path, encoding: str) -> None:
    bomb = '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><OME><Image Name="&b;"/></OME>'
    path = tmp_path / "a.ome.tif"
    if encoding:
        _pointing(path, bomb, encoding)
    else:
        tifffile.imwrite(path, plane(0, 0), description=bomb, metadata=None)
    with pytest.raises(InputError, match="hold entities, which could grow without end; save it again"):
        read_image(path)


@pytest.mark.parametrize("encoding", ["klingon", "utf-7"])
def test_metadata_in_an_encoding_that_is_none_tell_nothing(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.ome.tif"
    _pointing(path, f'<?xml version="1.0" encoding="{encoding}"?><OME/>')
    assert read_image(path).pixels.shape == plane(0, 0).shape
