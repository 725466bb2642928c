"""Muon: its steps are orthogonal and of one size, and it goes downhill."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nucleate.train.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (6, 50), (50, 6), (1, 9)])
def test_all_singular_values_come_out_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    values = torch.linalg.svdvals(orthogonal(matrix).float())
    assert values.min() > 0.4
    assert values.max() < 1.4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_are_found_in_the_arithmetic_that_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    matrix = torch.randn((6, 50), generator=torch.Generator().manual_seed(1))
    usual = orthogonal(matrix)
    monkeypatch.setattr("nucleate.train.muon.best_precision", lambda device: precision)
    found = orthogonal(matrix)
    assert found.dtype == getattr(torch, precision)
    assert torch.allclose(found.float(), usual.float(), atol=0.03)


def test_a_matrix_without_a_direction_stays_zero() -> None:
    assert not orthogonal(torch.zeros(3, 5)).any()


@pytest.mark.parametrize("shape", [(12, 8, 3, 3), (16, 4, 1, 1), (8, 20, 2, 2), (16,)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_step_has_the_size_of_adams_and_does_not_depend_on_the_layout(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    draw = torch.Generator().manual_seed(2)
    gradient = torch.randn(shape, generator=draw)
    weight = nn.Parameter(torch.zeros(shape))
    if len(shape) == 4:
        weight = nn.Parameter(torch.zeros(shape).contiguous(memory_format=layout))
        weight.grad = gradient.contiguous(memory_format=layout)
    else:
        weight.grad = gradient
    Muon([weight], 0.1).step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.2 * 0.1, rel=0.35)
    plain = nn.Parameter(torch.zeros(shape))
    plain.grad = gradient
    Muon([plain], 0.1).step()
    assert torch.equal(weight, plain)
    assert float((weight.detach() * gradient).sum()) < 0  # downhill


def test_weights_shrink_by_their_decay_where_nothing_pulls() -> None:
    weight = nn.Parameter(torch.ones(3, 4))
    weight.grad = torch.zeros(3, 4)
    Muon([weight], 0.1, weight_decay=0.5).step()
    assert torch.allclose(weight, torch.full((3, 4), 0.95))


def test_parameters_without_a_gradient_stay() -> None:
    weight = nn.Parameter(torch.ones(3, 4))
    Muon([weight], 0.1, weight_decay=0.5).step()
    assert torch.equal(weight, torch.ones(3, 4))
