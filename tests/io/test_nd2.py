"""ND2 files, written here by the format's description and read with nd2."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING
from unittest.mock import Mock

import numpy as np
import pytest
from tests.io.nd2_files import Recording, write_nd2
from tests.io.reading import numbers

from nucleate.errors import InputError, TooLargeError
from nucleate.io.images import open_image, read_image

if TYPE_CHECKING:
    from pathlib import Path


nd2 = pytest.importorskip("nd2", reason="nd2 is not installed (extra formats)")
pytestmark = pytest.mark.base


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("axes", ["YX", "CYX", "TZCYX", "PCYX", "TPZYX", "YXS", "ZYXS"])
def test_axes(tmp_path: Path, dtype: str, axes: str, *, compressed: bool) -> None:
    lengths = {"T": 2, "P": 3, "Z": 4, "C": 2, "Y": 5, "X": 6, "S": 3}
    pixels = numbers(*(lengths[letter] for letter in axes), dtype=dtype)
    names = ("GFP", "DAPI") if "C" in axes else ("DAPI",)
    path = write_nd2(tmp_path / "a.nd2", Recording(pixels, axes, names, 0.65, compressed=compressed))
    image = read_image(path)
    assert image.axes == {"PCYX": "ICYX", "TPZYX": "TZIYX"}.get(axes, axes)
    assert (image.channel_names, image.name) == (names, "a.nd2")
    assert image.pixel_size_um == pytest.approx((0.65, 0.65))
    assert image.pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.pixels, pixels.swapaxes(1, 2) if axes == "TPZYX" else pixels)
    with open_image(path) as source:
        chosen, planes = source.channel(), list(image.channel().planes())
        part = chosen.read(slice(1, 4), slice(2, 99), at=tuple(n - 1 for n in chosen.stack_shape))
        np.testing.assert_array_equal(part, planes[-1][1:4, 2:])


@pytest.mark.parametrize("compressed", [False, True])
def test_windows_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compressed: bool) -> None:
    pixels = numbers(2, 400, 2500)
    path = write_nd2(tmp_path / "a.nd2", Recording(pixels, "TYX", compressed=compressed))
    count, read = Mock(return_value=None), nd2.ND2File.read_frame
    monkeypatch.setattr(nd2.ND2File, "read_frame", lambda file, index: count(index) or read(file, index))
    with open_image(path) as source:
        tracemalloc.start()
        for t, top in np.ndindex(2, 10):
            rows = slice(top * 40, top * 40 + 40)
            np.testing.assert_array_equal(source.read(rows, slice(0, 9), at=(t,)), pixels[t, rows, :9])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if compressed:  # each frame is decoded once
        assert [one.args[0] for one in count.mock_calls] == [0, 1]
    else:  # and nothing but the windows is read
        assert peak < pixels[0].nbytes / 4


def test_size_not_known(tmp_path: Path) -> None:
    path = write_nd2(tmp_path / "a.nd2", Recording(numbers(5, 6), "YX", pixel_um=None))
    assert read_image(path).pixel_size_um is None


def test_a_recording_that_was_stopped_gives_the_frames_that_are_there(tmp_path: Path) -> None:
    pixels = numbers(3, 2, 5, 6)
    path = write_nd2(tmp_path / "a.nd2", Recording(pixels, "TZYX", recorded=5))
    image = read_image(path)
    assert image.axes == "IYX"
    np.testing.assert_array_equal(image.pixels, pixels.reshape(6, 5, 6)[:5])


def test_faults(tmp_path: Path) -> None:
    path = write_nd2(tmp_path / "a.nd2", Recording(numbers(50, 60), "YX"))
    with pytest.raises(TooLargeError, match="50 x 60"):
        read_image(path, max_bytes=5999)
    with pytest.raises(InputError, match="no picture 1: it holds 1"):
        read_image(path, picture=1)
    content = path.read_bytes()
    path.write_bytes(content[:-500])
    with pytest.raises(InputError, match=r"a.nd2: damaged ND2 file \("):
        read_image(path)
    path.write_bytes(content.replace(b"ImageAttributesLV!", b"ImageAttributesXX!"))
    with pytest.raises(InputError, match=r"a.nd2: damaged ND2 file \("):
        read_image(path)
