"""What sets the networks of the next steps apart; the battery of test_networks.py runs over them too."""

from __future__ import annotations

import pytest
import torch

from nucleate.nets.build import NetConfig, build, count_parameters
from nucleate.nets.variants import UNetColourStem


def _extra(name: str, width: int = 64, **more: int) -> int:
    return count_parameters(build(NetConfig(name, width=width, **more))) - count_parameters(
        build(NetConfig("unet", width=width, **more))
    )


def test_large_filters_stand_at_full_size_only() -> None:
    width = 64
    # 25 - 9 weights more for each pair of channels of four convolutions.
    pairs = width * 1 + width * width + width * 2 * width + width * width
    assert _extra("unet-large-filters") == 16 * pairs


def test_up_sampling_is_the_only_thing_learned_anew() -> None:
    # A transposed and a plain 2 x 2 convolution have as many weights.
    assert _extra("unet-learned-upsampling") == 0
    module = build(NetConfig("unet-learned-upsampling", width=2, depth=2))
    assert [type(step).__name__ for step in module.up] == ["ConvTranspose2d"] * 2  # type: ignore[union-attr]


def test_a_colour_stem_is_one_convolution_more() -> None:
    assert _extra("unet-colour-stem", channels_in=3) == 9 * 64 + 64


def _colour_net() -> tuple[UNetColourStem, torch.nn.Conv2d]:
    torch.manual_seed(0)
    module = build(NetConfig("unet-colour-stem", 3, 1, width=4, depth=2)).eval()
    assert isinstance(module, UNetColourStem)
    assert isinstance(module.colour, torch.nn.Conv2d)
    return module, module.colour


def test_grey_and_coloured_pictures_go_through_their_own_stem() -> None:
    module, colour = _colour_net()
    grey = torch.rand(1, 1, 16, 16).expand(-1, 3, -1, -1)
    coloured = torch.rand(1, 3, 16, 16)
    both = module(torch.cat([grey, coloured]))
    torch.testing.assert_close(both[:1], module(grey))
    torch.testing.assert_close(both[1:], module(coloured))
    with torch.no_grad():
        colour.weight.zero_()
    torch.testing.assert_close(module(grey), both[:1])
    assert not torch.allclose(module(coloured), both[1:])


def test_both_stems_learn_from_a_mixed_batch() -> None:
    module, colour = _colour_net()
    batch = torch.cat([torch.rand(1, 1, 16, 16).expand(-1, 3, -1, -1), torch.rand(1, 3, 16, 16)])
    module(batch).square().mean().backward()
    for stem in (module.grey, colour):
        assert stem.weight.grad is not None
        assert stem.weight.grad.abs().sum() > 0


def test_three_classes_are_a_softmax() -> None:
    torch.manual_seed(0)
    module = build(NetConfig("unet-three-class", 1, 3, width=4, depth=2))
    mask, edge, inside = module(torch.rand(2, 1, 16, 16)).sigmoid().unbind(1)
    torch.testing.assert_close(edge + inside, mask)
    assert (mask < 1).all()
    with pytest.raises(ValueError, match="three maps"):
        build(NetConfig("unet-three-class", 1, 4))
