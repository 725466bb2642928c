"""The paper's two variants of the U-Net: one class, one difference each. Legend in `nucleate.nets.unet`."""

from __future__ import annotations

from torch import nn

from nucleate.nets.unet import UNet, he_init

__all__ = ["UNetMinusOne", "UNetPlusOne"]


class UNetPlusOne(UNet):
    """The paper's "+1": one more 3 x 3 convolution before the output."""

    def __init__(self, channels_in: int = 1, channels_out: int = 1, *, width: int = 64, depth: int = 4) -> None:
        super().__init__(channels_in, channels_out, width=width, depth=depth)
        more = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Sequential(more, nn.ReLU(inplace=True), nn.Conv2d(width, channels_out, 1)).apply(he_init)


class UNetMinusOne(UNet):
    """The paper's "-1": the last two 3 x 3 convolutions removed, so the output reads the joined maps."""

    def __init__(self, channels_in: int = 1, channels_out: int = 1, *, width: int = 64, depth: int = 4) -> None:
        super().__init__(channels_in, channels_out, width=width, depth=depth)
        self.merge[-1] = nn.Identity()
        self.head = nn.Conv2d(2 * width, channels_out, 1).apply(he_init)
