"""Files as layers."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from nucleate.apps.napari import pixels as pixels_module
from nucleate.apps.napari import reader as module
from nucleate.apps.napari.features import read_table
from nucleate.apps.napari.found import FOUND
from nucleate.apps.napari.pictures import WHOLE, Picture
from nucleate.apps.napari.reader import get_reader, placed, read_layers
from nucleate.core.image import Image
from nucleate.core.lazy import lazy
from nucleate.data.synth import Scene, draw
from nucleate.errors import InputError
from nucleate.run.segmentation import Segmentation

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.apps.napari.pixels import LayerData

pytestmark = pytest.mark.base

PICTURE, TRUTH = draw(Scene(size=(96, 128), nuclei=9), np.random.default_rng(3))


def _read(path: Path) -> list[LayerData]:
    reader = get_reader(str(path))
    assert reader is not None
    return reader(str(path))


def _ome(path: Path, pixels: Any, **metadata: Any) -> Path:  # noqa: ANN401 - as tifffile takes them
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Give a folder of results for two images, "cells" and "others"."""
    confidence = np.linspace(0.3, 0.9, int(TRUTH.max())).astype(np.float32)
    image = Image(PICTURE, pixel_size_um=(0.5, 0.5), name="cells.tif")
    Segmentation(TRUTH, confidence, image).save(tmp_path)
    Segmentation(TRUTH, confidence, image).save(tmp_path, name="others")
    return tmp_path


@pytest.mark.parametrize("name", ["notes.txt", "cells", "measurements.csv", "cells.zip"])
def test_other_files_are_left_to_others(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x", encoding="utf-8")
    assert get_reader(str(tmp_path / name)) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader([]) is None


def test_channels_have_layers_of_their_own(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 20 * 30, dtype=np.uint16).reshape(2, 3, 20, 30)
    channels = {"Name": ["mCherry", "Hoechst"]}
    path = _ome(tmp_path / "a.ome.tif", pixels, axes="CZYX", PhysicalSizeX=0.5, PhysicalSizeY=0.25, Channel=channels)
    layers = _read(path)
    assert [meta["name"] for _, meta, _ in layers] == ["a mCherry", "a Hoechst"]
    assert [meta["colormap"] for _, meta, _ in layers] == ["red", "blue"]
    for number, (data, meta, kind) in enumerate(layers):
        assert (kind, meta["rgb"], meta["visible"]) == ("image", False, True)
        assert np.array_equal(data, pixels[number])
        assert meta["scale"] == (1.0, 0.25, 0.5)
        assert meta["units"] == ("pixel", "um", "um")
        assert meta["axis_labels"] == ("z", "y", "x")
    assert ["blending" in meta for _, meta, _ in layers] == [False, True]


def test_planes_stand_as_far_apart_as_they_do(tmp_path: Path) -> None:
    stack = np.zeros((3, 20, 30), np.uint8)
    ((_, meta, _),) = _read(_ome(tmp_path / "a.ome.tif", stack, axes="ZYX", PhysicalSizeX=0.5, PhysicalSizeZ=2))
    assert (meta["scale"], meta["units"], "translate" in meta) == ((2.0, 0.5, 0.5), ("um", "um", "um"), False)
    ((_, meta, _),) = _read(_ome(tmp_path / "a.ome.tif", stack, axes="TYX", PhysicalSizeX=0.5, PhysicalSizeZ=2))
    assert (meta["scale"], meta["units"]) == ((1.0, 0.5, 0.5), ("pixel", "um", "um"))


def test_the_distance_of_planes_goes_through_napari() -> None:
    image = Image(np.zeros((3, 20, 30), np.uint8), "ZYX", (0.5, 0.25), z_step_um=2.0, origin_um=(1.0, 10.0, 20.0))
    meta = placed(lazy(image))
    assert "translate" not in meta  # label images tell no place
    back = WHOLE.of(Picture(image.pixels, axes=meta["axis_labels"], scale=meta["scale"], units=meta["units"]))
    assert (back.pixel_size_um, back.z_step_um, back.origin_um) == ((0.5, 0.25), 2.0, None)


def test_colours(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    PillowImage.fromarray(pixels).save(tmp_path / "b.PNG")
    ((data, meta, kind),) = _read(tmp_path / "b.PNG")
    assert (kind, meta["name"], meta["rgb"]) == ("image", "b", True)
    assert "scale" not in meta
    assert np.array_equal(data, pixels)


def test_several_files_and_several_pictures(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number, name in enumerate(["left", "right"], 1):
            writer.write(np.full((20, 30 + number), number, np.uint8), metadata={"axes": "YX", "Name": name})
    PillowImage.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "c.png")
    layers = read_layers([str(path), str(tmp_path / "c.png")])
    assert [(meta["name"], meta["visible"]) for _, meta, _ in layers] == [
        ("two left", True),
        ("two right", False),
        ("c", True),
    ]
    assert [int(np.asarray(data).max()) for data, _, _ in layers] == [1, 2, 0]
    assert [isinstance(data, np.ndarray) for data, _, _ in layers] == [True, False, True], "what is hidden waits"


def test_of_many_pictures_the_first_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PICTURES", 2)
    with tifffile.TiffWriter(tmp_path / "many.ome.tif", ome=True) as writer:
        for number in range(4):
            writer.write(np.full((20, 30), number, np.uint8), metadata={"axes": "YX", "Name": f"field {number}"})
    with pytest.warns(UserWarning, match="holds 4 pictures; the first 2 are shown"):
        assert len(_read(tmp_path / "many.ome.tif")) == 2


def test_large_pictures_are_read_by_windows_and_pyramids_by_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)
    with tifffile.TiffWriter(tmp_path / "p.ome.tif", ome=True) as writer:
        writer.write(
            full, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}, subifds=1, tile=(32, 32)
        )
        writer.write(full[::2, ::2], subfiletype=1, tile=(32, 32))
    ((data, meta, _),) = _read(tmp_path / "p.ome.tif")
    assert isinstance(data, np.ndarray)
    assert not meta["multiscale"]
    monkeypatch.setattr(module, "_PYRAMID_PIXELS", 100)
    monkeypatch.setattr(pixels_module, "_LOADED_BYTES", 100)
    ((levels, meta, _),) = _read(tmp_path / "p.ome.tif")
    assert (meta["multiscale"], meta["scale"]) == (True, (0.5, 0.5))
    assert [level.shape for level in levels] == [(64, 96), (32, 48)]
    assert not any(isinstance(level, np.ndarray) for level in levels)
    assert np.array_equal(np.asarray(levels[0][10:20, 5:9]), full[10:20, 5:9])
    assert np.array_equal(np.asarray(levels[1][...]), full[::2, ::2])


