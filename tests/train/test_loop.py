"""The loop: it learns, it keeps the best, and a broken run that goes on equals the unbroken one bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.tables import rows_of
from tests.train.drawn import disks
from torch import nn

from nucleate.errors import ModelError, UsageError
from nucleate.nets.build import NetConfig
from nucleate.train.augment_config import AugmentConfig
from nucleate.train.batches import prepare
from nucleate.train.checkpoint import load_network
from nucleate.train.config import TrainConfig
from nucleate.train.loop import BEST, FINAL, Run, fit, learning_rate
from nucleate.train.validation import mask_iou

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

CONFIG = TrainConfig(
    network=NetConfig("unet", width=4, depth=2),
    augment=AugmentConfig(displace=(0.01, 0.04), noise=0.1),
    crop=32, batch=4, epochs=4, lr=3e-3, ema=0.9, schedule="cosine",
)  # fmt: skip


def _train(folder: Path, config: TrainConfig = CONFIG, *, resume: bool = False, stop_after: int | None = None) -> Run:
    atlas = prepare(disks(), config.normalizer)

    def report(run: Run) -> None:
        if len(run.history) == stop_after:
            raise KeyboardInterrupt

    return fit(config, atlas, folder=folder, validate=mask_iou(atlas, config), resume=resume, report=report)


def test_training_learns_to_find_disks(tmp_path: Path) -> None:
    network = NetConfig("flagship", width=4, depth=2).to_dict()
    config = CONFIG.replace(epochs=40, ema=0.0, lr=0.02, schedule="constant", network=network)
    run = _train(tmp_path, config)
    assert run.history[-1]["loss"] < 0.5 * run.history[0]["loss"]
    assert run.best > 0.9


@pytest.mark.parametrize(("has", "lines"), [("float32", 1), ("bfloat16", 0)])
def test_bfloat16_without_instructions_for_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, has: str, lines: int
) -> None:
    monkeypatch.setattr("nucleate.train.loop.best_precision", lambda device: has)
    _train(tmp_path, CONFIG.replace(precision="bfloat16", epochs=1))
    said = [record.getMessage() for record in caplog.records if record.name == "nucleate.train.loop"]
    assert len(said) == lines
    assert all("precision = 'float32'" in line for line in said)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "optimiser"), [("unet", "adam"), ("flagship", "adam"), ("flagship", "muon")])
def test_a_resumed_run_equals_the_unbroken_one(
    tmp_path: Path, precision: Literal["float32", "bfloat16"], name: str, optimiser: str
) -> None:
    network = NetConfig(name, width=4, depth=2).to_dict()
    config = CONFIG.replace(precision=precision, network=network, optimiser=optimiser)
    whole = _train(tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "broken", config, stop_after=2)
    resumed = _train(tmp_path / "broken", config, resume=True)
    for file in (FINAL, BEST):
        ours, theirs = load_file(tmp_path / "broken" / file), load_file(tmp_path / "whole" / file)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert [entry["loss"] for entry in resumed.history] == [entry["loss"] for entry in whole.history]


class _Noisy(nn.Sequential):
    """A network with draws of its own, as detectors have."""

    def forward(self, batch_NCHW: Tensor) -> Tensor:
        noise = 0.1 * torch.rand(()) if self.training else 0.0
        return super().forward(batch_NCHW) + noise  # type: ignore[no-any-return,no-untyped-call]  # as torch has it


def test_a_network_that_draws_goes_on_as_the_unbroken_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.train.loop.first_network", lambda config: _Noisy(nn.Conv2d(1, 1, 3, padding=1)))
    whole = _train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "broken", stop_after=2)
    resumed = _train(tmp_path / "broken", resume=True)
    assert [entry["loss"] for entry in resumed.history] == [entry["loss"] for entry in whole.history]


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    _train(tmp_path)
    before = (tmp_path / FINAL).stat().st_mtime_ns
    again = _train(tmp_path, resume=True)
    assert len(again.history) == CONFIG.epochs
    assert (tmp_path / FINAL).stat().st_mtime_ns == before


def test_the_kept_epoch_is_the_one_of_the_highest_score(tmp_path: Path) -> None:
    scores = iter([0.2, 0.9, 0.1, 0.3])
    atlas = prepare(disks(), CONFIG.normalizer)
    run = fit(CONFIG, atlas, folder=tmp_path, validate=lambda module: {"score": next(scores)})
    assert run.best == 0.9
    assert load_network(tmp_path / BEST)[2]["epoch"] == 2
    assert load_network(tmp_path / FINAL)[2]["epoch"] == 4


def test_the_history_is_a_table(tmp_path: Path) -> None:
    _train(tmp_path)
    rows = rows_of(tmp_path / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert {"loss", "lr", "score", "seconds"} <= set(rows[0])


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    _train(tmp_path)
    with pytest.raises(UsageError, match="--resume"):
        _train(tmp_path)
    with pytest.raises(UsageError, match="other settings"):
        _train(tmp_path, CONFIG.replace(lr=1e-4), resume=True)
    _train(tmp_path, CONFIG.replace(card={"description": "it trains the same"}), resume=True)


def test_a_run_that_is_done_goes_on_with_a_restart_at_its_end(tmp_path: Path) -> None:
    done = CONFIG.replace(schedule="cosine", epochs=2)
    longer = done.replace(epochs=3, restarts=(2,))
    _train(tmp_path / "parts", done)
    with pytest.raises(UsageError, match="other settings"):
        _train(tmp_path / "parts", done.replace(epochs=3, restarts=(1,)), resume=True)
    _train(tmp_path / "parts", longer, resume=True)
    _train(tmp_path / "whole", longer)
    parts, whole = (load_network(tmp_path / name / FINAL)[0].state_dict() for name in ("parts", "whole"))
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    assert '"restarts":[2]' in (tmp_path / "parts" / "config.json").read_text().replace(" ", "").replace("\n", "")


def test_the_last_epochs_may_be_calm(tmp_path: Path) -> None:
    calm = CONFIG.replace(calm={"epochs": 1, "lr": 1e-3, "plain": 1.0, "zoom": (0.9, 1.1)})
    assert calm.during(2) == calm
    assert calm.replace(epochs=1, calm={"epochs": 9, "plain": 1.0}).during(0).augment.plain == 1.0
    late = calm.during(3)
    assert (late.lr, late.augment.plain, late.augment.zoom) == (1e-3, 1.0, (0.9, 1.1))
    assert (late.augment.noise, late.augment.displace) == (CONFIG.augment.noise, CONFIG.augment.displace)
    as_before, run = (
        _train(tmp_path / name, one).history for name, one in (("plain", CONFIG.replace(restarts=(3,))), ("calm", calm))
    )
    same = [[(one["loss"], one["lr"]) for one in history] for history in (as_before, run)]
    assert same[0][:3] == same[1][:3]
    assert same[0][3][0] != same[1][3][0]
    assert calm.falls == (0, 3, 4)
    once = CONFIG.replace(epochs=1, lr=1e-3)
    assert [learning_rate(late, step, steps=40) for step in range(30, 40)] == [
        learning_rate(once, step, steps=10) for step in range(10)
    ]
    assert CONFIG.replace(calm={"epochs": 1, "plain": 1.0}).falls == (0, 4)


@pytest.mark.parametrize("before", [None, {"epochs": 1, "plain": 1.0}])
def test_a_run_that_is_done_goes_on_with_calm_epochs_alone_that_lie_ahead(
    tmp_path: Path, before: dict[str, object] | None
) -> None:
    done = CONFIG.replace(epochs=2, calm=before)
    longer = done.replace(epochs=3, restarts=(2,), calm={"epochs": 2 if before else 1, "plain": 1.0})
    _train(tmp_path / "parts", done)
    for wrong in ({"epochs": 3, "plain": 1.0}, {"epochs": 2, "plain": 0.5}):
        with pytest.raises(UsageError, match="other settings"):
            _train(tmp_path / "parts", longer.replace(calm=wrong), resume=True)
    _train(tmp_path / "parts", longer, resume=True)
    _train(tmp_path / "whole", longer)
    parts, whole = (load_network(tmp_path / name / FINAL)[0].state_dict() for name in ("parts", "whole"))
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


def test_a_run_goes_on_when_only_what_follows_the_network_is_other(tmp_path: Path) -> None:
    done = CONFIG.replace(epochs=1, recipe={"min_area": 20})
    before = _train(tmp_path, done).history
    assert _train(tmp_path, done.replace(recipe={"min_area": 40}), resume=True).history == before


def test_a_damaged_state_is_one_line(tmp_path: Path) -> None:
    _train(tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot read the weights") as caught:
        _train(tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_resumed_run_with_another_network_is_a_wrong_call_that_says_what_differs(tmp_path: Path) -> None:
    _train(tmp_path, CONFIG.replace(epochs=1))
    wider = CONFIG.replace(epochs=1, network=NetConfig("unet", width=6, depth=2).to_dict())
    with pytest.raises(UsageError, match=r"other settings: network was .*'width': 4.*, is now .*'width': 6"):
        _train(tmp_path, wider, resume=True)


@pytest.mark.parametrize(
    ("tensors", "header"),
    [("strange", None), ("weights.strange", None), ("optimiser.one", None), (None, {}), (None, {"facts": "{}"})],
)
def test_a_foreign_state_is_one_line(tmp_path: Path, tensors: str | None, header: dict[str, str] | None) -> None:
    _train(tmp_path, CONFIG.replace(epochs=1))
    state = tmp_path / "state.safetensors"
    with safe_open(state, "pt") as stream:
        facts = stream.metadata()
    kept = load_file(state) if tensors is None else {tensors: torch.ones(1)}
    save_file(kept, state, facts if header is None else header)
    with pytest.raises(ModelError, match=r"state\.safetensors: not ") as caught:
        _train(tmp_path, CONFIG.replace(epochs=1), resume=True)
    assert "\n" not in str(caught.value)


def test_learning_rates_warm_up_and_fall() -> None:
    config = CONFIG.replace(lr=1.0)
    rates = [learning_rate(config, step, steps=100) for step in range(100)]
    assert rates[0] == 0.5
    assert max(rates) == rates[2] == 1.0
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert learning_rate(config.replace(schedule="constant"), 50, steps=100) == 1.0


def test_restarts_begin_the_cosine_anew() -> None:
    config = CONFIG.replace(schedule="cosine", epochs=10, lr=1.0, restarts=(4,))
    rates = [learning_rate(config, step, steps=100) for step in range(100)]
    first = CONFIG.replace(schedule="cosine", epochs=4, lr=1.0)
    assert rates[:40] == [learning_rate(first, step, steps=40) for step in range(40)]
    second = CONFIG.replace(schedule="cosine", epochs=6, lr=1.0)
    assert rates[40:] == [learning_rate(second, step, steps=60) for step in range(60)]


@pytest.mark.parametrize(
    "wrong", [{"restarts": (4, 4)}, {"restarts": (10,)}, {"restarts": (3,), "schedule": "constant"}]
)
def test_restarts_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="restarts"):
        CONFIG.replace(**{"schedule": "cosine", "epochs": 10, **wrong})
