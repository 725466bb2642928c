"""nucleate train: from a folder of annotated pictures to a model that segments."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.train.drawn import disks

from nucleate.apps.cli.main import main
from nucleate.data.write import write_sample

TINY = ("network.name=flagship", "network.width=4", "network.depth=2", "crop=32", "batch=4", "epochs=2", "lr=0.02")
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "first.toml"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "annotated"
    for sample in disks(8):
        write_sample(folder, sample, layout="labels")
    return folder


def _run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def _train(data: Path, run: Path, *words: object, settings: tuple[str, ...] = TINY) -> int:
    changes = [word for change in settings for word in ("--set", change)]
    return _run("train", data, "-o", run, *changes, "--device", "cpu", "--threads", "1", *words)


def test_a_trained_model_segments(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert _train(data, run, "--val", "1", "--name", "mine") == 0
    said = capsys.readouterr()
    assert "epoch 2/2" in said.err
    assert "min left" in said.err
    assert "held-out images" in said.out
    picture = next((data / "images").iterdir())
    assert _run("segment", picture, "-o", tmp_path / "out", "--model", run / "mine.onnx", "--quiet") == 0
    with (tmp_path / "out" / "summary.csv").open() as stream:
        assert [row["status"] for row in csv.DictReader(stream)] == ["ok"]


def test_a_configuration_file_can_be_changed_in_places(data: Path, tmp_path: Path) -> None:
    less = (*TINY, "steps_per_epoch=1", 'precision="float32"', "ema=0.0")
    assert _train(data, tmp_path / "run", "--config", CONFIG, "--quiet", settings=less) == 0
    assert (tmp_path / "run" / "model.toml").read_text().count("border") >= 1


def test_other_data_can_be_held_out(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    for sample in disks(3, seed=5):
        write_sample(other, sample, layout="labels")
    assert _train(data, tmp_path / "run", "--val", other, "--quiet") == 0
    assert "on 3 held-out images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--val", "nine"), "--val"),
        (("--val", "9"), "no fold 9"),
        (("--set", "epochs"), "key=value"),
        (("--set", "epochs=0"), "epochs"),
        (("--set", "colour=1"), "colour"),
        (("--device", "tpu"), "--device"),
    ],
)
def test_wrong_calls_are_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str
) -> None:
    assert _train(data, tmp_path / "run", *words) in {1, 2}
    error = capsys.readouterr().err.strip()
    assert named in error
    assert "\n" not in error
