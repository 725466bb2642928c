"""What the training verbs share."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.calls import CALLS

from nucleate.apps.cli.training_options import repeated, table_beside

pytestmark = pytest.mark.base

_CALLS = CALLS + 'sys.exit("torch" in sys.modules)'


def test_a_call_can_be_repeated_and_tells_no_folders_of_the_machine() -> None:
    told = repeated(
        "crossval", Path("/home/me/my set.zip"), output="cross", config=Path("/home/me/tiny.toml"),
        then=Path("/home/me/nucleate/configs/long.toml"), table=Path("/home/me/fields.csv"), folds="", init=None,
        lr=3e-4, seed=0, set=["crop=64", "epochs=1"],
    )  # fmt: skip
    assert told == (
        "nucleate crossval 'my set.zip' -o cross --config tiny.toml --then configs/long.toml --table fields.csv "
        "--lr 0.0003 --seed 0 --set crop=64 --set epochs=1"
    )


def test_a_call_tells_relative_paths_as_they_were_typed() -> None:
    told = repeated(
        "tune", Path("sets/my set.zip::train"), model=Path("run/mine.onnx"), output="TUNED", val=Path("0.2"),
        config=Path("mine/configs/long.toml"), init=Path("./a/../b.onnx"), then=Path("../configs/long.toml"),
        table=Path("sets/../../me/fields.csv"),
    )  # fmt: skip
    assert told == (
        "nucleate tune 'sets/my set.zip::train' -o TUNED --model run/mine.onnx --val 0.2 "
        "--config mine/configs/long.toml --init a/../b.onnx --then configs/long.toml --table fields.csv"
    )


def test_the_folder_one_is_in_has_a_name_and_a_table_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "set")
    for here in (Path(), Path("images/..")):
        told = repeated("train", here, output=here, lr=0.000123456789, val=here, table=Path("../fields.csv"))
        assert told == "nucleate train set -o set --lr 0.000123456789 --val set --table fields.csv"
        assert table_beside(here) == tmp_path / "images.csv"
    assert table_beside(Path("../set")) == Path("../images.csv")


def test_what_the_words_alone_tell_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    data, gone = str(tmp_path), str(tmp_path / "gone")
    (tmp_path / "net.toml").touch()
    with_config = ["--config", str(tmp_path / "net.toml")]
    refused = {
        "give at least three different ones": [["ablate", data, "--folds", folds] for folds in ("0", "0,1", "0,1,1")],
        "is less than one batch": [["ablate", data, "--budget", "3"]],
        "give whole numbers with commas": [
            [verb, data, *with_config, "--folds", "x"] for verb in ("crossval", "stress")
        ] + [["ablate", data, "--folds", "0,1,x"]],
        "give the number of a fold or all": [["crossval", data, *with_config, "--network", "x"]],
        "no change 'x'; choose of": [["stress", data, *with_config, "--only", "x"]],
        "give the number of a fold, a share": [
            [verb, data, "--val", val] for verb in ("train", "search") for val in (gone, "1.5")
        ],
        "no name for a model": [["train", data, "--name", "a/b"]],
        "gone: no such file; give a TOML": [
            [verb, data, "--config", gone] for verb in ("train", "search", "crossval", "stress", "benchmark")
        ],
        "no preset 'x'; there are best, fast": [[verb, data, "--preset", "x"] for verb in ("train", "search")],
        "--set 'x'; use key=value": [[verb, data, "--set", "x"] for verb in ("train", "search")],
        "there is no setting network.x": [[verb, data, "--set", "network.x=1"] for verb in ("train", "search")],
        "epochs: Input should be greater": [[verb, data, "--set", "epochs=0"] for verb in ("train", "search")],
        "mask-rcnn gives no maps for a model; use nucleate ablate": [
            [verb, data, "--set", "network={name='mask-rcnn'}", "--set", "maps=['labels']"]
            for verb in ("train", "search")
        ],
        "no model 'x'": [["train", data, "--init", "x"]],
        "no idea 'x'; choose of": [["ablate", data, "--only", "clean,x"]],
        f"--table {gone}: no such file": [["paper", data, "--table", gone]],
        f"--test {gone}: no such file": [["paper", data, "--test", gone, "--solution", data]],
        f"--solution {gone}: no such file": [["paper", data, "--test", data, "--solution", gone]],
        "b/c: an address": [["paper", data, "--table", "s3://b/c"], ["train", data, "--config", "s3://b/c"]],
        f"nothing at {gone}": [
            [verb, gone, *with_config] for verb in ("train", "search", "crossval", "stress", "benchmark")
        ] + [["ablate", gone], ["paper", gone]],
    }  # fmt: skip
    calls = [[*words, "-o", str(tmp_path / "out")] for words in (one for some in refused.values() for one in some)]
    ended = subprocess.run(
        [sys.executable, "-c", _CALLS, json.dumps(calls)], capture_output=True, text=True, check=False
    )
    said = ended.stderr.splitlines()
    assert said[1::2] == ["2"] * len(calls)
    wanted = [text for text, some in refused.items() for _ in some]
    assert [text for text, line in zip(wanted, said[::2], strict=True) if text not in line] == []
    assert ended.returncode == 0, "torch was loaded"
