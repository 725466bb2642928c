"""OME-Zarr 0.4 and 0.5: images, plates, windows, and folders that are not as they should be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.io.reading import numbers

from nucleate.errors import InputError, MissingExtraError, TooLargeError
from nucleate.io.given import as_image
from nucleate.io.images import open_image, pictures_of, read_image

zarr = pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
from tests.io.zarr_files import write_group, write_image, write_plate  # noqa: E402 - needs zarr

pytestmark = pytest.mark.base


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "f4", "f8", "bool"])
def test_whole_images(tmp_path: Path, version: str, dtype: str) -> None:
    pixels = numbers(3, 2, 20, 33, dtype=dtype)
    path = write_image(
        tmp_path / "a.ome.zarr", pixels, axes="tcyx", version=version, channels=("actin", "Hoechst"), scale_um=0.25
    )
    image = read_image(path)
    assert (image.axes, image.channel_names, image.name) == ("TCYX", ("actin", "Hoechst"), "a.ome.zarr")
    assert image.pixel_size_um == (0.25, 0.25)
    assert image.pixels.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(image.pixels, pixels)
    np.testing.assert_array_equal(image.channel().pixels, pixels[:, 1])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_windows_read_only_the_chunks_they_touch(tmp_path: Path, version: str) -> None:
    pixels = numbers(2, 3, 50, 70)
    path = write_image(tmp_path / "a.zarr", pixels, axes="czyx", version=version, chunks=(1, 1, 16, 16))
    with open_image(path) as source:
        assert (source.axes, source.shape) == ("ZCYX", (3, 2, 50, 70))
        assert source.levels == ((50, 70), (25, 35))
        part = source.channel(1).read(slice(10, 20), slice(40, 99), at=(2,))
        np.testing.assert_array_equal(part, pixels[1, 2, 10:20, 40:])
        np.testing.assert_array_equal(source.load().pixels, pixels.swapaxes(0, 1))
        # A chunk far from the window is destroyed: who does not touch it does not notice.
        chunk = path / "0" / ("c/0/0/0/0" if version == "0.5" else "0.0.0.0")
        chunk.write_bytes(b"nothing")
        np.testing.assert_array_equal(source.channel(1).read(slice(10, 20), slice(40, 99), at=(2,)), part)
        with pytest.raises(InputError, match=r"a.zarr: damaged OME-Zarr file \("):
            source.load()


def test_an_image_far_larger_than_memory(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", numbers(64, 64), version="0.4", chunks=(64, 64))
    _damage(path / "0", ".zarray", shape=[1_000_000, 1_000_000], chunks=[512, 512])
    (path / "0" / "0.0").unlink()
    stored = zarr.open_array(path / "0", mode="r+", zarr_format=2)
    stored[700_000:700_010, 900_000:900_010] = 5
    with open_image(path) as source:
        assert source.nbytes == 2 * 10**12
        part = source.read(slice(699_995, 700_005), slice(900_005, 900_015))
        np.testing.assert_array_equal(part, np.pad(np.full((5, 5), 5), ((5, 0), (0, 5))))
    with pytest.raises(TooLargeError, match="1000000 x 1000000"):
        read_image(path)


def test_shards(tmp_path: Path) -> None:
    pixels = numbers(64, 64)
    path = write_image(tmp_path / "a.zarr", pixels, chunks=(8, 8), shards=(32, 32))
    with open_image(path) as source:
        np.testing.assert_array_equal(source.read(slice(3, 40), slice(30, 50)), pixels[3:40, 30:50])


def test_singletons_go_and_strange_axes_are_pages(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", numbers(1, 1, 1, 9, 8), axes="tczyx", channels=("DAPI",))
    image = read_image(path)
    assert (image.axes, image.pixels.shape, image.channel_names) == ("YX", (9, 8), ("DAPI",))
    path = write_image(tmp_path / "b.zarr", numbers(2, 9, 8), axes="cyx", version="0.4")
    metadata = json.loads((path / ".zattrs").read_bytes())
    metadata["multiscales"][0]["axes"][0] = {"name": "lambda"}
    (path / ".zattrs").write_text(json.dumps(metadata))
    assert read_image(path).axes == "IYX"


def test_columns_before_rows(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", numbers(9, 8), version="0.4")
    metadata = json.loads((path / ".zattrs").read_bytes())
    metadata["multiscales"][0]["axes"].reverse()
    (path / ".zattrs").write_text(json.dumps(metadata))
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, numbers(9, 8).T)


def test_pixel_size(tmp_path: Path) -> None:
    assert read_image(write_image(tmp_path / "a.zarr", numbers(9, 8), scale_um=None)).pixel_size_um is None
    path = write_image(tmp_path / "b.zarr", numbers(9, 8), version="0.4", scale_um=0.5)
    metadata = json.loads((path / ".zattrs").read_bytes())
    metadata["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [2.0, 1.0]}]
    metadata["multiscales"][0]["axes"][1]["unit"] = "nanometer"
    (path / ".zattrs").write_text(json.dumps(metadata))
    assert read_image(path).pixel_size_um == pytest.approx((1.0, 0.0005))


@pytest.mark.parametrize("version", ["0.1", "0.3"])
def test_versions_before_axes_had_types(tmp_path: Path, version: str) -> None:
    pixels = numbers(1, 2, 1, 9, 8)
    path = write_image(tmp_path / "a.zarr", pixels, axes="tczyx", version="0.4")
    metadata = json.loads((path / ".zattrs").read_bytes())
    multiscale = metadata["multiscales"][0]
    multiscale["datasets"] = [{"path": "0"}]
    if version == "0.1":
        del multiscale["axes"]
    else:
        multiscale["axes"] = list("tczyx")
    (path / ".zattrs").write_text(json.dumps(metadata))
    image = read_image(path)
    assert (image.axes, image.pixel_size_um) == ("CYX", None)
    np.testing.assert_array_equal(image.pixels, pixels[0, :, 0])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_plates(tmp_path: Path, version: str) -> None:
    fields = {path: numbers(2, 9, 8) + i for i, path in enumerate(("A/1/0", "A/1/1", "B/12/0"))}
    path = write_plate(tmp_path / "p.zarr", fields, version=version)
    for number, (name, pixels) in enumerate(fields.items()):
        with open_image(path, picture=number) as source:
            assert source.pictures == tuple(fields)
            assert source.name == f"p.zarr/{name}"
        np.testing.assert_array_equal(read_image(path, picture=number).pixels, pixels)
        np.testing.assert_array_equal(read_image(path / name).pixels, pixels)
        assert read_image(path / name).name == f"p.zarr/{name}"
    np.testing.assert_array_equal(read_image(path / "A/1", picture=1).pixels, fields["A/1/1"])
    assert read_image(path / "A/1", picture=1).name == "p.zarr/A/1/1"
    with pytest.raises(InputError, match=r"p.zarr: no picture 3: it holds 3; give 0 to 2"):
        read_image(path, picture=3)
    with pytest.raises(InputError, match=r"p.zarr: holds 3 pictures; name one as p.zarr/A/1/0 to p.zarr/B/12/0"):
        as_image(path)


def test_fields_read_what_a_plate_says_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {path: numbers(2, 9, 8) for path in ("A/1/0", "A/1/1", "B/12/0")}
    path = write_plate(tmp_path / "p.zarr", fields, version="0.4")
    plain, read = Path.read_bytes, list[Path]()

    def noted(file: Path) -> bytes:
        read.append(file)
        return plain(file)

    monkeypatch.setattr(Path, "read_bytes", noted)
    assert [read_image(path / name).name for name in fields] == [f"p.zarr/{name}" for name in fields]
    assert read.count(path / ".zattrs") == 1
    (path / ".zattrs").write_text("{}")
    os.utime(path / ".zattrs", ns=(0, 0))
    assert read_image(path / "B/12/0").name == "0"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("text", [None, "{}", "{", "[]", '{"well": {}}'])
def test_a_well_that_is_damaged_costs_no_other(tmp_path: Path, version: str, text: str | None) -> None:
    fields = {path: numbers(2, 9, 8) for path in ("A/1/0", "A/2/0", "B/1/0")}
    path = write_plate(tmp_path / "p.zarr", fields, version=version)
    metadata = path / "A/2" / (".zattrs" if version == "0.4" else "zarr.json")
    metadata.unlink()
    if text is not None:
        metadata.write_text(text)
    assert pictures_of(path) == ["A/1/0", "A/2", "B/1/0"]
    np.testing.assert_array_equal(read_image(path, picture=2).pixels, numbers(2, 9, 8))
    with pytest.raises(InputError, match=r"p\.zarr"):
        read_image(path, picture=1)
    with pytest.raises(InputError, match=r"A.2.*: "):
        read_image(path / "A/2")


def test_series_as_bioformats_writes_them(tmp_path: Path) -> None:
    path = write_group(tmp_path / "a.zarr", {"bioformats2raw.layout": 3}, version="0.4")
    for number in (0, 1, 10):
        write_image(path / str(number), numbers(5, 6) + number, version="0.4")
    write_group(path / "OME", {}, version="0.4")
    assert open_image(path).pictures == ("0", "1", "10")
    np.testing.assert_array_equal(read_image(path, picture=2).pixels, numbers(5, 6) + 10)
    write_group(path / "OME", {"series": ["10", "0"]}, version="0.4")
    np.testing.assert_array_equal(read_image(path, picture=0).pixels, numbers(5, 6) + 10)


def test_memory_limit(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", numbers(30, 40))
    with pytest.raises(TooLargeError, match="30 x 40"):
        read_image(path, max_bytes=2399)
    assert read_image(path, max_bytes=2400).pixels.shape == (30, 40)


def _damage(path: Path, name: str, **changes: Any) -> None:  # noqa: ANN401 - any value of JSON
    file = path / name
    file.write_text(json.dumps(json.loads(file.read_bytes()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": [{"id": "pickle", "protocol": 5}]}, "compressed in a way that is not known: pickle"),
        ({"compressor": {"id": "json2"}}, "compressed in a way that is not known: json2"),
        ({"dtype": "|O", "filters": [{"id": "pickle"}]}, r"pixels must be real numbers: got \|O"),
        ({"dtype": "<c8"}, "pixels must be real numbers"),
        ({"dtype": [["a", "<u2"]]}, "pixels must be real numbers"),
        ({"chunks": [1 << 20, 1 << 20]}, "far larger than the shape"),
        ({"chunks": [0, 5]}, r"chunks \(0, 5\) do not fit"),
        ({"shape": [20]}, "do not fit the shape"),
        ({"shape": [20, 0]}, "do not fit the shape"),
        ({"shape": "wide"}, "damaged OME-Zarr file"),
        ({"zarr_format": 7}, "damaged OME-Zarr file"),
    ],
)
def test_damaged_arrays(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_image(tmp_path / "a.zarr", numbers(20, 30), version="0.4")
    _damage(path / "0", ".zarray", **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../outside", "/etc", "a/../../b", ""])
def test_paths_stay_inside(tmp_path: Path, name: str) -> None:
    path = write_image(tmp_path / "a.zarr", numbers(20, 30), version="0.4")
    write_image(tmp_path / "outside", numbers(20, 30), version="0.4")
    metadata = json.loads((path / ".zattrs").read_bytes())
    metadata["multiscales"][0]["datasets"][0]["path"] = name
    (path / ".zattrs").write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="its metadata name a path outside of it"):
        read_image(path)


def test_folders_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="a folder, not a file"):
        read_image(tmp_path / "empty.zarr")
    with pytest.raises(InputError, match="without OME-Zarr metadata"):
        read_image(write_group(tmp_path / "bare.zarr", {}))
    path = write_group(tmp_path / "gone.zarr", {"multiscales": [{"datasets": [{"path": "0"}]}]}, version="0.4")
    with pytest.raises(InputError, match="damaged OME-Zarr file"):
        read_image(path)
    (path / ".zattrs").write_text("[1, 2]")
    with pytest.raises(InputError, match="not a table of names and values"):
        read_image(path)


def test_zarr_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.zarr", numbers(20, 30))
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"zarr is not installed; run: pip install 'nucleate\[formats\]'"):
        read_image(path)


@pytest.mark.parametrize("version", ["04", "05"])
def test_real_images(shared_data: Path, version: str) -> None:
    path = shared_data / "formats" / "ome-zarr" / f"blobs_image_v{version}.ome.zarr"
    if not path.is_dir():
        pytest.skip(f"no {path.name}")
    image = read_image(path)
    assert (image.axes, image.pixels.shape, image.channel_names) == ("CYX", (3, 12, 12), ("0", "1", "2"))
    assert image.pixel_size_um is None
    assert 0 < np.ptp(image.pixels) < 10


def test_three_channels_called_after_colours_are_one_colour_picture(tmp_path: Path) -> None:
    pixels = numbers(3, 20, 33, dtype=np.uint8)
    path = write_image(tmp_path / "a.ome.zarr", pixels, axes="cyx", channels=("Red", "Green", "Blue"))
    image = read_image(path)
    assert image.axes == "YXS"
    np.testing.assert_array_equal(image.pixels, pixels.transpose(1, 2, 0))
    with open_image(path) as opened:
        np.testing.assert_array_equal(opened.read(slice(2, 5), slice(1, 9)), pixels[:, 2:5, 1:9].transpose(1, 2, 0))
    dyes = write_image(tmp_path / "b.ome.zarr", pixels, axes="cyx", channels=("DAPI", "Green", "Red"))
    assert read_image(dyes).axes == "CYX"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels(tmp_path: Path, version: str) -> None:
    pixels = numbers(2, 51, 70)
    path = write_image(tmp_path / "a.zarr", pixels, axes="cyx", version=version, scale_um=0.5)
    with open_image(path, level=1) as source:
        assert (source.axes, source.shape, source.levels) == ("CYX", (2, 26, 35), ((51, 70), (26, 35)))
        assert source.pixel_size_um == pytest.approx((0.5 * 51 / 26, 1.0))
        np.testing.assert_array_equal(source.load().pixels, pixels[:, ::2, ::2])
    with pytest.raises(InputError, match="no level 2: it holds 2; give 0 to 1"):
        open_image(path, level=2)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("kept_bytes", [0, 1 << 20])
@pytest.mark.parametrize("few_bytes", [1, 1 << 20])
def test_planes_of_deep_chunks(
    tmp_path: Path, version: str, kept_bytes: int, few_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nucleate.io.deep_chunks._KEPT_BYTES", kept_bytes)
    monkeypatch.setattr("nucleate.io.deep_chunks._AT_ONCE_BYTES", few_bytes)
    pixels = numbers(5, 2, 4, 20, 33)
    path = write_image(tmp_path / "a.zarr", pixels, axes="tczyx", version=version, chunks=(3, 1, 2, 8, 16))
    with open_image(path) as source:
        np.testing.assert_array_equal(source.load().pixels, pixels.transpose(0, 2, 1, 3, 4))
        part = source.channel(1).read(slice(5, 17), slice(10, 33), at=(4, 3))
        np.testing.assert_array_equal(part, pixels[4, 1, 3, 5:17, 10:33])
        part[...] = 0
        again = source.channel(1).read(slice(5, 17), slice(10, 33), at=(4, 3))
        np.testing.assert_array_equal(again, pixels[4, 1, 3, 5:17, 10:33])
        assert source.reading_bytes >= 2 * 3 * 2 * 8 * 16 * pixels.itemsize


def test_a_deep_chunk_is_decoded_once(tmp_path: Path) -> None:
    pixels = numbers(6, 20, 33)
    path = write_image(tmp_path / "a.zarr", pixels, axes="tyx", chunks=(6, 20, 33))
    with open_image(path) as source:
        first = source.read(slice(0, 20), slice(0, 33), at=(0,))
        (path / "0" / "c/0/0/0").write_bytes(b"nothing")  # who decodes it again notices
        planes = [source.read(slice(0, 20), slice(0, 33), at=(at,)) for at in range(6)]
    np.testing.assert_array_equal(planes, pixels)
    np.testing.assert_array_equal(first, pixels[0])


def test_deep_chunks_under_a_window_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = numbers(6, 32, 48)
    path = write_image(tmp_path / "a.zarr", pixels, axes="zyx", chunks=(3, 16, 16))
    monkeypatch.setattr("nucleate.io.deep_chunks._KEPT_BYTES", 2 * 3 * 16 * 16 * pixels.itemsize)
    monkeypatch.setattr("nucleate.io.deep_chunks._AT_ONCE_BYTES", 1)

    def read() -> list[Any]:
        return [source.read(slice(3, 16), slice(17, 30), at=(at,)) for at in range(6)]

    with open_image(path) as source:
        first = read()
        for chunk in (path / "0" / "c").glob("*/*/*"):
            chunk.write_bytes(b"nothing")  # who decodes one again notices
        np.testing.assert_array_equal(read(), pixels[:, 3:16, 17:30])
        np.testing.assert_array_equal(first, pixels[:, 3:16, 17:30])
        with pytest.raises(InputError, match="damaged"):
            source.read(slice(3, 17), slice(17, 30), at=(0,))


def test_deep_chunks_that_two_windows_share_are_kept_of_a_window_over_more_than_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = numbers(6, 64, 32)
    path = write_image(tmp_path / "a.zarr", pixels, axes="zyx", chunks=(6, 16, 16))
    monkeypatch.setattr("nucleate.io.deep_chunks._KEPT_BYTES", 4 * 6 * 16 * 16 * pixels.itemsize)
    monkeypatch.setattr("nucleate.io.deep_chunks._AT_ONCE_BYTES", 1)
    with open_image(path) as source:
        np.testing.assert_array_equal(source.read(slice(0, 48), slice(0, 32), at=(1,)), pixels[1, :48])
        for chunk in (path / "0" / "c").glob("0/2/*"):
            chunk.write_bytes(b"nothing")  # who decodes one again notices
        np.testing.assert_array_equal(source.read(slice(32, 64), slice(0, 32), at=(1,)), pixels[1, 32:])


def test_deep_chunks_count_as_memory(tmp_path: Path) -> None:
    deep = write_image(tmp_path / "a.zarr", numbers(6, 20, 33), axes="tyx", chunks=(6, 20, 33))
    flat = write_image(tmp_path / "b.zarr", numbers(6, 20, 33), axes="tyx", chunks=(1, 20, 33))
    most = read_image(flat).pixels.nbytes
    assert read_image(flat, max_bytes=most).axes == "TYX"
    said = r"a\.zarr: too large: 6 x 20 x 33 values and the chunks that hold them need .*, or save it in chunks of one"
    with pytest.raises(TooLargeError, match=said):
        read_image(deep, max_bytes=4 * most - 1)
    assert read_image(deep, max_bytes=4 * most).axes == "TYX"
