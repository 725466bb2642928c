"""Changes of colour for pictures of three channels. Legend in `nucleate.nets.unet`.

All but `tint` are one 3 x 3 matrix a crop. Grey pictures stay grey, but for `dye`, which gives each a cast; `tint` then
finds none to show in one colour.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from nucleate.train.draws import draw, onto

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from nucleate.train.augment_config import AugmentConfig

__all__ = ["change_colours"]

_GREY = 1e-3  # channels that differ by no more are grey


def change_colours(batch_NCHW: Tensor, config: AugmentConfig, *, generator: Generator) -> Tensor:
    """Shuffle, turn, fade and tint colours; not clipped to 0..1.

    Parameters
    ----------
    batch_NCHW : Tensor
        Three channels.
    config : AugmentConfig
        `mix_channels`, `hue`, `saturation`, `dye` and `tint` are used.
    generator : Generator
        On the CPU.
    """
    if config.mix_channels:
        batch_NCHW = _mix_channels(batch_NCHW, config.mix_channels, generator=generator)
    if config.hue or config.saturation != (1.0, 1.0) or config.dye:
        change_N33 = _stain(len(batch_NCHW), config, generator=generator)
        batch_NCHW = torch.einsum("nij,njhw->nihw", onto(change_N33, batch_NCHW.device), batch_NCHW)
    if config.tint:
        batch_NCHW = _tint(batch_NCHW, config.tint, generator=generator)
    return batch_NCHW


def _stain(count: int, config: AugmentConfig, *, generator: Generator) -> Tensor:
    """Draw matrices (N, 3, 3): colours turned around the grey axis and moved to or from it, then channels weighed."""
    angle = draw((-config.hue, config.hue), count, generator=generator)[:, None, None]
    reach = draw(config.saturation, count, generator=generator)[:, None, None]
    grey_33 = torch.full((3, 3), 1 / 3)
    # Turning by a right angle around (1, 1, 1).
    across_33 = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    turned_N33 = angle.cos() * (torch.eye(3) - grey_33) + angle.sin() * across_33
    dye_N31 = (config.dye * (2 * torch.rand(count, 3, 1, generator=generator) - 1)).exp()
    return dye_N31 * (grey_33 + reach * turned_N33)


def _tint(batch_NCHW: Tensor, chance: float, *, generator: Generator) -> Tensor:
    """Show some grey crops in one colour, as a lamp or a look-up table does."""
    count = len(batch_NCHW)
    chosen_N = torch.rand(count, generator=generator) < chance
    colour_N3 = torch.rand(count, 3, generator=generator) ** 3
    colour_N3 = colour_N3 / colour_N3.amax(1, keepdim=True).clamp(min=1e-6)
    grey_N = (batch_NCHW.amax(1) - batch_NCHW.amin(1)).flatten(1).amax(1) <= _GREY
    pick_N1 = (onto(chosen_N, batch_NCHW.device) & grey_N)[:, None]
    factor_N3 = torch.where(pick_N1, onto(colour_N3, batch_NCHW.device), 1.0)
    return batch_NCHW * factor_N3[:, :, None, None]


def _mix_channels(batch_NCHW: Tensor, chance: float, *, generator: Generator) -> Tensor:
    """Turn some crops to grey and others to another colouring; grey pictures stay grey under both."""
    count = len(batch_NCHW)
    dice = torch.rand(count, generator=generator)
    weights = torch.rand(count, 1, 3, generator=generator) + 0.1
    to_grey_N33 = (weights / weights.sum(-1, keepdim=True)).expand(-1, 3, -1)
    order = torch.rand(count, 3, generator=generator).argsort(1)
    shuffle_N33 = functional.one_hot(order, 3).float()
    blend = torch.rand(count, 1, 1, generator=generator) * 0.5
    shift_N33 = (1 - blend) * shuffle_N33 + blend * to_grey_N33
    same_N33 = torch.eye(3).expand(count, 3, 3)
    pick = dice[:, None, None]
    mixing = torch.where(pick < chance / 2, to_grey_N33, torch.where(pick < chance, shift_N33, same_N33))
    return torch.einsum("nij,njhw->nihw", onto(mixing, batch_NCHW.device), batch_NCHW)
