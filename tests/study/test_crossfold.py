"""Cross-validation from the folder of images to the tables: no picture is scored by a network that saw it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import Mock

import numpy as np
import PIL.Image
import pytest
from tests.calls import call
from tests.tables import rows_of
from tests.train.drawn import disks

from nucleate.core.toml import toml_text
from nucleate.data import cache as store
from nucleate.data.write import write_sample
from nucleate.errors import DataError, UsageError
from nucleate.nets.build import NetConfig
from nucleate.report.figures import draw_panels
from nucleate.run.weights import find_model, write_card
from nucleate.study import crossfold
from nucleate.study.crossfold import (
    CrossResult,
    check_shipped,
    load_fold,
    read_endings,
    run_crossfold,
    ship_model,
    train_on_all,
)
from nucleate.study.crossfold_plan import ALL, CrossPlan
from nucleate.study.crossfold_table import write_results
from nucleate.study.stress import HOW_STUDY, run_stress, write_stress
from nucleate.train import finish
from nucleate.train.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.run.weights import ModelCard

CONFIG = TrainConfig(
    network=NetConfig("unet", channels_out=3, width=4, depth=2), maps=("mask", "border", "distance"),
    loss="compound", crop=32, batch=4, epochs=2, lr=1e-2,
)  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> CrossPlan:
    folder = tmp_path_factory.mktemp("cross")
    samples = disks(8)
    for sample in samples:
        write_sample(folder / "data", sample, layout="labels")
    table = folder / "images.csv"
    lines = [f"{s.image_id},{s.group},{index % 2},{s.kind}" for index, s in enumerate(samples)]
    table.write_text("\n".join(["image_id,mosaic,fold,image_type", *lines]))
    return CrossPlan(folder / "data", folder / "out", table, config=CONFIG)


@pytest.fixture
def cached(plan: CrossPlan, monkeypatch: pytest.MonkeyPatch) -> CrossPlan:
    monkeypatch.setenv("NUCLEATE_CACHE", str(plan.out.parent / "cache"))
    return plan


def test_a_study_from_pictures_to_model(cached: CrossPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = cached
    seen: list[tuple[set[str], set[str]]] = []
    train = finish.train_network

    def watched(run: Path, config: TrainConfig, **words: object) -> None:
        ids = [{one.image_id for one in words[side]} for side in ("samples", "held")]  # type: ignore[attr-defined]
        seen.append((ids[0], ids[1]))
        train(run, config, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(crossfold, "train_network", watched)
    result = run_crossfold(plan)
    assert [held & trained for trained, held in seen] == [set(), set()]
    assert set.union(*(held for _, held in seen)) == {one.image_id for one in result.stored}
    assert [one.image_id for one in result.samples] == [one.image_id for one in result.stored]
    for one, sample in zip(result.stored, result.samples, strict=True):
        fold = load_fold(plan, f"fold-{one.fold}", ending=result.ending)
        np.testing.assert_allclose(one.maps_CHW, fold.maps(sample.image), atol=1e-3)
    text = write_results(plan, result, command="nucleate crossval data", took="a second")
    assert "| **all** | 8 | 8 |" in text
    assert {path.name for path in (plan.out / "results").iterdir()} >= {"table.md", "scores.json", "worst.jpg"}
    rows = rows_of(plan.out / "results" / "per-image.csv")
    whole = json.loads((plan.out / "results" / "scores.json").read_text())["kaggle"]
    assert np.mean([float(row["kaggle"]) for row in rows]) == pytest.approx(whole, abs=1e-4)
    with PIL.Image.open(plan.out / "results" / "worst.jpg") as sheet:
        assert sheet.format == "JPEG"
    assert set(read_endings(plan.out)) == {"fold-0", "fold-1", ALL}
    seen.clear()
    again = run_crossfold(plan)
    assert seen == []
    assert again.found.kept == result.found.kept
    train_on_all(plan, resume=False, report=lambda name, run: None)
    assert len(seen[0][0]) == 8
    said = replace(plan, config=CONFIG.replace(card={"description": "eight disks", "tile": 512}))
    made = {path: path.stat().st_mtime_ns for path in plan.out.glob("maps/*/*")}
    path = ship_model(said, run_crossfold(said), network=ALL, name="mine", command="nucleate crossval data --ship mine")
    assert {path: path.stat().st_mtime_ns for path in plan.out.glob("maps/*/*")} == made
    card = find_model(path).card
    assert (card.recipe, card.description, card.tile) == (result.ending.recipe, "eight disks", 512)
    check_shipped(said, network=ALL, name="mine")
    _refuse_a_tuned_card(said, result, path)
    write_card(path.with_suffix(".toml"), card.model_copy(update={"trained_on": (card.trained_on or ())[1:]}))
    with pytest.raises(UsageError, match=r"mine\.onnx is none of this study's and would be overwritten"):
        check_shipped(said, network=ALL, name="mine")
    with pytest.raises(UsageError, match="another maps"):
        run_crossfold(
            CrossPlan(plan.data, plan.out, plan.table, config=CONFIG.replace(maps=("mask", "edge", "inside")))
        )
    _refuse_others(plan)
    rows_ = run_stress(plan, count=2, only=["inverted", "rescaled", "colour-shifted"])
    # Grey pictures have no hue to turn.
    levels = [row.change.level for row in rows_ if row.change.name == "colour-shifted"]
    assert levels == ["warm light: blue at 70 %", "shown in blue alone"]
    folder, write = plan.out / "results", partial(write_stress, how=HOW_STUDY, device="cpu", command="nucleate stress")
    told = write(folder, rows_)
    assert "| inverted | - | 4 |" in told
    written = [path.read_bytes() for path in sorted(folder.glob("stress*"))]
    some = write(folder, rows_[:1], called="stress-part")
    assert "`stress-part.csv` has" in some
    assert [path.read_bytes() for path in sorted(folder.glob("stress.*"))] == written


def _refuse_a_tuned_card(plan: CrossPlan, result: CrossResult, path: Path) -> None:
    """See that texts written into a card by hand stay in it, and that numbers chosen since are not written over."""
    card = find_model(path).card
    by_hand = card.model_copy(update={"licence": "CC-BY-4.0", "description": "mine"})
    write_card(path.with_suffix(".toml"), by_hand)
    check_shipped(plan, network=ALL, name="mine")
    ship_model(plan, result, network=ALL, name="mine", command=card.command)
    assert find_model(path).card == card.model_copy(update={"licence": "CC-BY-4.0"})  # the settings have a description
    numbers = {"recipe": replace(card.recipe, min_area=card.recipe.min_area + 1), "scores": {"kaggle": 0.9}}
    for name, value in numbers.items():
        write_card(path.with_suffix(".toml"), find_model(path).card.model_copy(update={name: value}))
        with pytest.raises(UsageError, match=r"mine\.toml was changed since it was written"):
            check_shipped(plan, network=ALL, name="mine")
        with pytest.raises(UsageError, match=r"mine\.toml was changed since it was written"):
            ship_model(plan, result, network=ALL, name="mine")
        write_card(path.with_suffix(".toml"), card)
    _of_other_endings(plan, card.model_copy(update={"recipe": numbers["recipe"]}), path.with_suffix(".toml"))
    write_card(path.with_suffix(".toml"), card)


def _of_other_endings(plan: CrossPlan, tuned: ModelCard, path: Path) -> None:
    """See that another call of the study changes no card, and that older cards are compared with its endings."""
    endings = plan.out / "endings.json"
    before = endings.read_text()
    values = json.loads(before)
    values[ALL]["min_confidence"] = 0.987
    endings.write_text(json.dumps(values))
    check_shipped(plan, network=ALL, name="mine")
    endings.write_text(before)
    write_card(path, tuned.model_copy(update={"sha256_card": None}))
    with pytest.raises(UsageError, match=r"mine\.toml has another recipe or confidence than \S*endings\.json"):
        check_shipped(plan, network=ALL, name="mine")


def _refuse_others(plan: CrossPlan) -> None:
    """See that a table of changes is made with the settings and folds of the study alone."""
    with pytest.raises(UsageError, match="fold-0 was trained with another lr"):
        run_stress(replace(plan, config=CONFIG.replace(lr=0.5)), count=2)
    swapped = plan.out.parent / "swapped.csv"
    swapped.write_text(re.sub(r",([01]),", lambda found: f",{1 - int(found[1])},", (plan.table or swapped).read_text()))
    with pytest.raises(UsageError, match=r"fold-0 was begun on other .*; give the same DATA and --table"):
        run_stress(replace(plan, table=swapped), count=2)


def _small(folder: Path, folds: str, *, empty: Sequence[int] = (), **changes: object) -> CrossPlan:
    """Make a plan of pictures of 24 pixels, one for each digit of `folds`, some of them without nuclei."""
    samples = disks(len(folds), side=24)
    for place in empty:
        samples[place] = replace(samples[place], labels=samples[place].labels * 0)
    for sample in samples:
        write_sample(folder / "data", sample, layout="labels")
    lines = [f"{s.image_id},{s.group},{fold}," for s, fold in zip(samples, folds, strict=True)]
    (folder / "images.csv").write_text("\n".join(["image_id,mosaic,fold,image_type", *lines]))
    network = {**CONFIG.network.to_dict(), "width": 2, "depth": 5}
    config = CONFIG.replace(network=network, epochs=1, **changes)
    return CrossPlan(folder / "data", folder / "out", folder / "images.csv", config=config)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cache")
def test_small_pictures_and_a_fold_of_one_field_are_enough(tmp_path: Path) -> None:
    plan = _small(tmp_path, "001")
    result = run_crossfold(plan)
    assert [len(part) for part in result.found.parts] == [2, 1]
    path = ship_model(plan, result, network="fold-0", name="small")
    assert find_model(path).read_int8() is None  # the network asks for 32 pixels a side


@pytest.mark.usefixtures("cache")
def test_a_fold_may_be_a_negative_control(tmp_path: Path) -> None:
    plan = _small(tmp_path, "0122", empty=[0])
    result = run_crossfold(plan)
    assert [one.nuclei_true > 0 for one in result.found.kept] == [False, True, True, True]
    table = write_results(plan, result, command="nucleate crossval data", took="a second")
    assert "nan" not in table
    assert re.search(r"\| fold 0 \| 1 \| 1 \| 0 \| [01]\.\d{3} \[-\] \|", table)
    _see_a_part(plan)


def _see_a_part(plan: CrossPlan) -> None:
    """See that a call of some folds leaves what was written of all, and that a figure of nothing does not stay."""
    results = plan.out / "results"
    written = {path: path.read_bytes() for path in [plan.out / "endings.json", *results.iterdir()]}
    some = replace(plan, folds=(2,))
    (plan.out / "results-part").mkdir()
    (plan.out / "results-part" / "reliability.png").touch()  # of a call with nuclei enough to predict by
    table = write_results(some, run_crossfold(some), command="nucleate crossval data --folds 2", took="a second")
    assert {path: path.read_bytes() for path in [plan.out / "endings.json", *results.iterdir()]} == written
    assert (plan.out / "results-part" / "table.md").read_text() == table
    assert not (plan.out / "results-part" / "reliability.png").exists()
    assert set(read_endings(plan.out)) == {"fold-0", "fold-1", "fold-2", ALL}
    (plan.out / "endings.json").unlink()
    assert set(read_endings(plan.out)) == {"half-0", "half-1", ALL}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("folds", "empty", "held", "said"),
    [
        ("0011", [2, 3], (), "no nucleus in 2 annotated images held out beside fold 0, the first is disks-2"),
        ("0112", [0, 3], (0, 2), "no nucleus in 2 annotated images, the first is disks-0"),
        ("012", [1, 2], (0, 1), "no nucleus in 1 annotated images held out beside fold 0, the first is disks-1"),
    ],
)
def test_folds_without_nuclei_beside_them_are_named(
    folds: str, empty: list[int], held: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    plan = replace(_small(tmp_path, folds, empty=empty), folds=held)
    with pytest.raises(DataError, match=said):
        run_crossfold(plan)
    assert not plan.out.exists()


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("folds", "held", "said"),
    [("001", (1,), "1 held-out pictures of one field of view"), ("00", (), "all 2 images are in fold 0")],
)
def test_what_cannot_be_ended_is_not_begun(folds: str, held: tuple[int, ...], said: str, tmp_path: Path) -> None:
    plan = replace(_small(tmp_path, folds), folds=held)
    with pytest.raises((DataError, UsageError), match=said):
        run_crossfold(plan)
    assert not plan.out.exists()


@pytest.mark.usefixtures("cache")
def test_a_fold_whose_settings_are_damaged_is_refused_in_one_line(tmp_path: Path) -> None:
    plan = _small(tmp_path, "0011")
    (plan.out / "fold-1").mkdir(parents=True)
    (plan.out / "fold-1" / "config.json").write_text(plan.config.model_dump_json()[:100])
    with pytest.raises(UsageError, match=r"^\S*config\.json: cannot read the configuration: [^\n]+$"):
        run_crossfold(plan)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("field", ["lr", "seed", "normalizer"])
def test_a_fold_of_other_settings_is_refused_before_any_is_trained(field: str, tmp_path: Path) -> None:
    plan = _small(tmp_path, "0011")
    others = {"lr": 0.5, "seed": 3, "normalizer": {"scaling": "range"}}
    (plan.out / "fold-1").mkdir(parents=True)
    (plan.out / "fold-1" / "config.json").write_text(plan.config.replace(**{field: others[field]}).model_dump_json())
    with pytest.raises(UsageError, match=f"fold-1 was trained with another {field}; give its settings"):
        run_crossfold(plan)
    assert [path.name for path in plan.out.iterdir()] == ["fold-1"]


@pytest.mark.parametrize("verb", [["crossval", "--ship", "once", "--network", "0", "--resume"], ["stress"]])
def test_pictures_are_loaded_once(
    cached: CrossPlan, tmp_path: Path, verb: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_crossfold(cached)
    shutil.copytree(cached.out, tmp_path / "out", ignore=shutil.ignore_patterns("stress*"))
    config = tmp_path / "net.toml"
    config.write_text(toml_text(CONFIG.model_dump(mode="json", exclude_none=True)))
    load = Mock(wraps=store.load)
    monkeypatch.setattr(store, "load", load)
    words = [str(cached.data), "-o", str(tmp_path / "out"), "--config", str(config), "--table", str(cached.table)]
    assert call(*verb, *words, "--device", "cpu", "--quiet") == 0
    assert load.call_count == 1


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--network", "9", "--ship", "mine"), "no network fold-9 in this study; choose of fold-0, fold-1, all"),
        (("--ship", "sub/name"), "no name for a model: 'sub/name'"),
        (("--no-train", "--ship", "mine"), "train it"),
    ],
)
def test_what_cannot_be_shipped_is_not_trained(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = _small(tmp_path, "0011")
    config = tmp_path / "net.toml"
    config.write_text(toml_text(plan.config.model_dump(mode="json", exclude_none=True)))
    study = ("crossval", plan.data, "-o", plan.out, "--config", config, "--quiet", "--device", "cpu")
    assert call(*study, *words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert said in message
    assert not plan.out.exists()


def test_a_card_looks_at_one_picture_at_a_time(cached: CrossPlan) -> None:
    assert [replace(cached, device=device, jobs=8).looks for device in ("cpu", "cuda")] == [8, 1]


def test_wrong_plans_are_one_line(cached: CrossPlan, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no fold 7"):
        run_crossfold(CrossPlan(cached.data, tmp_path, cached.table, config=CONFIG, folds=(7,)))
    with pytest.raises(UsageError, match="train it"):
        run_crossfold(CrossPlan(cached.data, tmp_path, cached.table, config=CONFIG, train=False))
    with pytest.raises(DataError, match="crossval first"):
        read_endings(tmp_path)


@pytest.mark.usefixtures("cache")
def test_a_model_that_is_gone_is_missed_before_the_work(tmp_path: Path) -> None:
    plan = _small(tmp_path, "0011")
    check_shipped(plan, network="fold-0", name="mine")
    plan.out.mkdir()
    (plan.out / "net.toml").write_text("epochs = 1")
    with pytest.raises(UsageError, match=r"net\.toml is none of this study's"):
        check_shipped(plan, network="fold-0", name="net")
    with pytest.raises(UsageError, match="no model 'gone'"):
        check_shipped(replace(plan, config=plan.config.replace(init="gone")), network="fold-0", name="mine")


def test_pictures_of_one_caption_are_all_drawn(tmp_path: Path) -> None:
    path, pictures = tmp_path / "panels.png", [("score 0.00", np.full((8, 8), level)) for level in (1.0, 2.0, 3.0)]
    draw_panels(path, [pictures, pictures])
    with PIL.Image.open(path) as sheet:
        assert sheet.width == pytest.approx(3 * 2.6 * 110, abs=1)
