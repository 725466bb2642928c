"""Pictures whose names end as those of label images, with outlines: never scored in the place of the truth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.data.files import equal, png, read_samples, write

from nucleate.data.check import check_dataset
from nucleate.data.pictures import open_pictures
from nucleate.data.source import FolderSource
from nucleate.data.truth import read_labels_source, read_pair
from nucleate.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

PICTURE = png(np.arange(48, dtype=np.uint8).reshape(6, 8))
RING = [[1, 1], [5, 1], [5, 4], [1, 4]]
LABELS = np.zeros((6, 8), np.uint8)
LABELS[1:4, 1:5] = 1
OUTLINES = json.dumps({"type": "Polygon", "coordinates": [RING]}).encode()


def coco(*names: str) -> bytes:
    images = [{"id": at, "file_name": name, "height": 6, "width": 8} for at, name in enumerate(names)]
    annotations = [{"image_id": at, "segmentation": [np.ravel(RING).tolist()]} for at in range(len(names))]
    return json.dumps({"images": images, "annotations": annotations}).encode()


@pytest.mark.parametrize(
    "files",
    [
        {"p53_label.geojson": OUTLINES},
        {"rois/p53_label.json": OUTLINES},
        {"coco.json": coco("pictures/p53_label.png")},
        {"coco.json": coco("z\u00e4hl_mask.png", "p53_label.png"), "z\u00e4hl_mask.png": PICTURE},
    ],
)
@pytest.mark.parametrize("folder", ["", "images/", "pictures/"])
def test_outlines_of_a_whole_name_make_a_picture(tmp_path: Path, folder: str, files: dict[str, bytes]) -> None:
    truth = write(tmp_path / "truth", {f"{folder}p53_label.png": PICTURE, **files})
    assert "p53_label" in [sample.image_id for sample in read_samples(truth)]
    assert check_dataset(truth).usable
    pred = write(tmp_path / "pred", {"p53_label.labels.png": png(LABELS)})
    for first, second in (read_pair(pred, truth), read_pair(truth, pred)):
        assert equal(first["p53_label"], LABELS)
        assert equal(second["p53_label"], LABELS)
    assert open_pictures(truth)("p53_label") is not None


@pytest.mark.parametrize(
    "files", [{"a.geojson": OUTLINES, "a_label.geojson": OUTLINES}, {"c.json": coco("a.png", "a_label.png")}]
)
def test_of_two_pictures_with_outlines_none_is_the_truth_of_the_other(tmp_path: Path, files: dict[str, bytes]) -> None:
    write(tmp_path, {"a.png": PICTURE, "a_label.png": PICTURE, **files})
    assert [sample.image_id for sample in read_samples(tmp_path)] == ["a", "a_label"]
    found = read_labels_source(tmp_path)
    assert list(found) == ["a", "a_label"]
    assert all(equal(one, LABELS) for one in found.values())


@pytest.mark.parametrize(
    "names", [("a.png", "a.geojson", "b_label.png"), ("a_label.png", "a_label.geojson", "b_label.png")]
)
def test_a_picture_with_outlines_is_no_truth_beside_another_without(
    tmp_path: Path, names: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, {name: OUTLINES if name.endswith("json") else PICTURE for name in names})
    found = read_labels_source(tmp_path)
    assert {name: equal(one, LABELS) for name, one in found.items()} == {names[0].removesuffix(".png"): True}
    assert "label image without a picture" in caplog.text
    assert "b_label.png" in caplog.text
    with pytest.raises(DataError, match="has no"):
        read_samples(tmp_path)


@pytest.mark.parametrize(
    "more",
    [{"a.geojson": b""}, {"a_mask.geojson": b""}, {"a_mask.json": b"{}"}, {"a_mask.npy": b"", "a_mask.geojson": b""}],
)
def test_outlines_beside_a_label_image_do_not_make_a_picture_of_it(tmp_path: Path, more: dict[str, bytes]) -> None:
    folder = write(tmp_path, {"a.png": PICTURE, "a_mask.png": png(LABELS), **more})
    assert equal(read_labels_source(folder)["a"], LABELS)
    assert equal(read_samples(folder)[0].labels, LABELS)


def test_json_that_names_no_picture_is_not_parsed(tmp_path: Path) -> None:
    odd = {"run.json": b"{", "notes.json": b'{"file_name": "b.png", '}
    write(tmp_path, {"a.labels.tif": png(LABELS), "c.tif": png(LABELS), "a.geojson": OUTLINES, **odd})
    assert [*read_labels_source(tmp_path)] == ["a", "c"]


def test_json_that_cannot_be_read_beside_label_images_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a.png": PICTURE, "a_mask.png": png(LABELS), "large.json": b" " * 1000})
    (tmp_path / "annotations.json").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr("nucleate.data.source.MAX_FILE_BYTES", 999)
    assert equal(read_labels_source(tmp_path)["a"], LABELS)
    (tmp_path / "a.png").unlink()
    assert equal(read_labels_source(tmp_path)["a"], LABELS)
    (tmp_path / "annotations.json").rename(tmp_path / "a_mask.json")
    with pytest.raises(DataError, match=r"cannot read .*a_mask\.json"):
        read_labels_source(tmp_path)


def test_json_beside_label_images_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    read = FolderSource.read

    def noted(source: FolderSource, name: str) -> bytes:
        seen.append(name)
        return read(source, name)

    monkeypatch.setattr(FolderSource, "read", noted)
    write(tmp_path, {"a.png": PICTURE, "a_mask.png": png(LABELS), "coco.json": coco("c.png")})
    assert [*read_labels_source(tmp_path)] == ["a"]
    (tmp_path / "a.png").unlink()
    assert [*read_labels_source(tmp_path)] == ["a"]
    assert seen == ["coco.json"] * 2


@pytest.mark.parametrize("kind", [{"a.geojson": OUTLINES}, {"a-labels.geojson": OUTLINES}, {"a.ome.geojson": OUTLINES}])
@pytest.mark.parametrize("picture", ["a.ome.tif", "a_img.png", "a.png"])
def test_outlines_go_by_the_name_that_a_picture_extends(tmp_path: Path, picture: str, kind: dict[str, bytes]) -> None:
    image_id = picture.rpartition(".")[0]
    truth = write(tmp_path / "truth", {picture: PICTURE, **kind})
    assert [sample.image_id for sample in read_samples(truth)] == [image_id]
    assert not check_dataset(truth).findings
    pred = write(tmp_path / "pred", {f"{image_id}.labels.png": png(LABELS)})
    first, second = read_pair(pred, truth)
    assert equal(first[image_id], LABELS)
    assert equal(second[image_id], LABELS)


def test_outlines_of_which_two_pictures_extend_the_name_are_of_neither(tmp_path: Path) -> None:
    write(tmp_path, {"a.ome.png": PICTURE, "a_img.png": PICTURE, "a.geojson": OUTLINES})
    with pytest.raises(DataError, match="has no picture"):
        read_samples(tmp_path)


def test_a_picture_of_a_longer_name_keeps_outlines_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"a.ome.png": PICTURE, "a.geojson": OUTLINES, "a_mask.png": PICTURE, "a_mask.geojson": OUTLINES})
    assert [sample.image_id for sample in read_samples(tmp_path)] == ["a.ome", "a_mask"]


@pytest.mark.parametrize("kind", ["b.geojson", "b.xml", "b.json"])
def test_pictures_beside_outlines_of_others_are_no_label_images(tmp_path: Path, kind: str) -> None:
    xml = b"<A><Region><Vertices>" + b"".join(b'<Vertex X="%d" Y="%d"/>' % (x, y) for x, y in RING)
    content = xml + b"</Vertices></Region></A>" if kind.endswith("xml") else OUTLINES
    write(tmp_path, {"a.png": PICTURE, kind: content})
    with pytest.raises(DataError, match=rf"outlines and pictures .*: got {kind} and a\.png; give both one name"):
        read_labels_source(tmp_path)


def test_label_images_beside_xml_of_another_kind_are_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": png(LABELS), "stage.xml": b"<Stage><X>1</X></Stage>", "more.zip": b"PK nothing"})
    assert equal(read_labels_source(tmp_path)["a"], LABELS)
