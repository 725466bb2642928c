"""What is done with a model that training made: start from it, judge, tune and export it. One small model for all."""

from __future__ import annotations

import hashlib
import json
import tomllib
import zipfile
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.train.drawn import disks

from nucleate.errors import DataError, ModelError, OutputError, UsageError
from nucleate.nets.build import NetConfig
from nucleate.nets.engine import TorchEngine
from nucleate.run.engine import OnnxEngine
from nucleate.run.scale import ScaleRule
from nucleate.run.segmenter import Segmenter
from nucleate.run.weights import check_free, find_model, read_card
from nucleate.train import quantise
from nucleate.train.batches import prepare, steps_per_epoch
from nucleate.train.checkpoint import load_network
from nucleate.train.config import TrainConfig
from nucleate.train.exporting import export_model
from nucleate.train.finish import finish, train_network
from nucleate.train.loop import BEST, FINAL, fit
from nucleate.train.presets import settings_from
from nucleate.train.quantise import add_int8, calibration_crops, write_int8
from nucleate.train.retune import retune, write_model
from nucleate.train.shipping import check_unchanged, write_own_card
from nucleate.train.start import first_network, network_of, with_start
from nucleate.train.sweep import Sweep, run_sweep
from nucleate.train.validation import mask_iou
from nucleate.train.verdict import conclude

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.run.weights import ModelFiles

CONFIG = TrainConfig(
    network=NetConfig("flagship", channels_out=3, width=6, depth=2), maps=("mask", "border", "distance"),
    loss="compound", crop=32, batch=4, steps_per_epoch=15, epochs=2, lr=2e-2,
)  # fmt: skip


