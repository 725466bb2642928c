"""Changes of colour: what they keep and what they change."""

from __future__ import annotations

import pytest
import torch

from nucleate.train.augment import seeded
from nucleate.train.augment_config import AugmentConfig
from nucleate.train.colours import change_colours


def _colours(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=seeded(1))


def _grey(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8, generator=seeded(2)).expand(-1, 3, -1, -1)


def test_nothing_asked_changes_nothing() -> None:
    batch = _colours()
    assert torch.equal(change_colours(batch, AugmentConfig(), generator=seeded(0)), batch)


@pytest.mark.parametrize(
    "config", [AugmentConfig(hue=1.0), AugmentConfig(saturation=(0.0, 2.0)), AugmentConfig(mix_channels=1)]
)
def test_grey_stays_grey(config: AugmentConfig) -> None:
    batch = _grey()
    torch.testing.assert_close(change_colours(batch, config, generator=seeded(0)), batch)


def test_turning_and_fading_keep_the_mean_of_the_channels() -> None:
    batch = _colours()
    changed = change_colours(batch, AugmentConfig(hue=3.0, saturation=(0.5, 1.5)), generator=seeded(0))
    assert (changed - batch).abs().max() > 0.1
    torch.testing.assert_close(changed.mean(1), batch.mean(1))


def test_no_saturation_is_grey() -> None:
    changed = change_colours(_colours(), AugmentConfig(saturation=(0.0, 0.0)), generator=seeded(0))
    torch.testing.assert_close(changed, changed.mean(1, keepdim=True).expand_as(changed))


def test_turning_keeps_the_distance_from_grey() -> None:
    batch = _colours()
    changed = change_colours(batch, AugmentConfig(hue=2.0), generator=seeded(0))
    before, after = (x - x.mean(1, keepdim=True) for x in (batch, changed))
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1))


def test_dye_weighs_each_channel_by_one_number() -> None:
    batch = _colours() + 0.1
    ratio = change_colours(batch, AugmentConfig(dye=0.2), generator=seeded(0)) / batch
    torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))
    assert ratio.log().abs().max() <= 0.2 + 1e-5
    assert ratio.std() > 0.01


def test_a_tint_shows_grey_pictures_in_one_colour_and_leaves_colours_alone() -> None:
    both = torch.cat([_grey(), _colours()])
    changed = change_colours(both, AugmentConfig(tint=1.0), generator=seeded(0))
    assert torch.equal(changed[6:], both[6:])
    torch.testing.assert_close(changed[:6].amax(1), both[:6, 0])
    assert (changed[:6].amax(1) - changed[:6].amin(1)).mean() > 0.2
