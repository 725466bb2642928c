"""Files of a set of OME-TIFF files that are reached by links, or lie among those of another recording."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from tests.io.ome_sets import plane, write_set
from tests.io.reading import numbers, read_both_ways, read_lazily

from nucleate.io.images import open_image, pictures_of, read_image
from nucleate.run.content import content_hash
from nucleate.run.inputs import expand
from nucleate.run.pictures import files_of_set

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _link(path: Path, target: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    try:
        path.symlink_to(os.path.relpath(target, path.parent))
    except OSError:
        pytest.skip("no right to make links")
    return path


def test_a_link_of_another_name_is_read_as_its_file(tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    pixels = numbers(3, 2, 5, 6, dtype=np.uint8)
    metadata = {"axes": "ZCYX", "Channel": {"Name": ["DAPI", "GFP"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(stored, pixels, ome=True, metadata=metadata)
    image = read_both_ways(_link(tmp_path / "links" / "cells.ome.tif", stored))
    assert (image.axes, image.channel_names, image.pixel_size_um) == ("ZCYX", ("DAPI", "GFP"), (0.5, 0.5))
    np.testing.assert_array_equal(image.pixels, pixels)
    (several,) = write_set(tmp_path, [["several"] * 2] * 3)
    link = _link(tmp_path / "links" / "more.ome.tif", several)
    assert pictures_of(link) == ["Pos0", "Pos1", "Pos2"]
    assert [one.picture for one in expand([str(link)])] == [0, 1, 2]


@pytest.mark.parametrize("pointing", [False, True])
def test_a_set_whose_files_are_kept_elsewhere_is_found_by_its_links(tmp_path: Path, *, pointing: bool) -> None:
    """As git-annex keeps them: each in a folder of its own, by a name of its content."""
    names = [["c0.ome.tif", "c1.ome.tif"], ["p.ome.tif"] * 2]
    links = write_set(tmp_path, names, pointing=pointing)
    for number, path in enumerate(links):
        stored = tmp_path / ".stored" / str(number) / f"key{number}"
        stored.parent.mkdir(parents=True)
        path.rename(stored)
        _link(path, stored)
    sources = expand([str(tmp_path)])
    assert [one.path for one in sources] == [links[0], links[2]]
    for number, source in enumerate(sources):
        image = source.read(tmp_path)
        assert image.pixel_size_um == pytest.approx(((number + 1) / 10,) * 2)
        np.testing.assert_array_equal(image.pixels, [plane(number, channel) for channel in range(2)])
        np.testing.assert_array_equal(read_both_ways(source.path).pixels, image.pixels)
    assert len(sources[0].stamp()) == 2


def test_links_to_a_set_are_put_together(tmp_path: Path) -> None:
    files = write_set(tmp_path, [["c0.ome.tif", "c1.ome.tif"]])
    links = [_link(tmp_path / "links" / f"{number}.ome.tif", path) for number, path in enumerate(files)]
    (source,) = expand([str(tmp_path / "links")])
    assert (source.path, files_of_set(source)) == (links[0], [files[1]])
    np.testing.assert_array_equal(source.read(tmp_path).pixels, [plane(0, channel) for channel in range(2)])
    before = content_hash(source)
    files[1].write_bytes(files[1].read_bytes().replace(plane(0, 1).tobytes(), bytes(30)))
    assert content_hash(source) != before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_beside_the_file_of_a_link_is_not_waited_for(tmp_path: Path) -> None:
    first, other = write_set(tmp_path, [["a.ome.tif", "b.ome.tif"]])
    link = _link(tmp_path / "links" / "a.ome.tif", first)
    other.unlink()
    os.mkfifo(other)
    np.testing.assert_array_equal(read_image(link).pixels, plane(0, 0))


@pytest.mark.parametrize("name", ["p2.ome.tif", "copy.ome.tif"])
def test_nothing_is_taken_from_metadata_of_another_recording(tmp_path: Path, name: str) -> None:
    positions = [[f"p{number}.ome.tif"] * 2 for number in range(3)]
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        write_set(tmp_path / day, positions, pointing=True, recording=day)
    path = tmp_path / "monday" / name
    shutil.copy(tmp_path / "tuesday" / "p2.ome.tif", path)
    image = read_both_ways(path)
    assert (image.axes, image.pixel_size_um, image.channel_names) == ("IYX", None, ())
    np.testing.assert_array_equal(image.pixels, [plane(2, channel) for channel in range(2)])


def test_a_file_that_lies_in_the_place_of_another_counts_as_missing(tmp_path: Path) -> None:
    names = ["c0.ome.tif", "c1.ome.tif"]
    for day, pictures in (("monday", [names]), ("tuesday", [["other.ome.tif"], names])):
        (tmp_path / day).mkdir()
        write_set(tmp_path / day, pictures, recording=day)
    for channel in range(2):  # as what is loaded down twice is called
        shutil.copy(tmp_path / "tuesday" / names[channel], tmp_path / "monday" / f"c{channel}-2.ome.tif")
    read = {one.path.name: one.read(tmp_path).pixels for one in expand([str(tmp_path / "monday")])}
    assert sorted(read) == ["c0-2.ome.tif", "c0.ome.tif", "c1-2.ome.tif"]
    np.testing.assert_array_equal(read["c0.ome.tif"], [plane(0, channel) for channel in range(2)])
    for channel in range(2):
        np.testing.assert_array_equal(read[f"c{channel}-2.ome.tif"], plane(1, channel))


@pytest.mark.parametrize("pointing", [False, True])
def test_copies_beside_the_files_of_a_set_have_their_own_planes_alone(tmp_path: Path, *, pointing: bool) -> None:
    """As programs write that keep what a picture tells of itself."""
    files = write_set(tmp_path, [["c0.ome.tif", "c1.ome.tif"]], pointing=pointing)
    for channel, path in enumerate(files):
        changed = path.read_bytes().replace(plane(0, channel).tobytes(), bytes([channel] * 30))
        path.with_name(f"c{channel}_bg.tif").write_bytes(changed)
    read = {one.stem: one.read(tmp_path) for one in expand([str(tmp_path)])}
    assert sorted(read) == ["c0.ome", "c0_bg", "c1_bg"]
    np.testing.assert_array_equal(read["c0.ome"].pixels, [plane(0, channel) for channel in range(2)])
    for channel in range(2):
        image = read[f"c{channel}_bg"]
        assert image.pixel_size_um == pytest.approx((0.1, 0.1))
        np.testing.assert_array_equal(image.pixels, np.full((5, 6), channel))


def test_a_copy_of_a_file_with_all_its_planes_keeps_what_is_told_of_them(tmp_path: Path) -> None:
    (path,) = write_set(tmp_path, [["a.ome.tif"] * 2])
    shutil.copy(path, tmp_path / "a_bg.tif")
    image = read_both_ways(tmp_path / "a_bg.tif")
    assert (image.axes, image.channel_names) == ("CYX", ("DAPI", "GFP"))


def test_a_file_with_a_picture_of_its_own_counts_in_that_of_another(tmp_path: Path) -> None:
    a, b = write_set(tmp_path, [["a.ome.tif", "b.ome.tif"], ["b.ome.tif"] * 2])
    first, second = expand([str(tmp_path)])
    assert [(one.path, files_of_set(one)) for one in (first, second)] == [(a, [b]), (b, [])]
    before, stamp = content_hash(first), first.stamp()
    content = b.read_bytes()
    b.write_bytes(content.replace(plane(0, 1).tobytes(), bytes(30)) + b" ")
    changed = content_hash(first)
    assert (changed != before, first.stamp() != stamp) == (True, True)
    b.unlink()
    gone = content_hash(first)
    b.write_bytes(content)
    assert len({before, changed, gone, content_hash(second)}) == 4
    assert content_hash(first) == before


def test_the_metadata_that_all_files_have_are_taken_apart_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long: list[int] = []
    parse = ElementTree.fromstring

    def noted(text: str) -> object:
        long.append(len(text))
        return parse(text)

    monkeypatch.setattr(ElementTree, "fromstring", noted)
    write_set(tmp_path, [[f"p{number}.ome.tif"] * 2 for number in range(9)])
    sources = expand([str(tmp_path)])
    assert [one.read(tmp_path).pixel_size_um for one in sources[:2]] == [pytest.approx((n, n)) for n in (0.1, 0.2)]
    assert len(sources) == 9
    assert sum(length > 3000 for length in long) == 1


def test_a_channel_without_a_name_is_called_by_its_number(tmp_path: Path) -> None:
    (path,) = write_set(tmp_path, [["a.ome.tif"] * 2])
    path.write_bytes(path.read_bytes().replace(b'Name="DAPI"', b'Room="DAPI"'))
    assert read_both_ways(path).channel_names == ("0", "GFP")


@pytest.mark.parametrize(
    ("given", "colours"),
    [
        ([16711935, -16776961], ("00FF00", "FF0000")),
        ([-1, 65535], ("", "0000FF")),
        ([-1, -1], ()),
        ([4294967295, 65535], ("", "0000FF")),
        (["red", "1e3"], ()),
    ],
)
def test_colours_of_channels(tmp_path: Path, given: list[object], colours: tuple[str, ...]) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, numbers(2, 5, 6), ome=True, metadata={"axes": "CYX", "Channel": {"Color": given}})
    looks = read_image(path).channel_looks
    assert tuple(look.colour for look in looks) == colours
    with open_image(path) as source:
        assert source.channel_looks == looks
        assert source.channel(1).channel_looks == looks[1:]


def test_a_picture_in_colour_has_no_colour_of_a_channel(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "YXS", "Channel": {"Color": 16711935}}
    tifffile.imwrite(path, np.zeros((5, 6, 3), np.uint8), photometric="rgb", ome=True, metadata=metadata)
    assert read_image(path).channel_looks == read_lazily(path).channel_looks == ()
