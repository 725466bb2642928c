"""Settings of the next steps: frames, classes, beta1, fixed recipes, drawn pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.train.drawn import disks

from nucleate.data.drawn import drawn_samples
from nucleate.errors import UsageError
from nucleate.nets.build import NetConfig
from nucleate.post.recipe import PostRecipe
from nucleate.train.batches import atlas_for, make_batch, prepare
from nucleate.train.checkpoint import load_network
from nucleate.train.config import CLASSES, TrainConfig, parse_config
from nucleate.train.finish import finish
from nucleate.train.loop import FINAL, fit
from nucleate.train.losses import softmax
from nucleate.train.shipping import card_of
from nucleate.train.targets import make_targets

if TYPE_CHECKING:
    from pathlib import Path

TINY = NetConfig("unet", width=2, depth=2).to_dict()
NEW = {"frame", "drawn", "seam_weight", "seam_sigma", "beta1", "full_size", "recipe"}


def test_settings_written_before_these_fields_are_the_same_settings() -> None:
    config = TrainConfig(network=NetConfig(**TINY))
    old = {name: value for name, value in config.model_dump(mode="json").items() if name not in NEW}
    assert TrainConfig.model_fields.keys() > NEW
    assert TrainConfig.model_validate(old) == config


def test_whole_pictures_keep_their_size() -> None:
    samples = [*disks(1, side=40), *disks(1, side=48)]
    config = parse_config({"network": TINY, "frame": "image", "batch": 1, "augment": {"flips": False}})
    atlas = atlas_for(config, samples)
    seen = set()
    for step in range(2):
        batch = make_batch(atlas, config, step=step)
        side = batch.batch_NCHW.shape[-1]
        expected = next(sample for sample in samples if sample.labels.shape == (side, side))
        assert np.array_equal(batch.targets_NCHW[0, 0].numpy(), expected.labels > 0)
        seen.add(side)
    assert seen == {40, 48}


def test_a_size_group_holds_one_size_and_every_picture_has_its_chance() -> None:
    samples = [*disks(3, side=40), *disks(1, side=48)]
    config = parse_config({"network": TINY, "frame": "size-groups", "batch": 3, "steps_per_epoch": 1})
    atlas = atlas_for(config, samples)
    sides = [make_batch(atlas, config, step=step).batch_NCHW.shape[-1] for step in range(200)]
    assert 0.15 < sides.count(48) / 200 < 0.35


def test_whole_pictures_train(tmp_path: Path) -> None:
    values = {"network": TINY, "frame": "image", "batch": 1, "epochs": 2, "lr": 0.01, "beta1": 0.99}
    config = parse_config(values)
    atlas = atlas_for(config, [*disks(2, side=40), *disks(2, side=48)])
    run = fit(config, atlas, folder=tmp_path, validate=lambda module: {"score": 0.0})
    assert run.step == 8
    assert run.history[1]["loss"] < run.history[0]["loss"]
    plain = config.replace(beta1=0.9)
    other = fit(plain, atlas, folder=tmp_path / "plain", validate=lambda module: {"score": 0.0})
    assert other.history[1]["loss"] != run.history[1]["loss"]


def test_edge_and_inside_by_hand() -> None:
    labels = torch.tensor([[[1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [1, 1, 1, 0, 0]]])
    edge, inside = make_targets(labels, labels.float(), maps=("edge", "inside"))[0].int().tolist()
    assert edge == [[0, 0, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 0, 0]]
    assert inside == [[1, 1, 0, 0, 1], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]


def test_softmax_loss_is_the_cross_entropy() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 3, 4, 4)
    classes = torch.randint(0, 3, (2, 4, 4))
    others = torch.stack(
        [scores[:, [1, 2]].logsumexp(1), scores[:, [0, 2]].logsumexp(1), scores[:, [0, 1]].logsumexp(1)], 1
    )
    logits = scores - others
    logits[:, 0] *= -1  # the first map is everything but background
    targets = torch.stack([classes > 0, classes == 1, classes == 2], 1).float()
    torch.testing.assert_close(softmax(logits, targets), torch.nn.functional.cross_entropy(scores, classes))


def test_three_classes_to_nuclei_by_hand() -> None:
    # Two nuclei whose insides are apart, joined by a shared edge; a speck of edge without inside is no nucleus.
    inside = np.array([[0.0, 0.9, 0.1, 0.1, 0.9, 0.0, 0.0, 0.1]], np.float32)
    edge = np.array([[0.1, 0.1, 0.8, 0.8, 0.1, 0.1, 0.0, 0.8]], np.float32)
    recipe = PostRecipe(split="markers", marker_level=0.5, smoothing=0.0, keep_unmarked=False, fill_holes=False)
    found = recipe.apply(np.stack([inside + edge, edge, inside]), CLASSES)
    assert found.tolist() == [[0, 1, 1, 2, 2, 0, 0, 0]]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"frame": "image", "batch": 2}, "batch must be 1"),
        ({"frame": "size-groups"}, "steps_per_epoch is needed"),
        ({"loss": "softmax"}, "maps must be mask, edge, inside"),
        ({"maps": ["labels"]}, "labels, alone"),
        ({"network": {"name": "mask-rcnn"}}, "labels, alone"),
        ({"loss": "compound", "seam_weight": 10.0}, "seam_weight goes with"),
        ({"beta1": 1.0}, "beta1"),
        ({"recipe": {"split": "knife"}}, "split = 'knife'"),
        ({"recipe": {"knife": 1}}, "no field 'knife'"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(values: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        parse_config(values)
    assert "\n" not in str(caught.value)


def test_full_size_is_run_on_the_pictures_own_grid() -> None:
    config = TrainConfig(resize=64)
    assert card_of(config, PostRecipe(), weights=b"").input_size == 64
    assert card_of(config.replace(full_size=True), PostRecipe(), weights=b"").input_size is None


@pytest.mark.parametrize(
    ("trained", "run", "expected"), [(None, None, None), (None, 25, 25), (5, None, 5), (5, 25, 25)]
)
def test_the_ground_may_be_cut_off_only_where_the_model_runs(
    trained: float | None, run: float | None, expected: float | None
) -> None:
    config = parse_config({"normalizer": {"ground": trained}, "card": {"ground": run}})
    assert config.normalizer.ground == trained
    assert card_of(config, PostRecipe(), weights=b"").normalizer.ground == expected


def test_a_recipe_that_is_given_is_not_tuned(tmp_path: Path) -> None:
    recipe = {"threshold": "otsu", "fill_holes": True, "min_area": 11}
    config = parse_config({"network": TINY, "crop": 32, "batch": 2, "epochs": 1, "recipe": recipe})
    samples = disks(4)
    fit(config, prepare(samples, config.normalizer), folder=tmp_path, validate=lambda module: {"score": 0.0})
    finish(tmp_path, config, samples=samples, held=samples, name="net")
    assert load_network(tmp_path / FINAL)[1] == config.network
    card = (tmp_path / "net.toml").read_text()
    assert 'threshold = "otsu"' in card
    assert "min_area = 11" in card


def test_drawn_pictures_are_added_and_repeat() -> None:
    few, more = drawn_samples(2, seed=3), drawn_samples(3, seed=3)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(few, more, strict=False))
    assert {sample.kind for sample in more} == {"drawn"}
    assert all(sample.labels.max() > 0 for sample in more)
    assert len(atlas_for(TrainConfig(drawn=2), disks(3))) == 5
