"""Ready-made settings and how settings are put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from nucleate.errors import UsageError
from nucleate.train.config import load_config
from nucleate.train.device import best_precision
from nucleate.train.presets import changed, for_machine, preset_names, read_preset, settings_from


def test_presets_are_there_and_hold() -> None:
    assert preset_names() == ["best", "fast", "finetune"]
    for name in ("best", "fast"):
        settings = settings_from(None, preset=name)
        assert settings.network.name == "flagship"
        assert for_machine(settings, "cpu").precision == best_precision("cpu")
    assert read_preset("finetune")["init"] == "nucleate"
    assert settings_from(None) == settings_from(None, preset="fast")


def test_the_best_preset_is_the_network_that_ships() -> None:
    best = settings_from(None, preset="best")
    shipped = load_config(Path(__file__).parents[2] / "configs" / "flagship.toml")
    for name in ("network", "normalizer", "augment", "maps", "stains", "loss", "optimiser", "balance"):
        assert getattr(best, name) == getattr(shipped, name), name
    assert (best.card.ground, best.card.scale_rule) == (shipped.card.ground, shipped.card.scale_rule)


def test_changes_reach_into_tables_and_leave_the_values_alone() -> None:
    values = {"network": {"width": 4}, "epochs": 1}
    assert changed(values, ["network.width=8", "augment.noise=0.1", "epochs=3", "precision=bfloat16"]) == {
        "network": {"width": 8}, "augment": {"noise": 0.1}, "epochs": 3, "precision": "bfloat16",
    }  # fmt: skip
    assert values == {"network": {"width": 4}, "epochs": 1}


@pytest.mark.parametrize(
    ("change", "named"), [("epochs", "key=value"), ("epochs.x=1", "no table"), ("=1", "key=value")]
)
def test_changes_that_cannot_be_are_refused(change: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        changed({"epochs": 1}, [change])


def test_a_file_and_a_preset_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        settings_from(tmp_path / "x.toml", preset="fast")
    with pytest.raises(UsageError, match="no preset 'slow'"):
        settings_from(None, preset="slow")
    with pytest.raises(UsageError, match="epochs"):
        settings_from(None, ["epochs=0"])


def test_a_run_keeps_its_precision_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(settings_from(None, ["precision=bfloat16"]).model_dump_json())
    monkeypatch.setattr("nucleate.train.device.best_precision", lambda device: "float32")
    fast, asked = settings_from(None), settings_from(None, ["precision=float32"])
    assert for_machine(fast, "cpu", begun=tmp_path).precision == "bfloat16"
    assert (
        for_machine(fast, "cpu", begun=tmp_path / "none").precision == for_machine(fast, "cpu").precision == "float32"
    )
    assert for_machine(asked, "cpu", begun=tmp_path).precision == "float32"


def test_a_file_says_all_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.toml"
    path.write_text("epochs = 7\n", encoding="utf-8")
    monkeypatch.setattr("nucleate.train.device.best_precision", lambda device: "bfloat16")
    settings = for_machine(settings_from(path, ["lr=0.5"]), "cuda", config=path)
    assert (settings.epochs, settings.lr, settings.precision, settings.network.name) == (7, 0.5, "float32", "unet")
