"""Exports of a batch: files of other programs equal to the labels, complete after a stop, never half-written."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import sys
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image as Pillow
from tests.export.painting import HOLED, paint
from tests.fakes import FakeSegmenter
from tests.tables import rows_of

from nucleate.apps.web.downloads import available
from nucleate.core.image import Image
from nucleate.errors import MissingExtraError, UsageError
from nucleate.io.images import IMAGE_SUFFIXES
from nucleate.run import outputs
from nucleate.run.batch import BatchSummary, run_batch
from nucleate.run.exports import EXPORTS
from nucleate.run.inputs import expand
from nucleate.run.layouts import OWN_SUFFIXES
from nucleate.run.segmentation import Segmentation
from nucleate.run.settings import BatchSettings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

LIGHT = ("labels", "measurements", "rle", "geojson", "imagej", "coco", "ome-tiff")

needs_zarr = pytest.mark.skipif(importlib.util.find_spec("zarr") is None, reason="zarr is not installed")


def go(top: Path, out: Path, **settings: Any) -> BatchSummary:  # noqa: ANN401
    chosen = BatchSettings(**{"exports": LIGHT} | settings)
    return run_batch(expand([str(top)], output=out), out, segmenter=FakeSegmenter(), settings=chosen)


def contents(out: Path) -> dict[str, str]:
    """Hash every file below a folder whose content must not depend on the clock."""
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and p.name not in {"summary.csv", "run.json"}]
    visible = [p for p in files if not any(part.startswith(".nucleate") for part in p.relative_to(out).parts)]
    return {p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in visible}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture whose nuclei have holes and lie by corners, a stack of three planes, and one without nuclei."""
    top = tmp_path / "in"
    top.mkdir()
    bright = (HOLED > 0).astype(np.uint8) * 200
    tifffile.imwrite(top / "flat.tif", bright)
    stack = np.stack([bright, 0 * bright, bright.T[:6, :6].repeat(2, axis=1)[:, :8]])
    tifffile.imwrite(top / "stack.tif", stack, photometric="minisblack", metadata={"axes": "ZYX"})
    tifffile.imwrite(top / "void.tif", np.zeros((4, 4), np.uint8))
    return top


def labels_of(out: Path, name: str) -> NDArray[np.int64]:
    return np.asarray(tifffile.imread(out / f"{name}.labels.tif"), np.int64)


