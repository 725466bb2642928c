"""Mask R-CNN, where torchvision fits the build of torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nucleate.nets.build import NetConfig, build, count_parameters
from nucleate.score.images import score_image
from nucleate.train.detector import why_no_detector

STEPS = 60
pytestmark = pytest.mark.skipif(bool(why_no_detector()), reason=why_no_detector() or "torchvision works here")


def _functions() -> Any:  # noqa: ANN401 - imported late: torchvision may not be there
    from nucleate.nets import maskrcnn

    return maskrcnn


def test_targets_by_hand() -> None:
    labels = torch.tensor([[0, 7, 7, 0, 9], [2, 7, 7, 0, 0], [2, 0, 3, 3, 0], [2, 2, 3, 3, 0]])
    made = _functions().targets_of(labels)
    assert made["boxes"].tolist() == [[0, 1, 2, 4], [2, 2, 4, 4], [1, 0, 3, 2]]  # the single pixel 9 is a sliver
    assert made["labels"].tolist() == [1, 1, 1]
    assert torch.equal(made["masks"][2].bool(), labels == 7)


def test_a_picture_without_nuclei_has_empty_targets() -> None:
    made = _functions().targets_of(torch.zeros(4, 5))
    assert [tuple(made[name].shape) for name in ("boxes", "labels", "masks")] == [(0, 4), (0,), (0, 4, 5)]


def test_the_surest_nucleus_keeps_the_overlap() -> None:
    masks = torch.zeros(2, 1, 4)
    masks[0, 0, :3], masks[1, 0, 1:] = 0.9, 0.9
    assert _functions().paste(masks, torch.tensor([0.6, 0.8]), shape=(1, 4)).tolist() == [[2, 1, 1, 1]]
    assert _functions().paste(masks, torch.tensor([0.8, 0.6]), shape=(1, 4)).tolist() == [[1, 1, 1, 2]]
    assert _functions().paste(masks[:0], torch.zeros(0), shape=(2, 2)).tolist() == [[0, 0], [0, 0]]


def test_at_64_it_is_torchvisions() -> None:
    from torchvision.models import detection

    published = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2)
    ours = build(NetConfig("mask-rcnn", 1, 1, width=64))
    # Theirs has its normalisation frozen in the first layers: as many numbers, fewer of them learn.
    assert count_parameters(ours) == sum(parameter.numel() for parameter in published.parameters())
    assert count_parameters(build(NetConfig("mask-rcnn", 1, 1, width=16))) < 13e6


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_learns(precision: str) -> None:
    torch.manual_seed(0)
    module = build(NetConfig("mask-rcnn", 1, 1, width=4))
    batch, labels = _squares()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        loss = module(batch, labels)
    loss.backward()
    still = [
        name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()
    ]
    assert still == []


def test_it_learns_and_finds() -> None:
    torch.manual_seed(0)
    module = build(NetConfig("mask-rcnn", 1, 1, width=4))
    batch, labels = _squares()
    optimiser = torch.optim.Adam(module.parameters(), 1e-3)
    for _ in range(STEPS):
        loss = module(batch, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    module.eval()
    assert module(batch).shape == (2, 1, 64, 64)
    assert isinstance(module, _functions().MaskRCNN)
    found = module.find(batch[0], (64, 64))
    assert found.dtype == torch.int32
    scores = score_image(labels[0].int().numpy(), found.numpy())
    assert scores.f1_50 >= 0.8
    assert scores.kaggle > 0.5
    assert module.find(batch[0], (50, 70)).shape == (50, 70)


def _squares() -> tuple[torch.Tensor, torch.Tensor]:
    batch, labels = torch.zeros(2, 1, 64, 64), torch.zeros(2, 64, 64)
    for number, (rows, cols) in enumerate([(slice(10, 30), slice(10, 30)), (slice(40, 60), slice(36, 56))], start=1):
        batch[:, :, rows, cols] = 1
        labels[:, rows, cols] = number
    return batch, labels
