"""Random numbers for augmentation, from a generator on the CPU, so that every device gets the same batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["draw", "draw_log"]


def draw(low_high: tuple[float, float], count: int, *, generator: Generator) -> Tensor:
    """Draw `count` numbers uniformly between two."""
    low, high = low_high
    return low + (high - low) * torch.rand(count, generator=generator)


def draw_log(low_high: tuple[float, float], count: int, *, generator: Generator) -> Tensor:
    """Draw `count` numbers between two, their logarithms uniformly."""
    return draw((math.log(low_high[0]), math.log(low_high[1])), count, generator=generator).exp()
