"""Losses: logits in, one number out. Legend in `nucleate.nets.unet`.

Targets come as ``targets_NCHW`` in 0..1, one channel a map, in the order of `TrainConfig.maps`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from nucleate.train.parallel import across

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from nucleate.train.config import TrainConfig

__all__ = ["bce", "compound", "loss_of", "soft_dice", "softmax"]


def bce(logits_NCHW: Tensor, targets_NCHW: Tensor, weights_NHW: Tensor | None = None) -> Tensor:
    """Binary cross-entropy (the paper's loss), pixels weighed by `weights_NHW` if given; mean over pixels and maps."""
    weight = None if weights_NHW is None else weights_NHW[:, None]
    return functional.binary_cross_entropy_with_logits(logits_NCHW, targets_NCHW, weight)


def soft_dice(logits_NCHW: Tensor, targets_NCHW: Tensor) -> Tensor:
    """One minus the soft Dice overlap of each map over the whole batch, mean over maps.

    Source: Milletari et al., 3DV 2016, doi:10.1109/3DV.2016.79. One pixel is added above and below, so that an empty
    map which is predicted empty costs nothing.
    """
    maps_NCHW = logits_NCHW.sigmoid()
    shared_C = across((maps_NCHW * targets_NCHW).sum((0, 2, 3)))
    total_C = across((maps_NCHW + targets_NCHW).sum((0, 2, 3)))
    return (1 - (2 * shared_C + 1) / (total_C + 1)).mean()


def compound(
    logits_NCHW: Tensor, targets_NCHW: Tensor, weights_NHW: Tensor | None = None, *, dice: float = 0.5
) -> Tensor:
    """Weighed cross-entropy (see `nucleate.train.targets.border_weights`) plus a share of the soft Dice loss."""
    return bce(logits_NCHW, targets_NCHW, weights_NHW) + dice * soft_dice(logits_NCHW, targets_NCHW)


def softmax(logits_NCHW: Tensor, targets_NCHW: Tensor, weights_NHW: Tensor | None = None) -> Tensor:
    """Cross-entropy over background, edge and inside; mean over pixels.

    The maps are ``mask``, ``edge``, ``inside`` and the logits those of softmax probabilities, as
    `nucleate.nets.variants.UNetThreeClass` gives them: the log-probability of background is ``logsigmoid(-mask)``.
    """
    mask, edge, inside = logits_NCHW.unbind(1)
    logs_NCHW = functional.logsigmoid(torch.stack([-mask, edge, inside], 1))
    classes_NCHW = torch.cat([1 - targets_NCHW[:, :1], targets_NCHW[:, 1:]], 1)
    loss_NHW = -(classes_NCHW * logs_NCHW).sum(1)
    return (loss_NHW if weights_NHW is None else loss_NHW * weights_NHW).mean()


def loss_of(config: TrainConfig) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Give the loss of a run, with its numbers."""
    losses: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]]
    losses = {"bce": bce, "compound": functools.partial(compound, dice=config.dice), "softmax": softmax}
    return losses[config.loss]
