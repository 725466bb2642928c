"""`read_image`: what every format gives, and that bad input ends in one line."""

from __future__ import annotations

import os
import pickle
import struct
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from nucleate.core.lazy import stacked
from nucleate.core.project import projected
from nucleate.errors import InputError, TooLargeError
from nucleate.io.images import IMAGE_SUFFIXES, open_image, read_image

if TYPE_CHECKING:
    import io
    from pathlib import Path

pytestmark = pytest.mark.base

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOURS = np.stack([RAMP, 2 * RAMP, 255 - RAMP], axis=-1)


def _saved(folder: Path, name: str, picture: PIL.Image.Image, **options: Any) -> Path:  # noqa: ANN401 - Pillow's own
    path = folder / name
    picture.save(path, **options)
    return path


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _message(path: Path, **options: Any) -> str:  # noqa: ANN401 - read_image's own
    with pytest.raises(InputError) as caught:
        read_image(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 200 + len(str(path))
    return message


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif"])
def test_grey_reads_back_the_same(tmp_path: Path, suffix: str) -> None:
    image = read_image(_saved(tmp_path, f"a.{suffix}", PIL.Image.fromarray(RAMP)))
    assert image.axes == "YX"
    assert image.name == f"a.{suffix}"
    assert image.pixels.dtype == np.uint8
    np.testing.assert_array_equal(image.pixels, RAMP)


@pytest.mark.parametrize(
    ("suffix", "options"), [("png", {}), ("bmp", {}), ("tif", {}), ("webp", {"lossless": True, "exact": True})]
)
def test_colours_read_back_the_same(tmp_path: Path, suffix: str, options: dict[str, bool]) -> None:
    image = read_image(_saved(tmp_path, f"a.{suffix}", PIL.Image.fromarray(COLOURS), **options))
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.pixels, COLOURS)


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    alpha = np.zeros_like(RAMP)
    rgba = read_image(_saved(tmp_path, "a.png", PIL.Image.fromarray(np.dstack([COLOURS, alpha]))))
    la = read_image(_saved(tmp_path, "b.png", PIL.Image.fromarray(np.dstack([RAMP, alpha]))))
    assert (rgba.axes, la.axes) == ("YXS", "YX")
    np.testing.assert_array_equal(rgba.pixels, COLOURS)
    np.testing.assert_array_equal(la.pixels, RAMP)


def test_one_bit_is_bool(tmp_path: Path) -> None:
    image = read_image(_saved(tmp_path, "a.png", PIL.Image.fromarray(RAMP > 20)))
    assert image.pixels.dtype == np.bool_
    np.testing.assert_array_equal(image.pixels, RAMP > 20)


def test_sixteen_bit_grey_png_keeps_every_bit(tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 1000 + 7
    image = read_image(_saved(tmp_path, "a.png", PIL.Image.fromarray(deep)))
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, deep)


@pytest.mark.parametrize(("colour_type", "samples", "kept"), [(2, 3, 3), (6, 4, 3), (4, 2, 1)])
def test_sixteen_bit_colour_png_keeps_every_bit(tmp_path: Path, colour_type: int, samples: int, kept: int) -> None:
    values = (np.arange(4 * 5 * samples).reshape(4, 5, samples) * 257 + 3).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    path = tmp_path / "a.png"
    path.write_bytes(_png(5, 4, 16, colour_type, rows))
    image = read_image(path)
    assert image.axes == ("YXS" if kept == 3 else "YX")
    np.testing.assert_array_equal(image.pixels, values[..., :3] if kept == 3 else values[..., 0])


def test_palette_gives_colours_or_grey(tmp_path: Path) -> None:
    coloured = PIL.Image.fromarray(RAMP % 3).convert("P")
    coloured.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    image = read_image(_saved(tmp_path, "a.png", coloured))
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.pixels[0, :3], [[255, 0, 0], [0, 255, 0], [1, 2, 3]])
    grey = PIL.Image.fromarray(RAMP % 3).convert("P")
    grey.putpalette([9, 9, 9, 5, 5, 5, 200, 200, 200])
    image = read_image(_saved(tmp_path, "b.png", grey))
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.pixels[0, :3], [9, 5, 200])


