"""Measures taken on held-out pictures after each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nucleate.train.augment import crop_grid, seeded
from nucleate.train.augment_config import AugmentConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from nucleate.train.batches import Atlas
    from nucleate.train.config import TrainConfig

__all__ = ["mask_iou"]


def mask_iou(atlas: Atlas, config: TrainConfig, *, device: str = "cpu") -> Callable[[nn.Module], dict[str, float]]:
    """Make the validation of `nucleate.train.loop.fit`: pixel IoU of the first map's mask.

    One fixed crop of each picture is used, or the whole picture if it was resized to the crop's size. The mask is where
    the probability is above 0.5, its IoU with the truth is TP / (TP + FP + FN), and the ``score`` is the mean over
    pictures (1 for a picture without nuclei in which none is found).

    Parameters
    ----------
    atlas : Atlas
        Held-out pictures.
    config : TrainConfig
        Its crop size, batch size, precision and seed are used.
    device : str
        ``cpu`` or ``cuda``.
    """
    place = torch.device(device)
    which = torch.arange(len(atlas))
    grid = crop_grid(atlas.sizes_N2, config.crop, config=AugmentConfig(flips=False), generator=seeded(config.seed, 4))
    batch_NCHW, labels_NHW, _ = atlas.to(place).sample(which, grid)
    truth_NHW = labels_NHW > 0

    def validate(module: nn.Module) -> dict[str, float]:
        overlaps = []
        for start in range(0, len(which), config.batch):
            part = slice(start, start + config.batch)
            x_NCHW = batch_NCHW[part].contiguous(memory_format=torch.channels_last)
            half = config.precision == "bfloat16"
            with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=half):
                found_NHW = module(x_NCHW)[:, 0] > 0
            both = (found_NHW & truth_NHW[part]).sum((1, 2))
            either = (found_NHW | truth_NHW[part]).sum((1, 2))
            overlaps.append(torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(either)))
        return {"score": float(torch.cat(overlaps).double().mean())}

    return validate
