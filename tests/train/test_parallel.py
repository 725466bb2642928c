"""Two processes on one run compute what one computes on the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.tables import rows_of
from tests.train.drawn import disks

import nucleate
from nucleate.apps.cli.training_options import import_training
from nucleate.errors import UsageError
from nucleate.nets.build import NetConfig
from nucleate.train import parallel
from nucleate.train.augment_config import AugmentConfig
from nucleate.train.batches import make_batch, prepare
from nucleate.train.config import TrainConfig
from nucleate.train.loop import FINAL, fit
from nucleate.train.validation import mask_iou

# With normalisation and the Dice loss, which both look at the whole batch.
CONFIG = TrainConfig(
    network=NetConfig("flagship", channels_out=3, width=6, depth=2), maps=("mask", "border", "distance"),
    loss="compound", augment=AugmentConfig(displace=(0.01, 0.04), noise=0.1, blur=1.0),
    crop=32, batch=4, steps_per_epoch=4, epochs=3, lr=3e-3, ema=0.9, shards=2,
)  # fmt: skip

TOLD = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

SCRIPT = """
import sys, warnings
warnings.filterwarnings("error", message=".*broadcast_buffers")
from pathlib import Path
from tests.train.test_parallel import CONFIG, train
from nucleate.train import parallel
with parallel.joined("cpu") as device:
    assert device == "cpu" and parallel.size() == 2
    train(Path(sys.argv[1]), CONFIG, resume="--resume" in sys.argv)
threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
assert not [name for name in threads if "gloo" in name], threads  # one that outlives the group may abort the process
"""


def train(folder: Path, config: TrainConfig, *, resume: bool = False) -> None:
    atlas = prepare(disks(), config.normalizer)
    fit(config, atlas, folder=folder, validate=mask_iou(atlas, config), resume=resume)


def _in_two_processes(folder: Path, script: Path, *words: str) -> None:
    script.write_text(SCRIPT)
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    paths = (Path(__file__).resolve().parents[2], Path(nucleate.__file__).parents[1])
    plain = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*call, str(folder), *words],
        cwd=script.parent,
        env=os.environ | plain,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    train(tmp_path / "one", CONFIG)
    _in_two_processes(tmp_path / "two", tmp_path / "script.py")
    one, two = load_file(tmp_path / "one" / FINAL), load_file(tmp_path / "two" / FINAL)
    assert one.keys() == two.keys()
    apart = {name: float((two[name].double() - value.double()).abs().max()) for name, value in one.items()}
    assert {name: gap for name, gap in apart.items() if gap > 1e-4} == {}
    runs = [rows_of(tmp_path / run / "history.csv") for run in ("one", "two")]
    losses = [[float(row["loss"]) for row in rows] for rows in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[0][-1] < losses[0][0]


def test_a_divided_batch_is_its_parts() -> None:
    atlas = prepare(disks(), CONFIG.normalizer)
    whole = make_batch(atlas, CONFIG, step=5)
    parts = [make_batch(atlas, CONFIG, step=5, shards=[shard]) for shard in (0, 1)]
    assert torch.equal(torch.cat([part.batch_NCHW for part in parts]), whole.batch_NCHW)
    assert torch.equal(torch.cat([part.targets_NCHW for part in parts]), whole.targets_NCHW)
    assert whole.weights_NHW is not None
    assert whole.weights_NHW.shape == (4, 32, 32)
    assert not torch.equal(parts[0].batch_NCHW, parts[1].batch_NCHW)


def test_alone_nothing_is_shared() -> None:
    module = torch.nn.BatchNorm2d(2)
    assert (parallel.rank(), parallel.size()) == (0, 1)
    assert parallel.share(module, shards=1) is module
    values = torch.ones(3)
    assert parallel.across(values) is values
    with parallel.joined("cpu") as device:
        assert device == "cpu"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE = 4, but RANK is not set; start with torchrun, or unset WORLD_SIZE"),
        ({"WORLD_SIZE": "all", **dict.fromkeys(TOLD, "0")}, "WORLD_SIZE = all, but that is no number"),
    ],
)
def test_half_of_what_torchrun_tells_is_a_wrong_call(
    told: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said), parallel.joined("cpu"):
        pass


def test_what_cannot_be_shared_is_not_begun_by_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", **dict.fromkeys(TOLD, "0")}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="torchrun is for nucleate train alone"):
        import_training("cpu", None)
    assert import_training("cpu", None, shared=True) == "cpu"


def test_parts_that_cannot_be_dealt_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 2)
    with pytest.raises(UsageError, match="--set shards=2"):
        parallel.share(torch.nn.Identity(), shards=3)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        CONFIG.replace(steps_per_epoch=None)
    with pytest.raises(ValueError, match="divide batch"):
        CONFIG.replace(shards=3)
