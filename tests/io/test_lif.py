"""LIF files, written here by the format's description and read with liffile."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING
from unittest.mock import Mock

import numpy as np
import pytest
from tests.io.lif_files import Series, write_lif
from tests.io.reading import numbers

from nucleate.errors import InputError, TooLargeError
from nucleate.io.given import as_image
from nucleate.io.images import open_image, read_image

if TYPE_CHECKING:
    from pathlib import Path


liffile = pytest.importorskip("liffile", reason="liffile is not installed (extra formats)")
pytestmark = pytest.mark.base


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize(
    ("stored", "axes"),
    [("YX", "YX"), ("CYX", "CYX"), ("ZCYX", "ZCYX"), ("TZYX", "TZYX"), ("MYX", "IYX"), ("CZYX", "ZCYX")],
)
def test_axes(tmp_path: Path, dtype: str, stored: str, axes: str) -> None:
    lengths = {"T": 2, "Z": 3, "C": 2, "M": 4, "Y": 5, "X": 6}
    pixels = numbers(*(lengths[letter] for letter in stored), dtype=dtype)
    path = write_lif(tmp_path / "a.lif", [Series("one", pixels, stored, 0.25)])
    image = read_image(path)
    assert (image.axes, image.name, image.pixels.dtype) == (axes, "a.lif", np.dtype(dtype))
    assert image.pixel_size_um == pytest.approx((0.25, 0.25))
    assert image.channel_names == (("Blue", "Green") if "C" in axes else ())
    expected = pixels.swapaxes(0, 1) if stored == "CZYX" else pixels
    np.testing.assert_array_equal(image.pixels, expected)
    with open_image(path) as source:
        one = source.channel(1 if "C" in axes else 0)
        at = tuple(n - 1 for n in one.stack_shape)
        part = one.read(slice(1, 4), slice(2, 99), at=at)
        np.testing.assert_array_equal(part, list(image.channel(1 if "C" in axes else 0).planes())[-1][1:4, 2:])


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    pixels = numbers(5, 6, 3, dtype=np.uint8)
    image = read_image(write_lif(tmp_path / "a.lif", [Series("one", pixels, "YXS")]))
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.pixels, pixels[..., ::-1])


@pytest.mark.parametrize("axes", ["TYX", "TYXS"])
def test_windows_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: str) -> None:
    colours = axes.endswith("S")
    pixels = numbers(2, 400, 2500, *((3,) if colours else ()))
    path = write_lif(tmp_path / "a.lif", [Series("one", pixels, axes)])
    count, read = Mock(return_value=None), liffile.LifImage.frame
    monkeypatch.setattr(liffile.LifImage, "frame", lambda series, **at: count(**at) or read(series, **at))
    with open_image(path) as source:
        tracemalloc.start()
        for t, top in np.ndindex(2, 10):
            rows = slice(top * 40, top * 40 + 40)
            expected = pixels[t, rows, :9, ::-1] if colours else pixels[t, rows, :9]
            np.testing.assert_array_equal(source.read(rows, slice(0, 9), at=(t,)), expected)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if colours:  # each frame is read once
        assert [one.kwargs["T"] for one in count.mock_calls] == [0, 1]
    else:  # and nothing but the windows
        assert peak < pixels[0].nbytes / 4


@pytest.mark.parametrize(("dyes", "names"), [(("Alexa 488", "Hoechst"),) * 2, (("", "Hoechst"), ("Blue", "Hoechst"))])
def test_series_are_pictures(tmp_path: Path, dyes: tuple[str, ...], names: tuple[str, ...]) -> None:
    first, second = numbers(5, 6), numbers(2, 7, 8) + 1000
    path = write_lif(tmp_path / "a.lif", [Series("overview", first), Series("cells", second, "CYX", dyes=dyes)])
    with open_image(path) as source:
        assert source.pictures == ("overview", "cells")
    for one in (read_image(path, picture=0), read_image(path), read_image(f"{path}#0")):
        np.testing.assert_array_equal(one.pixels, first)
    with pytest.raises(InputError, match=r"a.lif: holds 2 pictures; name one as a.lif#0 to a.lif#1, or read it with"):
        as_image(path)
    image = as_image(f"{path}#1")
    assert image.name == read_image(path, picture=1).name == "a.lif#cells"
    assert image.channel_names == names
    np.testing.assert_array_equal(image.channel().pixels, second[1])
    with pytest.raises(InputError, match=r"a.lif: no picture 2: it holds 2; give 0 to 1"):
        read_image(path, picture=2)


def test_faults(tmp_path: Path) -> None:
    path = write_lif(tmp_path / "a.lif", [Series("one", numbers(50, 60))], short_by=100)
    with pytest.raises(InputError, match=r"a.lif: damaged LIF file \("):
        read_image(path)
    write_lif(path, [])
    with pytest.raises(InputError, match="no picture in it"):
        read_image(path)
    write_lif(path, [Series("one", numbers(50, 60), "ZX")])
    with pytest.raises(InputError, match="has no rows and columns"):
        read_image(path)
    write_lif(path, [Series("one", numbers(50, 60))])
    with pytest.raises(TooLargeError, match="50 x 60"):
        read_image(path, max_bytes=5999)


def test_entities_are_not_followed(tmp_path: Path) -> None:
    path = write_lif(tmp_path / "a.lif", [Series("one", numbers(5, 6))])
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    secret = tmp_path / "secret"
    secret.write_text("not for you")
    for entities in (f'<!ENTITY e0 "aaaaaaaaaa">{bomb}', f'<!ENTITY e11 SYSTEM "{secret.as_uri()}">'):
        body = "<LMSDataContainerHeader Version='2'><Element Name='&e11;'/></LMSDataContainerHeader>"
        text = f"<!DOCTYPE x [{entities}]>{body}"
        header = text.encode("utf-16-le")
        path.write_bytes(b"\x70\0\0\0" + (len(header) + 5).to_bytes(4, "little") + b"\x2a"
                         + len(text).to_bytes(4, "little") + header)  # fmt: skip
        with pytest.raises(InputError, match=r"a.lif: ") as caught:
            read_image(path)
        assert "not for you" not in str(caught.value)
