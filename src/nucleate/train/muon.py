"""Muon: an optimiser that moves every filter bank equally far in all directions, not only along the largest gradients.

The momentum of each weight tensor is read as a matrix, with one row for each entry of its first axis, and replaced by
the nearest matrix with orthonormal rows or columns, found by five Newton-Schulz steps, which only need matrix products.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon; the size of a step as in J. Liu et al., "Muon is Scalable for LLM Training",
arXiv:2502.16982, so that learning rates mean what they mean for Adam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nucleate.train.device import best_precision

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

__all__ = ["Muon", "orthogonal"]

_STEPS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # brings singular values from 0..1 to about 0.7..1.2 in five steps
_MOMENTUM = 0.95  # decay of the mean gradient, with Nesterov's look ahead
_RMS = 0.2  # of a step of Adam, in units of the learning rate


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal; a vector (bias, gain) is a matrix of one row.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
        Root mean square of a step is 0.2 times this, whatever the shape.
    weight_decay : float
        Share of `lr` by which weights shrink at each step.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, *, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            lr = group["lr"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["mean"] = torch.zeros_like(weight)
                mean = state["mean"]
                mean.lerp_(weight.grad, 1 - _MOMENTUM)
                step = _orthogonal_step(weight.grad.lerp(mean, _MOMENTUM))
                weight.mul_(1 - lr * group["weight_decay"]).add_(step, alpha=-lr * _RMS)


def orthogonal(matrix: Tensor) -> Tensor:
    """Bring all singular values of a matrix (m, n) to about 1, in bfloat16 where there are instructions for it."""
    rows, cols = matrix.shape
    x = matrix.to(getattr(torch, best_precision(matrix.device.type)))
    x = x.T if rows > cols else x
    x = x / (x.norm() + 1e-7)
    first, third, fifth = _QUINTIC
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), x, beta=first)
    return x.T if rows > cols else x


def _orthogonal_step(mean: Tensor) -> Tensor:
    """Give a tensor of the same shape whose root mean square is about 1 and which is orthogonal as a matrix."""
    last = mean.movedim(1, -1) if mean.ndim > 1 else mean[None]  # filters lie in memory with channels last
    matrix = last.flatten(1)
    step: Tensor = (orthogonal(matrix) * max(matrix.shape) ** 0.5).view_as(last)
    return step.movedim(-1, 1) if mean.ndim > 1 else step[0]
