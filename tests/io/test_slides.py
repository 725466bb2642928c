"""Slides that OpenSlide reads; it takes a tiled TIFF under any name, so that no slide is needed for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from nucleate.errors import InputError, MissingExtraError
from nucleate.io.images import open_image, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _written(path: Path) -> tuple[Path, NDArray[Any]]:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 500, 3), np.uint8)
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels, tile=(128, 128), photometric="rgb")
        writer.write(pixels[::2, ::2], tile=(128, 128), photometric="rgb", subfiletype=1)
    return path, pixels


def test_windows(tmp_path: Path) -> None:
    pytest.importorskip("openslide", reason="OpenSlide is not installed (extra formats)")
    path, pixels = _written(tmp_path / "a.bif")
    with open_image(path) as source:
        assert (source.axes, source.shape, source.levels) == ("YXS", (300, 500, 3), ((300, 500), (150, 250)))
        np.testing.assert_array_equal(source.read(slice(120, 140), slice(480, 999)), pixels[120:140, 480:])
    np.testing.assert_array_equal(read_image(path).pixels, pixels)


def test_levels(tmp_path: Path) -> None:
    pytest.importorskip("openslide", reason="OpenSlide is not installed (extra formats)")
    path, pixels = _written(tmp_path / "a.bif")
    with open_image(path, level=1) as source:
        assert (source.shape, source.levels) == ((150, 250, 3), ((300, 500), (150, 250)))
        np.testing.assert_array_equal(source.read(slice(20, 40), slice(200, 999)), pixels[::2, ::2][20:40, 200:])
    with pytest.raises(InputError, match="no level 2: it holds 2; give 0 to 1"):
        open_image(path, level=2)


def test_faults(tmp_path: Path) -> None:
    pytest.importorskip("openslide", reason="OpenSlide is not installed (extra formats)")
    path = tmp_path / "a.mrxs"
    path.write_bytes(b"\xff\xd8\xff and no slide")
    with pytest.raises(InputError, match=r"a.mrxs: damaged slide file \(OpenSlideUnsupportedFormatError"):
        read_image(path)
    path, _ = _written(tmp_path / "b.bif")
    with pytest.raises(InputError, match="no picture 1"):
        read_image(path, picture=1)
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(InputError, match=r"b.bif: damaged slide file \("):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "head", "package"),
    [("a.czi", b"ZISRAWFILE", "pylibCZIrw"), ("a.nd2", b"\xda\xce\xbe\x0a", "nd2"), ("a.lif", b"\x70\0\0\0", "liffile"),
     ("a.mrxs", b"\xff\xd8\xff", "openslide-python")],
)  # fmt: skip
def test_library_not_installed(
    tmp_path: Path, name: str, head: bytes, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(head + b"\0" * 100)
    for module in ("pylibCZIrw.czi", "pylibCZIrw", "nd2", "liffile", "openslide"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    expected = rf"^{package} is not installed; run: pip install 'nucleate\[formats\]'$"
    for read in (read_image, open_image):
        with pytest.raises(MissingExtraError, match=expected):
            read(path)


def test_a_scanners_tiff_needs_no_slide_library(shared_data: Path) -> None:
    path = shared_data / "formats" / "svs" / "cmu-1-small-region.svs"
    if not path.is_file():
        pytest.skip("no slide in the data folder")
    with open_image(path) as source:
        assert (source.axes, source.shape, source.pixel_size_um) == ("YXS", (2967, 2220, 3), (0.499, 0.499))
        part = source.read(slice(1000, 1300), slice(2000, 9999))
    np.testing.assert_array_equal(part, tifffile.imread(path)[1000:1300, 2000:])
