"""The plain U-Net of the student paper, and the blocks it is made of.

Legend: N image of a batch, C channel, H row, W column. All networks take ``batch_NCHW`` (float, 0..1) and give
``logits_NCHW`` of the same H and W; a sigmoid of the logits is the probability map.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
doi:10.1007/978-3-319-24574-4_28; with same-padding, one output and the up-sampled map padded to the skip's size, as the
Stanford CS230 project of 2018 describes it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["UNet", "UShape", "UpConv", "double_conv", "he_init", "pad_to"]


def double_conv(channels_in: int, channels_out: int, *, side: int = 3) -> nn.Sequential:
    """Two convolutions with filters of an odd `side`, padded to keep H and W, each followed by ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, side, padding=side // 2),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels_out, channels_out, side, padding=side // 2),
        nn.ReLU(inplace=True),
    )


def he_init(module: nn.Module) -> None:
    """Draw convolution weights from a Gaussian of variance 2 / inputs, as the U-Net paper asks; biases are 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def pad_to(x_NCHW: Tensor, like_NCHW: Tensor) -> Tensor:
    """Pad below and to the right by repeating the edge until H and W are those of `like_NCHW`."""
    rows = like_NCHW.shape[-2] - x_NCHW.shape[-2]
    cols = like_NCHW.shape[-1] - x_NCHW.shape[-1]
    return functional.pad(x_NCHW, (0, cols, 0, rows), mode="replicate") if rows or cols else x_NCHW


class UpConv(nn.Module):
    """Fixed nearest up-sampling by 2, then a 2 x 2 convolution that halves the channels ("up-convolution")."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 2)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Double H and W."""
        up_NCHW = functional.interpolate(x_NCHW, scale_factor=2, mode="nearest")
        # One more row and column, which a 2 x 2 filter uses up.
        return self.conv(functional.pad(up_NCHW, (0, 1, 0, 1)))  # type: ignore[no-any-return]


class UShape(nn.Module):
    """The forward pass of every U-Net here: down, then up, at each level joined with the maps from the way down.

    Subclasses set `down`, one block a level; `up` and `merge`, one for each level but the deepest, from deep to
    shallow; and `head`, from the last maps to the logits.
    """

    down: nn.ModuleList
    up: nn.ModuleList
    merge: nn.ModuleList
    head: nn.Module

    def forward(self, batch_NCHW: Tensor) -> Tensor:
        """Map a batch to logits of the same H and W."""
        skips: list[Tensor] = []
        x_NCHW = batch_NCHW
        for level, block in enumerate(self.down):
            x_NCHW = block(functional.max_pool2d(x_NCHW, 2) if level else x_NCHW)
            skips.append(x_NCHW)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            skip_NCHW = skips.pop()
            x_NCHW = merge(torch.cat([skip_NCHW, pad_to(up(x_NCHW), skip_NCHW)], 1))
        return self.head(x_NCHW)  # type: ignore[no-any-return]


class UNet(UShape):
    """The paper's base network.

    Parameters
    ----------
    channels_in, channels_out : int
        Channels of the batch and number of maps.
    width : int
        Channels at full size; doubled at each level. 64 in the paper: 31,030,593 parameters for one grey channel.
    depth : int
        Number of times the picture is halved, 4 in the paper. H and W may be any size of at least ``2 ** depth``.
    """

    def __init__(self, channels_in: int = 1, channels_out: int = 1, *, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(double_conv(i, o) for i, o in zip([channels_in, *widths], widths, strict=False))
        self.up = nn.ModuleList(self.up_sampling(2 * w, w) for w in reversed(widths[:-1]))
        self.merge = nn.ModuleList(double_conv(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, channels_out, 1)
        self.apply(he_init)

    def up_sampling(self, channels_in: int, channels_out: int) -> nn.Module:
        """Build the step that doubles H and W."""
        return UpConv(channels_in, channels_out)