def test_a_file_is_closed_when_its_layer_goes(tmp_path: Path) -> None:
    # In an interpreter of its own: what is imported first counts, and whether jinja2 is there.
    pytest.importorskip("dask", reason="dask is not installed (extra cluster)")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50), np.uint16))
    script = """
        import gc, sys
        sys.modules["jinja2"] = None
        from nucleate.apps.napari import pixels, reader
        pixels._LOADED_BYTES = 100
        closed = []
        opened = reader.open_image
        def watched(*args, **kwargs):
            image = opened(*args, **kwargs)
            release = image.release
            object.__setattr__(image, "release", lambda: (closed.append(1), release()))
            return image
        reader.open_image = watched
        layers = reader.read_layers(sys.argv[1])
        layers[0][0][3:5, 4:9].compute()
        assert not closed
        del layers
        gc.collect()
        assert closed, "it is still open"
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "a.tif")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_label_images_have_their_measurements(saved: Path) -> None:
    ((data, meta, kind),) = _read(saved / "cells.labels.tif")
    assert (kind, meta["name"], meta["scale"]) == ("labels", "cells nuclei", (0.5, 0.5))
    assert np.array_equal(data, TRUTH)
    count = int(TRUTH.max())
    assert meta["features"]["index"].tolist() == list(range(1, count + 1))
    assert meta["features"]["area_px"].tolist() == np.bincount(TRUTH.ravel())[1:].tolist()
    assert not {"label", "image"} & set(meta["features"])
    found = meta["metadata"][FOUND]
    assert found.labels is not data
    assert len(found.at_least(0.6).hidden(data)) == np.count_nonzero(found.features["confidence"] < 0.6) > 0


def test_the_table_of_a_folder_is_read_once(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def reads(path: Path) -> Any:  # noqa: ANN401 - columns
        read.append(path)
        return read_table(path)

    monkeypatch.setattr(module, "read_table", reads)
    layers = read_layers([str(saved / f"{name}.labels.tif") for name in ("cells", "others", "cells")])
    assert [len(meta["features"]["index"]) for _, meta, _ in layers] == [int(TRUTH.max())] * 3
    assert read == [saved / "measurements.csv"]


def test_large_label_images_say_that_nothing_is_hidden(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels_module, "_LOADED_BYTES", 100)
    with pytest.warns(UserWarning, match=r"cells\.labels\.tif: 0 MB are read part by part, so the slider"):
        ((_, meta, _),) = _read(saved / "cells.labels.tif")
    assert ("features" in meta, "metadata" in meta) == (True, False)


def test_label_images_without_a_table_or_with_a_damaged_one(saved: Path) -> None:
    (saved / "measurements.csv").write_text("image,label\ncells,one\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="column label holds no numbers"):
        ((_, meta, kind),) = _read(saved / "cells.labels.tif")
    assert (kind, "features" in meta) == ("labels", False)
    (saved / "measurements.csv").unlink()
    ((data, meta, kind),) = _read(saved / "others.labels.tif")
    assert (kind, "features" in meta, int(data.max())) == ("labels", False, int(TRUTH.max()))


@pytest.mark.parametrize("wrong", [TRUTH[::-1] * 2, np.where(TRUTH == 3, 0, TRUTH), np.where(TRUTH == 3, 4, TRUTH)])
def test_measurements_of_other_nuclei_are_left_out(saved: Path, wrong: Any) -> None:  # noqa: ANN401 - an array
    tifffile.imwrite(saved / "cells.labels.tif", wrong)
    with pytest.warns(UserWarning, match=r"cells\.labels\.tif: measurements\.csv beside it is of other nuclei"):
        ((data, meta, _),) = _read(saved / "cells.labels.tif")
    assert np.array_equal(data, wrong)
    assert not {"features", "metadata"} & set(meta)


def test_small_ids_do_not_bound_what_can_be_painted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.labels.tif", TRUTH.astype(np.uint8))
    ((data, _, _),) = _read(tmp_path / "a.labels.tif")
    assert (data.dtype, data.tolist()) == (np.int32, TRUTH.tolist())


def test_a_picture_called_as_labels_are_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.labels.tif", np.zeros((20, 30), np.float32))
    with pytest.raises(InputError, match=r"no label image: got float32.*rename it"):
        _read(tmp_path / "a.labels.tif")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tif", b"II*\0 nothing", "damaged TIFF|TIFF file without a picture|cut short"),
        ("a.czi", b"not a microscope's", "its content is not CZI"),
        ("a.png", b"", "empty, 0 bytes"),
    ],
)
def test_unreadable_files_have_one_clear_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        _read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_omezarr_brings_the_labels_inside(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    image = Image(PICTURE, pixel_size_um=(0.5, 0.5), name="cells.tif")
    Segmentation(TRUTH, np.ones(int(TRUTH.max()), np.float32), image).save(tmp_path, ["zarr"])
    layers = _read(tmp_path / "cells.ome.zarr")
    assert [(meta["name"], kind) for _, meta, kind in layers] == [("cells", "image"), ("cells nuclei", "labels")]
    assert np.array_equal(layers[0][0], PICTURE)
    assert np.array_equal(layers[1][0], TRUTH)
    assert layers[1][1]["scale"] == (0.5, 0.5)


REAL = {
    "ome-tiff/multi-channel.ome.tif": 3,
    "ome-zarr/blobs_image_v04.ome.zarr": 3,
    "ome-zarr/blobs_image_v05.ome.zarr": 3,
    "svs/cmu-1-small-region.svs": 1,
    "tiff/xyc_8bit__dapi_tublin.tif": 2,
    "tiff/xyz_8bit__nucleus.tif": 1,
    "czi/xyz__multiple_images.czi": 1,
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(shared_data: Path, name: str) -> None:
    if name.endswith(".czi"):
        pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed (extra formats)")
    if name.endswith(".zarr"):
        pytest.importorskip("zarr", reason="zarr is not installed (extra formats)")
    path = shared_data / "formats" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    layers = _read(path)
    assert len(layers) >= REAL[name]
    for data, meta, kind in layers:
        assert kind == "image"
        assert np.asarray(data[..., :5, :5] if not meta["rgb"] else data[..., :5, :5, :]).size > 0
        assert len(meta["axis_labels"]) == data.ndim - meta["rgb"]
