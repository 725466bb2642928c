"""TIFF in parts: sets of files, chains of pages, large files, tiles kept."""

from __future__ import annotations

import gc
import os
import tracemalloc
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from tests.io.reading import numbers, read_both_ways

from nucleate.errors import InputError
from nucleate.io import tiff_windows
from nucleate.io.images import layout_of, open_image, read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _ome_set(folder: Path, files: list[str]) -> list[Path]:
    """Write a set of files of one plane each; every one has the metadata of the whole set."""
    blocks = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{t}</UUID></TiffData>'
        for t, name in enumerate(files)
    )
    for t, name in enumerate(files):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{t}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" SizeY="5" SizeZ="1" SizeC="1" '
            f'SizeT="{len(files)}" PhysicalSizeX="0.5"><Channel ID="Channel:0" SamplesPerPixel="1"/>{blocks}</Pixels>'
            "</Image></OME>"
        )
        tifffile.imwrite(folder / Path(name).name, numbers(5, 6) + t, description=text, metadata=None)
    return [folder / Path(name).name for name in files]


def test_the_first_file_of_an_ome_set_gives_the_set(tmp_path: Path) -> None:
    first, *others = _ome_set(tmp_path, ["0.ome.tif", "1.ome.tif", "2.ome.tif"])
    image = read_both_ways(first)
    assert (image.axes, image.pixel_size_um) == ("TYX", (0.5, 0.5))
    np.testing.assert_array_equal(image.pixels, [numbers(5, 6) + t for t in range(3)])
    assert layout_of(first)[1] == dict.fromkeys(others, False)
    for t, path in enumerate(others, 1):
        assert layout_of(path)[1] == {}
        np.testing.assert_array_equal(read_both_ways(path).pixels, numbers(5, 6) + t)
    others[0].unlink()
    assert layout_of(first)[1] == {}
    np.testing.assert_array_equal(read_both_ways(first).pixels, numbers(5, 6))


def test_metadata_are_taken_apart_once_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = _ome_set(tmp_path, ["0.ome.tif", "1.ome.tif"])
    read, trees = ElementTree.fromstring, list[weakref.ref[ElementTree.Element]]()

    def noted(text: str) -> ElementTree.Element:
        tree = read(text)
        trees.append(weakref.ref(tree))
        return tree

    monkeypatch.setattr(ElementTree, "fromstring", noted)
    with open_image(first) as image:
        assert image.pixel_size_um == (0.5, 0.5)
        gc.collect()
        assert [tree() for tree in trees] == [None, None], "once by tifffile, once by us"


