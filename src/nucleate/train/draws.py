"""Random numbers for augmentation, from a generator on the CPU, so that every device gets the same crops.

Only the grain of noise, one number a pixel, is drawn on the card itself, since copying it there would take too long.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["draw", "draw_log", "grain", "onto"]


def draw(low_high: tuple[float, float], count: int, *, generator: Generator) -> Tensor:
    """Draw `count` numbers uniformly between two."""
    low, high = low_high
    return low + (high - low) * torch.rand(count, generator=generator)


def draw_log(low_high: tuple[float, float], count: int, *, generator: Generator) -> Tensor:
    """Draw `count` numbers between two, their logarithms uniformly."""
    return draw((math.log(low_high[0]), math.log(low_high[1])), count, generator=generator).exp()


def onto(values: Tensor, device: torch.device) -> Tensor:
    """Copy a few drawn numbers to the training device without waiting for what it is doing."""
    return values.to(device, non_blocking=True)


def grain(shape: tuple[int, ...], device: torch.device, *, generator: Generator) -> Tensor:
    """Draw normal noise: on the CPU from `generator` itself, on a card from a generator seeded by it."""
    if device.type == "cpu":
        return torch.randn(shape, generator=generator)
    there = torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    return torch.randn(shape, generator=there, device=device)