def test_palette_with_transparency_gives_no_warning(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(RAMP % 3).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    image = read_image(_saved(tmp_path, "a.png", picture, transparency=b"\0\x80\xff"))
    assert image.axes == "YXS"


@pytest.mark.parametrize("depth", [8, 16])
def test_a_colour_png_with_an_odd_profile_is_read_and_one_that_fails_its_check_is_not(
    tmp_path: Path, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    rows = (b"\0" + bytes(range(5 * 3 * depth // 8))) * 4
    plain = _png(5, 4, depth, 2, rows)
    path = tmp_path / "a.png"
    path.write_bytes(plain[:33] + _chunk(b"iCCP", b"odd\0\0" + zlib.compress(b"no profile")) + plain[33:])
    assert read_image(path).shape_HW == (4, 5)
    assert not caplog.records
    path.write_bytes(plain[:-13] + bytes([plain[-13] ^ 1]) + plain[-12:])
    assert "damaged PNG file" in _message(path)


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_animations_are_stacks(tmp_path: Path, suffix: str) -> None:
    frames = [PIL.Image.fromarray(np.roll(RAMP, i)) for i in range(3)]
    path = _saved(tmp_path, f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    image = read_image(path)
    assert image.axes == "IYX"
    np.testing.assert_array_equal(image.pixels, [np.roll(RAMP, i) for i in range(3)])


def test_jpeg_grey_colour_and_cmyk(tmp_path: Path) -> None:
    flat = np.full((16, 24, 3), (200, 30, 90), np.uint8)
    colour = read_image(_saved(tmp_path, "a.jpg", PIL.Image.fromarray(flat), quality=95))
    grey = read_image(_saved(tmp_path, "b.jpg", PIL.Image.fromarray(flat[..., 0])))
    cmyk = read_image(_saved(tmp_path, "c.jpg", PIL.Image.fromarray(flat).convert("CMYK"), quality=95))
    assert (colour.axes, grey.axes, cmyk.axes) == ("YXS", "YX", "YXS")
    np.testing.assert_allclose(colour.pixels, flat, atol=4)
    np.testing.assert_allclose(cmyk.pixels, flat, atol=4)


def test_exif_rotation_leaves_the_pixel_grid(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path = _saved(tmp_path, "a.jpg", PIL.Image.new("L", (24, 16)), exif=exif)
    assert read_image(path).shape_HW == (16, 24)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.tif"
    PIL.Image.fromarray(RAMP).save(path, format="PNG")
    np.testing.assert_array_equal(read_image(path).pixels, RAMP)
    bare = tmp_path / "no_suffix"
    tifffile.imwrite(bare, RAMP)
    np.testing.assert_array_equal(read_image(str(bare)).pixels, RAMP)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "jpg"])
def test_smallest_pictures(tmp_path: Path, shape: tuple[int, int], suffix: str) -> None:
    image = read_image(_saved(tmp_path, f"a.{suffix}", PIL.Image.fromarray(np.full(shape, 7, np.uint8))))
    assert image.pixels.shape == shape
    assert np.ptp(image.pixels) == 0


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert {".png", ".jpg", ".tif", ".tiff", ".bmp", ".gif"} <= IMAGE_SUFFIXES
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)


def test_missing_folder_empty_and_text(tmp_path: Path) -> None:
    assert "no such file" in _message(tmp_path / "gone.png")
    (tmp_path / "folder.png").mkdir()
    assert "a folder" in _message(tmp_path / "folder.png")
    (tmp_path / "empty.png").touch()
    assert "0 bytes" in _message(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("not a picture\n")
    assert "not PNG" in _message(tmp_path / "text.png")
    (tmp_path / "text.xyz").write_text("x")
    assert "give PNG, JPEG" in _message(tmp_path / "text.xyz")


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.png"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_too_short_for_its_size_is_not_decoded(tmp_path: Path, mode: str) -> None:
    for options in ({}, {"progressive": True, "optimize": True, "quality": 1}, {"optimize": True, "subsampling": 2}):
        flat = _saved(tmp_path, "flat.jpg", PIL.Image.new(mode, (1200, 900)), **options)
        assert len(np.unique(read_image(flat).pixels)) == 1
    small = _saved(tmp_path, "small.jpg", PIL.Image.new(mode, (16, 16))).read_bytes()
    place = small.index(b"\xff\xc0") + 5
    (tmp_path / "bomb.jpg").write_bytes(small[:place] + struct.pack(">HH", 65500, 65500) + small[place + 4 :])
    assert "bytes cannot hold 65500 x 65500 pixels" in _message(tmp_path / "bomb.jpg")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    assert "not a regular file" in _message(path)


def test_a_name_no_system_takes() -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        read_image("a\0b.png")


def test_not_allowed_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _saved(tmp_path, "a.png", PIL.Image.fromarray(RAMP))

    def refuse(*_: object, **__: object) -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)  # the tests may run as root, who may read anything
    assert "not allowed" in _message(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tif"])
def test_cut_short(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    path = _saved(tmp_path, f"a.{suffix}", PIL.Image.fromarray(noise))
    content = path.read_bytes()
    for kept in (9, 40, len(content) // 2, len(content) * 9 // 10):
        path.write_bytes(content[:kept])
        assert str(path) in _message(path)


def test_huge_claims_are_refused_from_the_header(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(_png(30_000, 30_000, 8, 0, b"\0" * 1000))
    assert path.stat().st_size < 5000
    with pytest.raises(TooLargeError, match=r"1 x 30000 x 30000 x 1 values need 0.9 GB, 0.1 GB are allowed"):
        read_image(path, max_bytes=100_000_000)
    path.write_bytes(_png(30_000, 30_000, 16, 2, b"\0" * 1000))
    with pytest.raises(TooLargeError, match=r"need 5.4 GB"):
        read_image(path, max_bytes=1_000_000_000)


def test_over_pillows_own_limit_without_a_warning(tmp_path: Path) -> None:
    side = 14_000  # 196 million pixels; Pillow warns from 89 and raises from 179 million on
    path = tmp_path / "large.png"
    row = b"\0" + b"\xaa" * (side // 8)
    path.write_bytes(_png(side, side, 1, 0, row * side))
    before = PIL.Image.MAX_IMAGE_PIXELS
    image = read_image(path)
    assert image.pixels.shape == (side, side)
    assert image.pixels[5, :4].tolist() == [True, False, True, False]
    assert before == PIL.Image.MAX_IMAGE_PIXELS


def test_without_a_limit_the_memory_of_the_machine_is_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(_png(2**30, 2**30, 8, 0, b"\0"))
    assert "too large" in _message(path)


def test_warning_filters_are_left_as_they_were(tmp_path: Path) -> None:
    before = list(warnings.filters)
    read_image(_saved(tmp_path, "a.png", PIL.Image.fromarray(RAMP)))
    assert warnings.filters == before


def test_frames_of_16_bits_are_refused_and_not_cut_to_8(tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(RAMP.astype(np.uint16) * 257 + number) for number in range(2)]
    path = _saved(tmp_path, "a.png", frames[0], save_all=True, append_images=frames[1:])
    assert "2 frames of 16 bits, of which only the first can be had; save it as TIFF" in _message(path)


def test_a_number_in_the_name_of_a_file_is_its_name(tmp_path: Path) -> None:
    for name, value in (("a.png", 1), ("a.png#1", 2)):
        PIL.Image.fromarray(np.full((4, 5), value, np.uint8)).save(tmp_path / name, format="png")
    assert read_image(tmp_path / "a.png#1").pixels.max() == 2
    assert read_image(tmp_path / "a.png#0").pixels.max() == 1
    with pytest.raises(InputError, match=r"a.png: no picture 2: it holds one"):
        open_image(tmp_path / "a.png#2")
    with pytest.raises(InputError, match=r"b.png#0: no such file"):
        read_image(tmp_path / "b.png#0")
    with pytest.raises(InputError, match=r"#1: no such file"):
        read_image(tmp_path / "#1")


def test_what_is_open_is_opened_again_where_it_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stack = np.arange(2 * 3 * 6 * 8, dtype=np.uint16).reshape(2, 3, 6, 8)
    with tifffile.TiffWriter("two.ome.tif", ome=True) as writer:
        writer.write(np.zeros((50, 60), np.uint8), metadata={"axes": "YX", "Name": "overview"})
        writer.write(stack, metadata={"axes": "ZCYX", "Name": "cells", "Channel": {"Name": ["GFP", "DAPI", "actin"]}})
    _saved(tmp_path, "c.png", PIL.Image.fromarray(COLOURS))
    with open_image("two.ome.tif", picture=1) as source, open_image("c.png") as colours:
        one = source.channel().plane((1,))
        made = (source, one, projected(source, "max"), stacked([one, one]))
        sent = pickle.dumps((made, colours.channel("green")))
        monkeypatch.chdir("/")
        (whole, plane, together, twice), green = pickle.loads(sent)
    assert (whole.name, whole.part, whole.channel_names) == ("two.ome.tif#cells", "cells", ("GFP", "DAPI", "actin"))
    np.testing.assert_array_equal(whole.load().pixels, stack)
    np.testing.assert_array_equal(plane.read(slice(2, 5), slice(0, 9)), stack[1, 1, 2:5])
    np.testing.assert_array_equal(together.load().pixels, stack.max(axis=0))
    np.testing.assert_array_equal(twice.load().pixels, stack[[1, 1], 1])
    np.testing.assert_array_equal(green.load().pixels, COLOURS[..., 1])
    whole.close()
    (tmp_path / "two.ome.tif").unlink()
    with pytest.raises(InputError, match=r"two.ome.tif: no such file; check the name"):
        pickle.loads(sent)
