"""Label images of a side of a comparison: none is left out for its name, or for those of its neighbours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.data.files import png, write

from nucleate.data.folders import find_labels
from nucleate.data.outlined import names_in
from nucleate.data.pictures import open_pictures
from nucleate.data.source import open_source
from nucleate.data.truth import read_labels_source, read_pair
from nucleate.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

LABELS = png([[0, 1, 2]])


def found(folder: Path, *names: str, like: tuple[str, ...] = ()) -> dict[str, str]:
    source = open_source(write(folder, dict.fromkeys(names, LABELS)))
    return find_labels(source, names_in(source), like=like)


@pytest.mark.parametrize("odd", ["d.labels.tif", "d_mask.tif", "d_cp_masks.png"])
def test_one_name_with_an_ending_does_not_make_pictures_of_the_others(tmp_path: Path, odd: str) -> None:
    assert found(tmp_path, "a.tif", "b.png", odd) == {"a": "a.tif", "b": "b.png", "d": odd}
    assert list(read_labels_source(tmp_path)) == ["a", "b", "d"]


def test_pictures_beside_their_label_images_are_none(tmp_path: Path) -> None:
    assert found(tmp_path / "s", "a.png", "a_masks.png", "b.png") == {"a": "a_masks.png"}
    assert found(tmp_path / "extras", "a_img.png", "a_masks.png") == {"a_img": "a_masks.png"}
    assert found(tmp_path / "images", "images/a.png", "labels/b.png") == {"b": "labels/b.png"}
    assert found(tmp_path / "only", "images/a.png", "images/b.png") == {"a": "images/a.png", "b": "images/b.png"}
    assert found(tmp_path / "ours", "images/a.labels.tif", "images/a.tif") == {"a": "images/a.labels.tif"}


def test_arrays_and_pictures_are_taken_together(tmp_path: Path) -> None:
    assert found(tmp_path / "s", "a.png", "b.npy", "b_seg.npy") == {"a": "a.png", "b": "b.npy"}
    assert found(tmp_path / "twice", "a.npy", "a.bmp", "b.npy", "b.tif") == {"a": "a.bmp", "b": "b.tif"}


@pytest.mark.parametrize(
    ("labels", "beside"),
    [
        (["a_cp_masks.png", "b_cp_masks.png"], ["a_outlines.png", "a_cp_output.png", "b_flows.tif", "a_seg.npy"]),
        (["a.png", "b.png"], ["a_outlines.png", "b_outlines.png", "b_seg.npy"]),
        (
            ["masks/a_cp_masks.tif", "masks/b_cp_masks.tif"],
            ["outlines/a_outlines.png", "flows/a_dP.tif", "b_cp_output.png"],
        ),
    ],
)
def test_what_cellpose_writes_beside_predictions_is_passed_over_and_named(
    tmp_path: Path, labels: list[str], beside: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert list(found(tmp_path, *labels, *beside, "a_cp_outlines.txt").values()) == labels
    assert f"passed over what is no label image ({len(beside)}): " in caplog.text
    assert min(beside) in caplog.text


def test_results_of_ours_say_nothing_of_their_overlays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("a.labels.tif", "a.overlay.png", "a.probability.tif")
    assert found(tmp_path, *names) == {"a": "a.labels.tif"}
    assert not caplog.text


def test_what_stardist_and_qupath_write_goes_by_its_picture(tmp_path: Path) -> None:
    names = ("a.stardist.tif", "b-labels.png", "c-labelled.tif", "d_labels.tif", "e.tif")
    assert list(found(tmp_path, *names)) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("names", "taken"),
    [(("a_cp_masks.png", "a_cp_masks.tif"), 1), (("a.labels.ome.tif", "a.labels.tif"), 1), (("a.bmp", "a.npy"), 0)],
)
def test_the_same_label_image_again_gives_way_and_is_named(
    tmp_path: Path, names: tuple[str, str], taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert found(tmp_path, *names, "b.tif") == {"a": names[taken], "b": "b.tif"}
    assert caplog.messages == [f"{tmp_path}: passed over what other files hold too (1): {names[1 - taken]}"]


def test_nuclei_that_only_cellpose_can_read_are_not_taken_for_others(tmp_path: Path) -> None:
    for names in (("a_seg.npy",), ("a.png", "a_seg.npy", "b.tif", "b_seg.npy")):
        with pytest.raises(DataError, match=r"_seg\.npy only: got \d.* not read; save them in Cellpose as PNG or TIFF"):
            found(tmp_path / str(len(names)), *names)


def test_trees_of_label_images_keep_their_folders(tmp_path: Path) -> None:
    trees = ("x/a.tif", "y/a.tif")
    assert found(tmp_path / "one", *trees) == {"x-a": "x/a.tif", "y-a": "y/a.tif"}
    assert found(tmp_path / "ours", "x/a.labels.tif", "y/a.tif") == {"x-a": "x/a.labels.tif", "y-a": "y/a.tif"}
    assert found(tmp_path / "alone", "x/a.tif", "x/b.tif") == {"a": "x/a.tif", "b": "x/b.tif"}
    assert found(tmp_path / "part", "x/a.tif", like=("x-a", "y-a")) == {"x-a": "x/a.tif"}
    assert found(tmp_path / "labels", "labels/x/a.tif", "labels/y/a.tif").keys() == {"x-a", "y-a"}
    write(tmp_path / "set", {f"{side}/{name}": LABELS for side in ("images", "labels") for name in trees})
    for truth in (tmp_path / "set", tmp_path / "set" / "labels"):
        for pred in (tmp_path / "one", tmp_path / "part"):
            first, second = read_pair(pred, truth)
            assert list(second) == ["x-a", "y-a"]
            assert first.keys() <= second.keys()
    assert open_pictures(tmp_path / "set" / "images")("y-a") is not None


def run_of(**paths: str) -> bytes:
    return json.dumps({"inputs": [{"name": name, "path": path} for name, path in paths.items()]}).encode()


@pytest.mark.parametrize("top", ["/data/images/", "C:\\data\\", "set.zip::images/"])
def test_results_of_inputs_of_one_name_are_known_by_their_run(tmp_path: Path, top: str) -> None:
    results = {"a.labels.tif": LABELS, "a-2.labels.tif": png([[0, 1, 0]])}
    pred = write(tmp_path / "pred", {**results, "run.json": run_of(**{"a": f"{top}x/a.png", "a-2": f"{top}y/a.png"})})
    truth = write(tmp_path / "truth", {f"{side}/{at}/a.png": LABELS for side in ("images", "labels") for at in "xy"})
    first, second = read_pair(pred, truth)
    assert list(first) == list(second) == ["x-a", "y-a"]
    assert first["y-a"].tolist() == [[0, 1, 0]]
    flat = write(tmp_path / "flat", {"a.tif": LABELS, "a-2.tif": LABELS})
    assert list(read_pair(pred, flat)[0]) == ["a", "a-2"]


def test_results_of_pictures_of_longer_names_are_known_by_their_run(tmp_path: Path) -> None:
    inputs = {"a.ome": "set/images/x/a.ome.tif", "a.ome-2": "set/images/y/a.ome.tif"}
    pred = write(tmp_path / "pred", {**{f"{name}.labels.tif": LABELS for name in inputs}, "run.json": run_of(**inputs)})
    truth = write(tmp_path / "truth", {f"{at}/a.tif": LABELS for at in "xy"})
    assert [*read_pair(pred, truth)[0]] == ["x-a", "y-a"]


def test_a_run_that_says_nothing_changes_nothing(tmp_path: Path) -> None:
    truth = write(tmp_path / "truth", {"x/a.tif": LABELS, "y/a.tif": LABELS})
    for number, said in enumerate((b"{", b"[]", b'{"inputs": [1]}', run_of(a="/x/a.png", b="/x/a.png"))):
        pred = write(tmp_path / str(number), {"a.labels.tif": LABELS, "b.tif": LABELS, "run.json": said})
        assert list(read_pair(pred, truth)[0]) == ["a", "b"]
