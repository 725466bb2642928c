"""Data sets of outlines, checked and scored: the four kinds of file, with their pictures and without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from roifile import ImagejRoi, roiwrite
from tests.calls import call
from tests.data.files import equal, pack, png, read_samples, write

from nucleate.data.check import FATAL, check_dataset
from nucleate.data.truth import read_labels_source, read_pair
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

IMAGE = np.arange(48, dtype=np.uint8).reshape(6, 8)
WIDE, SMALL = [[1, 1], [5, 1], [5, 4], [1, 4]], [[4, 3], [7, 3], [7, 5], [4, 5]]
LABELS = np.zeros((6, 8), np.int32)
LABELS[1:4, 1:5], LABELS[3:5, 4:7] = 1, 2  # six pixels against twelve: the small one keeps the shared pixel


def geojson(*rings: Any) -> bytes:  # noqa: ANN401 - corners
    features = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in rings]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def xml(*rings: Any, negative: int = 99) -> bytes:  # noqa: ANN401 - corners
    regions = []
    for number, ring in enumerate(rings):
        corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ring)
        regions.append(f'<Region NegativeROA="{int(number >= negative)}"><Vertices>{corners}</Vertices></Region>')
    return f"<Annotations><Annotation><Regions>{''.join(regions)}</Regions></Annotation></Annotations>".encode()


def rois(tmp_path: Path, *rings: Any) -> bytes:  # noqa: ANN401 - corners
    path = tmp_path / "rois.zip"
    path.unlink(missing_ok=True)
    roiwrite(path, [ImagejRoi.frompoints(np.array(ring)) for ring in rings])
    return path.read_bytes()


def coco(*rings: Any, size: tuple[int, int] = (6, 8)) -> bytes:  # noqa: ANN401 - corners
    image = {"id": 1, "file_name": "a.png", "height": size[0], "width": size[1]}
    annotations = [{"image_id": 1, "segmentation": [list(np.ravel(ring))]} for ring in rings]
    return json.dumps({"images": [image], "annotations": annotations}, default=int).encode()


def files_of(kind: str, tmp_path: Path, *rings: Any) -> dict[str, bytes]:  # noqa: ANN401 - corners
    """Give the annotation file of picture ``a`` in a place that is usual for its kind."""
    made: dict[str, Callable[[], tuple[str, bytes]]] = {
        "geojson": lambda: ("a.geojson", geojson(*rings)),
        "imagej": lambda: ("a.rois.zip", rois(tmp_path, *rings)),
        "monuseg": lambda: ("Annotations/a.xml", xml(*rings)),
        "coco": lambda: ("annotations.json", coco(*rings)),
    }
    return dict([made[kind]()])


KINDS = ("geojson", "imagej", "monuseg", "coco")


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_checked(kind: str, tmp_path: Path) -> None:
    files = {"Tissue Images/a.png": png(IMAGE), **files_of(kind, tmp_path, WIDE, SMALL, SMALL)}
    name = next(name for name in files if not name.endswith(".png"))
    report = check_dataset(write(tmp_path / "set", files))
    assert (report.images, report.nuclei) == (1, 3)
    # Of equal outlines the last is painted last, and keeps the pixels.
    assert [(f.kind, f.place, f.detail) for f in report.findings] == [
        ("hidden mask", f"{name}, outline 2", "6 of 6 px"),
        ("duplicate mask", f"{name}, outline 2", f"equals {name}, outline 3"),
        ("overlapping masks", f"{name}, outline 1", "1 of 12 px"),
    ]
    assert report.usable


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_a_truth_and_trains(kind: str, tmp_path: Path) -> None:
    files = {"Tissue Images/a.png": png(IMAGE), **files_of(kind, tmp_path, WIDE, SMALL)}
    for source in (write(tmp_path / "set", files), pack(tmp_path / "set.zip", files)):
        found = read_labels_source(source)
        assert list(found) == ["a"]
        assert equal(found["a"], LABELS)
        (sample,) = read_samples(source)
        assert sample.image_id == "a"
        assert equal(sample.labels, LABELS)


@pytest.mark.parametrize("kind", KINDS)
def test_outlines_without_pictures_take_the_size_of_the_other_side(kind: str, tmp_path: Path) -> None:
    outlines = write(tmp_path / "outlines", files_of(kind, tmp_path, WIDE, SMALL))
    labels = write(tmp_path / "labels", {"a.labels.tif": png(LABELS.astype(np.uint8))})
    for pred, truth in ((outlines, labels), (labels, outlines)):
        first, second = read_pair(pred, truth)
        assert equal(first["a"], LABELS)
        assert equal(second["a"], LABELS)
    pictures = write(tmp_path / "pictures", {"a.png": png(IMAGE)})
    assert equal(read_labels_source(outlines, images=pictures)["a"], LABELS)
    if kind != "coco":  # which says how large its pictures are
        with pytest.raises(DataError, match="how large image a is; give the images with --images DIR"):
            read_labels_source(outlines)["a"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_lone_files_are_a_pair_whatever_they_are_called(kind: str, tmp_path: Path) -> None:
    (name,) = files_of(kind, tmp_path, WIDE, SMALL)
    outlines = write(tmp_path / "outlines", files_of(kind, tmp_path, WIDE, SMALL)) / name
    labels = write(tmp_path, {"found_mask.png": png(LABELS.astype(np.uint8))}) / "found_mask.png"
    for pred, truth in ((outlines, labels), (labels, outlines)):
        first, second = read_pair(pred, truth)
        assert list(first) == list(second)
        assert all(equal(one, LABELS) for side in (first, second) for one in side.values())


def test_the_verbs_take_outlines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write(tmp_path / "truth", {"Tissue Images/a.png": png(IMAGE), **files_of("monuseg", tmp_path, WIDE, SMALL)})
    # As `segment --export geojson,overlay` leaves it.
    said = {"run.json": b'{"version": 1}', "summary.csv": b"", "a.overlay.png": png(np.dstack([IMAGE] * 3))}
    pred = write(tmp_path / "pred", {"a.geojson": geojson(WIDE), **said})
    assert call("check", truth, "--quiet") == 0
    assert call("evaluate", pred, truth, "--quiet", "--json", tmp_path / "s.json") == 0
    scores = json.loads((tmp_path / "s.json").read_text())
    assert (scores["nuclei_true"], scores["nuclei_pred"], scores["ap"]["0.90"]) == (2, 1, 0.5)  # 11 of 12 pixels
    assert "overlapping masks" in capsys.readouterr().out


def test_label_images_stay_label_images_beside_files_of_another_kind(tmp_path: Path) -> None:
    flat = {"a.png": png(LABELS.astype(np.uint8)), "settings.json": b'{"a": 1}', "scope.xml": b"<a/>", "raw.zip": b"PK"}
    found = read_labels_source(write(tmp_path / "flat", flat))
    assert equal(found["a"], LABELS)
    out = {"a.labels.tif": png(LABELS.astype(np.uint8)), "a.geojson": geojson(SMALL), "coco.json": coco(SMALL)}
    assert equal(read_labels_source(write(tmp_path / "out", out))["a"], LABELS)


def test_what_is_missing_is_found(tmp_path: Path) -> None:
    files = {
        "a.png": png(IMAGE),
        "a.xml": xml(),
        "b.png": png(IMAGE + 1),
        "b.xml": b"<Annotations>",
        "c.png": png(IMAGE + 2),
        "d.xml": xml(WIDE),
        "e.png": png(IMAGE + 3),
        "e.xml": xml([[9, 9], [12, 9], [12, 12]]),
    }
    report = check_dataset(write(tmp_path, files))
    assert [(f.kind, f.image_id, f.place) for f in report.findings] == [
        ("no nuclei", "a", "a.xml"),
        ("unreadable file", "b", "b.xml"),
        ("no annotation", "c", "c.png"),
        ("no image", "d", "d.xml"),
        ("outside the picture", "e", "e.xml"),
        ("empty mask", "e", "e.xml, outline 1"),
    ]
    assert (report.images, report.nuclei, report.usable) == (4, 0, False)
    assert list(read_labels_source(tmp_path)) == ["a", "b", "d", "e"]


def test_a_picture_of_another_size_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.png": png(IMAGE), "coco.json": coco(WIDE, size=(6, 9))})
    report = check_dataset(folder)
    assert [(f.kind, f.detail) for f in report.findings] == [("another size", "(6, 9), image (6, 8)")]
    with pytest.raises(DataError, match=r"a is \(6, 8\), coco.json says \(6, 9\)"):
        read_labels_source(folder)["a"]


def test_a_picture_that_a_coco_file_names_is_missed(tmp_path: Path) -> None:
    report = check_dataset(write(tmp_path, {"coco.json": coco(WIDE)}))
    assert [(f.kind, f.place) for f in report.findings] == [("no image", "coco.json")]
    assert report.nuclei == 1


def test_negative_regions_are_holes(tmp_path: Path) -> None:
    hole = [[2, 2], [4, 2], [4, 3], [2, 3]]
    folder = write(tmp_path, {"a.png": png(IMAGE), "a.xml": xml(WIDE, hole, negative=1)})
    expected = np.zeros((6, 8), np.int32)
    expected[1:4, 1:5], expected[2, 2:4] = 1, 0
    assert equal(read_labels_source(folder)["a"], expected)


def test_json_of_another_kind_is_not_taken_for_outlines(tmp_path: Path) -> None:
    sidecar = json.dumps({"version": "5", "shapes": [{"points": WIDE}]}).encode()
    folder = write(tmp_path, {"a.png": png(IMAGE), "a.json": sidecar})
    with pytest.raises(DataError, match="no known layout"):
        check_dataset(folder)
    (folder / "a.json").rename(folder / "a.geojson")
    with pytest.raises(DataError, match=r"a\.geojson is no GeoJSON"):
        read_labels_source(folder)["a"]


def coded(*masks: NDArray[np.int32], crowd: int = 1) -> bytes:
    """Give a COCO file of run-length codes, all called crowds."""
    image = {"id": 1, "file_name": "a.png", "height": 6, "width": 8}
    annotations = []
    for mask in masks:
        down = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=0)), prepend=0).tolist()
        counts = [*down, mask.size - sum(down)]
        annotations.append({"image_id": 1, "iscrowd": crowd, "segmentation": {"counts": counts, "size": [6, 8]}})
    return json.dumps({"images": [image], "annotations": annotations}).encode()


def test_a_crowd_in_one_piece_is_a_nucleus_and_others_are_told(tmp_path: Path) -> None:
    first, second = (LABELS == 1).astype(np.int32), (LABELS == 2).astype(np.int32)
    apart = np.zeros((6, 8), np.int32)
    apart[0, 0] = apart[5, 7] = 1
    folder = write(tmp_path, {"a.png": png(IMAGE), "coco.json": coded(first, second)})
    assert sorted(np.bincount(read_labels_source(folder)["a"].ravel()).tolist()) == [6, 11, 31]
    assert check_dataset(folder).findings == []
    write(tmp_path, {"coco.json": coded(first, apart)})
    assert equal(read_labels_source(folder)["a"], first)
    told = "1 of 2 outlines: crowds (iscrowd) in several pieces"
    assert [(f.kind, f.detail) for f in check_dataset(folder).findings] == [("passed over", told)]
    write(tmp_path, {"coco.json": coded(apart)})
    with pytest.raises(DataError, match=r"coco\.json has no nuclei of a picture, but 1 of 1 outlines: crowds"):
        read_samples(folder)
    assert not check_dataset(folder).usable


@pytest.mark.parametrize("key", ["objectType", "object_type"])
def test_the_region_round_detections_is_no_nucleus(key: str, tmp_path: Path) -> None:
    everything = [[0, 0], [8, 0], [8, 6], [0, 6]]
    content = json.loads(geojson(everything, WIDE, SMALL))
    for feature, kind in zip(content["features"], ("annotation", "detection", "cell"), strict=True):
        feature["properties"] = {key: kind}
    folder = write(tmp_path, {"a.png": png(IMAGE), "a.geojson": json.dumps(content).encode()})
    assert equal(read_labels_source(folder)["a"], LABELS)
    content["features"].append({"type": "Feature", "geometry": {"type": "Point"}, "properties": {key: "detection"}})
    write(tmp_path, {"a.geojson": json.dumps(content).encode()})
    told = [f.detail for f in check_dataset(folder).findings if f.kind == "passed over"]
    assert told == ["1 of 4 objects: neither cells nor detections", "1 of 3 objects: points or lines"]
    for feature in content["features"]:  # drawn by hand, as annotations
        feature["properties"] = {key: "annotation"}
    write(tmp_path, {"a.geojson": json.dumps(content).encode()})
    assert equal(read_labels_source(folder)["a"], LABELS)
    told = [f.detail for f in check_dataset(folder).findings if f.kind == "passed over"]
    assert told == ["1 of 4 objects: points or lines", "1 of 4 objects: regions round most of the others"]


def grid(size: int = 12, step: int = 20, scale: int = 1) -> list[list[list[int]]]:
    corners = [(4 + step * row, 4 + step * col) for row in range(3) for col in range(3)]
    return [
        [[scale * x, scale * y] for x, y in ((c, r), (c + size, r), (c + size, r + size), (c, r + size))]
        for r, c in corners
    ]


LARGE = png(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
ROUND = [[0, 0], [64, 0], [64, 64], [0, 64]]


@pytest.mark.parametrize("names", [("Ignore*", "Region*"), (["Ignore*"], ["Tumour", "Region*"]), ("Ignore*", "Region")])
def test_ignored_classes_and_regions_are_no_nuclei(names: tuple[Any, Any], tmp_path: Path) -> None:
    content = json.loads(geojson(*grid(), ROUND))
    for feature, name in zip(content["features"], [names[0]] * 4 + ["Nucleus"] * 5 + [names[1]], strict=True):
        said = {"names": name} if isinstance(name, list) else {"name": name}
        feature["properties"] = {"objectType": "annotation", "classification": said}
    folder = write(tmp_path, {"a.png": LARGE, "a.geojson": json.dumps(content).encode()})
    labels = read_labels_source(folder)["a"]
    assert (labels.max(), (labels > 0).sum()) == (5, 5 * 144)
    report = check_dataset(folder)
    assert report.usable
    assert "Ignore*" in report.findings[0].detail


def test_a_picture_of_ignored_objects_only_does_not_count_as_empty(tmp_path: Path) -> None:
    content = json.loads(geojson(ROUND))
    content["features"][0]["properties"] = {"classification": {"name": "Region*"}}
    folder = write(tmp_path, {"a.png": LARGE, "a.geojson": json.dumps(content).encode()})
    with pytest.raises(DataError, match="no nuclei, but 1 objects of classes that are ignored"):
        read_samples(folder)
    assert [found.kind for found in check_dataset(folder).findings] == ["passed over", "unreadable file"]
    assert read_samples(write(tmp_path, {"a.geojson": geojson(), "b.png": LARGE, "b.geojson": geojson(*grid())}))


@pytest.mark.parametrize("odd", [[ROUND], [[[0, 70], [0, 80], [9, 80]]] * 2])
def test_predictions_are_painted_as_they_are(odd: list[Any], tmp_path: Path) -> None:
    folder = write(tmp_path, {"a.png": LARGE, "a.xml": xml(*grid(), *odd)})
    with pytest.raises(DataError, match="outline"):
        read_labels_source(folder)["a"]
    predicted, truth = read_pair(folder, folder)
    assert predicted["a"].max() >= 9
    with pytest.raises(DataError, match="outline"):
        truth["a"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_region_called_a_nucleus_is_refused(kind: str, tmp_path: Path) -> None:
    files = files_of(kind, tmp_path, *grid(), ROUND)
    if kind == "geojson":
        content = json.loads(files["a.geojson"])
        content["features"][-1]["properties"] = {"classification": {"name": "Nucleus"}}
        files = {"a.geojson": json.dumps(content).encode()}
    elif kind == "coco":
        files = {"annotations.json": coco(*grid(), ROUND, size=(64, 64))}
    folder = write(tmp_path / "set", {"a.png": LARGE, **files})
    fatal = [(f.kind, f.detail) for f in check_dataset(folder).findings if f.kind == "region"]
    assert fatal == [("region", "outline 10 holds most of the others")]
    with pytest.raises(DataError, match="outline 10 holds most of the others in picture a; take it out"):
        read_samples(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_outlines_of_another_zoom_are_refused(kind: str, tmp_path: Path) -> None:
    files = files_of(kind, tmp_path, *grid(scale=2))
    if kind == "coco":
        files = {"annotations.json": coco(*grid(scale=2), size=(64, 64))}
    folder = write(tmp_path / "set", {"a.png": LARGE, **files})
    report = check_dataset(folder)
    assert [f.detail for f in report.findings if f.kind in FATAL] == ["5 of 9 outlines beyond (64, 64)"]
    with pytest.raises(DataError, match=r"5 of 9 outlines beyond .* draw on the picture at its own size"):
        read_samples(folder)
    with pytest.raises(DataError, match="5 of 9 outlines beyond"):
        read_labels_source(folder)["a"]


@pytest.mark.parametrize("name", ["RoiSet_a.zip", "a_RoiSet.zip", "a-roiset.zip", "a.rois.zip", "RoiSet a.zip"])
def test_zips_called_by_imagejs_own_name_belong_to_their_picture(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"a.png": png(IMAGE), name: rois(tmp_path, WIDE, SMALL)})
    assert equal(read_samples(folder)[0].labels, LABELS)


def test_annotation_files_are_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    def count(data: bytes) -> Any:  # noqa: ANN401 - JSON
        parsed.append(data)
        return json.JSONDecoder().decode(data.decode())

    monkeypatch.setattr("nucleate.data.parsing.json.loads", count)
    beside = {f"{name}.json": geojson(WIDE) for name in "abc"} | {f"{name}.png": png(IMAGE) for name in "abc"}
    assert len(read_samples(write(tmp_path / "beside", beside))) == len(parsed) == 3
    one = write(tmp_path / "one", {"coco.json": coco(WIDE, SMALL)})
    first, second = read_pair(one, one)
    assert equal(first["a"], second["a"])
    assert len(parsed) == 5
