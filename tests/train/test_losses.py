"""Losses by hand."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from nucleate.nets.build import NetConfig
from nucleate.train.config import CLASSES, TrainConfig
from nucleate.train.losses import bce, compound, loss_of, soft_dice


def test_cross_entropy_of_an_even_guess_is_log_two() -> None:
    assert bce(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == pytest.approx(math.log(2))


def test_weights_weigh_pixels() -> None:
    logits, targets = torch.tensor([[[[0.0, 100.0]]]]), torch.ones(1, 1, 1, 2)
    assert bce(logits, targets, torch.tensor([[[3.0, 1.0]]])).item() == pytest.approx(3 * math.log(2) / 2)


def test_dice_is_zero_for_the_truth_and_for_nothing_found_where_nothing_is() -> None:
    truth = torch.tensor([[[[1.0, 0.0, 1.0]]]])
    assert soft_dice((truth - 0.5) * 200, truth).item() == pytest.approx(0, abs=1e-6)
    assert soft_dice(torch.full((1, 1, 2, 2), -100.0), torch.zeros(1, 1, 2, 2)).item() == pytest.approx(0, abs=1e-6)


def test_dice_by_hand() -> None:
    found, truth = torch.tensor([[[[100.0, 100.0, -100.0]]]]), torch.tensor([[[[1.0, 0.0, 0.0]]]])
    assert soft_dice(found, truth).item() == pytest.approx(1 - (2 * 1 + 1) / (3 + 1))


def test_compound_adds_half_the_dice() -> None:
    logits, targets = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    assert torch.allclose(compound(logits, targets), bce(logits, targets) + 0.5 * soft_dice(logits, targets))


def test_a_run_s_loss_has_its_numbers() -> None:
    logits, targets = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    config = TrainConfig(
        network=NetConfig(channels_out=3), maps=("mask", "border", "distance"), loss="compound", dice=2.0
    )
    assert torch.allclose(loss_of(config)(logits, targets, None), bce(logits, targets) + 2 * soft_dice(logits, targets))


@pytest.mark.parametrize("loss", ["bce", "compound", "softmax"])
def test_every_loss_has_a_gradient_everywhere(loss: Literal["bce", "compound", "softmax"]) -> None:
    maps = CLASSES if loss == "softmax" else ("mask",)
    config = TrainConfig(network=NetConfig(channels_out=len(maps)), maps=maps, loss=loss)
    logits = torch.randn(2, len(maps), 4, 4, requires_grad=True)
    loss_of(config)(logits, torch.rand(2, len(maps), 4, 4), torch.ones(2, 4, 4)).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    assert logits.grad is not None
    assert (logits.grad != 0).all()
