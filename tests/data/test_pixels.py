"""Picture files to arrays."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.data.files import equal, npy, png
from tests.io import ome_sets

from nucleate.data import source
from nucleate.data.pixels import decode_label_planes, decode_labels, read_mask, read_picture, stored_labels
from nucleate.data.source import open_source
from nucleate.errors import DataError
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

GREY = np.array([[0, 7, 200], [1, 2, 3]], dtype=np.uint8)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:  # noqa: ANN401  options of tifffile
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def pages(*given: NDArray[Any], description: str | None = None, metadata: dict[str, Any] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in given:
            photometric = "rgb" if page.ndim == 3 else "minisblack"
            writer.write(page, metadata=metadata, photometric=photometric, description=description)
    return buffer.getvalue()


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401  options of Pillow
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def read(data: bytes, name: str, *, mask: bool = False) -> NDArray[Any]:
    """Read a file of these bytes as a picture, or as a mask."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        return (read_mask if mask else read_picture)(open_source(folder), name)


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_equal_colours_become_one_channel(samples: int, dtype: type[np.uint8 | np.uint16]) -> None:
    grey = GREY.astype(dtype) * 3
    layers = [grey] * (samples if samples == 3 else min(samples, 3) if samples == 4 else 1)
    if samples in (2, 4):
        layers.append(np.full_like(grey, np.iinfo(dtype).max))
    data = png(np.dstack(layers) if len(layers) > 1 else grey)
    found = read(data, "x")
    assert found.dtype == dtype
    assert equal(found, grey)


def test_colours_stay_and_alpha_goes() -> None:
    colours = np.dstack([GREY, GREY + 1, GREY])
    assert equal(read(png(np.dstack([colours, GREY])), "x"), colours)
    assert equal(read(tiff(colours, photometric="rgb"), "x"), colours)
    planar = tiff(np.moveaxis(colours, -1, 0).copy(), photometric="rgb", planarconfig="separate")
    assert equal(read(planar, "x"), colours)


def test_other_formats_are_read() -> None:
    assert equal(read(saved(Image.fromarray(GREY), "BMP"), "x"), GREY)
    assert read(saved(Image.fromarray(GREY), "JPEG"), "x").shape == (2, 3)


def test_a_mask_is_what_is_not_zero() -> None:
    assert (read(png(GREY), "x", mask=True) != 0).tolist() == (GREY != 0).tolist()
    alpha_only = np.dstack([np.zeros_like(GREY)] * 3 + [np.full_like(GREY, 255)])
    assert read(png(alpha_only), "x", mask=True).max() == 0
    one_bit = saved(Image.fromarray(GREY > 1), "PNG")
    assert (read(one_bit, "x", mask=True) != 0).tolist() == (GREY > 1).tolist()


def test_labels_are_renumbered_in_order() -> None:
    ids = np.array([[0, 900], [70_000, 3]], dtype=np.uint32)
    for data in (tiff(ids), tiff(ids.astype(np.float32)), tiff(ids.astype(np.int32), compression="zlib")):
        found = decode_labels(data, "x")
        assert found.dtype == np.int32
        assert found.tolist() == [[0, 2], [3, 1]]
    assert decode_labels(png(np.dstack([GREY] * 3)), "x").tolist() == [[0, 4, 5], [1, 2, 3]]


