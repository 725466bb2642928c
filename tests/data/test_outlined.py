"""Outlines of other programs to label images: exact by hand, there and back through our own writers, damage, traps."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from roifile import ROI_TYPE, ImagejRoi
from scipy.ndimage import binary_fill_holes, label
from tests.data.files import png, read_samples, write
from tests.strategies import label_images

from nucleate.core.labels import relabel
from nucleate.data.annotations import geojson_regions, roi_regions, xml_regions
from nucleate.data.coco import coco_pictures, coco_regions
from nucleate.data.outlined import find_outlined, names_in
from nucleate.data.regions import Region, paint_regions, region_of_rings, region_of_runs
from nucleate.data.source import open_source
from nucleate.errors import DataError
from nucleate.export.coco import Picture, join_coco, write_coco
from nucleate.export.geojson import write_geojson
from nucleate.export.imagej_roi import write_rois
from nucleate.export.shapes import positions, shapes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

SQUARE = [[1, 1], [4, 1], [4, 3], [1, 3]]
TRUTH = np.zeros((5, 6), np.int32)
TRUTH[1:3, 1:4] = 1


def _xml(rings: list[Any]) -> bytes:
    regions = []
    for ring in rings:
        corners = "".join(f"<Vertex X='{x}' Y='{y}' Z='0'/>" for x, y in ring)
        regions.append(f"<Region Id='1'><Vertices>{corners}</Vertices></Region>")
    return f"<Annotations><Annotation><Regions>{''.join(regions)}</Regions></Annotation></Annotations>".encode()


def _geojson(rings: list[Any]) -> bytes:
    return json.dumps({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": rings}}).encode()


def _coco(segmentation: object, shape: tuple[int, int] = (5, 6), file_name: str = "a.png") -> bytes:
    entry = {"id": 7, "file_name": file_name, "height": shape[0], "width": shape[1]}
    return json.dumps({"images": [entry], "annotations": [{"image_id": 7, "segmentation": segmentation}]}).encode()


def _of_coco(data: bytes, shape: tuple[int, int]) -> list[Region]:
    listed = coco_pictures(data, "coco.json")
    assert listed is not None
    return coco_regions(listed["a"].annotations, "coco.json", shape=shape)


# --- by hand --------------------------------------------------------------------------------------------------------


def test_a_pixel_belongs_to_the_polygon_that_holds_its_centre() -> None:
    triangle = region_of_rings([np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])], (4, 4))
    # The centres of the pixels on the diagonal lie on the edge itself, and do not count.
    assert triangle.mask.astype(int).tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]]
    small = region_of_rings([np.array([[0.6, 0.6], [1.4, 0.6], [1.4, 1.4], [0.6, 1.4]])], (4, 4))
    assert small.mask.sum() == 0


def test_holes_and_islands_alternate() -> None:
    rings = [np.array([[a, a], [b, a], [b, b], [a, b]], float) for a, b in ((0, 7), (1, 6), (2, 5))]
    found = paint_regions([region_of_rings(rings, (7, 7))], (7, 7))
    assert found[3].tolist() == [1, 0, 1, 1, 1, 0, 1]


def test_what_lies_outside_is_cut_off() -> None:
    huge = np.array([[-9.0, -9.0], [99.0, -9.0], [99.0, 99.0], [-9.0, 99.0]])
    assert (paint_regions([region_of_rings([huge], (3, 4))], (3, 4)) == 1).all()
    assert paint_regions([region_of_rings([huge + 200], (3, 4))], (3, 4)).sum() == 0


def test_a_small_nucleus_is_not_hidden_by_a_large_one() -> None:
    rings = [np.array(SQUARE, float), np.array([[2, 1], [3, 1], [3, 2], [2, 2]], float)]
    for order in (rings, rings[::-1]):
        labels = paint_regions([region_of_rings([ring], (5, 6)) for ring in order], (5, 6))
        assert np.bincount(labels.ravel()).tolist() == [24, *((5, 1) if order is rings else (1, 5))]


def test_runs_go_down_the_columns() -> None:
    region = region_of_runs([3, 2, 5], (5, 2))
    assert (region.top, region.left, region.mask.tolist()) == (3, 0, [[True], [True]])
    with pytest.raises(ValueError, match="9 of 10"):
        region_of_runs([3, 2, 4], (5, 2))


@pytest.mark.parametrize(
    ("reader", "data"),
    [
        (geojson_regions, _geojson([SQUARE])),
        (geojson_regions, json.dumps([json.loads(_geojson([[*SQUARE, SQUARE[0]]]))]).encode()),
        (xml_regions, _xml([SQUARE])),
    ],
)
def test_a_square_by_hand(reader: Callable[..., list[Any]], data: bytes) -> None:
    assert np.array_equal(paint_regions(reader(data, "x", shape=TRUTH.shape), (5, 6)), TRUTH)


def test_imagejs_other_areas() -> None:
    rect = ImagejRoi(roitype=ROI_TYPE.RECT, left=1, top=1, right=4, bottom=3).tobytes()
    assert np.array_equal(paint_regions(roi_regions(rect, "x.roi", shape=(5, 6)), (5, 6)), TRUTH)
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, left=0, top=0, right=20, bottom=20).tobytes()
    assert paint_regions(roi_regions(oval, "x.roi", shape=(20, 20)), (20, 20)).sum() == pytest.approx(314, abs=4)
    line = ImagejRoi(roitype=ROI_TYPE.LINE, x1=0, y1=0, x2=4, y2=4).tobytes()
    assert roi_regions(line, "x.roi", shape=(5, 6)) == []


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 4, 1, 4, 3, 1, 3]],
        [[1, 1, 2, 1, 2, 3, 1, 3], [2, 1, 4, 1, 4, 3, 2, 3]],
        {"size": [5, 6], "counts": [6, 2, 3, 2, 3, 2, 12]},
        {"size": [5, 6], "counts": "6230009"},
    ],
)
def test_cocos_three_ways_to_say_a_mask(segmentation: object) -> None:
    assert np.array_equal(paint_regions(_of_coco(_coco(segmentation), (5, 6)), (5, 6)), TRUTH)


def test_a_mask_of_another_size_than_its_image_is_refused() -> None:
    data = _coco({"size": [6, 5], "counts": [6, 2, 3, 2, 3, 2, 12]})
    with pytest.raises(DataError, match=r"coco\.json has a mask of \(6, 5\), its image is \(5, 6\)"):
        _of_coco(data, (5, 6))


def test_pictures_of_ours_go_by_the_names_of_their_results(tmp_path: Path) -> None:
    stack = [Picture("deep.tif", TRUTH, name="deep", plane=plane) for plane in range(2)]
    for number, pictures in enumerate((stack, [Picture("x/a.png", TRUTH, name="a-2")])):
        write_coco(tmp_path / f"{number}.json", pictures)
    join_coco(tmp_path / "coco.json", [tmp_path / "0.json", tmp_path / "1.json"])
    listed = coco_pictures((tmp_path / "coco.json").read_bytes(), "coco.json")
    assert listed is not None
    assert {key: one.file_name for key, one in listed.items()} == {
        "deep/0": "deep.tif", "deep/1": "deep.tif", "a-2": "a.png",
    }  # fmt: skip


def test_compressed_runs_can_be_long_and_fall() -> None:
    # 20 takes two characters, and 1 - 20 is a negative difference.
    (region,) = coco_regions([{"segmentation": {"counts": "1d04]O0"}}], "x", shape=(5, 6))
    (plain,) = coco_regions([{"segmentation": {"counts": [1, 20, 4, 1, 4]}}], "x", shape=(5, 6))
    assert np.array_equal(region.mask, plain.mask)
    assert region.mask.sum() == 21


# --- there and back -------------------------------------------------------------------------------------------------


@given(label_images())
@settings(max_examples=25, deadline=None)
def test_our_exports_come_back(tmp_path_factory: pytest.TempPathFactory, labels: NDArray[np.int32]) -> None:
    labels = relabel(labels)
    folder = tmp_path_factory.mktemp("exports")
    shape = (labels.shape[0], labels.shape[1])
    ids = np.arange(1, labels.max(initial=0) + 1)
    write_geojson(folder / "a.geojson", [(None, labels, {"label": ids})])
    write_rois(folder / "a.zip", labels)
    write_coco(folder / "coco.json", [Picture("a.png", labels)])
    found = {
        "geojson": geojson_regions((folder / "a.geojson").read_bytes(), "a", shape=shape),
        "imagej": roi_regions((folder / "a.zip").read_bytes(), "a", shape=shape),
        "coco": _of_coco((folder / "coco.json").read_bytes(), shape),
    }
    for name, regions in found.items():
        assert np.array_equal(paint_regions(regions, shape), labels), name


@given(label_images())
@settings(max_examples=25, deadline=None)
def test_xml_comes_back(labels: NDArray[np.int32]) -> None:
    outer = [piece[0].tolist() for one in shapes(labels) for piece in one.pieces]
    regions = xml_regions(_xml(outer), "x.xml", shape=(labels.shape[0], labels.shape[1]))
    found = [np.pad(one.mask, [(one.top, 0), (one.left, 0)]) for one in regions]
    filled = []
    for one in np.unique(labels[labels > 0]):
        pieces, count = label(labels == one)
        filled += [binary_fill_holes(pieces == number, np.ones((3, 3), bool)) for number in range(1, count + 1)]
    assert sorted(np.argwhere(mask).tolist() for mask in found) == sorted(np.argwhere(mask).tolist() for mask in filled)


def test_of_a_qupath_cell_the_nucleus_is_taken() -> None:
    cell = json.loads(_geojson([[[0, 0], [6, 0], [6, 5], [0, 5]]]))
    bare = cell | {"nucleusGeometry": None}
    whole = cell | {"nucleusGeometry": json.loads(_geojson([SQUARE]))["geometry"]}
    for feature, expected in ((whole, TRUTH), (bare, np.ones_like(TRUTH))):
        regions = geojson_regions(json.dumps([feature]).encode(), "x", shape=(5, 6))
        assert np.array_equal(paint_regions(regions, (5, 6)), expected)


@pytest.mark.parametrize("one", [{"segmentation": []}, {}])
def test_boxes_without_outlines_are_told(one: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"coco\.json has boxes and no outlines"):
        coco_regions([{"bbox": [1, 1, 3, 2], **one}], "coco.json", shape=(5, 6))


# --- as data sets ---------------------------------------------------------------------------------------------------


PICTURE = png(np.arange(30, dtype=np.uint8).reshape(5, 6))
SQUARE_CODE = [[1, 1, 4, 1, 4, 3, 1, 3]]


def test_pictures_and_outlines_belong_together(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": PICTURE, "b.geojson": _geojson([SQUARE])})
    with pytest.raises(DataError, match="a has no outlines"):
        read_samples(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="b has no picture"):
        read_samples(tmp_path)
    (tmp_path / "b.geojson").unlink()
    write(tmp_path, {"b.json": _coco([], file_name="c.png")})
    with pytest.raises(DataError, match=r"c has no picture; add it or take b\.json out"):
        read_samples(tmp_path)


@pytest.mark.parametrize(
    ("json_file", "file_name", "taken"),
    [
        ("train/coco.json", "001.png", "train/001.png"),
        ("val/coco.json", "001.png", "val/001.png"),
        ("coco.json", "train/001.png", "train/001.png"),
        ("train/coco.json", "val/001.png", "val/001.png"),
        ("train/coco.json", "../val/001.png", "val/001.png"),
        ("train/coco.json", "elsewhere/001.png", "train/001.png"),
        ("notes/coco.json", "deep/001.png", "val/deep/001.png"),
    ],
)
def test_a_coco_file_means_the_picture_at_its_own_path(
    json_file: str, file_name: str, taken: str, tmp_path: Path
) -> None:
    other = "val/001.png" if taken == "train/001.png" else "train/001.png"
    files = {taken: PICTURE, other: PICTURE, json_file: _coco(SQUARE_CODE, file_name=file_name)}
    source = open_source(write(tmp_path, files))
    (found,) = [entry for entry in find_outlined(source, names_in(source)) if entry.outlines]
    assert found.image == taken


def test_a_name_that_two_pictures_have_is_told(tmp_path: Path) -> None:
    coco = _coco(SQUARE_CODE, file_name="001.png")
    write(tmp_path, {"train/001.png": PICTURE, "val/001.png": PICTURE, "coco.json": coco})
    with pytest.raises(DataError, match=r"names 001\.png, got train/001\.png and val/001\.png"):
        read_samples(tmp_path)


# --- damage and traps -----------------------------------------------------------------------------------------------

BOMB = b"""<!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY c "&a;&a;&a;">]><Annotations>&c;</Annotations>"""
OUTSIDE = b"""<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/hostname">]><Annotations>&x;</Annotations>"""


