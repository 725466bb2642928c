"""The weight map of the U-Net paper, by hand and against a slow way of saying the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies import label_images
from tests.train.drawn import disks

from nucleate.core.normalize import Normalizer
from nucleate.data.sample import Sample
from nucleate.nets.build import NetConfig
from nucleate.train.augment_config import AugmentConfig
from nucleate.train.batches import atlas_for, make_batch, prepare
from nucleate.train.config import TrainConfig
from nucleate.train.seams import class_weights, seam_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


def test_weights_by_hand() -> None:
    labels = np.array([[1, 0, 0, 0, 2, 0, 0]], np.int32)
    # d1 + d2: 0 + 4, 1 + 3, 2 + 2, 3 + 1, 4 + 0, 1 + 5, 2 + 6 pixels.
    sums = np.array([4, 4, 4, 4, 4, 6, 8])
    np.testing.assert_allclose(seam_weights(labels)[0], 10 * np.exp(-(sums**2) / 50), rtol=1e-6)
    np.testing.assert_allclose(seam_weights(labels, 3.0, sigma=2.0)[0], 3 * np.exp(-(sums**2) / 8), rtol=1e-6)


def test_pixels_that_touch_weigh_most() -> None:
    weights = seam_weights(np.array([[1, 1, 2, 2]], np.int32), 10.0, sigma=1.0)[0]
    np.testing.assert_allclose(weights, 10 * np.exp(-np.array([4, 1, 1, 4]) / 2), rtol=1e-6)


@pytest.mark.parametrize("labels", [np.zeros((3, 4), np.int32), np.array([[0, 5, 5]], np.int32)])
def test_one_nucleus_or_none_has_no_seam(labels: NDArray[np.int32]) -> None:
    assert (seam_weights(labels) == 0).all()


def test_a_far_neighbour_does_not_count() -> None:
    labels = np.zeros((1, 60), np.int32)
    labels[0, 0], labels[0, 30] = 1, 2
    weights = seam_weights(labels, 10.0, sigma=5.0)[0]
    assert weights[15] == pytest.approx(10 * np.exp(-900 / 50))
    assert weights[55] == weights[59] == 0


@given(label_images())
@settings(max_examples=30)
def test_weights_are_those_of_the_two_nearest(labels: NDArray[np.int32]) -> None:
    weights = seam_weights(labels, 10.0, sigma=20.0)
    pixels = {i: np.argwhere(labels == i) for i in np.unique(labels) if i > 0}
    for place in np.ndindex(*labels.shape):
        away = sorted(float(np.sqrt(((at - place) ** 2).sum(1)).min()) for at in pixels.values())
        expected = 10 * np.exp(-((away[0] + away[1]) ** 2) / 800) if len(away) > 1 else 0
        assert weights[place] == pytest.approx(expected, rel=1e-5)


def test_classes_balance_over_the_whole_set() -> None:
    background, nucleus = class_weights([np.array([[0, 0, 0]]), np.array([[0, 0, 7]])])
    assert (background, nucleus) == (6 / 10, 6 / 2)
    assert class_weights([np.zeros((2, 2))]) == (0.5, 1.0)


def test_weights_move_with_the_crop() -> None:
    config = TrainConfig(
        network=NetConfig("unet", width=2, depth=2), crop=32, batch=4, seam_weight=10.0, steps_per_epoch=1,
        augment=AugmentConfig(flips=True),
    )  # fmt: skip
    samples = disks(3)
    batch = make_batch(atlas_for(config, samples), config, step=0)
    assert batch.weights_NHW is not None
    background, nucleus = class_weights([sample.labels for sample in samples])
    for weights_HW, target_HW in zip(batch.weights_NHW.numpy(), batch.targets_NCHW[:, 0].numpy(), strict=True):
        seams = weights_HW - np.where(target_HW > 0, nucleus, background)
        assert -0.01 < seams.min() < seams.max() < 10.01
        match = [seam_weights(s.labels)[::r, ::c] for s in samples for r in (1, -1) for c in (1, -1)]
        assert min(np.abs(seams - whole).max() for whole in match) < 0.01


def test_weights_stay_numbers_where_nuclei_are_few_and_small() -> None:
    labels = np.zeros((600, 600), np.int32)
    labels[3, 3] = 1
    config = TrainConfig(network=NetConfig("unet", width=2, depth=2), crop=32, seam_weight=10.0)
    weights = atlas_for(config, [Sample("one", np.zeros((600, 600), np.uint8), labels, group="one")]).weights_P
    assert weights is not None
    assert weights.isfinite().all()


def test_without_weights_nothing_is_stored() -> None:
    atlas = prepare(disks(1), Normalizer(channels=1))
    assert atlas.weights_P is None
    config = TrainConfig(network=NetConfig("unet", width=2, depth=2), crop=32, batch=1)
    assert make_batch(atlas, config, step=0).weights_NHW is None
