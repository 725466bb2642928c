"""Settings check themselves, and the committed ones are those that the program runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nucleate.core.normalize import Normalizer
from nucleate.errors import UsageError
from nucleate.nets import build
from nucleate.nets.build import NetConfig
from nucleate.post.recipe import PostRecipe
from nucleate.study.paper import NETWORKS, PaperPlan, paper_config
from nucleate.train.augment_config import AugmentConfig, CalmConfig
from nucleate.train.config import CardConfig, TrainConfig, load_config, parse_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_settings_are_valid(path: Path) -> None:
    assert load_config(path).network.channels_out == len(load_config(path).maps)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_papers_settings_are_those_of_the_study(name: str) -> None:
    plan = PaperPlan(Path("data"), Path("out"), precision="bfloat16")
    config = load_config(CONFIGS / f"paper-{name}.toml")
    assert config == paper_config(plan, name, lr=config.lr)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"learning": 1}, "there is no setting learning; see"),
        ({"epoch": 1}, r"there is no setting epoch; did you mean epochs\?; see"),
        ({"network": {"widht": 1}}, r"there is no setting network\.widht; did you mean network\.width"),
        ({"calm": {"epochs": 1, "zom": [1.0, 1.0]}}, r"calm\.zom; did you mean calm\.zoom\?; see"),
        ({"calm": {"epochs": 1, "other": 1}}, r"there is no setting calm\.other; see"),
        ({"augment": {"offset": [2.0, 1.0]}}, r"offset: need low <= high; got 2\.0, 1\.0; see"),
        ({"augment": {"zoom": 3}}, r"augment\.zoom: Input should be a list in brackets, got 3; see"),
        ({"lr": -1}, "lr: .*, got -1;"),
        ({"maps": ["mask", "border"]}, "channels_out"),
        ({"maps": ["nucleus"]}, "choose of"),
        ({"resize": 62}, "resize must be a multiple of 16"),
        ({"network": {"name": "alexnet"}}, "unknown network"),
        ({"network": {"channels_in": 3}}, "channels_in"),
        ({"augment": {"zoom": [2.0, 1.0]}}, "zoom"),
        ({"calm": {"epochs": 1, "plain": 2}}, "calm.plain"),
        ({"lr": float("inf")}, "lr: "),
        ({"augment": {"blur": float("inf")}}, "augment.blur: "),
        ({"epochs": "many"}, "epochs: .*, got 'many';"),
        ({"crop": 16, "network": {"depth": 5}}, "crop must be 32 or more"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(values: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        parse_config(values, "run.toml")
    assert str(caught.value).startswith("run.toml: ")
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("lr = = 3")
    with pytest.raises(UsageError, match="cannot read the configuration"):
        load_config(tmp_path / "x.toml")
    with pytest.raises(UsageError, match="cannot read the configuration"):
        load_config(tmp_path / "none.toml")


def test_the_settings_that_a_training_left_are_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(TrainConfig(lr=0.25).model_dump_json())
    assert load_config(tmp_path / "config.json") == TrainConfig(lr=0.25)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"config\.json: got list where settings have names; give a TOML file"):
        load_config(tmp_path / "config.json")


def test_settings_survive_json() -> None:
    config = TrainConfig()
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    "settings", [TrainConfig, AugmentConfig, CalmConfig, CardConfig, NetConfig, Normalizer, PostRecipe]
)
def test_the_reference_names_every_setting(settings: type) -> None:
    page = (CONFIGS.parent / "docs" / "reference" / "training.md").read_text(encoding="utf-8")
    names = [
        name
        for name in settings.__annotations__
        if name not in {"model_config", "network", "normalizer", "augment", "calm", "card"}
    ]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_reference_names_every_network() -> None:
    page = (CONFIGS.parent / "docs" / "reference" / "training.md").read_text(encoding="utf-8")
    assert [name for name in [*build.NETWORKS, *build.DETECTORS] if f"| `{name}` |" not in page] == []
