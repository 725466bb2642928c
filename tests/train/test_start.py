"""What a model that training starts from decides, and what a call may change of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.tiny_model import write_tiny_model

from nucleate.core.normalize import Normalizer
from nucleate.errors import UsageError
from nucleate.post.recipe import PostRecipe
from nucleate.run.scale import ScaleRule
from nucleate.run.weights import find_model, write_card
from nucleate.train.presets import settings_from
from nucleate.train.start import with_start

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = PostRecipe(split="markers", marker_level=0.4, smoothing=2.0, min_area=20)
NORMALIZER = Normalizer(ground=25.0, polarity="transmitted")


@pytest.fixture
def start(tmp_path: Path) -> str:
    onnx = write_tiny_model(tmp_path)
    card = find_model(onnx).card.model_copy(
        update={
            "recipe": RECIPE,
            "normalizer": NORMALIZER,
            "input_size": 64,
            "scale_rule": ScaleRule(smallest=7.0, largest=70.0),
            "tile": 512,
        }
    )
    write_card(onnx.with_suffix(".toml"), card)
    return str(onnx)


def test_one_number_of_a_table_leaves_the_others_to_the_model(start: str) -> None:
    changes = ["recipe.min_area=40", "normalizer.ground=10.0", "card.scale_rule.smallest=9.0"]
    made = settings_from(None, changes, init=start)
    assert made.recipe == replace(RECIPE, min_area=40)
    assert made.normalizer == replace(NORMALIZER, ground=10.0)
    assert (made.card.scale_rule, made.card.tile) == (ScaleRule(smallest=9.0, largest=70.0), 512)


def test_the_size_to_which_pictures_are_brought_is_that_of_the_model(start: str) -> None:
    assert settings_from(None, init=start).resize == 64
    assert settings_from(None, ["resize=128"], init=start).resize == 128
    assert settings_from(None, preset="finetune").resize is None


def test_what_is_given_stands_and_the_values_are_left_alone(start: str) -> None:
    values = {"init": start, "recipe": {"min_area": 40}, "epochs": 3}
    assert with_start(values)["recipe"]["smoothing"] == 2.0
    assert values == {"init": start, "recipe": {"min_area": 40}, "epochs": 3}
    assert with_start({"epochs": 3}) == {"epochs": 3}


def test_an_empty_rule_of_scales_is_no_gap_to_fill(start: str) -> None:
    made = settings_from(None, ["card.scale_rule={}"], init=start)
    assert (made.card.scale_rule, made.card.tile, made.recipe) == (ScaleRule(), 512, RECIPE)


@pytest.mark.parametrize("heading", ["card", "normalizer", "recipe", "network"])
def test_a_heading_with_nothing_under_it_says_nothing(start: str, heading: str, tmp_path: Path) -> None:
    bare, headed = tmp_path / "bare.toml", tmp_path / "headed.toml"
    bare.write_text('loss = "compound"\n')
    headed.write_text(f'loss = "compound"\n[{heading}]\n# nothing yet\n')
    made = settings_from(headed, init=start)
    assert made == settings_from(bare, init=start)
    assert (made.normalizer, made.recipe, made.card.tile) == (NORMALIZER, RECIPE, 512)


def test_empty_settings_that_no_model_decides_stay(start: str) -> None:
    assert with_start({"init": start, "calm": {}, "steps_per_epoch": None}).items() >= {
        "calm": {}, "steps_per_epoch": None,
    }.items()  # fmt: skip


def test_what_a_run_from_scratch_left_open_is_the_models(start: str, tmp_path: Path) -> None:
    scratch = settings_from(None, ["network.width=8"], preset="fast")
    (tmp_path / "config.json").write_text(scratch.model_dump_json())
    made = settings_from(tmp_path / "config.json", init=start)
    assert (made.recipe, made.resize) == (RECIPE, 64)
    assert (made.card.scale_rule, made.card.tile) == (ScaleRule(smallest=7.0, largest=70.0), 512)
    assert (made.normalizer, made.network) == (scratch.normalizer, scratch.network)  # said whole, ground = null and all


def test_the_settings_of_a_run_from_a_model_make_it_again(start: str, tmp_path: Path) -> None:
    made = settings_from(None, ["recipe.marker_level=0.5"], preset="best", init=start)
    (tmp_path / "config.json").write_text(made.model_dump_json())
    assert settings_from(tmp_path / "config.json") == settings_from(tmp_path / "config.json", init=start) == made


def test_a_preset_keeps_the_tables_that_it_has(start: str) -> None:
    best = settings_from(None, preset="best")
    made = settings_from(None, ["normalizer.polarity=keep"], preset="best", init=start)
    assert made.normalizer == replace(best.normalizer, polarity="keep")
    assert made.network == best.network
    assert (made.card.scale_rule, made.card.ground, made.card.tile) == (ScaleRule(), 25.0, 512)
    assert (made.recipe, made.resize) == (RECIPE, 64)


@pytest.mark.parametrize("table", ["card", "recipe", "normalizer", "network"])
def test_a_number_in_place_of_a_table_is_a_wrong_call(start: str, table: str) -> None:
    with pytest.raises(UsageError, match=table):
        settings_from(None, [f"{table}=5"], init=start)
