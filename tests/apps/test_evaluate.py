"""nucleate evaluate, through the verb itself: files in, table, files and exit code out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import typer
from PIL import Image
from tests.tables import rows_of
from typer.testing import CliRunner, Result

from nucleate.apps.cli.evaluate import evaluate
from nucleate.errors import DataError, OutputError, UsageError
from nucleate.export.coco import Picture, write_coco

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

APP = typer.Typer()
APP.command()(evaluate)

LABELS = np.zeros((24, 24), np.uint16)
LABELS[2:10, 2:10] = 1
LABELS[12:20, 3:20] = 2
SHIFTED = np.roll(LABELS, 1, axis=0)


def _folder(path: Path, *, ending: str = ".tif", **labels: NDArray[np.uint16]) -> Path:
    path.mkdir()
    for image_id, pixels in labels.items():
        tifffile.imwrite(path / f"{image_id}{ending}", pixels)
    return path


def _run(*words: Path | str) -> Result:
    return CliRunner().invoke(APP, [str(word) for word in words])


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return _folder(tmp_path / "truth", a=LABELS, b=LABELS, c=LABELS)


def test_table_and_every_file(tmp_path: Path, truth: Path) -> None:
    pred = _folder(tmp_path / "pred", ending=".labels.tif", a=LABELS, b=SHIFTED, c=LABELS)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "ab":
        Image.fromarray((LABELS * 100).astype(np.uint8)).save(pictures / f"{name}.png")
    files = {option: tmp_path / f"out{option}" for option in ("--json", "--html", "--per-image")}
    result = _run(pred, truth, "--images", pictures, *(word for pair in files.items() for word in pair))
    assert result.exit_code == 0, result.output
    content = json.loads(files["--json"].read_text(encoding="utf-8"))
    assert (content["images"], content["nuclei_true"], content["nuclei_pred"]) == (3, 6, 6)
    assert result.stdout.startswith("3 images, 6 true nuclei, 6 predicted\n")
    assert f"kaggle           {content['kaggle']:.4f}" in result.stdout
    assert result.stderr == ""
    page = files["--html"].read_text(encoding="utf-8")
    assert page.count("<img ") == 2
    assert [row["image"] for row in rows_of(files["--per-image"])] == ["a", "b", "c"]


def test_a_name_that_is_no_text_is_written_as_escapes(tmp_path: Path) -> None:
    truth, pred = _folder(tmp_path / "truth", b=LABELS), _folder(tmp_path / "\udcfe", b=LABELS)
    for path in (pred / "\udcff.tif", truth / "\udcff.tif", truth / "c\udcff.tif"):
        tifffile.imwrite(path, LABELS)
    files = {option: tmp_path / f"out{option}" for option in ("--json", "--html", "--per-image")}
    result = _run(pred, truth, "--images", truth, *(word for pair in files.items() for word in pair))
    assert result.exit_code == 0, result.output
    assert "\\udcfe" in files["--html"].read_text(encoding="utf-8")
    assert {row["image"] for row in rows_of(files["--per-image"])} == {"\\udcff", "b", "c\\udcff"}


def test_missing_and_extra_predictions_are_named_once(tmp_path: Path, truth: Path) -> None:
    result = _run(_folder(tmp_path / "pred", a=LABELS, z=LABELS), truth)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "nucleate: 2 images (b, c) without prediction, counted as empty",
        "nucleate: 1 image (z) predicted without truth, ignored",
    ]
    assert "kaggle           0.3333" in result.stdout


def test_binary_masks_are_told(tmp_path: Path) -> None:
    numbered = np.array([[1, 0, 2], [1, 0, 2]], np.uint16)
    binary = np.where(numbered > 0, np.uint16(255), np.uint16(0))
    truth = _folder(tmp_path / "truth", a=numbered, b=binary)
    result = _run(_folder(tmp_path / "pred", a=numbered, b=numbered), truth)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line == "nucleate: 1 image (b) with ids in pieces, as in masks of all nuclei or pictures, scored as they are"


def test_an_image_of_another_shape_is_an_error_and_the_rest_goes_on(tmp_path: Path, truth: Path) -> None:
    pred = _folder(tmp_path / "pred", a=LABELS, b=LABELS[:20], c=LABELS)
    pictures = _folder(tmp_path / "pictures", a=LABELS, b=LABELS, c=LABELS)
    files = ("--json", tmp_path / "s.json", "--per-image", tmp_path / "p.csv", "--html", tmp_path / "s.html")
    result = _run(pred, truth, *files, "--images", pictures)
    assert result.exit_code == 1
    assert "nucleate: b: shapes differ: truth 24 x 24, prediction 20 x 24" in result.stderr
    assert "1 image (b) could not be compared, counted as empty" in result.stderr
    told = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert (told["images"], told["kaggle"]) == (3, pytest.approx(2 / 3))
    row = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()[2]
    assert row.startswith("b,2,0,0,")
    assert "shapes differ" in row
    assert (tmp_path / "s.html").is_file()


def test_no_common_image_is_a_wrong_call(tmp_path: Path, truth: Path) -> None:
    result = _run(_folder(tmp_path / "pred", x=LABELS), truth)
    assert isinstance(result.exception, UsageError)
    assert "predictions x; truth a, b, c" in str(result.exception)


def test_a_path_that_is_not_there_is_a_wrong_call(tmp_path: Path, truth: Path) -> None:
    for words in ((tmp_path / "none", truth), (truth, tmp_path / "none.csv"), (truth, truth, "--images", "none")):
        result = _run(*words)
        assert isinstance(result.exception, UsageError)
        assert "no such file or folder" in str(result.exception)
    assert "s3:/b/x: an address; remote stores are not read" in str(_run("s3://b/x", truth).exception)


def test_files_that_cannot_do_what_is_asked_are_a_wrong_call(tmp_path: Path, truth: Path) -> None:
    codes, groups = tmp_path / "codes.csv", tmp_path / "groups.csv"
    codes.write_text("ImageId,EncodedPixels\na,1 2\n", encoding="utf-8")
    groups.write_text("image,mosaic\na,m\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    wrong = {
        "give the images with --images DIR": (codes, codes),
        "groups.csv lacks columns image_id": (truth, truth, "--groups", groups),
        "groups.csv lacks columns EncodedPixels, ImageId": (groups, truth),
        "cannot read the table": (truth, truth, "--groups", truth),
        "holds no label images": (tmp_path / "empty", truth),
    }
    for said, words in wrong.items():
        result = _run(*words, "--json", tmp_path / "new" / "s.json")
        assert isinstance(result.exception, UsageError)
        assert said in str(result.exception)
    assert not (tmp_path / "new").exists()


def test_folders_of_the_written_files_are_made(tmp_path: Path, truth: Path) -> None:
    assert _run(truth, truth, "--json", tmp_path / "new" / "s.json").exit_code == 0
    assert (tmp_path / "new" / "s.json").is_file()


def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, truth: Path) -> None:
    (tmp_path / "there.html").mkdir()
    result = _run(truth, truth, "--json", tmp_path / "new" / "s.json", "--html", tmp_path / "there.html")
    assert isinstance(result.exception, UsageError)
    assert "there.html is a folder; name a file" in str(result.exception)
    assert result.stdout == ""
    assert not (tmp_path / "new").exists()
    device = tmp_path / "device"
    device.symlink_to("/dev/zero")
    if device.exists():
        assert "would be replaced" in str(_run(truth, truth, "--json", device).exception)
        assert device.is_symlink()


def test_scores_are_shown_where_a_file_fails(tmp_path: Path, truth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _: object) -> None:
        raise OutputError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("nucleate.report.tables.write_scores", full)
    result = _run(truth, truth, "--json", tmp_path / "s.json")
    assert isinstance(result.exception, OutputError)
    assert "3 images, 6 true nuclei" in result.stdout


def test_a_run_length_table_takes_sizes_from_the_pictures(tmp_path: Path, truth: Path) -> None:
    table = tmp_path / "pred.csv"
    # Column-major from 1: the first two rows of the first column.
    table.write_text("ImageId,EncodedPixels\na,1 2\nb,\n", encoding="utf-8")
    result = _run(table, truth, "--images", truth, "--json", tmp_path / "s.json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["nuclei_pred"] == 1


def test_groups_come_from_a_table(tmp_path: Path, truth: Path) -> None:
    pred = _folder(tmp_path / "pred", a=LABELS, b=SHIFTED, c=LABELS)
    table = tmp_path / "groups.csv"
    table.write_text("image_id,mosaic\na,m\nb,m\nc,m\n", encoding="utf-8")
    single, grouped = _run(pred, truth), _run(pred, truth, "--groups", table)
    assert " .. " in single.stdout
    assert " .. " not in grouped.stdout  # one group: nothing to draw from
    table.write_text("image,where\na,m\n", encoding="utf-8")
    wrong = _run(pred, truth, "--groups", table)
    assert isinstance(wrong.exception, DataError)
    assert "got image, where" in str(wrong.exception)


def test_a_damaged_picture_does_not_stop_the_page(tmp_path: Path, truth: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n...")
    result = _run(truth, truth, "--images", pictures, "--html", tmp_path / "s.html")
    assert result.exit_code == 0, result.output
    assert "nucleate: not shown: " in result.stderr
    assert "<img" not in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_nothing_that_is_read_is_overwritten(tmp_path: Path, truth: Path) -> None:
    pred = _folder(tmp_path / "pred", a=LABELS, b=LABELS, c=LABELS)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.tif")}
    same = tmp_path / "x"
    for options in (("--json", pred / "a.tif"), ("--html", same, "--json", same), ("--per-image", truth)):
        result = _run(pred, truth, *options)
        assert isinstance(result.exception, UsageError)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.tif")} == before
    for _ in range(2):  # what an earlier call left there may be written anew
        assert _run(pred, truth, "--json", pred / "scores.json").exit_code == 0


def test_groups_that_fit_no_image_are_refused_and_lacking_ones_told(tmp_path: Path, truth: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("image_id,group\na.tif,x\nb.tif,x\n", encoding="utf-8")
    result = _run(truth, truth, "--groups", table)
    assert isinstance(result.exception, UsageError)
    assert "names none of the images: got a.tif in it, a here" in str(result.exception)
    table.write_text("image_id,group\na,x\nb,x\n", encoding="utf-8")
    assert "1 image (c) without a group in --groups" in _run(truth, truth, "--groups", table).stderr
    table.write_text("image_id,group\na,x\na,y\n", encoding="utf-8")
    assert "two rows for a: got x and y" in str(_run(truth, truth, "--groups", table).exception)


def test_two_lone_files_are_a_pair_and_a_coco_file_is_a_source(tmp_path: Path) -> None:
    for name in ("first", "second.labels"):
        tifffile.imwrite(tmp_path / f"{name}.tif", LABELS)
    assert "1 image, 2 true nuclei" in _run(tmp_path / "first.tif", tmp_path / "second.labels.tif").stdout
    write_coco(tmp_path / "coco.json", [Picture("first.png", LABELS.astype(np.int32))])
    folder = _folder(tmp_path / "pred", first=LABELS)
    assert "1 image, 2 true nuclei" in _run(folder, tmp_path / "coco.json").stdout
    other = _folder(tmp_path / "other", second=LABELS)
    assert isinstance(_run(other, tmp_path / "first.tif").exception, UsageError)


def test_label_images_with_ome_metadata_count_where_they_are_alone(tmp_path: Path, truth: Path) -> None:
    pred = _folder(tmp_path / "pred", ending=".labels.ome.tif", a=LABELS, b=SHIFTED, c=LABELS)
    first = _run(pred, truth).stdout
    assert "3 images, 6 true nuclei" in first
    for name in "abc":  # the same again, without
        (pred / f"{name}.labels.tif").write_bytes((pred / f"{name}.labels.ome.tif").read_bytes())
    assert _run(pred, truth).stdout == first
