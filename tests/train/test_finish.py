"""The end of a run: a model that `segment` takes, proved equal to the network it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.tables import rows_of
from tests.train.drawn import disks

from nucleate.api import load_segmenter
from nucleate.errors import ModelError, UsageError
from nucleate.nets.build import NetConfig, build
from nucleate.post.recipe import PostRecipe
from nucleate.run.scale import ScaleRule
from nucleate.run.weights import find_model, read_card, write_card
from nucleate.train import shipping
from nucleate.train.batches import prepare
from nucleate.train.config import CardConfig, TrainConfig
from nucleate.train.finish import finish, starting_recipe, train_network
from nucleate.train.loop import fit
from nucleate.train.pictures import part_known
from nucleate.train.shipping import segmenter_of

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.train.loop import Run

CONFIG = TrainConfig(
    network=NetConfig("flagship", channels_out=3, width=4, depth=2), maps=("mask", "border", "distance"),
    loss="compound", crop=32, batch=4, epochs=2, lr=1e-2, card=CardConfig(scale_rule=ScaleRule(smallest=7.0)),
)  # fmt: skip


def test_a_folder_in_which_a_run_trains_is_left_to_it(tmp_path: Path) -> None:
    config = CONFIG.replace(epochs=1, steps_per_epoch=1)
    refused = []

    def train_again(_: Run) -> None:
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        for samples, resume in ((disks(), True), (disks(seed=2), False)):
            with pytest.raises(UsageError, match="another run is writing there; wait for it or choose another output"):
                train_network(
                    tmp_path, config, samples=samples, held=disks(2, seed=1), resume=resume, device="cpu",
                    report=lambda _: None,
                )  # fmt: skip
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        refused.append(True)

    train_network(
        tmp_path, config, samples=disks(), held=disks(2, seed=1), resume=False, device="cpu", report=train_again
    )
    assert refused == [True]


def test_a_run_ends_in_a_model_that_segments(tmp_path: Path) -> None:
    held = disks(4, seed=1)
    fit(CONFIG, prepare(disks(), CONFIG.normalizer), folder=tmp_path, validate=lambda module: {"score": 0.0})
    told: dict[str, list[tuple[int, int | None]]] = {}

    def tick(what: str, done: int, *, total: int | None) -> None:
        told.setdefault(what, []).append((done, total))

    scores = finish(
        tmp_path, CONFIG, samples=disks(), held=held, name="disks", command="nucleate train disks",
        tick=tick,
    )  # fmt: skip
    assert told["images looked at"] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert told["scales of images"] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told["images scored"] == [(place, 8) for place in range(8)]
    assert told["crops for integers"][-1] == (23, 24)
    assert told["recipes tried, image by image"][-1][0] == len(told["recipes tried, image by image"]) > 50
    card = find_model(tmp_path / "disks.onnx").card
    assert card.scores == scores
    assert card.command == "nucleate train disks"
    unseen, seen = part_known([*disks(), *held], card.trained_on or ())
    assert ([id(one) for one in unseen], len(seen)) == ([id(one) for one in held], 6)
    assert card.multiple == 4
    assert card.scale_rule == ScaleRule(smallest=7.0)
    labels, confidence = load_segmenter(tmp_path / "disks.onnx", device="cpu").segment_plane(held[0].image)
    assert labels.shape == held[0].labels.shape
    assert labels.max() == len(confidence)
    rows = rows_of(tmp_path / "held-out.csv")
    assert sorted(row["image"] for row in rows) == sorted(sample.image_id for sample in held)
    assert np.mean([float(row["kaggle"]) for row in rows]) == pytest.approx(scores["kaggle"], abs=1e-3)


def test_the_shipped_model_gives_the_maps_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = build(CONFIG.network).eval()
    difference = shipping.ship(tmp_path, module, config=CONFIG, recipe=PostRecipe(), name="net")
    assert difference <= shipping.PARITY
    picture = disks(1, side=45)[0].image
    ours = segmenter_of(module, CONFIG, recipe=PostRecipe()).maps(picture)
    theirs = load_segmenter(tmp_path / "net.onnx", device="cpu").maps(picture)
    np.testing.assert_allclose(theirs, ours, atol=shipping.PARITY)


def test_a_card_that_was_changed_keeps_its_texts_and_is_not_written_over(tmp_path: Path) -> None:
    module, path = build(CONFIG.network).eval(), tmp_path / "net.toml"

    def ship(min_confidence: float = 0.5, config: TrainConfig = CONFIG) -> None:
        facts = {"min_confidence": min_confidence, "scores": {"kaggle": 0.5, "by": {"a": None}}}
        shipping.ship(tmp_path, module, config=config, recipe=PostRecipe(), name="net", **facts)

    ship()
    first = read_card(path)
    write_card(path, first.model_copy(update={"licence": "CC-BY-4.0", "description": "by hand"}))
    ship(0.6, CONFIG.replace(card={"description": "of the settings"}))
    second = read_card(path)
    assert (second.licence, second.description, second.min_confidence) == ("CC-BY-4.0", "of the settings", 0.6)
    for change in ({"min_confidence": 0.123}, {"scores": {"kaggle": 0.9}}, {"recipe": PostRecipe(min_area=3)}):
        write_card(path, second.model_copy(update=change))
        written = path.read_bytes()
        with pytest.raises(UsageError, match=r"net\.toml was changed since .*give the model another name"):
            ship()
        assert path.read_bytes() == written
    write_card(path, first.model_copy(update={"min_confidence": 0.123, "sha256_card": None}))  # of an earlier version
    ship()
    assert read_card(path) == first


def test_a_model_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "largest_difference", lambda *_, **__: 0.1)
    with pytest.raises(ModelError, match="differ by"):
        shipping.ship(tmp_path, build(CONFIG.network), config=CONFIG, recipe=PostRecipe(), name="net")
    assert list(tmp_path.iterdir()) == []


def test_tuning_begins_with_what_the_network_learned() -> None:
    assert starting_recipe(CONFIG).split == "markers"
    assert starting_recipe(TrainConfig()).split == "distance"
