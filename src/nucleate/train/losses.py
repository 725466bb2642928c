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


def bce(logits_NCHW: Tensor, targets_NCHW: Tensor, weights_NHW: Tensor) -> Tensor:
    """Binary cross-entropy, mean over all pixels and maps (the paper's loss); `weights_NHW` is not used."""
    del weights_NHW
    return functional.binary_cross_entropy_with_logits(logits_NCHW, targets_NCHW)


def soft_dice(logits_NCHW: Tensor, targets_NCHW: Tensor) -> Tensor:
    """One minus the soft Dice overlap of each map over the whole batch, mean over maps.

    Source: Milletari et al., 3DV 2016, doi:10.1109/3DV.2016.79. One pixel is added above and below, so that an empty
    map which is predicted empty costs nothing.
    """
    maps_NCHW = logits_NCHW.sigmoid()
    shared_C = (maps_NCHW * targets_NCHW).sum((0, 2, 3))
    total_C = (maps_NCHW + targets_NCHW).sum((0, 2, 3))
    return (1 - (2 * shared_C + 1) / (total_C + 1)).mean()


def compound(logits_NCHW: Tensor, targets_NCHW: Tensor, weights_NHW: Tensor) -> Tensor:
    """Cross-entropy weighted by `weights_NHW` (1 far from touching nuclei, more between them), plus soft Dice."""
    pixel_NCHW = functional.binary_cross_entropy_with_logits(logits_NCHW, targets_NCHW, reduction="none")
    weighted = (pixel_NCHW * weights_NHW[:, None]).mean()
    return weighted + 0.5 * soft_dice(logits_NCHW, targets_NCHW)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"bce": bce, "compound": compound}