def test_ome_sets_stay_in_their_folder_and_open_no_pipe(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    first, other = _ome_set(inner, ["0.ome.tif", "../1.ome.tif"])
    other.rename(tmp_path / "1.ome.tif")
    np.testing.assert_array_equal(read_both_ways(first).pixels, numbers(5, 6))
    first, other = _ome_set(inner, ["0.ome.tif", "1.ome.tif"])
    other.unlink()
    os.mkfifo(other)
    np.testing.assert_array_equal(read_both_ways(first).pixels, numbers(5, 6))


@pytest.mark.parametrize("target", [0, 1, 2])
def test_pages_that_lead_back_are_refused(tmp_path: Path, target: int) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for i in range(3):
            writer.write(numbers(5, 6) + i, metadata=None, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 3
        place, offset = tiff.pages.next_page_offset, tiff.pages[target].offset
    assert place is not None
    content = bytearray(path.read_bytes())
    content[place : place + 4] = offset.to_bytes(4, "little")
    path.write_bytes(content)
    for reader in (read_image, open_image):
        with pytest.raises(InputError, match=r"a.tif: its chain of pages does not end"):
            reader(path)


def _peak_of(path: Path, window: tuple[slice, slice]) -> tuple[NDArray[Any], int]:
    tracemalloc.start()
    with open_image(path) as source:
        part = source.read(*window)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return part, peak


@pytest.mark.parametrize("compressed", [False, True])
def test_a_window_of_a_large_file_takes_little_memory(tmp_path: Path, *, compressed: bool) -> None:
    path = tmp_path / "large.tif"
    side = 12_000 if compressed else 40_000
    if compressed:
        tile = np.zeros((256, 256), np.uint8)
        tile[100:110] = 7
        tiles = (tile for _ in range((-(-side // 256)) ** 2))
        tifffile.imwrite(path, tiles, shape=(side, side), dtype=np.uint8, tile=(256, 256), compression="zlib")
    else:  # a file with a hole: the disk holds next to nothing
        pixels = tifffile.memmap(path, shape=(side, side), dtype=np.uint8)
        pixels[256 * 40 + 100 : 256 * 40 + 110] = 7
        pixels.flush()
        del pixels
    part, peak = _peak_of(path, (slice(256 * 40, 256 * 40 + 300), slice(9_000, 9_300)))
    assert part.shape == (300, 300)
    assert set(np.flatnonzero(part.any(axis=1))) == set(range(100, 110))
    assert peak < 30_000_000


def test_tiles_are_decoded_once_for_windows_that_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = numbers(64, 64, dtype=np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, compression="zlib", rowsperstrip=64)
    asked: list[int] = []
    decode = tiff_windows._decoded

    def counted(path: Path, page: tifffile.TiffPage, *, number: int) -> NDArray[Any] | None:
        asked.append(number)
        return decode(path, page, number=number)

    monkeypatch.setattr(tiff_windows, "_decoded", counted)
    with open_image(path) as source:
        for top in range(0, 64, 8):
            rows = slice(top, top + 16)
            np.testing.assert_array_equal(source.read(rows, slice(0, 64)), pixels[rows])
        assert asked == [0]
        monkeypatch.setattr(tiff_windows, "_KEPT_BYTES", 0)
        np.testing.assert_array_equal(source.load().pixels, pixels)


def test_entities_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for you")
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    for entities in (f'<!ENTITY e0 "aaaaaaaaaa">{bomb}', f'<!ENTITY e11 SYSTEM "{secret.as_uri()}">'):
        image = (
            '<Image ID="Image:0" Name="&e11;"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" '
            'SizeY="5" SizeZ="1" SizeC="1" SizeT="1"><Channel ID="Channel:0" Name="&e11;" SamplesPerPixel="1"/>'
            "<TiffData/></Pixels></Image>"
        )
        text = (
            f'<?xml version="1.0"?><!DOCTYPE OME [{entities}]>'
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{image}</OME>'
        )
        path = tmp_path / "a.ome.tif"
        tifffile.imwrite(path, numbers(5, 6), description=text, metadata=None)
        try:
            found = read_both_ways(path)
        except InputError as error:
            told = str(error)
        else:
            np.testing.assert_array_equal(found.pixels, numbers(5, 6))
            told = " ".join(found.channel_names)
        assert "not for you" not in told
        assert len(told) < 500


def test_levels(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = numbers(2, 64, 48)
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "Channel": {"Name": ["GFP", "DAPI"]}}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pixels, metadata=metadata, subifds=1, tile=(32, 32))
        writer.write(pixels[:, ::2, ::2], subfiletype=1, tile=(32, 32))
    with open_image(path) as whole, open_image(path, level=1) as half:
        assert (whole.levels, half.levels) == (((64, 48), (32, 24)),) * 2
        assert (half.axes, half.shape, half.channel_names) == ("CYX", (2, 32, 24), ("GFP", "DAPI"))
        assert (whole.pixel_size_um, half.pixel_size_um) == ((0.25, 0.5), (0.5, 1.0))
        np.testing.assert_array_equal(half.load().pixels, pixels[:, ::2, ::2])
    with pytest.raises(InputError, match="no level 2: it holds 2; give 0 to 1"):
        open_image(path, level=2)


def test_other_formats_hold_one_level(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbers(5, 6))
    with pytest.raises(InputError, match="no level 1: it holds 1"):
        open_image(tmp_path / "a.tif", level=1)
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match="no level 1: it holds one size"):
        open_image(tmp_path / "a.gif", level=1)