def test_in_a_palette_the_index_is_the_id() -> None:
    picture = Image.fromarray(np.array([[0, 2], [1, 2]], dtype=np.uint8)).convert("P")
    picture.putdata([0, 2, 1, 2])
    picture.putpalette([0, 0, 0, 9, 9, 9, 9, 9, 9])
    assert decode_labels(saved(picture, "PNG"), "x").tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.array([[0.5]], dtype=np.float32), "fractions"),
        (np.array([[np.nan]], dtype=np.float32), "fractions"),
        (np.array([[-1]], dtype=np.int16), "ids are 0 for background"),
        (np.zeros((5, 6, 7), dtype=np.uint8), "no single picture"),
        (np.zeros((4, 4), dtype=np.complex64), "real numbers"),
    ],
)
def test_what_is_no_label_image_is_refused(pixels: NDArray[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        decode_labels(tiff(pixels, photometric="minisblack"), "x")


def test_coloured_labels_are_refused() -> None:
    with pytest.raises(DataError, match="coloured"):
        decode_labels(png(np.dstack([GREY, GREY, GREY + 1])), "x")


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = bytearray(png(GREY))
    huge[16:24] = struct.pack(">II", 60_000, 60_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    with pytest.raises(DataError, match=r"x would take more than the limit of 1073741824 bytes; crop it"):
        read(bytes(huge), "x")
    with pytest.raises(DataError, match="over the limit of 1073741824; crop it"):
        decode_labels(bytes(huge), "x")
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 500)
    large = np.zeros((40, 40), np.uint8)
    for data in (tiff(large, compression="zlib"), saved(Image.fromarray(large), "WEBP")):
        with pytest.raises(DataError, match="more than the limit of 500"):
            read(data, "x")
    with pytest.raises(DataError, match="over the limit of 500"):
        decode_labels(tiff(large, compression="zlib"), "x")


@given(st.data())
def test_damage_is_a_data_error_in_one_line(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([png(GREY), tiff(GREY), saved(Image.fromarray(GREY), "JPEG"), b"text"]))
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    said = ""
    try:
        read(bytes(broken), "x")
    except DataError as error:
        said = str(error)
    assert "\n" not in said


def test_tiff_pictures_are_understood_as_the_program_reads_them(tmp_path: Path) -> None:
    colours = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
    palette = np.random.default_rng(0).integers(0, 65535, (3, 256)).astype(np.uint16)
    files = {
        "white.tif": tiff(GREY, photometric="miniswhite"),
        "palette.tif": tiff(GREY, photometric="palette", colormap=palette),
        "cmyk.tif": saved(Image.fromarray(colours).convert("CMYK"), "TIFF"),
        "lab.tif": saved(Image.fromarray(colours).convert("LAB"), "TIFF"),
        "preview.tif": pages(GREY[:1, :2], colours),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        assert np.array_equal(read(data, name), read_image(tmp_path / name).pixels), name


def test_channels_and_pages_are_no_single_picture() -> None:
    with pytest.raises(DataError, match="x has 2 channels; give the one of the nuclei"):
        read(tiff(np.stack([GREY, GREY]), photometric="minisblack", planarconfig="separate"), "x")
    for two in (pages(GREY, GREY), pages(GREY, GREY.astype(np.uint16))):
        with pytest.raises(DataError, match="x is no single picture: got a stack of 2 planes of 2 x 3"):
            read(two, "x")
    shaped = pages(GREY, GREY, metadata={})
    for decode, found in ((read, "a stack of 2 planes of 2 x 3"), (decode_labels, "2 pages")):
        with pytest.raises(DataError, match=f"x is no single picture: got {found}"):
            decode(shaped, "x")
    scenes = "".join(
        f'<Image ID="Image:{at}" Name="{at}"><Pixels ID="Pixels:{at}" DimensionOrder="XYZCT" Type="uint8" SizeX="3" '
        f'SizeY="2" SizeZ="1" SizeC="1" SizeT="1"><TiffData IFD="{at}" PlaneCount="1"/></Pixels></Image>'
        for at in range(2)
    )
    told = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{scenes}</OME>'
    with pytest.raises(DataError, match="x is no single picture: got 2 pictures; give one a file"):
        read(pages(GREY, GREY, description=told), "x")


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "PNG"])
def test_a_mask_of_one_bit_is_a_label_image_of_one_nucleus(kind: str) -> None:
    assert decode_labels(saved(Image.fromarray(GREY > 2), kind), "x").tolist() == [[0, 1, 1], [0, 0, 1]]


def test_a_stack_of_narrow_planes_is_no_picture_of_few_colours() -> None:
    two = np.arange(64 * 64 * 2, dtype=np.uint8).reshape(64, 64, 2)
    for narrow in (tiff(two, photometric="minisblack"), tiff(two[..., :1].repeat(3, 2), photometric="minisblack")):
        for decode in (read, decode_labels):
            with pytest.raises(
                DataError, match=r"x is no single picture: got a stack of 64 planes of 64 x [23]; give one"
            ):
                decode(narrow, "x")
    three = tiff(np.zeros((50, 60, 3), np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=r"50 planes of 60 x 3; give one plane a file, or save colours as RGB$"):
        read(three, "x")
    assert read(tiff(two, photometric="minisblack", planarconfig="contig", extrasamples=[2]), "x").ndim == 2


@pytest.mark.parametrize("shape", [(5, 6, 7), (3, 6, 2), (2, 2, 3, 4)])
def test_planes_of_labels_are_numbered_on(shape: tuple[int, ...]) -> None:
    stack = np.zeros(shape, np.uint16)
    stack[..., 0, 0], stack[..., 1, 1] = 4, 9
    expected = np.zeros((int(np.prod(shape[:-2])), *shape[-2:]), np.int32)
    for number, plane in enumerate(expected):
        plane[0, 0], plane[1, 1] = 2 * number + 1, 2 * number + 2
    assert equal(decode_label_planes(tiff(stack, photometric="minisblack"), "x"), expected)
    assert equal(decode_label_planes(pages(*stack.reshape(expected.shape)), "x"), expected)
    assert decode_label_planes(tiff(stack.reshape(expected.shape)[0]), "x").shape == shape[-2:]


def test_planes_of_channels_are_no_label_image() -> None:
    channels = tiff(np.ones((2, 6, 7), np.uint16), imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(DataError, match="no single picture"):
        decode_label_planes(channels, "x")
    with pytest.raises(DataError, match="cannot decode x"):
        decode_label_planes(tiff(GREY)[:40], "x")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_label_images_are_refused(kind: str) -> None:
    data = saved(Image.fromarray(GREY), kind)
    with pytest.raises(DataError, match="x is compressed with losses, which change the ids; save label images as PNG"):
        decode_labels(data, "x")
    assert read(data, "x").shape[:2] == (2, 3)
    assert decode_labels(saved(Image.fromarray(GREY), "WEBP", lossless=True), "x").max() == 5


def test_label_images_may_be_numpy_arrays_but_no_pickles() -> None:
    assert decode_labels(npy(GREY.astype(np.int64)), "x").max() == 5
    for data in (np.array([{}], object), np.array([["a"]])):
        with pytest.raises(DataError, match="x"):
            decode_labels(npy(data), "x")


@pytest.mark.parametrize("shape", [(9, 9), (2, 9, 9), (9, 9, 3)])
def test_a_numpy_array_is_loaded_once(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    data = npy(np.ones(shape, np.int32))
    load = Mock(wraps=np.load)
    monkeypatch.setattr(np, "load", load)
    assert decode_label_planes(data, "x").ndim == (3 if shape[0] == 2 else 2)
    assert load.call_count == 1


def test_label_images_in_files_of_a_set_have_their_own_planes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for channel, file in enumerate(ome_sets.write_set(tmp_path, [["c0.ome.tif", "c1.ome.tif", "c2.ome.tif"]])):
        data = file.read_bytes()
        assert equal(stored_labels(data, file.name), ome_sets.plane(0, channel))
        assert decode_label_planes(data, file.name).shape == (5, 6)
    two, _ = ome_sets.write_set(tmp_path, [["two.ome.tif", "two.ome.tif", "one.ome.tif"]])
    assert decode_label_planes(two.read_bytes(), two.name).shape == (2, 5, 6)
    assert caplog.text == ""


@pytest.mark.parametrize("pointing", [False, True])
def test_each_file_of_a_set_counts_alone_as_it_does_in_a_zip(pointing: bool, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    files = ome_sets.write_set(tmp_path / "set", [["c0.ome.tif", "c1.ome.tif"]], pointing=pointing)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        for file in files:
            packed.write(file, file.name)
    for place in ("set", "set.zip"):
        for channel, file in enumerate(files):
            assert equal(read_picture(open_source(tmp_path / place), file.name), ome_sets.plane(0, channel))


def test_bytes_of_no_known_picture_are_told_by_the_name_of_their_file() -> None:
    with pytest.raises(DataError, match=r"^cannot decode a\.png: not a picture .*b'nothing '\); restore") as told:
        decode_labels(b"nothing known", "a.png")
    assert "BytesIO" not in str(told.value)