def test_every_file_holds_the_same_nuclei(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert go(folder, out).count("ok") == 3
    flat, stack = labels_of(out, "flat"), labels_of(out, "stack")
    assert flat.max() > 1
    np.testing.assert_array_equal(tifffile.imread(out / "stack.labels.ome.tif"), stack)

    painted = np.zeros_like(stack)
    rois: Any = roifile.roiread(out / "stack.rois.zip")  # one or a list
    for roi in rois:
        rings = [ring[:-1] for ring in roi.coordinates(multi=True)] if roi.composite else [roi.coordinates()]
        painted[roi.position - 1][paint(rings, stack.shape[1:])] = int(roi.name)
    np.testing.assert_array_equal(painted, stack)

    painted = np.zeros_like(stack)
    areas = {row["label"]: row["area_px"] for row in rows_of(out / "measurements.csv") if row["image"] == "stack"}
    for feature in json.loads((out / "stack.geojson").read_text())["features"]:
        geometry, properties = feature["geometry"], feature["properties"]
        pieces = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        mask = paint([ring[:-1] for piece in pieces for ring in piece], stack.shape[1:])
        painted[geometry["plane"]["z"]][mask] = int(properties["name"])
        assert str(properties["measurements"]["area_px"]) == areas[properties["name"]]
        assert properties["measurements"]["confidence"] == 0.5
    np.testing.assert_array_equal(painted, stack)
    assert json.loads((out / "void.geojson").read_text())["features"] == []

    coco = json.loads((out / "coco.json").read_text())
    assert [i["name"] for i in coco["images"]] == ["flat", "stack", "stack", "stack", "void"]
    assert [(i["id"], i["file_name"], i.get("plane")) for i in coco["images"]] == [
        (1, "flat.tif", None), (2, "stack.tif", 0), (3, "stack.tif", 1), (4, "stack.tif", 2), (5, "void.tif", None),
    ]  # fmt: skip
    assert len(coco["annotations"]) == flat.max() + stack.max()
    for annotation in coco["annotations"]:
        plane = {1: flat, 2: stack[0], 4: stack[2]}[annotation["image_id"]]
        assert annotation["area"] == (plane == annotation["label"]).sum()
        assert annotation["score"] == 0.5


def test_a_plane_is_never_called_as_another_input_is(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("stack.tif", "stack-2-0.tif"):
        (other / name).write_bytes((folder / "stack.tif").read_bytes())
    go(folder / "stack.tif", tmp_path / "out", exports=("rle", "coco"))
    go(other, tmp_path / "out", exports=("rle", "coco"), resume=True)
    ids = {row["ImageId"] for row in rows_of(tmp_path / "out" / "submission.csv")}
    pictures = json.loads((tmp_path / "out" / "coco.json").read_text())["images"]
    names = [f"{name}/{plane}" for name in ("stack", "stack-2", "stack-2-0") for plane in range(3)]
    assert sorted(ids) == sorted(f"{one['name']}/{one['plane']}" for one in pictures) == sorted(names)
    assert {one["file_name"] for one in pictures} == {"in/stack.tif", "other/stack.tif", "other/stack-2-0.tif"}


def test_what_was_saved_from_python_stays_in_the_tables(folder: Path, tmp_path: Path) -> None:
    go(folder / "flat.tif", tmp_path / "out", exports=("measurements",))
    image = Image(np.zeros((4, 4), np.uint8), name="mine.tif")
    mine = Segmentation(np.array([[1, 0, 2, 0]] * 4, np.int32), np.full(2, 0.5, np.float32), image)
    mine.save(tmp_path / "out", ["measurements"])
    go(folder, tmp_path / "out", exports=("measurements",), resume=True)
    counted = Counter(row["image"] for row in rows_of(tmp_path / "out" / "measurements.csv"))
    assert sorted(counted) == ["flat", "mine", "stack"]
    assert counted["mine"] == 2


def test_channels_of_one_name_are_told_apart(tmp_path: Path) -> None:
    pixels = np.stack([(HOLED > 0) * np.uint8(level) for level in (200, 90, 30)])
    metadata = {"axes": "CYX", "Channel": {"Name": ["Cy3", "Cy3", "Cy3-2"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=metadata)
    go(tmp_path / "a.ome.tif", tmp_path / "out", exports=("measurements",))
    row = rows_of(tmp_path / "out" / "measurements.csv")[0]
    assert [row[f"mean_intensity_{name}"] for name in ("Cy3", "Cy3-3", "Cy3-2")] == ["200", "90", "30"]


@needs_zarr
@pytest.mark.parametrize("kind", ["q", "Q", "l", "L"])
def test_whole_numbers_of_every_name_go_into_zarr(tmp_path: Path, kind: str) -> None:
    image = Image((HOLED > 0).astype(np.dtype(kind)), name="a.tif")
    labels = (HOLED > 0).astype(np.int32)
    Segmentation(labels, np.ones(1, np.float32), image).save(tmp_path, ["zarr"])
    assert (tmp_path / "a.ome.zarr" / "labels" / "nuclei").is_dir()


@needs_zarr
def test_zarr_holds_picture_and_labels(folder: Path, tmp_path: Path) -> None:
    import zarr

    go(folder, tmp_path / "out", exports=("labels", "zarr"))
    root = zarr.open_group(str(tmp_path / "out" / "stack.ome.zarr"), mode="r")
    picture: Any = root["0"]
    labels: Any = root["labels/nuclei/0"]
    np.testing.assert_array_equal(picture[...], tifffile.imread(folder / "stack.tif"))
    np.testing.assert_array_equal(labels[...], labels_of(tmp_path / "out", "stack"))


@needs_zarr
def test_resumed_equals_unbroken(folder: Path, tmp_path: Path) -> None:
    exports = (*LIGHT, "zarr")
    go(folder, tmp_path / "whole", exports=exports)
    out = tmp_path / "broken"
    go(folder / "flat.tif", out, exports=exports)
    half = out / ".writing-abc.zarr"  # what a kill in the middle of a folder leaves
    (half / "labels").mkdir(parents=True)
    (half / "labels" / "0").touch()
    (out / "coco.json").unlink()
    go(folder, out, exports=exports, resume=True)
    assert contents(out) == contents(tmp_path / "whole")
    assert any(name.startswith("stack.ome.zarr/labels/nuclei/") for name in contents(out))
    assert not half.exists()


def test_an_input_is_done_again_when_one_of_its_files_is_gone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    go(folder, out)
    before = contents(out)
    (out / "flat.rois.zip").unlink()
    (out / ".nucleate-parts" / "stack.coco.json").unlink()
    go(folder, out, resume=True)
    assert contents(out) == before


def test_coco_names_files_as_they_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = ["Screenshot 10.30\u202fAM.png", "two\nlines.png", "a#1.png", *(["back\\slash.png"] if os.sep == "/" else [])]
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in odd:
            Pillow.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "in" / name)
            archive.write(tmp_path / "in" / name, name)
    monkeypatch.chdir(tmp_path)
    for path in ((tmp_path / "in").relative_to(tmp_path), tmp_path / "in.zip"):  # however they were named
        go(path, tmp_path / "out", exports=("coco",), resume=True)
    pictures = json.loads((tmp_path / "out" / "coco.json").read_text())["images"]
    assert sorted(one["file_name"] for one in pictures) == sorted(f"{top}/{n}" for top in ("in", "in.zip") for n in odd)


@pytest.mark.parametrize("standing", ["coco.json", "flat.geojson", "stack.rois.zip", "measurements.parquet"])
def test_what_stands_in_the_folder_is_not_overwritten(folder: Path, tmp_path: Path, standing: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / standing).write_text("mine")
    with pytest.raises(UsageError, match="would be overwritten"):
        go(folder, out)
    assert (out / standing).read_text() == "mine"


@needs_zarr
def test_own_results_are_not_inputs(folder: Path) -> None:
    exports = (*LIGHT, "zarr")
    go(folder, folder, exports=exports)
    again = go(folder, folder, exports=exports, resume=True)
    assert [outcome.name for outcome in again.outcomes] == ["flat", "stack", "void"]
    with pytest.raises(UsageError, match="no image in "):
        expand([str(folder / "*.zip"), str(folder / "*.zarr")], output=folder)


def test_pictures_and_archives_that_are_written_are_known_as_our_own() -> None:
    files = [kind.file for kind in EXPORTS.values() if not kind.join]
    looked_into = (*IMAGE_SUFFIXES - {".zarr"}, ".zip")  # of a Zarr folder what is in it tells
    assert sorted(OWN_SUFFIXES) == sorted(file for file in files if file.endswith(looked_into))


def test_a_missing_library_is_told_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for name, extra in (("zarr", "formats"), ("parquet", "tables"), ("anndata", "tables")):
        with pytest.raises(MissingExtraError, match=rf"pip install 'nucleate\[{extra}\]'"):
            outputs.check_exports(f"labels,{name}")
    assert outputs.check_exports(",".join(LIGHT)) == LIGHT


@pytest.mark.parametrize(("export", "module"), [("zarr", "zarr"), ("parquet", "pyarrow.parquet")])
def test_a_library_that_cannot_be_loaded_is_told_before_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: str, module: str
) -> None:
    named = module.partition(".")[0]
    broken = tmp_path / f"{module.replace('.', '/')}.py"
    broken.parent.mkdir(exist_ok=True)
    (broken.parent / "__init__.py").touch()
    broken.write_text("raise ImportError('no libfoo.so.1')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in {named, module}:
        monkeypatch.setitem(sys.modules, name, None)  # so that what is there or not comes back
        del sys.modules[name]
    (told,) = [one["needs"] for one in available() if one["name"] == export]
    assert told.startswith(f"{named} cannot be loaded: no libfoo.so.1; run: pip install")
    with pytest.raises(MissingExtraError, match=re.escape(told)):
        outputs.check_exports(f"labels,{export}")


@pytest.mark.filterwarnings("ignore")  # of the libraries, about each other
def test_tables_of_the_run(folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    anndata = pytest.importorskip("anndata", reason="anndata is not installed")
    out = tmp_path / "out"
    go(folder, out, exports=("measurements", "parquet", "anndata"))
    rows = rows_of(out / "measurements.csv")
    table = parquet.read_table(out / "measurements.parquet")
    data = anndata.read_h5ad(out / "measurements.h5ad")
    assert [f"{r['image']}:{r['label']}" for r in rows] == data.obs_names.tolist()
    assert [int(r["area_px"]) for r in rows] == table["area_px"].to_pylist() == data[:, "area_px"].X[:, 0].tolist()
    assert table.column_names == list(rows[0])


def test_files_do_not_depend_on_the_size_of_the_tiles(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    from tests.tiny_model import write_tiny_model

    from nucleate.api import load_segmenter
    from nucleate.run.segmenter import SegmentSettings

    model = write_tiny_model(tmp_path)
    rows, cols = np.mgrid[:300, :420]
    picture = ((rows // 9 + cols // 13) % 3 == 0).astype(np.uint8) * 200
    tifffile.imwrite(tmp_path / "a.tif", picture)
    found = []
    for tile in (176, 512):
        segmenter = load_segmenter(model, device="cpu", threads=1, settings=SegmentSettings(tile=tile))
        settings = BatchSettings(exports=LIGHT)
        sources = expand([str(tmp_path / "a.tif")])
        summary = run_batch(sources, tmp_path / str(tile), segmenter=segmenter, settings=settings)
        assert [outcome.error for outcome in summary.outcomes] == [""]
        found.append(contents(tmp_path / str(tile)))
    assert found[0] == found[1]
    assert labels_of(tmp_path / "176", "a").max() > 20


def test_a_segmentation_saves_the_same(tmp_path: Path) -> None:
    image = Image(np.ones(HOLED.shape), name="a.png")
    labels = np.where(HOLED == 7, 6, HOLED)
    Segmentation(labels, np.linspace(0.5, 1, 6).astype(np.float32), image).save(tmp_path, ("coco", "imagej"))
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [a["score"] for a in coco["annotations"]] == np.linspace(0.5, 1, 6).round(4).tolist()
    rois: Any = roifile.roiread(tmp_path / "a.rois.zip")
    assert [roi.name for roi in rois] == ["1", "2", "3", "4", "5", "6"]
