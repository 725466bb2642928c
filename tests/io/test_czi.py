"""CZI files, written and read with pylibCZIrw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.io.reading import numbers

from nucleate.errors import InputError, TooLargeError
from nucleate.io.images import open_image, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

czi = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is not installed (extra formats)")
pytestmark = pytest.mark.base


def _written(path: Path, planes: dict[tuple[int, int, int], NDArray[Any]], *, names: tuple[str, ...] = ()) -> Path:
    """Write planes (t, z, c) with a pixel size of 0.25 x 0.5 um."""
    with czi.create_czi(str(path), exist_ok=True) as file:
        for (t, z, c), pixels in planes.items():
            file.write(pixels if pixels.ndim == 3 else pixels[..., None], plane={"T": t, "Z": z, "C": c})
        file.write_metadata("test", channel_names=dict(enumerate(names)), scale_x=5e-7, scale_y=2.5e-7, scale_z=1e-6)
    return path


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_stacks(tmp_path: Path, dtype: str) -> None:
    pixels = numbers(2, 3, 2, 20, 30, dtype=dtype)
    planes = {place: pixels[place] for place in np.ndindex(2, 3, 2)}
    path = _written(
        tmp_path / "a.czi", {(p[0], p[1], p[2]): one for p, one in planes.items()}, names=("GFP", "Hoechst")
    )
    image = read_image(path)
    assert (image.axes, image.channel_names, image.pixels.dtype) == ("TZCYX", ("GFP", "Hoechst"), np.dtype(dtype))
    assert image.pixel_size_um == pytest.approx((0.25, 0.5))
    np.testing.assert_array_equal(image.pixels, pixels)
    with open_image(path) as source:
        part = source.channel().read(slice(3, 9), slice(25, 99), at=(1, 2))
        np.testing.assert_array_equal(part, pixels[1, 2, 1, 3:9, 25:])
    with pytest.raises(TooLargeError, match="2 x 3 x 2 x 20 x 30"):
        read_image(path, max_bytes=pixels.nbytes - 1)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    pixels = numbers(20, 30, 3, dtype=np.uint8)
    image = read_image(_written(tmp_path / "a.czi", {(0, 0, 0): pixels[..., ::-1]}))
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.pixels, pixels)


def test_tiles_are_joined_where_the_stage_was(tmp_path: Path) -> None:
    pixels = numbers(40, 60)
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as file:
        for top in (0, 20):
            for left in (0, 30):
                file.write(pixels[top : top + 20, left : left + 30, None], location=(left - 100, top + 50))
    with open_image(path) as source:
        assert (source.axes, source.shape, source.pixel_size_um) == ("YX", (40, 60), None)
        np.testing.assert_array_equal(source.read(slice(10, 30), slice(20, 40)), pixels[10:30, 20:40])


def test_a_window_decodes_the_tiles_that_it_touches(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (40, 60)).astype(np.uint16)
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path), compression_options="zstd0:ExplicitLevel=1") as file:
        for left in (0, 30):
            file.write(pixels[:, left : left + 30, None], location=(left, 0))
    content = bytearray(path.read_bytes())
    tile = content.rindex(b"\x28\xb5\x2f\xfd")  # how compressed tiles begin
    content[tile : tile + 4] = b"ruin"
    path.write_bytes(content)
    with open_image(path) as source:
        np.testing.assert_array_equal(source.read(slice(0, 40), slice(0, 30)), pixels[:, :30])
        with pytest.raises(InputError, match=r"a.czi: damaged CZI file \("):
            source.read(slice(0, 1), slice(29, 31))


def test_scenes_are_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.czi"
    scenes = [numbers(20, 30), numbers(15, 40) + 5]
    with czi.create_czi(str(path)) as file:
        for number, pixels in enumerate(scenes):
            file.write(pixels[..., None], location=(number * 1000, 0), scene=number)
    with open_image(path) as source:
        assert source.pictures == ("scene 0", "scene 1")
    for number, pixels in enumerate(scenes):
        np.testing.assert_array_equal(read_image(path, picture=number).pixels, pixels)
    np.testing.assert_array_equal(read_image(path).pixels, scenes[0])
    with pytest.raises(InputError, match=r"no picture 2: it holds 2"):
        read_image(path, picture=2)


def test_faults(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path / "a.czi", {(0, 0, 0): numbers(20, 30)})
    content = path.read_bytes()
    for kept in (16, 600, len(content) // 2):
        path.write_bytes(content[:kept])
        with pytest.raises(InputError, match=r"a.czi: ") as caught:
            read_image(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(content.replace(b"Gray16", b"Gray17"))
    assert read_image(path).pixels.shape == (20, 30)
    assert capfd.readouterr() == ("", "")


def test_real_file(shared_data: Path) -> None:
    path = shared_data / "formats" / "czi" / "xyz__multiple_images.czi"
    if not path.is_file():
        pytest.skip("no CZI file in the data folder")
    means = []
    for number in range(2):
        image = read_image(path, picture=number)
        assert (image.axes, image.pixels.shape, image.pixels.dtype) == ("ZYX", (2, 251, 251), np.dtype(np.uint16))
        assert image.channel_names == ("ChA",)
        assert image.pixel_size_um == pytest.approx((0.19564, 0.19564), abs=1e-5)
        means.append(float(image.pixels.mean()))
        with open_image(path, picture=number) as source:
            for rows, cols in ((slice(0, 100), slice(3, 9)), (slice(90, 251), slice(0, 251))):
                np.testing.assert_array_equal(source.read(rows, cols, at=(1,)), image.pixels[1, rows, cols])
    assert means == pytest.approx([13530.3, 12310.9], abs=0.1)


def test_more_planes_than_bytes_are_refused(tmp_path: Path, shared_data: Path) -> None:
    path = shared_data / "formats" / "czi" / "xyz__multiple_images.czi"
    if not path.is_file():
        pytest.skip("no CZI file in the data folder")
    content = bytearray(path.read_bytes())
    content[571_319] = 0x55  # the highest byte of a channel's number: 1.4 thousand million channels
    damaged = tmp_path / "a.czi"
    damaged.write_bytes(content)
    with pytest.raises(InputError, match="planes are said to be there"):
        read_image(damaged)
