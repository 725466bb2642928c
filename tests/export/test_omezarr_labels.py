"""OME-Zarr: labels and picture read back by zarr, by our reader, and by ome-zarr where it is installed."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate.core.image import Image, Look
from nucleate.errors import MissingExtraError, OutputError
from nucleate.export.omezarr_labels import write_omezarr
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

zarr: Any = pytest.importorskip("zarr", reason="zarr is not installed")


def _group(path: Path) -> Any:  # noqa: ANN401 - zarr's own
    return zarr.open_group(str(path), mode="r")


def _drawn(shape: tuple[int, ...]) -> NDArray[np.int32]:
    return np.random.default_rng(0).integers(0, 40, shape).astype(np.int32)


def test_labels_beside_their_picture(tmp_path: Path) -> None:
    labels = _drawn((3, 301, 530))
    pixels = np.random.default_rng(1).integers(0, 4000, (3, 2, 301, 530), np.uint16)
    image = Image(pixels, "ZCYX", (0.5, 0.25), ("DAPI", "GFP"), "a.tif")
    path = tmp_path / "a.ome.zarr"
    confidence = np.linspace(0, 1, int(labels.max()))
    write_omezarr(path, labels, axes="ZYX", image=image, confidence=confidence)
    root = _group(path)
    assert root.metadata.zarr_format == 2
    np.testing.assert_array_equal(root["0"][...], pixels.transpose(1, 0, 2, 3))
    np.testing.assert_array_equal(root["labels/nuclei/0"][...], labels)
    np.testing.assert_array_equal(root["labels/nuclei/1"][...], labels[:, ::2, ::2])
    assert [root[f"labels/nuclei/{n}"].shape for n in range(3)] == [(3, 301, 530), (3, 151, 265), (3, 76, 133)]
    assert [root[str(n)].shape for n in range(3)] == [(2, 3, 301, 530), (2, 3, 151, 265), (2, 3, 76, 133)]
    assert root["1"][0, 0, 0, 0] == round(pixels[0, 0, :2, :2].mean())
    assert root["labels"].attrs["labels"] == ["nuclei"]
    marks = root["labels/nuclei"].attrs["image-label"]
    assert marks["source"] == {"image": "../../"}
    assert marks["properties"][1] == {"label-value": 2, "confidence": round(1 / 38, 4)}
    assert [c["label"] for c in root.attrs["omero"]["channels"]] == ["DAPI", "GFP"]
    (scales,) = root["labels/nuclei"].attrs["multiscales"]
    assert "".join(axis["name"] for axis in scales["axes"]) == "zyx"
    assert scales["datasets"][1]["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 1.0, 0.5]}]
    (scales,) = root.attrs["multiscales"]
    assert scales["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 1.0, 1.0, 0.5]},
        {"type": "translation", "translation": [0.0, 0.0, 0.25, 0.125]},
    ]
    assert scales["axes"][-1] == {"name": "x", "type": "space", "unit": "micrometer"}


def test_our_reader_reads_it(tmp_path: Path) -> None:
    labels = _drawn((30, 41))
    pixels = np.random.default_rng(1).integers(0, 4000, (2, 30, 41), np.uint16)
    image = Image(pixels, "CYX", (0.5, 0.25), ("DAPI", "GFP"), "a.tif")
    write_omezarr(tmp_path / "a.ome.zarr", labels, image=image)
    back = read_image(tmp_path / "a.ome.zarr")
    assert (back.axes, back.channel_names) == ("CYX", ("DAPI", "GFP"))
    assert back.pixel_size_um == pytest.approx((0.5, 0.25))
    np.testing.assert_array_equal(back.pixels, pixels)
    write_omezarr(tmp_path / "b.ome.zarr", labels)
    alone = read_image(tmp_path / "b.ome.zarr")
    np.testing.assert_array_equal(alone.pixels, labels)
    assert alone.pixel_size_um is None


@pytest.mark.parametrize(
    ("axes", "label_axes", "shape", "seen", "label_seen"),
    [
        ("YX", "YX", (5, 6), "yx", "yx"),
        ("YXS", "YX", (5, 6, 3), "cyx", "yx"),
        ("IYX", "IYX", (4, 5, 6), "tyx", "tyx"),
        ("TZCYX", "TZYX", (2, 3, 2, 5, 6), "tczyx", "tzyx"),
        ("TIYX", "TIYX", (2, 3, 5, 6), "tcyx", "tcyx"),
        ("ZICYX", "ZIYX", (3, 2, 2, 5, 6), "czyx", "czyx"),
    ],
)
def test_axes_of_every_kind(
    tmp_path: Path, axes: str, label_axes: str, shape: tuple[int, ...], seen: str, label_seen: str
) -> None:
    pixels = np.arange(np.prod(shape)).reshape(shape).astype(np.uint16)
    lengths = dict(zip(axes, shape, strict=True))
    labels = _drawn(tuple(lengths[axis] for axis in label_axes))
    write_omezarr(tmp_path / "a.ome.zarr", labels, axes=label_axes, image=Image(pixels, axes))
    root = _group(tmp_path / "a.ome.zarr")
    for group, expected, data in ((root, seen, pixels), (root["labels/nuclei"], label_seen, labels)):
        (scales,) = group.attrs["multiscales"]
        assert "".join(axis["name"] for axis in scales["axes"]) == expected
        assert group["0"].ndim == len(expected)
        assert sorted(group["0"][...].ravel().tolist()) == sorted(data.ravel().tolist())


def test_floats_wider_than_zarr_has_them(tmp_path: Path) -> None:
    pixels = np.linspace(0, 1, 20 * 30).reshape(20, 30).astype(np.longdouble)
    write_omezarr(tmp_path / "a.zarr", _drawn((20, 30)), image=Image(pixels))
    stored = _group(tmp_path / "a.zarr")["0"][...]
    assert stored.dtype == np.float64
    np.testing.assert_array_equal(stored, pixels.astype(np.float64))


def test_ids_beyond_sixteen_bits(tmp_path: Path) -> None:
    labels = np.array([[0, 70_000]])
    write_omezarr(tmp_path / "a.ome.zarr", labels)
    assert _group(tmp_path / "a.ome.zarr")["0"].dtype == np.uint32
    np.testing.assert_array_equal(_group(tmp_path / "a.ome.zarr")["0"][...], labels)


@pytest.mark.filterwarnings("ignore")  # of the libraries below ome-zarr, about each other
def test_ome_zarr_finds_picture_and_labels(tmp_path: Path) -> None:
    parsing = pytest.importorskip("ome_zarr.io", reason="ome-zarr is not installed")
    reading = pytest.importorskip("ome_zarr.reader", reason="ome-zarr is not installed")
    labels = _drawn((64, 70))
    image = Image(np.ones((64, 70), np.uint16), "YX", (0.5, 0.5))
    write_omezarr(tmp_path / "a.ome.zarr", labels, image=image, confidence=np.ones(39))
    nodes = list(reading.Reader(parsing.parse_url(str(tmp_path / "a.ome.zarr")))())
    found = [node for node in nodes if any(isinstance(spec, reading.Label) for spec in node.specs)]
    assert len(found) == 1
    np.testing.assert_array_equal(np.asarray(found[0].data[0]), labels)


def test_an_old_folder_stays_until_the_new_one_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ome.zarr"
    write_omezarr(path, _drawn((5, 6)))
    before = _group(path)["0"][...]

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("nucleate.export.omezarr_labels._write_levels", fail)
        with pytest.raises(OutputError, match=r"cannot write .*a\.ome\.zarr: No space left"):
            write_omezarr(path, _drawn((7, 8)))
    np.testing.assert_array_equal(_group(path)["0"][...], before)
    write_omezarr(path, _drawn((7, 8)))
    assert _group(path)["0"].shape == (7, 8)
    assert [found.name for found in tmp_path.iterdir()] == ["a.ome.zarr"]


def test_without_zarr_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "zarr" else find(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'nucleate\[formats\]'"):
        write_omezarr(tmp_path / "a.ome.zarr", _drawn((5, 6)))


def test_a_confidence_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    write_omezarr(tmp_path / "a.ome.zarr", np.array([[1, 2]], np.int32), confidence=np.array([np.nan, 0.5]))
    marks = _group(tmp_path / "a.ome.zarr").attrs["image-label"]
    assert marks["properties"] == [{"label-value": 1}, {"label-value": 2, "confidence": 0.5}]


def test_channels_are_shown_as_they_were(tmp_path: Path) -> None:
    from tests.io.zarr_files import write_image

    pixels = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(2, 30, 40)
    path = write_image(tmp_path / "in.zarr", pixels, axes="cyx", version="0.4", channels=("GFP", "DAPI"))
    window = {"start": 100.0, "end": 900.0, "min": 0.0, "max": 65535.0}
    known = {"label": "DAPI", "color": "0000FF", "window": window}
    unknown = {"label": "GFP", "color": "green", "window": {"start": 9, "end": 0, "min": 0, "max": 9}}
    zarr.open_group(path, mode="a").attrs["omero"] = {"channels": [unknown, known]}
    image = read_image(path)
    assert image.channel().channel_looks == (Look("0000FF", (100, 900, 0, 65535)),)
    write_omezarr(tmp_path / "a.ome.zarr", _drawn((30, 40)), image=image)
    first, second = _group(tmp_path / "a.ome.zarr").attrs["omero"]["channels"]
    assert second == known | {"active": True}
    assert first == {
        "label": "GFP",
        "color": "0000FF",
        "active": True,
        "window": {"start": 0.0, "end": 1199.0, "min": 0.0, "max": 1199.0},
    }
    (tmp_path / "in.zarr" / ".zattrs").write_text((path / ".zattrs").read_text().replace('"omero"', '"other"'))
    assert read_image(path).channel_looks == ()