@pytest.mark.parametrize("data", [BOMB, OUTSIDE, b"<!DOCTYPE b SYSTEM 'http://example.org/b.dtd'><Annotations/>"])
def test_entities_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="DOCTYPE"):
        xml_regions(data, "x.xml", shape=(5, 6))


def _zip_of(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("1.roi", content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("reader", "data"),
    [
        (xml_regions, b"<Annotations><Region>"),
        (xml_regions, b"<Region><Vertex X='a' Y='1'/></Region>"),
        (geojson_regions, b"{"),
        (geojson_regions, b"[" * 100_000),
        (geojson_regions, _geojson([[[0, 0], [1, float("nan")], [2, 2]]])),
        (geojson_regions, _geojson([[1, 2, 3]])),
        (geojson_regions, b"[1, 2]"),
        (roi_regions, b"Iout"),
        (roi_regions, b"PK\x03\x04 but no zip"),
        (roi_regions, _zip_of(b"no roi")),
        (coco_pictures, b'{"images": [{"id": 1}], "annotations": []}'),
        (coco_pictures, b'{"images": [], "annotations": [{"image_id": 3}]}'),
    ],
)
def test_damage_is_one_line(reader: Callable[..., Any], data: bytes) -> None:
    with pytest.raises(DataError, match="the file") as caught:
        reader(data, "the file", **({} if reader is coco_pictures else {"shape": (5, 6)}))
    assert "\n" not in str(caught.value)


def test_a_damaged_coco_mask_is_one_line() -> None:
    with pytest.raises(DataError, match="runs cover 3 of 30"):
        coco_regions([{"segmentation": {"counts": [3]}}], "coco.json", shape=(5, 6))


# --- several planes, several files ----------------------------------------------------------------------------------


def test_outlines_on_several_planes_are_refused(tmp_path: Path) -> None:
    planes = positions("Z", (2,))
    write_geojson(tmp_path / "a.geojson", [(plane, TRUTH, {"label": np.array([1])}) for plane in planes])
    write_rois(tmp_path / "a.rois.zip", np.stack([TRUTH, 2 * TRUTH]), axes="Z")
    for name, reader in (("a.geojson", geojson_regions), ("a.rois.zip", roi_regions)):
        with pytest.raises(DataError, match="outlines on 2 planes of a stack; save those of one"):
            reader((tmp_path / name).read_bytes(), name, shape=(5, 6))


def test_a_coco_file_in_which_a_name_stands_for_two_pictures_is_refused() -> None:
    entry = {"id": 1, "file_name": "s.tif", "height": 5, "width": 6}
    data = json.dumps({"images": [entry, entry | {"id": 2}], "annotations": []}).encode()
    with pytest.raises(DataError, match=r"several pictures called s\.tif"):
        coco_pictures(data, "x.json")


def test_all_coco_files_of_a_folder_count_and_pictures_that_none_names_are_told(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path, {f"{name}.png": PICTURE, f"{name}.json": _coco(SQUARE_CODE, file_name=f"{name}.png")})
    assert [sample.image_id for sample in read_samples(tmp_path)] == ["a", "b"]
    write(tmp_path, {"c.png": PICTURE})
    with pytest.raises(DataError, match="c has no outlines"):
        read_samples(tmp_path)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 9))
def test_runs_are_unpacked_as_if_all_of_the_picture_were(counts: list[int], rows: int) -> None:
    counts.append(-sum(counts) % rows)
    shape = rows, sum(counts) // rows
    region = region_of_runs(counts, shape)
    found = np.zeros(shape, bool)
    found[region.top : region.top + region.mask.shape[0], region.left : region.left + region.mask.shape[1]] = (
        region.mask
    )
    whole = np.concatenate([np.full(count, number % 2 == 1) for number, count in enumerate(counts)])
    assert np.array_equal(found, whole.reshape(shape[1], rows).T)
