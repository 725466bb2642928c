"""Damage by storage: few grey levels, and JPEG compression. Legend in `nucleate.nets.unet`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from nucleate.train.draws import draw, draw_log, onto

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from nucleate.train.augment_config import AugmentConfig

__all__ = ["damage", "jpeg"]

_SIDE = 8


def damage(batch_NCHW: Tensor, config: AugmentConfig, *, generator: Generator) -> Tensor:
    """Damage some crops; values in 0..1 stay there.

    Parameters
    ----------
    batch_NCHW : Tensor
        In 0..1.
    config : AugmentConfig
        `coarse`, `jpeg` and `jpeg_quality` are used.
    generator : Generator
        On the CPU.
    """
    count = len(batch_NCHW)
    if config.coarse:
        chosen_N = torch.rand(count, generator=generator) < config.coarse
        levels_N = draw_log((4.0, 64.0), count, generator=generator)
        # The other crops get a million levels, too many to change what a float keeps.
        levels_N = onto(torch.where(chosen_N, levels_N, 1e6), batch_NCHW.device)
        levels_N111 = levels_N[:, None, None, None]
        batch_NCHW = (batch_NCHW * levels_N111).round() / levels_N111
    if config.jpeg:
        chosen_N = torch.rand(count, generator=generator) < config.jpeg
        quality_N = draw(config.jpeg_quality, count, generator=generator)
        if chosen_N.any():
            which = onto(chosen_N.nonzero()[:, 0], batch_NCHW.device)
            batch_NCHW = batch_NCHW.index_copy(0, which, jpeg(batch_NCHW[which], quality_N[chosen_N]))
    return batch_NCHW.clamp(0, 1)


def jpeg(batch_NCHW: Tensor, quality_N: Tensor) -> Tensor:
    """Round the cosine transform of each 8 x 8 block as JPEG does, each channel as brightness.

    Rows and columns beyond the last whole block are left as they are.

    Parameters
    ----------
    batch_NCHW : Tensor
        In 0..1.
    quality_N : Tensor
        1 (worst) to 100, on the scale of the Independent JPEG Group.

    Source: ITU-T T.81 (1992); its table K.1 is replaced by its trend, steps of 10 + 6 (row + col) on the scale 0..255.
    """
    count, channels, rows, cols = batch_NCHW.shape
    tall, wide = rows // _SIDE, cols // _SIDE
    inner = batch_NCHW[..., : tall * _SIDE, : wide * _SIDE]
    blocks = inner.reshape(count, channels, tall, _SIDE, wide, _SIDE)
    dct = onto(_cosines(), batch_NCHW.device)
    waves = torch.einsum("ui,ncaibj,vj->ncaubv", dct, blocks, dct)
    at = torch.arange(_SIDE)
    scale_N = torch.where(quality_N < 50, 50 / quality_N, 2 - quality_N / 50)
    steps = ((10 + 6 * (at[:, None] + at)) * scale_N[:, None, None]).clamp(min=1) / 255
    steps = onto(steps, batch_NCHW.device)[:, None, None, :, None, :]
    waves = (waves / steps).round() * steps
    out = batch_NCHW.clone()
    back = torch.einsum("ui,ncaubv,vj->ncaibj", dct, waves, dct)
    out[..., : tall * _SIDE, : wide * _SIDE] = back.reshape(inner.shape)
    return out


def _cosines() -> Tensor:
    """Give the orthonormal matrix of the cosine transform, rows frequencies."""
    at = torch.arange(_SIDE)
    waves = torch.cos(math.pi * (2 * at + 1) * at[:, None] / (2 * _SIDE)) * math.sqrt(2 / _SIDE)
    waves[0] /= math.sqrt(2)
    return waves
