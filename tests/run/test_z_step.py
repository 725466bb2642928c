"""The distance of planes in depth and in time, from the file that was read to the files that are written."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from nucleate.core.image import Image
from nucleate.errors import InputError
from nucleate.io import czi, nd2
from nucleate.io.images import open_image, read_image
from nucleate.run.segmentation import Segmentation

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

STACK = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)


def _both(path: Path) -> float | None:
    """Read it whole and window by window."""
    image = read_image(path)
    with open_image(path) as source:
        assert source.z_step_um == source.channel().z_step_um == image.z_step_um == source.load().z_step_um
    return image.z_step_um


def _saved(image: Image, folder: Path, export: str) -> None:
    labels = np.zeros(image.pixels.shape, np.int32)
    labels[0, 2:5, 2:5] = 1
    Segmentation(labels, np.ones(1, np.float32), image).save(folder, [export], name="a")


@pytest.mark.parametrize(
    ("given", "um"),
    [({"PhysicalSizeZ": 2.0}, 2.0), ({"PhysicalSizeZ": 300, "PhysicalSizeZUnit": "nm"}, 0.3), ({}, None)],
)
def test_ome_tells_it(tmp_path: Path, given: dict[str, object], um: float | None) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX"} | given)
    assert _both(path) == (None if um is None else pytest.approx(um))


@pytest.mark.parametrize("length", [1e14, 1.7976931348623157e308, 1e-13])
def test_lengths_that_are_none_are_unknown(tmp_path: Path, length: float) -> None:
    path = tmp_path / "a.ome.tif"
    given = {"PhysicalSizeX": length, "PhysicalSizeY": length, "PhysicalSizeZ": length}
    tifffile.imwrite(path, STACK[0], ome=True, metadata={"axes": "YX"} | given)
    assert _both(path) is None
    assert read_image(path).pixel_size_um is None


@pytest.mark.parametrize(
    ("given", "um"),
    [({"spacing": 2.0, "unit": "nm"}, 0.002), ({"spacing": -0.5, "unit": "um"}, 0.5), ({"spacing": 2.0}, None),
     ({"unit": "um"}, None), ({"spacing": float("nan"), "unit": "um"}, None), ({"spacing": 0.0, "unit": "um"}, None)],
)  # fmt: skip
def test_imagej_tells_it(tmp_path: Path, given: dict[str, object], um: float | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX"} | given)
    assert _both(path) == (None if um is None else pytest.approx(um))


def test_ome_zarr_tells_it(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    from tests.io.zarr_files import write_image

    path = write_image(tmp_path / "a.zarr", STACK, axes="zyx", version="0.4")
    metadata = json.loads((path / ".zattrs").read_bytes())
    for dataset in metadata["multiscales"][0]["datasets"]:
        dataset["coordinateTransformations"][0]["scale"][0] = 2.0
    (path / ".zattrs").write_text(json.dumps(metadata))
    assert _both(path) == 2.0
    with open_image(path, level=1) as source:
        assert source.z_step_um == 2.0


def test_czi_tells_it(tmp_path: Path) -> None:
    czi = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is not installed (extra formats)")
    with czi.create_czi(str(tmp_path / "a.czi"), exist_ok=True) as file:
        for z, plane in enumerate(STACK):
            file.write(plane[..., None], plane={"T": 0, "Z": z, "C": 0})
        file.write_metadata("test", scale_x=5e-7, scale_y=2.5e-7, scale_z=2e-6)
    assert _both(tmp_path / "a.czi") == pytest.approx(2.0)


def test_lif_tells_it(tmp_path: Path) -> None:
    pytest.importorskip("liffile", reason="liffile is not installed (extra formats)")
    from tests.io.lif_files import Series, write_lif

    assert _both(write_lif(tmp_path / "a.lif", [Series("one", STACK, "ZYX", 0.25)])) == pytest.approx(0.25)


def test_czi_tells_the_time_between_planes() -> None:
    told = {"T": {"Positions": {"Interval": {"Start": "0", "Increment": "30"}}}}
    file = SimpleNamespace(metadata={"ImageDocument": {"Metadata": {"Information": {"Image": {"Dimensions": told}}}}})
    assert czi._metadata(file) == ((), {"T": 30.0})


@pytest.mark.parametrize(("period", "seconds"), [(2500.0, 2.5), (0.0, 0.5)])
def test_nd2_tells_the_time_between_planes(period: float, seconds: float) -> None:
    parameters = SimpleNamespace(periodMs=period, periodDiff=SimpleNamespace(avg=500.0))
    loops = [SimpleNamespace(type="XYPosLoop"), SimpleNamespace(type="TimeLoop", parameters=parameters)]
    assert nd2._steps(SimpleNamespace(experiment=loops, metadata=None)) == {"T": seconds}


def test_lif_tells_the_time_between_planes(tmp_path: Path) -> None:
    pytest.importorskip("liffile", reason="liffile is not installed (extra formats)")
    from tests.io.lif_files import Series, write_lif

    image = read_image(write_lif(tmp_path / "a.lif", [Series("one", STACK, "TYX", 0.25)]))
    assert image.t_step_s == pytest.approx(20.0)
    assert image.z_step_um is None


def test_nd2_tells_it(tmp_path: Path) -> None:
    pytest.importorskip("nd2", reason="nd2 is not installed (extra formats)")
    from tests.io.nd2_files import Recording, write_nd2

    path = write_nd2(tmp_path / "a.nd2", Recording(STACK, "ZYX", ("DAPI",), 0.65))
    assert _both(path) == pytest.approx(1.5)


@pytest.mark.parametrize(("export", "name"), [("labels", "a.labels.tif"), ("ome-tiff", "a.labels.ome.tif")])
def test_label_images_have_it(tmp_path: Path, export: str, name: str) -> None:
    _saved(Image(STACK, "ZYX", (0.5, 0.25), z_step_um=2.5), tmp_path, export)
    written = read_image(tmp_path / name)
    assert (written.axes, written.z_step_um) == ("ZYX", 2.5)
    assert written.pixel_size_um == pytest.approx((0.5, 0.25))
    _saved(Image(STACK, "TYX", (0.5, 0.25), z_step_um=2.5), tmp_path, export)
    assert read_image(tmp_path / name).z_step_um is None


def test_ome_zarr_has_it_in_picture_and_labels(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    _saved(Image(STACK, "ZYX", (0.5, 0.25), z_step_um=2.5), tmp_path, "zarr")
    for folder in (tmp_path / "a.ome.zarr", tmp_path / "a.ome.zarr" / "labels" / "nuclei"):
        written = read_image(folder)
        assert (written.axes, written.pixel_size_um, written.z_step_um) == ("ZYX", (0.5, 0.25), 2.5)
    _saved(Image(STACK, "ZYX", z_step_um=2.5), tmp_path, "zarr")
    written = read_image(tmp_path / "a.ome.zarr")
    assert (written.pixel_size_um, written.z_step_um) == (None, 2.5)


def test_the_place_of_an_ome_zarr_goes_with_it(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    from tests.io.zarr_files import write_image

    stack = np.zeros((3, 300, 310), np.uint16)
    path = write_image(tmp_path / "in.zarr", stack, axes="zyx", version="0.4")
    metadata = json.loads((path / ".zattrs").read_bytes())
    for level, dataset in enumerate(metadata["multiscales"][0]["datasets"]):
        place = {"type": "translation", "translation": [10.0, 100.0 + level, 200.0]}
        dataset["coordinateTransformations"].append(place)
    metadata["multiscales"][0]["axes"][2]["unit"] = "nanometer"
    (path / ".zattrs").write_text(json.dumps(metadata))
    image = read_image(path)
    assert image.origin_um == pytest.approx((10.0, 100.0, 0.2))
    with open_image(path, level=1) as source:
        assert source.origin_um == pytest.approx((10.0, 101.0, 0.2))
    _saved(image, tmp_path, "zarr")
    for folder in (tmp_path / "a.ome.zarr", tmp_path / "a.ome.zarr" / "labels" / "nuclei"):
        assert read_image(folder).origin_um == pytest.approx(image.origin_um)
    with open_image(tmp_path / "a.ome.zarr", level=1) as source:  # the middle of four pixels
        assert source.origin_um == pytest.approx((10.0, 100.25, 0.20025))
    with pytest.raises(InputError, match=r"origin_um = .*; use depth, down and across"):
        Image(STACK, "ZYX", origin_um=(1.0, float("nan"), 2.0))


@pytest.mark.parametrize(
    ("unit", "place", "expected"),
    [("", [5, 10, 20], (0, 10, 20)), ("micrometer", [5, 1e13, 20], None), ("micrometer", [5, float("nan"), 20], None),
     ("", [5, 0, 0], None)],
)  # fmt: skip
def test_a_place_without_a_unit_or_beyond_all_measure(
    tmp_path: Path, unit: str, place: list[float], expected: tuple[float, ...] | None
) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    from tests.io.zarr_files import write_image

    path = write_image(tmp_path / "in.zarr", STACK, axes="zyx", version="0.4")
    metadata = json.loads((path / ".zattrs").read_bytes())
    (multiscale,) = metadata["multiscales"]
    multiscale["axes"][0]["unit"] = unit
    multiscale["datasets"][0]["coordinateTransformations"].append({"type": "translation", "translation": place})
    (path / ".zattrs").write_text(json.dumps(metadata))
    assert read_image(path).origin_um == expected


@pytest.mark.parametrize(
    ("kind", "given", "seconds"),
    [("ome", {"TimeIncrement": 60.0}, 60.0), ("ome", {"TimeIncrement": 2, "TimeIncrementUnit": "min"}, 120.0),
     ("ome", {}, None), ("imagej", {"finterval": 60.0}, 60.0), ("imagej", {"finterval": 5, "tunit": "ms"}, 0.005),
     ("imagej", {"finterval": 0.0}, None), ("imagej", {"finterval": 2, "tunit": "minutes"}, 120.0),
     ("imagej", {"finterval": 1, "tunit": "Hours"}, 3600.0), ("imagej", {"finterval": 1, "tunit": "ds"}, None)],
)  # fmt: skip
def test_the_time_between_planes_goes_from_file_to_files(
    tmp_path: Path, kind: str, given: dict[str, object], seconds: float | None
) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    path = tmp_path / "a.ome.tif" if kind == "ome" else tmp_path / "a.tif"
    options: dict[str, bool] = {kind: True}
    tifffile.imwrite(path, STACK, metadata={"axes": "TYX"} | given, **options)  # type: ignore[arg-type]
    image = read_image(path)
    with open_image(path) as source:
        assert source.t_step_s == source.channel().t_step_s == source.load().t_step_s == image.t_step_s
    assert image.t_step_s == (None if seconds is None else pytest.approx(seconds))
    for export, name in (("labels", "a.labels.tif"), ("ome-tiff", "a.labels.ome.tif"), ("zarr", "a.ome.zarr")):
        _saved(image, tmp_path, export)
        assert read_image(tmp_path / name).t_step_s == image.t_step_s
    _saved(Image(STACK, "ZYX", t_step_s=2.5), tmp_path, "labels")
    assert read_image(tmp_path / "a.labels.tif").t_step_s is None
    with pytest.raises(InputError, match=r"image: t_step_s = -1; use seconds, or None"):
        Image(STACK, "TYX", t_step_s=-1)


@pytest.mark.parametrize("step", [0, -1.0, float("nan"), "2", True])
def test_it_is_a_length(step: object) -> None:
    with pytest.raises(InputError, match=r"image: z_step_um = .*; use micrometres, or None"):
        Image(STACK, "ZYX", z_step_um=step)  # type: ignore[arg-type]
