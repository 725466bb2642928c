"""Saving nuclei, also those corrected by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import roifile
from tests.tables import rows_of

from nucleate.apps.napari import viewing
from nucleate.apps.napari.found import Found
from nucleate.apps.napari.pictures import WHOLE, Picture
from nucleate.apps.napari.save import numbered, save_nuclei
from nucleate.core.image import Image
from nucleate.core.lazy import lazy
from nucleate.errors import UsageError
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

LABELS = np.zeros((20, 30), np.int32)
LABELS[2:6, 2:8], LABELS[10:15, 3:9], LABELS[8:12, 20:26] = 2, 5, 9
PICTURE = lazy(Image(np.arange(600, dtype=np.uint16).reshape(20, 30), pixel_size_um=(0.5, 0.5), name="cells"))


def _rows(folder: Path) -> list[dict[str, str]]:
    return rows_of(folder / "measurements.csv")


def test_ids_are_closed_up_from_plane_to_plane() -> None:
    stack = np.stack([LABELS, np.roll(LABELS, 3, axis=1)])
    found = numbered(stack)
    assert np.unique(found[0]).tolist() == [0, 1, 2, 3]
    assert np.unique(found[1]).tolist() == [0, 4, 5, 6]
    assert np.array_equal(found > 0, stack > 0)
    with pytest.raises(UsageError, match="whole numbers from 0"):
        numbered(np.array([[-1, 0]]))
    with pytest.raises(UsageError, match="whole numbers from 0"):
        numbered(np.array([[0.5, 0]]))


def test_everything_is_written_anew(tmp_path: Path) -> None:
    exports = ["labels", "overlay", "measurements", "imagej", "geojson", "coco"]
    saved = save_nuclei(LABELS, PICTURE, folder=tmp_path / "out", name="my cells", exports=exports)
    assert len(saved) == 3
    written = read_image(tmp_path / "out" / "my cells.labels.tif")
    assert written.pixels.tolist() == numbered(LABELS).tolist()
    assert written.pixel_size_um == (0.5, 0.5)
    rows = _rows(tmp_path / "out")
    assert [(row["image"], row["label"], row["area_px"]) for row in rows] == [
        ("my cells", "1", "24"),
        ("my cells", "2", "30"),
        ("my cells", "3", "24"),
    ]
    assert {row["confidence"] for row in rows} == {""}
    mean = PICTURE.load().pixels[LABELS == 5].mean()
    assert float(rows[1]["mean_intensity"]) == pytest.approx(mean, rel=1e-5)
    regions: Any = roifile.roiread(tmp_path / "out" / "my cells.rois.zip")
    assert not any(region.props for region in regions)
    coco = json.loads((tmp_path / "out" / "coco.json").read_text(encoding="utf-8"))
    assert not any("score" in one for one in coco["annotations"])
    features = json.loads((tmp_path / "out" / "my cells.geojson").read_text(encoding="utf-8"))["features"]
    assert len(features) == 3
    assert (tmp_path / "out" / "my cells.overlay.png").is_file()


def test_nuclei_left_alone_keep_their_confidence(tmp_path: Path) -> None:
    found = Found(LABELS, {"index": np.array([2, 5, 9]), "confidence": np.array([0.5, 0.75, 0.25])})
    corrected = np.where(LABELS == 2, 0, LABELS)
    corrected[14, 3:9] = 0
    corrected[17:19, 20:25] = 12
    saved = save_nuclei(corrected, PICTURE, folder=tmp_path, name="a", found=found, exports=["measurements", "coco"])
    assert saved.confidence.tolist() == pytest.approx([np.nan, 0.25, np.nan], nan_ok=True)
    assert [row["confidence"] for row in _rows(tmp_path)] == ["", "0.25", ""]
    coco = json.loads((tmp_path / "coco.json").read_text(encoding="utf-8"))
    assert [one.get("score") for one in coco["annotations"]] == [None, 0.25, None]


def test_nothing_is_replaced_unless_it_is_told(tmp_path: Path) -> None:
    save_nuclei(LABELS, PICTURE, folder=tmp_path, name="a")
    before = (tmp_path / "a.labels.tif").read_bytes()
    less = np.where(LABELS == 2, 0, LABELS)
    with pytest.raises(UsageError, match=r"already has a\.labels\.tif"):
        save_nuclei(less, PICTURE, folder=tmp_path, name="a")
    assert (tmp_path / "a.labels.tif").read_bytes() == before
    save_nuclei(less, PICTURE, folder=tmp_path, name="b")
    assert [row["image"] for row in _rows(tmp_path)] == ["a"] * 3 + ["b"] * 2
    save_nuclei(less, PICTURE, folder=tmp_path, name="a", replace=True)
    assert [row["image"] for row in _rows(tmp_path)] == ["a"] * 2 + ["b"] * 2


def test_no_files_of_earlier_nuclei_are_left_beside_new_ones(tmp_path: Path) -> None:
    save_nuclei(LABELS, PICTURE, folder=tmp_path, name="a")
    with pytest.raises(UsageError, match=r"has overlay, measurements of other nuclei of a; choose these too"):
        save_nuclei(LABELS[::-1], PICTURE, folder=tmp_path, name="a", exports=["labels"], replace=True)
    save_nuclei(LABELS, PICTURE, folder=tmp_path, name="b", exports=["labels"])


def test_a_table_of_someone_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "measurements.csv").write_text("mine\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"already has measurements\.csv"):
        save_nuclei(LABELS, PICTURE, folder=tmp_path, name="a")
    assert [path.name for path in tmp_path.iterdir()] == ["measurements.csv"]


def test_channels_are_measured_each(tmp_path: Path) -> None:
    pixels = np.stack([PICTURE.load().pixels, 2 * PICTURE.load().pixels])
    image = lazy(Image(pixels, "CYX", None, ("DAPI", "GFP"), "cells"))
    save_nuclei(LABELS, image, folder=tmp_path, name="a/b", channel=1)
    assert (tmp_path / "a_b.overlay.png").is_file()
    for row in _rows(tmp_path):
        assert float(row["mean_intensity_GFP"]) == pytest.approx(2 * float(row["mean_intensity_DAPI"]), rel=1e-5)


def test_hidden_images_are_no_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("magicgui", reason="magicgui is not installed (extra napari)")

    def layer(name: str, *, visible: bool) -> Any:  # noqa: ANN401 - stands for a layer of napari
        return SimpleNamespace(visible=visible, picture=Picture(PICTURE.load().pixels, name))

    chosen, other, scene = layer("DAPI", visible=False), layer("GFP", visible=True), layer("scene 2", visible=False)
    monkeypatch.setattr(viewing, "image_layers", lambda _: [(one.picture.name, one) for one in (scene, other, chosen)])
    monkeypatch.setattr(viewing, "picture_of", lambda one: one.picture)
    from nucleate.apps.napari.save_widget import SaveNuclei

    widget: Any = SimpleNamespace(_all=SimpleNamespace(value=True), _viewer=None)
    assert [one.name for one in SaveNuclei._images(widget, chosen, WHOLE)] == ["DAPI", "GFP"]


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no export pdf"):
        save_nuclei(LABELS, PICTURE, folder=tmp_path, name="a", exports=["pdf"])
    assert list(tmp_path.iterdir()) == []