def dark(samples: list[Sample]) -> list[Sample]:
    """Give another kind of image: fainter disks on a brighter ground."""
    return [replace(sample, image=(sample.image // 3 + 60).astype(np.uint8)) for sample in samples]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    run = tmp_path_factory.mktemp("run")
    fit(CONFIG, prepare(disks(), CONFIG.normalizer), folder=run, validate=lambda module: {"score": 0.0})
    finish(run, CONFIG, samples=disks(), held=disks(4, seed=1), name="disks")
    return find_model(run / "disks.onnx")


def test_torch_gives_the_maps_and_the_labels_of_onnx_on_a_hundred_images(files: ModelFiles) -> None:
    ours = Segmenter(TorchEngine(network_of(files)), files.card)
    theirs = Segmenter(OnnxEngine(files.read()), files.card)
    for sample in disks(100, seed=5):
        np.testing.assert_allclose(ours.maps(sample.image), theirs.maps(sample.image), atol=1e-4)
        assert np.array_equal(ours.segment_plane(sample.image)[0], theirs.segment_plane(sample.image)[0])


def test_a_run_begins_with_the_weights_of_its_model(files: ModelFiles, tmp_path: Path) -> None:
    values = with_start({"init": str(files.onnx), "crop": 32, "steps_per_epoch": 2, "epochs": 1, "lr": 1e-9})
    config = TrainConfig.model_validate(values)
    assert (config.network, config.maps, config.recipe) == (CONFIG.network, CONFIG.maps, files.card.recipe)
    before = network_of(files).state_dict()
    seen: list[bool] = []

    def validate(module: torch.nn.Module) -> dict[str, float]:
        named = module.named_parameters()
        seen.append(all(torch.allclose(value, before[name], atol=1e-6) for name, value in named))
        return {"score": 0.0}

    fit(config, prepare(disks(), config.normalizer), folder=tmp_path, validate=validate)
    assert seen == [True]


def test_scales_and_tiles_are_those_of_the_model_where_nothing_else_is_said(files: ModelFiles, tmp_path: Path) -> None:
    card = files.card.model_copy(update={"scale_rule": ScaleRule(smallest=7.0), "tile": 512, "bytes_per_pixel": 99})
    start = str(write_model(tmp_path, files, card=card))
    kept = TrainConfig.model_validate(with_start({"init": start, "card": {"tile": 256}})).card
    assert (kept.scale_rule, kept.tile, kept.bytes_per_pixel) == (ScaleRule(smallest=7.0), 256, 99)


def test_where_nuclei_are_few_confidence_and_limit_are_those_of_the_model(files: ModelFiles, tmp_path: Path) -> None:
    card = files.card.model_copy(update={"min_confidence": 0.15})
    config = CONFIG.replace(init=str(write_model(tmp_path / "start", files, card=card)), recipe=card.recipe.to_dict())
    fit(config, prepare(disks(4), config.normalizer), folder=tmp_path, validate=lambda module: {"score": 0.0})
    finish(tmp_path, config, samples=disks(4), held=disks(2, seed=3), name="tuned")
    made = read_card(tmp_path / "tuned.toml")
    assert (made.confidence, made.min_confidence) == (files.card.confidence, 0.15)


def test_integers_are_written_only_if_they_are_as_good(
    files: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path, files, card=files.card)
    crops = list(calibration_crops(disks(8), files.card.normalizer, multiple=4))
    held = disks(3, seed=2)
    assert write_int8(model, crops, judged_by=held).sha256_int8
    assert (tmp_path / "disks.int8.onnx").is_file()
    monkeypatch.setattr(quantise, "LOST", -1.0)  # no score is so much higher
    assert not write_int8(model, crops, judged_by=held).sha256_int8
    assert not (tmp_path / "disks.int8.onnx").exists()
    assert find_model(model).read_int8() is None


def test_without_pictures_to_measure_on_there_are_no_integers(files: ModelFiles, tmp_path: Path) -> None:
    model = write_model(tmp_path, files, card=files.card.model_copy(update={"sha256_int8": None}))
    deeper = CONFIG.replace(crop=64, network={**CONFIG.network.to_dict(), "depth": 6})  # sides of 64 pixels at least
    add_int8(model, deeper, samples=disks(2, side=63))
    assert find_model(model).read_int8() is None
    add_int8(model, CONFIG, samples=disks(2, side=63))
    assert find_model(model).read_int8() is not None


def test_frozen_normalisation_keeps_its_statistics(files: ModelFiles, tmp_path: Path) -> None:
    for frozen in (True, False):
        config = CONFIG.replace(init=str(files.onnx), freeze_norms=frozen, epochs=1, steps_per_epoch=2)
        fit(
            config,
            prepare(dark(disks()), config.normalizer),
            folder=tmp_path / str(frozen),
            validate=lambda _: {"score": 0.0},
        )
        module, _, _ = load_network(tmp_path / str(frozen) / FINAL)
        before = network_of(files).state_dict()
        kept = [torch.equal(v, before[k]) for k, v in module.state_dict().items() if "running" in k]
        assert all(kept) is frozen


def test_a_broken_run_from_a_model_goes_on_without_it(files: ModelFiles, tmp_path: Path) -> None:
    start = write_model(tmp_path / "start", files, card=files.card)
    config = CONFIG.replace(init=str(start), freeze_norms=True, ema=0.9)
    atlas = prepare(disks(), config.normalizer)

    def stop(step: int, total: int) -> None:
        assert total == CONFIG.epochs * steps_per_epoch(CONFIG, len(atlas))
        if step == 20:
            raise KeyboardInterrupt

    fit(config, atlas, folder=tmp_path / "whole", validate=mask_iou(atlas, config))
    with pytest.raises(KeyboardInterrupt):
        fit(config, atlas, folder=tmp_path / "broken", validate=mask_iou(atlas, config), tick=stop)
    fit(config, atlas, folder=tmp_path / "broken", validate=mask_iou(atlas, config), resume=True)
    for name in (FINAL, BEST):
        assert (tmp_path / "whole" / name).read_bytes()[-4096:] == (tmp_path / "broken" / name).read_bytes()[-4096:]


def test_another_network_or_a_foreign_model_is_refused(files: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use the same"):
        first_network(CONFIG.replace(init=str(files.onnx), network=NetConfig("unet", 1, 3, width=4).to_dict()))
    with pytest.raises(ModelError, match="no model 'nobody'"):
        settings_from(None, init="nobody")
    card = files.card.model_copy(update={"network": {"name": "alexnet"}})
    foreign = find_model(write_model(tmp_path, files, card=card))
    with pytest.raises(ModelError, match="cannot be had in torch"):
        network_of(foreign)
    with pytest.raises(ModelError, match="cannot be had in torch"):
        export_model(foreign, tmp_path / "out", to="torchscript")
    foreign.onnx.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="is not the file its card describes"):
        export_model(foreign, tmp_path / "out", to="onnx")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="is a file; name a folder"):
        check_free(foreign.onnx, foreign.card)


def test_a_start_of_another_network_is_refused_before_anything_is_written(files: ModelFiles, tmp_path: Path) -> None:
    config = CONFIG.replace(init=str(files.onnx), network=NetConfig("unet", 1, 3, width=4).to_dict())
    samples, held = disks(), disks(2, seed=1)
    with pytest.raises(UsageError, match="use the same"):
        train_network(tmp_path / "run", config, samples=samples, held=held, resume=False, device="cpu", report=print)
    with pytest.raises(UsageError, match="use the same"):
        run_sweep(Sweep(tmp_path / "study", config, samples, held, trials=1))
    assert not list(tmp_path.iterdir())


def test_a_run_ends_with_a_verdict_in_its_card(files: ModelFiles, tmp_path: Path) -> None:
    held = dark(disks(6, seed=3))
    config = CONFIG.replace(init=str(files.onnx), recipe=files.card.recipe.to_dict())
    fit(config, prepare(dark(disks(10)), config.normalizer), folder=tmp_path, validate=lambda module: {"score": 0.0})
    finish(tmp_path, config, samples=dark(disks(10)), held=held, name="tuned")
    verdict = conclude(tmp_path, "tuned", start=str(files.onnx), held=held)
    card = read_card(tmp_path / "tuned.toml")
    assert card.recipe == files.card.recipe
    assert (verdict.start, verdict.images) == ("disks", 6)
    assert card.scores["verdict"]["after"] == pytest.approx(card.scores["kaggle"], abs=1e-3)
    assert "disks on 6 held-out images" in verdict.line()
    check_unchanged(tmp_path / "tuned.toml")
    write_own_card(tmp_path / "dated.toml", card.model_copy(update={"scores": {"when": date(2026, 1, 2)}}))
    check_unchanged(tmp_path / "dated.toml")
    write_model(None, find_model(tmp_path / "tuned.onnx"), card=card.model_copy(update={"min_confidence": 0.123}))
    with pytest.raises(UsageError, match=r"tuned\.toml was changed since it was written, as by nucleate tune"):
        finish(tmp_path, config, samples=dark(disks(10)), held=held, name="tuned")


def test_a_run_that_changes_nothing_is_neither_better_nor_worse(files: ModelFiles, tmp_path: Path) -> None:
    held = [replace(one, kind=("low", "high")[place % 2]) for place, one in enumerate(disks(6, side=64, seed=3))]
    still = CONFIG.replace(
        init=str(files.onnx), recipe=files.card.recipe.to_dict(), freeze_norms=True, lr=1e-12, epochs=1,
        steps_per_epoch=1,
    )  # fmt: skip
    fit(still, prepare(disks(4), still.normalizer), folder=tmp_path, validate=lambda module: {"score": 0.0})
    scores = finish(tmp_path, still, samples=disks(4), held=held, name="same")
    assert scores["kaggle_by_type"].keys() == {"low", "high"}  # names that the interval has too
    assert scores["kaggle_low"] < scores["kaggle"] < scores["kaggle_high"]
    verdict = conclude(tmp_path, "same", start=str(files.onnx), held=held)
    assert 0 < verdict.before == verdict.after
    assert (verdict.word, verdict.gain_low, verdict.gain_high) == ("no clear difference", 0, 0)


def test_numbers_are_tuned_only_for_a_gain(files: ModelFiles, tmp_path: Path) -> None:
    # No nucleus is as large: tuning has something to gain.
    spoilt = replace(files, card=files.card.model_copy(update={"recipe": replace(files.card.recipe, min_area=1000)}))
    card, verdict = retune(spoilt, disks(8, seed=7))
    assert verdict.gain > 0
    assert card.recipe.min_area < 1000
    assert card.scores["verdict"]["before"] == round(verdict.before, 4)
    assert card.confidence == files.card.confidence  # of fewer than a hundred nuclei none can be fitted
    assert card.min_confidence == files.card.min_confidence
    target = write_model(tmp_path, files, card=card)
    assert find_model(target).read() == files.read()
    kept, verdict = retune(find_model(target), disks(8, seed=7))
    assert verdict.gain > 0 or kept is find_model(target).card or kept == card


def test_a_model_whose_file_is_called_otherwise_is_tuned_in_its_place(files: ModelFiles, tmp_path: Path) -> None:
    first = write_model(tmp_path, files, card=files.card)
    named = first.rename(tmp_path / "my model.onnx")
    first.with_suffix(".toml").rename(named.with_suffix(".toml"))
    before, called = set(tmp_path.iterdir()), find_model(named)
    assert called.card.name == "my-model"
    assert write_model(None, called, card=called.card.model_copy(update={"min_confidence": 0.2})) == named
    assert find_model(named).card.min_confidence == 0.2
    assert set(tmp_path.iterdir()) == before


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_torchscript_gives_the_same_maps(files: ModelFiles, tmp_path: Path) -> None:
    target = export_model(files, tmp_path, to="torchscript")
    assert read_card(target.with_suffix(".toml")) == files.card
    batch = np.random.default_rng(0).random((2, 1, 24, 36), np.float32)
    traced = torch.jit.load(str(target))  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(traced(torch.from_numpy(batch)).numpy(), OnnxEngine(files.read())(batch), atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_a_full_disk_ends_an_export_in_one_line(files: ModelFiles, tmp_path: Path) -> None:
    full_disk = pytest.importorskip("tests.full_disk", reason="no limits on this system").full_disk
    with full_disk(5000), pytest.raises(OutputError, match=r"cannot write .*disks\.pt: File too large"):
        export_model(files, tmp_path, to="torchscript")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("ground", "lowest"), [(None, 0.5), (25.0, 25.0)])
def test_a_zoo_package_holds_what_its_description_says(
    files: ModelFiles, tmp_path: Path, *, ground: float | None, lowest: float
) -> None:
    seen = replace(files.card.normalizer, ground=ground)
    files = replace(files, card=files.card.model_copy(update={"normalizer": seen}))
    made = export_model(files, tmp_path, to="bioimageio", authors=["Ada", "Bo"], licence="CC-BY-4.0")
    with zipfile.ZipFile(made) as archive:
        told = json.loads(archive.read("bioimageio.yaml"))
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert f"- kaggle, a: {files.card.scores['kaggle_by_type']['a']}\n" in parts["README.md"].decode()
    named = [told["weights"]["onnx"], told["inputs"][0]["test_tensor"], told["outputs"][0]["test_tensor"]]
    assert all(hashlib.sha256(parts[one["source"]]).hexdigest() == one["sha256"] for one in named)
    assert (told["authors"], told["license"]) == ([{"name": "Ada"}, {"name": "Bo"}], "CC-BY-4.0")
    assert told["outputs"][0]["axes"][1]["channel_names"] == list(files.card.maps)
    assert tomllib.loads(parts["card.toml"].decode())["licence"] == "CC-BY-4.0"
    (tmp_path / "out.npy").write_bytes(parts["test-output.npy"])
    (tmp_path / "in.npy").write_bytes(parts["test-input.npy"])
    raw, maps = np.load(tmp_path / "in.npy"), np.load(tmp_path / "out.npy")
    ends = told["inputs"][0]["preprocessing"][0]["kwargs"]
    assert ends["min_percentile"] == lowest
    low, high = np.percentile(raw, [ends["min_percentile"], ends["max_percentile"]])
    batch = np.clip((raw - low) / (high - low + 1e-6), 0, 1).astype(np.float32)
    np.testing.assert_allclose(OnnxEngine(parts["weights.onnx"])(batch), maps, atol=1e-5)


def test_nobody_signs_for_the_model_of_another(files: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tells who made disks .*; give --author NAME and --licence NAME, such as"):
        export_model(files, tmp_path / "out", to="bioimageio")
    with pytest.raises(UsageError, match="; give --licence NAME, such as"):
        export_model(files, tmp_path / "out", to="bioimageio", authors=["Ada"])
    with pytest.raises(UsageError, match="card of nucleate says BSD-3-Clause; leave it out"):
        export_model(find_model(), tmp_path / "out", to="bioimageio", licence="CC0-1.0")
    with pytest.raises(UsageError, match=r"--licence 'my own licence, see web' is no SPDX identifier.* CC-BY-4\.0$"):
        export_model(files, tmp_path / "out", to="bioimageio", authors=["Ada"], licence="my own licence, see web")
    odd = replace(files, card=files.card.model_copy(update={"licence": "see web"}))
    for given in ("", "CC-BY-4.0"):
        with pytest.raises(UsageError, match=r"licence in .*\.toml: 'see web' is no SPDX identifier"):
            export_model(odd, tmp_path / "out", to="bioimageio", authors=["Ada"], licence=given)
    with pytest.raises(UsageError, match="not in onnx"):
        export_model(files, tmp_path / "out", to="onnx", authors=["Ada"])
    assert not (tmp_path / "out").exists()
    with zipfile.ZipFile(export_model(find_model(), tmp_path, to="bioimageio")) as archive:
        told = json.loads(archive.read("bioimageio.yaml"))
    assert (told["authors"], told["license"]) == ([{"name": "The nucleate developers"}], "BSD-3-Clause")


def test_onnx_is_copied_with_its_card(files: ModelFiles, tmp_path: Path) -> None:
    target = export_model(files, tmp_path, to="onnx")
    assert find_model(target).read() == files.read()
    assert read_card(tmp_path / "disks.toml") == files.card


def test_numbers_cannot_be_tuned_without_nuclei(files: ModelFiles) -> None:
    empty = [replace(sample, labels=sample.labels * 0) for sample in disks(4)]
    with pytest.raises(DataError, match="no nucleus in 4 annotated images"):
        retune(files, empty)


@pytest.mark.parametrize("to", ["onnx", "torchscript"])
def test_another_model_of_that_name_is_not_overwritten(files: ModelFiles, tmp_path: Path, to: str) -> None:
    other = {tmp_path / "disks.onnx": b"another", tmp_path / "disks.toml": b"its card"}
    for path, content in other.items():
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"disks\.onnx is another model and would be overwritten"):
        export_model(files, tmp_path, to=to)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == other


def test_weights_that_are_no_numbers_make_no_model(tmp_path: Path) -> None:
    wild = CONFIG.replace(lr=1e30, epochs=1, steps_per_epoch=1)
    with pytest.raises(DataError, match="a weight is too large, or no number any more, in epoch 1; try a lower lr"):
        fit(wild, prepare(disks(), wild.normalizer), folder=tmp_path, validate=lambda module: {"score": 0.0})
    assert not list(tmp_path.glob("*.safetensors"))
