"""Layouts as people have them: which file is the picture, which its label image, and which neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.data.files import npy, picture_of, png, read_samples, write

from nucleate.core.endings import stem_of
from nucleate.core.names import picture_id, read_names
from nucleate.data.check import check_dataset
from nucleate.data.pixels import PICTURE_SUFFIXES
from nucleate.data.truth import read_labels_source
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nucleate.core.names import FileName

pytestmark = pytest.mark.base

PICTURE, LABELS = [[200, 200, 100]], [[0, 1, 2]]
NUMBERED = png(LABELS)
COLOURS = [[[1, 2, 3]] * 3]


@pytest.mark.parametrize(
    ("image", "labels", "image_id"),
    [
        ("001.tif", "001_masks.tif", "001"),
        ("001.tif", "001_cp_masks.png", "001"),
        ("001_img.tif", "001_masks.tif", "001_img"),
        ("001_img.tif", "001_img_cp_masks.tif", "001_img"),
        ("images/001.tif", "images/001_masks.tif", "001"),
        ("Images/a.tif", "Masks/a.tif", "a"),
        ("IMAGES/a.tif", "labels/a.TIF", "a"),
        ("images/a.tif", "masks/a_mask.tif", "a"),
        ("images/a.tif", "masks/a_masks.tif", "a"),
        ("images/a_img.tif", "masks/a_mask.tif", "a_img"),
        ("images/a.ome.tif", "labels/a.tif", "a.ome"),
        ("images/a.ome.tif", "labels/a.ome.tif", "a.ome"),
        ("images/a.tif", "labels/a.ome.tif", "a"),
        ("images/p1/a.tif", "labels/p1/a.tif", "p1-a"),
        ("set/images/p1/x/a.tif", "set/masks/p1/x/a_mask.png", "p1-x-a"),
        ("a.png", "a.labels.ome.tif", "a"),
        ("a.tif", "a.stardist.tif", "a"),
        ("a.tif", "a-labels.png", "a"),
        ("images/a.tif", "labels/a-labelled.tif", "a"),
        ("a.tif", "a_label.tif", "a"),
        ("images/a.tif", "images/masks/a_cp_masks.tif", "a"),
        ("set/images/p1/a.tif", "set/images/p1/Masks/a_cp_masks.tif", "p1-a"),
        ("images/images/a.tif", "images/labels/a.tif", "a"),
        ("p53-label.tif", "p53-label.labels.tif", "p53-label"),
        ("images/EdU_label.tif", "images/EdU_label_cp_masks.png", "EdU_label"),
        ("p53-label.png", "masks/p53-label_cp_masks.png", "p53-label"),
        ("p53-label.png", "labels/p53-label.png", "p53-label"),
        ("p1/EdU_mask.png", "p1/Masks/EdU_mask.tif", "EdU_mask"),
    ],
)
def test_a_pair_is_known_and_goes_by_its_image(tmp_path: Path, image: str, labels: str, image_id: str) -> None:
    write(tmp_path, {image: png(PICTURE), labels: png(LABELS)})
    (sample,) = read_samples(tmp_path)
    assert (sample.image_id, sample.image.tolist(), sample.labels.tolist()) == (image_id, PICTURE, LABELS)
    assert check_dataset(tmp_path).findings == []
    assert {name: found.tolist() for name, found in read_labels_source(tmp_path).items()} == {image_id: LABELS}
    assert picture_of(tmp_path, image_id) == PICTURE


@pytest.mark.parametrize(
    "names",
    [
        {"cell.png": "cell.labels.tif", "cell_label.png": "cell_label.labels.tif"},
        {"cell.png": "masks/cell.png", "cell_label.png": "masks/cell_label_cp_masks.png"},
        {"cell-label.png": "cell-label.labels.tif", "cell.png": "cell_cp_masks.png"},
    ],
)
def test_two_pictures_with_a_label_image_each_are_both_pictures(tmp_path: Path, names: dict[str, str]) -> None:
    write(
        tmp_path, {name: png([[at, 9, 9]]) for at, name in enumerate(names)} | dict.fromkeys(names.values(), NUMBERED)
    )
    assert {sample.image_id: sample.image[0, 0] for sample in read_samples(tmp_path)} == {
        name.removesuffix(".png"): at for at, name in enumerate(names)
    }
    assert all(found.tolist() == LABELS for found in read_labels_source(tmp_path).values())
    assert [picture_of(tmp_path, name.removesuffix(".png"))[0][0] for name in names] == [0, 1]


def test_a_label_image_that_was_segmented_too_stays_one(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(("a.png", "a_mask.png", "a_mask.labels.tif"), NUMBERED))
    assert picture_of(tmp_path, "a_mask") is None
    with pytest.raises(DataError, match="a_mask has no image"):
        read_samples(tmp_path)


def test_equal_names_in_several_folders_stay_apart(tmp_path: Path) -> None:
    files = {f"images/{folder}/a.tif": png([[number]]) for number, folder in enumerate(("p1", "p2"))}
    write(tmp_path, files | {name.replace("images", "labels"): png([[1]]) for name in files})
    assert [(sample.image_id, sample.image.tolist()) for sample in read_samples(tmp_path)] == [
        ("p1-a", [[0]]),
        ("p2-a", [[1]]),
    ]


def test_corrected_results_are_a_data_set(tmp_path: Path) -> None:
    ours = {"a.labels.tif": png(LABELS), "a.labels.ome.tif": png(LABELS), "a.overlay.png": png(COLOURS)}
    write(tmp_path, {"a.png": png(PICTURE), "a.probability.tif": png(PICTURE), "run.json": b"{}", **ours})
    assert [sample.image_id for sample in read_samples(tmp_path)] == ["a"]
    assert picture_of(tmp_path, "a") == PICTURE
    assert picture_of(tmp_path, "a.overlay") is None


def test_overlays_beside_outlines_are_no_pictures(tmp_path: Path) -> None:
    square = b'{"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 1], [0, 1]]]}'
    write(tmp_path, {"a.png": png(PICTURE), "a.geojson": square, "a.overlay.png": png(COLOURS)})
    assert [sample.labels.tolist() for sample in read_samples(tmp_path)] == [[[1, 1, 0]]]


def test_two_label_images_of_one_picture_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {name: png(LABELS) for name in ("a_img.tif", "a_masks.tif", "a_img_masks.tif")})
    with pytest.raises(DataError, match=r"id a_img occurs twice: got a_img_masks\.tif and a_masks\.tif"):
        read_samples(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("a_masks.tif", "a_cp_masks.png"),
        ("a-labels.tif", "a_cp_masks.png"),
        ("a_masks.tif", "a.labels.ome.tif"),
        ("labels/a.tif", "labels/a_mask.npy"),
        ("labels/a.tif", "masks/a.npy"),
    ],
)
def test_another_label_image_is_not_taken_for_the_same_one_again(tmp_path: Path, names: tuple[str, str]) -> None:
    picture = "images/a.tif" if "/" in names[0] else "a.tif"
    write(tmp_path, {name: png(LABELS) for name in (picture, *names)})
    for read in (read_samples, read_labels_source):
        with pytest.raises(DataError, match="id a occurs twice: got "):
            read(tmp_path)


def test_a_masks_folder_in_capitals_is_kaggles_too(tmp_path: Path) -> None:
    files = {"x/Images/x.png": png(PICTURE), "x/Masks/1.png": png([[255, 0, 0]]), "x/Masks/2.png": png([[0, 0, 9]])}
    (sample,) = read_samples(write(tmp_path, {**files, "y/Images/y.png": png(COLOURS), "y/Masks/": b""}))[:1]
    assert sample.labels.tolist() == [[1, 0, 2]]
    assert [found.kind for found in check_dataset(tmp_path).findings] == ["no nuclei"]


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a_cp_masks.png", "a_cp_outlines.png", "a_seg.npy", "a_flows.tif"),
        ("000_img.png", "000_masks.png", "000_img_flows.tif", "000_img_flows_cp_masks.tif"),
        ("a.tif", "a_masks.tif", "a_outlines.png", "a_cp_output.png", "a_dP.tif", "a_cellprob.tif"),
        ("images/a.png", "labels/a.png", "images/a_outlines.png", "labels/a_flows.tif"),
        ("a.png", "a_cp_masks.png", "a_cp_masks.tif", "a_outlines.png"),
        ("images/a.png", "images/masks/a_cp_masks.tif", "images/outlines/a_outlines.png", "images/flows/a_flows.tif"),
        (
            "a.png",
            "masks/a_cp_masks.tif",
            "outlines/a_outlines.png",
            "flows/a_flows.tif",
            "flows/a_dP.tif",
            "a_cp_output.png",
        ),
    ],
)
def test_what_cellpose_writes_beside_is_no_picture(tmp_path: Path, names: tuple[str, ...]) -> None:
    (sample,) = read_samples(write(tmp_path, {name: png(LABELS) for name in names}))
    assert names[0] in {f"{sample.image_id}.png", f"{sample.image_id}.tif", f"images/{sample.image_id}.png"}
    assert check_dataset(tmp_path).usable
    assert len(read_labels_source(tmp_path)) == 1


def test_pictures_whose_names_end_so_are_pictures_where_labels_have_a_folder(tmp_path: Path) -> None:
    ids = ("a_mask", "b.labels", "c_outlines", "d.overlay", "e")
    files = {f"{folder}/{one}.png": png(LABELS) for folder in ("images", "labels") for one in ids}
    assert [sample.image_id for sample in read_samples(write(tmp_path / "s", files))] == list(ids)
    assert list(read_labels_source(tmp_path / "s")) == list(ids)
    assert picture_of(tmp_path / "s", "a_mask") is not None
    beside = ("a", *(f"a{ending}" for ending in ("_cellprob", "_dP", "_flows", "_outlines", ".overlay")))
    files = {f"{folder}/p/{one}.png": png(LABELS) for folder in ("images", "labels") for one in beside}
    write(tmp_path / "beside", {**files, "images/p/b_flows.png": b"", "images/p/b.png": png(LABELS)})
    write(tmp_path / "beside", {"labels/p/b_mask.png": png(LABELS), "labels/p/b_outlines.png": b""})
    assert {sample.image_id for sample in read_samples(tmp_path / "beside")} == {"p-b", *(f"p-{one}" for one in beside)}
    alone = {name: png(LABELS) for name in ("blood_flows.png", "blood_flows_masks.png")}
    (sample,) = read_samples(write(tmp_path / "alone", alone))
    assert sample.image_id == "blood_flows"


def test_numpy_arrays_are_label_images_where_their_place_says_so(tmp_path: Path) -> None:
    files = {"images/a.png": png(PICTURE), "images/a_seg.npy": b"no", "labels/a.npy": npy(LABELS)}
    (sample,) = read_samples(write(tmp_path / "s", files))
    assert sample.labels.tolist() == LABELS
    write(tmp_path / "s", {"labels/a.png": png(LABELS), "labels/a.npy": b"older"})
    for side in (tmp_path / "s", tmp_path / "s" / "labels"):
        assert read_labels_source(side)["a"].tolist() == LABELS


def test_an_array_beside_a_label_image_is_the_same_again(tmp_path: Path) -> None:
    files = {"a_mask.png": NUMBERED, "a_mask.npy": b"probabilities", "b_mask.png": NUMBERED, "b_mask.npy": b""}
    found = read_labels_source(write(tmp_path, files))
    assert {name: labels.tolist() for name, labels in found.items()} == {"a": LABELS, "b": LABELS}
    assert [one.kind for one in check_dataset(tmp_path).findings] == ["no image", "no image"]
    with pytest.raises(DataError, match="a has no image"):
        read_samples(tmp_path)
    write(tmp_path, {"a.png": png(PICTURE), "b.png": png(PICTURE)})
    assert [(one.image_id, one.labels.tolist()) for one in read_samples(tmp_path)] == [("a", LABELS), ("b", LABELS)]


def test_names() -> None:
    assert picture_id("a/b.ome.tif") == "b.ome"
    assert picture_id("_masks.tif") == "_masks"
    assert read_names(["notes.txt", "labels/a.Overlay.PNG", "a.npy", "a_seg.npy"], suffixes=PICTURE_SUFFIXES) == {}
    assert read_names(["masks/images/a.png"]) == {"masks/images/a.png": ("masks", "a", False, "images")}


def test_accents_are_one_letter_or_two() -> None:
    composed, apart = "z\u00e4hl", "za\u0308hl"
    assert picture_id(f"labels/{apart}.tif") == picture_id(f"{composed}.labels.tif") == composed
    (first,), (second,) = (read_names([f"images/{name}.tif"]).values() for name in (apart, composed))
    assert first == second


@pytest.mark.parametrize("kind", ["a_mask.png", "a.geojson"])
def test_names_are_looked_at_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    stems: list[str] = []

    def counted(names: Iterable[str], **options: Any) -> dict[str, FileName]:  # noqa: ANN401 - as read_names has it
        asked.append(kind)
        return read_names(names, **options)

    def noted(name: str) -> str:
        stems.append(name)
        return stem_of(name)

    monkeypatch.setattr("nucleate.data.outlined.read_names", counted)
    outlines = b'{"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 1], [0, 1]]]}'
    write(tmp_path, {"a.png": png(PICTURE), kind: png(LABELS) if kind.endswith("png") else outlines})
    for read in (read_samples, check_dataset, read_labels_source):
        read(tmp_path)
        assert asked == [kind]
        asked.clear()
    monkeypatch.setattr("nucleate.core.names.stem_of", noted)
    read_names(["a.png", "a_flows.tif", kind], suffixes=PICTURE_SUFFIXES)
    assert len(stems) == 2 + kind.endswith("png")


def test_a_label_image_may_have_ome_metadata(tmp_path: Path) -> None:
    write(tmp_path, {"a.ome.tif": png(PICTURE), "a_mask.ome.tif": NUMBERED, "a_mask.tif": NUMBERED})
    assert [(one.image_id, one.labels.tolist()) for one in read_samples(tmp_path)] == [("a.ome", LABELS)]
