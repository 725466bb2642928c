"""Mask R-CNN, where torchvision fits the build of torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nucleate.nets.build import NetConfig, build
from nucleate.train.detector import why_no_detector

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


def test_it_learns_and_finds() -> None:
    torch.manual_seed(0)
    module = build(NetConfig("mask-rcnn", 1, 1, width=8))
    batch = torch.zeros(2, 1, 64, 64)
    batch[:, :, 10:30, 10:30] = 1
    batch[:, :, 40:60, 36:56] = 1
    labels = torch.zeros(2, 64, 64)
    labels[:, 10:30, 10:30], labels[:, 40:60, 36:56] = 1, 2
    optimiser = torch.optim.Adam(module.parameters(), 5e-4)
    losses = []
    for _ in range(20):
        loss = module(batch, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    module.eval()
    assert module(batch).shape == (2, 1, 64, 64)
    assert isinstance(module, _functions().MaskRCNN)
    found = module.find(batch[0], (50, 70))
    assert found.shape == (50, 70)
    assert found.dtype == torch.int32
