"""Losses: logits in, one number out. Legend in `nucleate.nets.unet`.

Targets come as ``targets_NCHW`` in 0..1, one channel a map, in the order of `TrainConfig.maps`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["LOSSES", "bce", "compound", "soft_dice"]


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
    shared_C = (maps_NCHW * targets_NCHW).sum((0, 2, 3))
    total_C = (maps_NCHW + targets_NCHW).sum((0, 2, 3))
    return (1 - (2 * shared_C + 1) / (total_C + 1)).mean()


def compound(logits_NCHW: Tensor, targets_NCHW: Tensor, weights_NHW: Tensor | None = None) -> Tensor:
    """Weighed cross-entropy (see `nucleate.train.targets.border_weights`) plus half the soft Dice loss."""
    return bce(logits_NCHW, targets_NCHW, weights_NHW) + 0.5 * soft_dice(logits_NCHW, targets_NCHW)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {"bce": bce, "compound": compound}
