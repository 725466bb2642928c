"""The paper's study, small: drawn pictures in Kaggle's layout, tiny networks, every step through the verb."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import optuna
import pytest
from PIL import Image
from safetensors.torch import load_file
from tests.calls import call
from tests.tables import rows_of
from tests.train.drawn import disks

from nucleate.data.write import write_sample
from nucleate.export.rle_csv import write_submission
from nucleate.nets.build import NetConfig
from nucleate.study import paper as study
from nucleate.study.paper import (
    NETWORKS,
    PaperPlan,
    Split,
    drawn_learning_rate,
    load_split,
    paper_config,
    train_networks,
)
from nucleate.study.paper_table import KaggleTest, score_all
from nucleate.train.checkpoint import load_network

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.train.loop import Run

SMALL = ("--width", "2", "--epochs", "1", "--trials", "2", "--quiet", "--device", "cpu", "--threads", "1")


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Resize to 32 instead of 256 pixels, and keep caches in the test's folder."""
    monkeypatch.setattr(study, "SIDE", 32)
    monkeypatch.setattr("nucleate.study.paper_table.SIDE", 32)
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "stage1_train"
    for sample in disks(8):
        write_sample(folder, sample, layout="kaggle")
    return folder


def test_the_verb_writes_the_table_the_networks_and_the_figures(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call("paper", data, "-o", out, *SMALL) == 0
    table = (out / "table.md").read_text()
    assert capsys.readouterr().out.strip() == table.strip()
    assert "0.342" in table
    assert "--width 2 --epochs 1 --trials 2" in table
    rows = rows_of(out / "table.csv")
    assert {(row["system"], row["set"]) for row in rows} == {
        (system, part) for system in ("otsu", *NETWORKS) for part in ("dev", "test")
    }
    assert {row["images"] for row in rows} == {"2"}
    for name in NETWORKS:
        assert load_network(out / "networks" / f"{name}.safetensors")[1] == NetConfig(NETWORKS[name], width=2)
    for name in ("curves", "augmented", "steps", "errors"):
        with Image.open(out / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_otsu_alone_finds_the_disks(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("paper", data, "-o", out, *SMALL) == 0
    scores = json.loads((out / "scores" / "otsu-dev.json").read_text())
    # No network, no clean-up: specks of noise may stand beside the disks.
    assert scores["nuclei_true"] == 4
    assert scores["nuclei_pred"] >= 4
    assert scores["pixel_iou"] > 0.95


def test_a_test_set_can_be_scored_later(data: Path, tmp_path: Path) -> None:
    out, test = tmp_path / "out", tmp_path / "stage1_test"
    unseen = disks(3, side=40, seed=9)
    for sample in unseen:
        (test / sample.image_id / "images").mkdir(parents=True)
        Image.fromarray(sample.image).save(test / sample.image_id / "images" / f"{sample.image_id}.png")
    write_submission(tmp_path / "solution.csv", [(sample.image_id, sample.labels) for sample in unseen])
    assert call("paper", data, "-o", out, *SMALL) == 0
    before = {path: path.stat().st_mtime_ns for path in (out / "draws").rglob("*.safetensors")}
    more = ("--resume", "--test", test, "--solution", tmp_path / "solution.csv")
    assert call("paper", data, "-o", out, *SMALL, *more) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "draws").rglob("*.safetensors")} == before
    kaggle = json.loads((out / "scores" / "otsu-kaggle.json").read_text())
    assert kaggle["images"] == 3
    assert kaggle["pixel_iou"] > 0.95
    assert "0.277" in (out / "table.md").read_text()
    assert {row["ImageId"] for row in rows_of(out / "submission-base.csv")} == {sample.image_id for sample in unseen}


def test_a_study_is_neither_overwritten_nor_mixed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call("paper", data, "-o", out, *SMALL) == 0
    assert call("paper", data, "-o", out, *SMALL) == 2
    assert "--resume" in capsys.readouterr().err
    assert call("paper", data, "-o", out, *SMALL, "--seed", "5", "--resume") == 2
    assert "other settings" in capsys.readouterr().err


def test_a_study_goes_on_with_its_own_images_and_folds_only(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "out", tmp_path / "folds.csv"
    rows = [f"disks-{index},group-{index},{index % 4},a" for index in range(8)]
    table.write_text("\n".join(["image_id,mosaic,fold,image_type", *rows]))
    assert call("paper", data, "-o", out, "--table", table, *SMALL) == 0
    assert "--table folds.csv --width 2" in (out / "table.md").read_text()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert call("paper", data, "-o", out, *SMALL, "--resume") == 2  # folds dealt, not those of the table
    assert "of other images, folds or types; give the same DATA and --table" in capsys.readouterr().err
    other = tmp_path / "other"
    for sample in disks(8, seed=1):
        write_sample(other, sample, layout="kaggle")
    assert call("paper", other, "-o", out, "--table", table, *SMALL, "--resume") == 2
    assert "of other images" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    plan = json.loads((out / "plan.json").read_text())
    del plan["images_sha256"]  # as an older version left it
    (out / "plan.json").write_text(json.dumps(plan))
    assert call("paper", data, "-o", out, "--table", table, *SMALL, "--resume") == 0


def test_scores_of_another_set_are_not_taken(data: Path, tmp_path: Path) -> None:
    plan = PaperPlan(data, tmp_path / "out")
    split = load_split(plan)
    kaggle = []
    for name, side in (("one", 40), ("two", 48)):
        drawn = disks(3, side=side, seed=side)
        for sample in drawn:
            write_sample(tmp_path / name, sample, layout="kaggle")
        write_submission(tmp_path / f"{name}.csv", [(sample.image_id, sample.labels) for sample in drawn])
        kaggle.append(KaggleTest(tmp_path / name, tmp_path / f"{name}.csv"))
    scored = [score_all(plan, split, networks={}, kaggle=test)["otsu"] for test in (*kaggle, kaggle[1])]
    assert scored[0]["kaggle"] != scored[1]["kaggle"] == scored[2]["kaggle"]
    swapped = score_all(plan, Split(split.train, split.test, split.dev), networks={})["otsu"]
    assert [swapped["dev"]["pixel_iou"], swapped["test"]["pixel_iou"]] == [
        scored[0][part]["pixel_iou"] for part in ("test", "dev")
    ]


def test_two_training_images_are_enough(tmp_path: Path) -> None:
    for sample in disks(4):
        write_sample(tmp_path / "few", sample, layout="kaggle")
    assert call("paper", tmp_path / "few", "-o", tmp_path / "out", *SMALL) == 0
    assert (tmp_path / "out" / "augmented.png").is_file()


def test_test_and_solution_belong_together(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("paper", data, "-o", tmp_path / "out", *SMALL, "--test", data) == 2
    assert "--solution" in capsys.readouterr().err


def test_a_test_set_that_cannot_be_scored_is_refused_before_the_training(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test, damaged, odd, gone = (tmp_path / name for name in ("test", "damaged", "odd", "gone"))
    for folder in (test, damaged):
        write_sample(folder, disks(1, side=40)[0], layout="kaggle")
    next(damaged.rglob("images/*.png")).write_bytes(b"no picture")
    odd.mkdir()
    solution = tmp_path / "solution.csv"
    write_submission(solution, [(one.image_id, one.labels) for one in disks(1, side=40)])
    texts = {
        "other": "ImageId,EncodedPixels\nstranger,1 2\n",
        "columns": "image,code\ndisks-0,1 2\n",
        "empty": "ImageId,EncodedPixels\n",
        "large": "ImageId,EncodedPixels,Height,Width\ndisks-0,1 2,50,60\n",
        "code": "ImageId,EncodedPixels\ndisks-0,1601 2\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    for images, truth, reason in (
        (gone, solution, f"--test {gone}: no such file or folder; check the name"),
        (test, gone, f"--solution {gone}: no such file or folder; check the name"),
        (odd, solution, "is not in Kaggle's layout"),
        (damaged, solution, "disks-0.png"),
        (test, tmp_path / "other.csv", "other.csv knows no picture of"),
        (test, tmp_path / "columns.csv", "columns.csv lacks columns EncodedPixels, ImageId"),
        (test, tmp_path / "empty.csv", "empty.csv has no rows"),
        (test, tmp_path / "large.csv", "gives image disks-0 another size than"),
        (test, tmp_path / "code.csv", "code.csv, image disks-0: "),
    ):
        assert call("paper", data, "-o", tmp_path / "out", *SMALL, "--test", images, "--solution", truth) == 2
        said = capsys.readouterr().err
        assert reason in said
        assert said.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_a_killed_study_goes_on_to_the_same_networks(data: Path, tmp_path: Path) -> None:
    def study_in(folder: Path, *, stop_after: int | None = None, resume: bool = False) -> dict[str, list[object]]:
        seen = 0

        def report(draw: int, name: str, run: Run) -> None:
            nonlocal seen
            seen += 1
            if seen == stop_after:
                raise KeyboardInterrupt

        plan = PaperPlan(data, folder, width=2, epochs=2, trials=2)
        kept = train_networks(plan, load_split(plan), resume=resume, device="cpu", report=report)
        return {name: [value.tolist() for value in load_file(path).values()] for name, path in kept.items()}

    whole = study_in(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        study_in(tmp_path / "broken", stop_after=5)
    assert study_in(tmp_path / "broken", resume=True) == whole
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "broken" / "draws.journal"))
    )
    trials = optuna.load_study(study_name="paper", storage=storage).trials
    assert [trial.user_attrs["draw"] for trial in trials] == [0, 1]


def test_every_draw_is_shared_and_log_uniform() -> None:
    rates = np.array([drawn_learning_rate(0, draw, low=1e-5, high=1e-2) for draw in range(2000)])
    assert 1e-5 <= rates.min() < rates.max() <= 1e-2
    below = [(rates < 10.0**-power).mean() for power in (4, 3)]
    assert below == pytest.approx([1 / 3, 2 / 3], abs=0.04)
    assert drawn_learning_rate(0, 7, low=1e-5, high=1e-2) == rates[7]


def test_the_split_keeps_mosaics_apart(dsb_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUCLEATE_CACHE")
    split = load_split(PaperPlan(dsb_zip, tmp_path, dsb_zip.parent / "images.csv"))
    groups = [{sample.group for sample in part} for part in (split.train, split.dev, split.test)]
    assert [len(part) for part in (split.train, split.dev, split.test)] == [332, 166, 166]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_the_papers_settings_are_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    config = paper_config(PaperPlan(tmp_path, tmp_path), "base", lr=1e-3)
    assert (config.network.width, config.epochs, config.resize, config.loss) == (64, 20, 256, "bce")
    assert config.augment.displace == (0.01, 0.04)


def test_two_folds_are_refused_before_a_folder_is_made(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{one.image_id},{place % 2},m{place},drawn" for place, one in enumerate(disks(8))]
    (tmp_path / "two.csv").write_text("\n".join(["image_id,fold,mosaic,image_type", *rows]))
    assert call("paper", data, "-o", tmp_path / "out", "--table", tmp_path / "two.csv", *SMALL) == 2
    assert "all 8 images are in folds 0 and 1, which are held out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
