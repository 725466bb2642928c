"""Label images from every place they are kept in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from tests.data.files import ONE, equal, pack, png, two_nuclei, write
from tests.strategies import label_images

import nucleate
from nucleate.core.rle import encode_labels
from nucleate.data.pictures import open_pictures
from nucleate.data.rle_table import labels_from_codes
from nucleate.data.truth import read_labels_source, read_pair
from nucleate.errors import DataError, UnfitDataError, UsageError
from nucleate.export.omezarr_labels import write_omezarr

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

HEAD = "ImageId,EncodedPixels,Height,Width,Usage\n"
SIZED = HEAD + "b,1 2,2,3,Public\na,2 2,2,3,Private\na,1 3,2,3,Private\nc,,4,4,Private\n"


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@given(label_images())
def test_codes_give_the_labels_back(labels: NDArray[np.int32]) -> None:
    codes = encode_labels(labels)
    np.testing.assert_array_equal(labels_from_codes(codes, labels.shape), labels)


def test_a_table_with_sizes(tmp_path: Path) -> None:
    found = read_labels_source(table(tmp_path / "solution.csv", SIZED))
    assert list(found) == ["a", "b", "c"]
    assert equal(found["a"], [[2, 1, 0], [1, 0, 0]])  # the second code loses the pixel it shares with the first
    assert found["a"].dtype == np.int32
    assert found["a"].flags["C_CONTIGUOUS"]
    assert equal(found["b"], [[1, 0, 0], [1, 0, 0]])
    assert equal(found["c"], np.zeros((4, 4)))
    assert "a" in found
    assert "d" not in found
    assert len(found) == 3


def test_a_table_without_sizes_needs_the_images(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", "ImageId,EncodedPixels\none,1 2\none,3 1\ntwo,\n")
    half = [table(tmp_path / f"{size}.csv", f"{HEAD}one,1 2,{size},x\n") for size in ("2,", ",2")]
    for unsized in (path, *half):
        with pytest.raises(DataError, match="how large image one is; give the images with --images DIR"):
            read_labels_source(unsized)
    kaggle = pack(tmp_path / "s.zip", two_nuclei())
    flat = write(tmp_path / "flat", {"one.png": png([[1, 1, 1], [1, 1, 1]]), "two.tif": png([[1, 1]])})
    for images in (kaggle, flat):
        found = read_labels_source(path, images=images)
        assert equal(found["one"], [[1, 2, 0], [1, 0, 0]])
    assert found["two"].shape == (1, 2)
    (flat / "two.tif").unlink()
    with pytest.raises(DataError, match="no image two in"):
        read_labels_source(path, images=flat)["two"]


def test_a_table_without_sizes_takes_those_of_the_other_side(tmp_path: Path) -> None:
    submission = table(tmp_path / "submission.csv", "ImageId,EncodedPixels\none,1 2\none,3 1\n")
    solution = table(tmp_path / "solution.csv", HEAD + "one,1 2,2,3,x\n")
    for pred, truth in ((submission, solution), (solution, submission)):
        first, second = read_pair(pred, truth)
        assert first["one"].shape == second["one"].shape == (2, 3)
    with pytest.raises(DataError, match="--images DIR"):
        read_pair(submission, submission)
    other = table(tmp_path / "other.csv", HEAD + "two,1 2,2,3,x\n")
    with pytest.raises(DataError, match="one"):
        read_pair(submission, other)[0]["one"]


def test_images_that_kaggle_ignores_count_on_neither_side(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    solution = table(tmp_path / "solution.csv", HEAD + "a,1 2,2,3,Private\nb,1 1,,,Ignored\nc,1 1,0,0,Ignored\n")
    submission = table(tmp_path / "submission.csv", "ImageId,EncodedPixels\na,1 2\nb,\nd,\n")
    for pair in (read_pair(submission, solution), read_pair(solution, submission)[::-1]):
        assert [list(side) for side in pair] == [["a", "d"], ["a"]]
    assert list(read_labels_source(solution)) == ["a"]
    assert {record.getMessage() for record in caplog.records} == {"2 images marked Ignored in Usage left out"}


def test_a_truth_of_which_all_is_ignored_has_nothing_to_compare(tmp_path: Path) -> None:
    solution = table(tmp_path / "solution.csv", HEAD + "a,1 3,10,10,Ignored\n")
    said = r"^nothing to compare: all images of the truth are marked Ignored, there or in the prediction; give"
    for rows in ("a,1 3\nz,1 3\n", "z,1 3\n", "a,1 3\n"):
        submission = table(tmp_path / "submission.csv", "ImageId,EncodedPixels\n" + rows)
        with pytest.raises(UsageError, match=said):
            read_pair(submission, solution)
    with pytest.raises(UsageError, match=said):
        read_pair(solution, submission)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ImageId,Pixels\na,1 1\n", "lacks columns EncodedPixels"),
        ("", "lacks columns"),
        ("ImageId,EncodedPixels\n", "has no rows"),
        (HEAD + "a,1 1,2,3,x\na,2 1,3,2,x\n", r"two sizes for image a: got \(2, 3\) and \(3, 2\)"),
        (HEAD + "a,1 1,0,3,x\n", "no size of image a: got Height '0'"),
        (HEAD + "a,1 1,two,3,x\n", "no size of image a: got Height 'two'"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_labels_source(table(tmp_path / "t.csv", text))


def test_a_bad_code_names_table_and_image(tmp_path: Path) -> None:
    found = read_labels_source(table(tmp_path / "t.csv", HEAD + "a,6 2,2,3,x\n"))
    with pytest.raises(DataError, match=r"t.csv, image a: run-length code leaves the image: got '6 2' for 2 x 3"):
        found["a"]
    with pytest.raises(UsageError, match="no such file"):
        read_labels_source(tmp_path / "none.csv")


def test_codes_longer_than_the_csv_module_allows(tmp_path: Path) -> None:
    labels = (np.indices((400, 400)).sum(axis=0) % 2).astype(np.int32)
    (code,) = encode_labels(labels)
    assert len(code) > 131_072
    found = read_labels_source(table(tmp_path / "t.csv", f"{HEAD}a,{code},400,400,x\n"))
    np.testing.assert_array_equal(found["a"], labels)


def test_kaggle_masks(tmp_path: Path) -> None:
    found = read_labels_source(pack(tmp_path / "s.zip", two_nuclei("top/")))
    assert list(found) == ["one", "two"]
    assert equal(found["one"], ONE)
    test_set = {name: data for name, data in two_nuclei().items() if "/masks/" not in name}
    with pytest.raises(DataError, match="images but no masks"):
        read_labels_source(pack(tmp_path / "t.zip", test_set))


def test_a_folder_of_label_images(tmp_path: Path) -> None:
    flat = write(tmp_path / "flat", {"a.tif": png([[0, 5]]), "b.png": png([[3, 0]])})
    assert {k: v.tolist() for k, v in read_labels_source(flat).items()} == {"a": [[0, 1]], "b": [[1, 0]]}
    colours = png([[[1, 2, 3]]])
    out = write(tmp_path / "out", {"a.labels.tif": png([[0, 5]]), "a.overlay.png": colours, "summary.csv": b""})
    assert {k: v.tolist() for k, v in read_labels_source(out).items()} == {"a": [[0, 1]]}
    pairs = write(tmp_path / "pairs", {"images/a.png": colours, "labels/a.tif": png([[0, 5]])})
    assert {k: v.tolist() for k, v in read_labels_source(pairs).items()} == {"a": [[0, 1]]}
    with pytest.raises(DataError, match="holds no label images"):
        read_labels_source(write(tmp_path / "none", {"a.txt": b""}))
    with pytest.raises(DataError, match=r"none.a\.txt holds no label images: got 1 file;"):
        read_labels_source(tmp_path / "none" / "a.txt")
    with pytest.raises(DataError, match="id a occurs twice"):
        read_labels_source(write(flat, {"a.png": png([[1]])}))


def test_labels_are_read_when_asked_for(tmp_path: Path) -> None:
    found = read_labels_source(write(tmp_path, {"a.tif": b"rubbish", "b.png": png([[3, 0]])}))
    assert set(found) == {"a", "b"}
    assert equal(found["b"], [[1, 0]])
    with pytest.raises(DataError, match="cannot decode"):
        found["a"]


def test_pictures_whose_names_end_as_those_of_label_images_meet(tmp_path: Path) -> None:
    ids = ("p53_label", "EdU-labels", "b")
    plain = write(tmp_path / "plain", {f"{one}.tif": png([[0, 1]]) for one in ids})
    ours = write(tmp_path / "ours", {f"{one}.labels.tif": png([[0, 1]]) for one in ids})
    for sides in ((plain, ours), (ours, plain)):
        pred, true = read_pair(*sides)
        assert sorted(pred) == sorted(true)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_table_without_sizes_whose_ids_end_as_those_of_label_images(tmp_path: Path, *, swapped: bool) -> None:
    submission = table(tmp_path / "s.csv", "ImageId,EncodedPixels\np53_label,1 2\np53_label,3 1\n")
    folder = write(tmp_path / "truth", {"p53_label.tif": png([[1, 2, 0], [1, 0, 0]])})
    for image_id in ("p53_label", "p53"):
        submission.write_text(submission.read_text().replace("p53_label", image_id))
        first, second = read_pair(*((folder, submission) if swapped else (submission, folder)))
        assert list(first) == list(second)
        (only,) = first
        assert equal(first[only], [[1, 2, 0], [1, 0, 0]])
        assert equal(second[only], first[only])


def test_pictures_give_sizes_under_the_id_of_either_side(tmp_path: Path) -> None:
    submission = table(tmp_path / "s.csv", "ImageId,EncodedPixels\np53,1 2\nb,1 1\n")
    truth = write(tmp_path / "truth", {name: png([[1, 0]]) for name in ("p53_label.tif", "b.tif")})
    images = write(tmp_path / "images", {name: png([[0, 0], [0, 0]]) for name in ("p53.tif", "b.tif")})
    assert read_pair(submission, truth, images=images)[0]["p53"].shape == (2, 2)


def test_a_picture_of_several_planes_gives_the_size_of_each(tmp_path: Path) -> None:
    submission = table(tmp_path / "s.csv", "ImageId,EncodedPixels\na/0,1 2\na/1,3 1\n")
    stack = np.zeros((2, 3, 2), np.uint8)
    for folder, labels in (("images", stack), ("truth", stack + 1)):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", labels, photometric="minisblack")
    pred, _ = read_pair(submission, tmp_path / "truth", images=tmp_path / "images")
    assert pred["a"].tolist() == [[[1, 0], [1, 0], [0, 0]], [[0, 0], [0, 0], [2, 0]]]


@pytest.mark.parametrize("names", [("a.ome", "b"), ("a_img", "b"), ("a.ome", "a_label", "b")])
def test_pictures_whose_names_go_beyond_those_of_their_truth_meet(tmp_path: Path, names: tuple[str, ...]) -> None:
    ours = write(tmp_path / "ours", {f"{one}.labels.tif": png([[0, 1]]) for one in names})
    truth = write(tmp_path / "truth", {f"{one}.tif": png([[0, 1]]) for one in "ab"})
    for sides in ((ours, truth), (truth, ours)):
        pred, true = read_pair(*sides)
        assert len(pred.keys() & true.keys()) == 2
    submission = table(tmp_path / "s.csv", "ImageId,EncodedPixels\na,1 2\nb,1 1\n")
    images = write(tmp_path / "images", {f"{one}.tif": png([[0, 0], [0, 0]]) for one in (*names[:1], "b")})
    assert read_pair(submission, truth, images=images)[0]["a"].shape == (2, 2)


def test_names_of_which_two_go_beyond_one_do_not_meet(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours", {f"{one}.labels.tif": png([[0, 1]]) for one in ("a.ome", "a_img", "b")})
    truth = write(tmp_path / "truth", {f"{one}.tif": png([[0, 1]]) for one in "ab"})
    pred, true = read_pair(ours, truth)
    assert pred.keys() & true.keys() == {"b"}
    assert open_pictures(write(tmp_path / "p", {"a.ome.tif": b"", "a_img.tif": b""}))("a") is None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_label_images_of_ome_zarr(tmp_path: Path, version: str) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    from tests.io.zarr_files import write_group, write_image

    labels = np.array([[0, 7, 7], [3, 0, 7]], np.uint16)

    def put(name: str, *listed: str) -> Path:
        folder = write_image(tmp_path / "out" / name, labels, version=version)
        for one in listed:
            write_image(folder / "labels" / one, labels, version=version)
        write_group(folder / "labels", {"labels": list(listed)}, version=version)
        return folder

    one = put("a.ome.zarr", "cells", "nuclei")
    tifffile.imwrite(tmp_path / "truth.tif", labels)
    for found in (one, one / "labels" / "nuclei"):
        pred, true = read_pair(found, tmp_path / "truth.tif")
        assert equal(pred["truth"], true["truth"])
        assert equal(pred["truth"], [[0, 2, 2], [1, 0, 2]])
    none = put("b.zarr")
    assert list(read_labels_source(tmp_path / "out")) == ["a"]
    with pytest.raises(DataError, match="holds no label images"):
        read_labels_source(none)
    named = put("labels/x.ome.zarr", "nuclei")
    zeros = write_image(named, np.zeros_like(labels), version=version, overwrite=True)
    assert equal(read_labels_source(zeros.parent)["x"], [[0, 2, 2], [1, 0, 2]])
    put("c.zarr", "cells", "spots")
    with pytest.raises(UnfitDataError, match=r"holds several label images: got labels/cells, labels/spots; name one"):
        read_labels_source(tmp_path / "out")


def test_label_images_of_a_plate_and_alone_in_ome_zarr(tmp_path: Path) -> None:
    zarr: Any = pytest.importorskip("zarr", reason="zarr is not installed")
    from tests.io.zarr_files import write_plate

    stack = np.array([[[0, 1, 1]], [[2, 0, 2]]], np.int32)
    write_omezarr(tmp_path / "x.ome.zarr", stack, axes="TYX")
    assert equal(read_labels_source(tmp_path / "x.ome.zarr")["x"], stack)
    fields = dict.fromkeys(("A/1/0", "B/2/0"), np.zeros((2, 1, 3)))
    plate = write_plate(tmp_path / "p.zarr", fields, version="0.4")
    zarr.open_group(plate / "B/2/0/labels", mode="a", zarr_format=2).attrs["labels"] = ["own"]
    write_omezarr(plate / "B/2/0/labels/own", stack[0])
    found = read_labels_source(plate)
    assert list(found) == ["p_B_2_0"]
    assert equal(found["p_B_2_0"], stack[0])
    for part in ("B/2", "B/2/0"):
        assert list(read_labels_source(plate / part)) == ["p_B_2_0"]
    (plate / "A/1/.zattrs").write_text("{")
    write_omezarr(tmp_path / "y.zarr", stack[0])
    (tmp_path / "y.zarr/.zattrs").write_text("{")
    beside = read_labels_source(tmp_path)
    assert list(beside) == ["p_A_1", "p_B_2_0", "x", "y"]
    for name, place in (("p_A_1", "A/1"), ("y", "y.zarr")):
        with pytest.raises(DataError, match=f"cannot read .*{place}: .*; write it again"):
            beside[name]
    array = next((plate / "B/2/0/labels/own").glob("*/.zarray"))
    array.write_text("{")
    with pytest.raises(DataError, match="own: damaged OME-Zarr file"):
        found["p_B_2_0"]
    (plate / ".zattrs").write_text("[")
    with pytest.raises(DataError, match=r"cannot read .*p.zarr: .*; write it again"):
        read_labels_source(plate)


@pytest.mark.parametrize(("version", "metadata"), [("0.4", ".zattrs"), ("0.5", "zarr.json")])
def test_a_damaged_well_or_plate_of_predictions_fails_each_of_its_fields(
    tmp_path: Path, version: str, metadata: str
) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    from tests.io.zarr_files import write_group, write_image, write_plate

    labels = np.array([[0, 7, 7], [3, 0, 7]], np.uint16)
    fields = dict.fromkeys(("A/1/0", "A/2/0", "A/2/1", "A/21/0"), np.zeros((2, 3), np.uint8))
    plate = write_plate(tmp_path / "pred" / "p.zarr", fields, axes="yx", version=version)
    for field in fields:
        write_image(plate / field / "labels" / "nuclei", labels, version=version)
        write_group(plate / field / "labels", {"labels": ["nuclei"]}, version=version)
    truth = {f"p_{field.replace('/', '_')}": labels for field in (*fields, "A/3/0")}
    lone = {"q": labels, "q_2": labels}
    for one in lone:
        write_image(plate.parent / f"{one}.zarr" / "labels" / "nuclei", labels, version=version)
        write_group(plate.parent / f"{one}.zarr" / "labels", {"labels": ["nuclei"]}, version=version)
        write_group(plate.parent / f"{one}.zarr", {"multiscales": []}, version=version)
    (plate / "A" / "2" / metadata).write_text("{")
    (plate.parent / "q.zarr" / metadata).write_text("{")
    for pred, true, failed in (
        (plate, truth, {"p_A_2_0", "p_A_2_1"}),
        (plate.parent, truth | lone, {"p_A_2_0", "p_A_2_1", "q"}),
    ):
        scores = nucleate.evaluate(pred, true, resamples=0)
        assert (set(scores.failed), scores.missing, scores.ignored) == (failed, ("p_A_3_0",), ())
        assert all("cannot read" in reason for reason in scores.failed.values())
    (plate / metadata).write_text("{")
    assert set(nucleate.evaluate(plate.parent, truth | lone, resamples=0).failed) == {*truth, "q"}


@pytest.mark.parametrize("ending", ["", ".ome", "_img", "_label"])
def test_damage_of_one_prediction_costs_no_other_one_its_score(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    labels = np.array([[0, 7, 7], [3, 0, 7]], np.uint16)
    for name in ("a", "a_2"):
        write_omezarr(tmp_path / f"{name}.ome.zarr", labels)
    (tmp_path / "a.ome.zarr" / ".zattrs").write_text("{")
    truth = {f"{name}{ending}": labels for name in ("a", "a_2", "a_2_A_1_0")}
    scores = nucleate.evaluate(tmp_path, truth, resamples=0)
    assert (set(scores.failed), scores.missing, scores.ignored) == ({f"a{ending}"}, (f"a_2_A_1_0{ending}",), ())
    del truth[f"a{ending}"]
    scores = nucleate.evaluate(tmp_path, truth, resamples=0)
    assert (scores.failed, scores.missing, scores.ignored) == ({}, (f"a_2_A_1_0{ending}",), ("a",))


def test_a_damaged_plate_whose_folder_has_a_dot_fails_its_fields_as_results_call_them(tmp_path: Path) -> None:
    zarr: Any = pytest.importorskip("zarr", reason="zarr is not installed")
    for name in ("exp.v2", "one.v2"):
        zarr.open_group(tmp_path / name, mode="a", zarr_format=2)
        (tmp_path / name / ".zattrs").write_text("{")
    truth = dict.fromkeys(("exp_A_1_0", "exp_B_2_0", "one.v2", "whole"), np.array([[0, 7, 7], [3, 0, 7]]))
    write_omezarr(tmp_path / "whole.zarr", truth["whole"])
    assert set(nucleate.evaluate(tmp_path, truth, resamples=0).failed) == {*truth} - {"whole"}
