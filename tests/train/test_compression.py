"""Few grey levels and JPEG blocks."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from nucleate.train.augment import seeded
from nucleate.train.augment_config import AugmentConfig
from nucleate.train.compression import damage, jpeg


def _smooth(side: int = 32) -> torch.Tensor:
    at = torch.arange(side) / side
    return (0.5 + 0.4 * torch.sin(5 * at[:, None]) * torch.cos(7 * at)).expand(3, 1, -1, -1).clone()


def test_nothing_asked_changes_nothing() -> None:
    batch = torch.rand(2, 3, 16, 16, generator=seeded(0))
    assert torch.equal(damage(batch, AugmentConfig(), generator=seeded(0)), batch)


def test_coarse_leaves_few_levels() -> None:
    batch = torch.rand(8, 1, 64, 64, generator=seeded(0))
    levels = [len(torch.unique(one)) for one in damage(batch, AugmentConfig(coarse=1.0), generator=seeded(0))]
    assert max(levels) <= 65
    assert min(levels) >= 5


def test_flat_blocks_come_back_from_jpeg_within_half_a_step() -> None:
    flat = torch.full((1, 1, 16, 24), 0.3)
    assert (jpeg(flat, torch.tensor([50.0])) - flat).abs().max() <= 5 / 255 / 8 + 1e-6


def test_more_quality_is_nearer_and_the_rim_stays() -> None:
    batch = torch.rand(1, 3, 19, 21, generator=seeded(0))
    far, near = (jpeg(batch, torch.tensor([quality])) for quality in (10.0, 95.0))
    assert (near - batch).abs().mean() < 0.25 * (far - batch).abs().mean()
    assert torch.equal(far[..., 16:, :], batch[..., 16:, :])
    assert torch.equal(far[..., 16:], batch[..., 16:])


def test_the_quality_asked_for_is_drawn() -> None:
    batch = torch.rand(4, 1, 16, 16, generator=seeded(0))
    far, near = (
        (damage(batch, AugmentConfig(jpeg=1.0, jpeg_quality=(q, q)), generator=seeded(0)) - batch).abs().mean()
        for q in (10.0, 95.0)
    )
    assert 0 < near < far / 2


def test_the_loss_is_of_the_size_that_a_jpeg_file_makes() -> None:
    batch = (_smooth(64) + 0.08 * torch.randn(3, 1, 64, 64, generator=seeded(3))).clamp(0, 1)
    grey = np.rint(batch[0, 0].numpy() * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "JPEG", quality=30)
    real = np.abs(np.asarray(Image.open(file), float) - grey).mean() / 255
    ours = float((jpeg(batch[:1], torch.tensor([30.0])) - batch[:1]).abs().mean())
    assert 0.6 * real < ours < 1.6 * real
