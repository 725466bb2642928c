"""The paper's two variants of the U-Net and its next steps: one class, one difference each.

Legend in `nucleate.nets.unet`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nucleate.nets.unet import UNet, double_conv, he_init

__all__ = [
    "UNetColourStem",
    "UNetLargeFilters",
    "UNetLearnedUpSampling",
    "UNetMinusOne",
    "UNetPlusOne",
    "UNetThreeClass",
]

_COLOURED = 0.5 / 255  # half a step of 8 bits: channels that differ by more anywhere make a picture coloured
_LARGE = 5  # rows and columns of the large filters


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


class UNetLargeFilters(UNet):
    """5 x 5 instead of 3 x 3 convolutions at the highest level, the one at full size, on both arms of the U.

    After Peng et al., "Large Kernel Matters", CVPR 2017, doi:10.1109/CVPR.2017.189.
    """

    def __init__(self, channels_in: int = 1, channels_out: int = 1, *, width: int = 64, depth: int = 4) -> None:
        super().__init__(channels_in, channels_out, width=width, depth=depth)
        self.down[0] = double_conv(channels_in, width, side=_LARGE).apply(he_init)
        self.merge[-1] = double_conv(2 * width, width, side=_LARGE).apply(he_init)


class UNetLearnedUpSampling(UNet):
    """Transposed 2 x 2 convolutions with learned weights double H and W, not repeated pixels.

    After Long et al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015,
    doi:10.1109/CVPR.2015.7298965.
    """

    def up_sampling(self, channels_in: int, channels_out: int) -> nn.Module:
        """Build the step that doubles H and W."""
        return nn.ConvTranspose2d(channels_in, channels_out, 2, 2)


class UNetColourStem(UNet):
    """A first convolution of its own for pictures with colours; all other layers are shared with grey pictures.

    A picture is coloured if its channels differ in any pixel. The student paper proposes it.
    """

    def __init__(self, channels_in: int = 3, channels_out: int = 1, *, width: int = 64, depth: int = 4) -> None:
        super().__init__(channels_in, channels_out, width=width, depth=depth)
        first, *rest = self.down[0].children()
        self.colour = first if channels_in > 1 else None
        self.grey = nn.Conv2d(1, width, 3, padding=1).apply(he_init)
        self.down[0] = nn.Sequential(*rest)

    def forward(self, batch_NCHW: Tensor) -> Tensor:
        """Map a batch, in which grey and coloured pictures may stand side by side, to logits of the same H and W."""
        stem_NCHW = self.grey(batch_NCHW[:, :1])
        if self.colour is not None:
            spread_N1HW = batch_NCHW.amax(1, keepdim=True) - batch_NCHW.amin(1, keepdim=True)
            coloured_N111 = spread_N1HW.amax((2, 3), keepdim=True) > _COLOURED
            stem_NCHW = torch.where(coloured_N111, self.colour(batch_NCHW), stem_NCHW)
        return super().forward(stem_NCHW)


class UNetThreeClass(UNet):
    """A softmax over background, inside and edge of nuclei in place of one probability.

    Each of the three outputs is the logit of its softmax probability, ``z - logsumexp(the other two)``, so that a
    sigmoid gives the softmax as it gives the maps of every other network. Outputs are ``mask`` (not background),
    ``edge`` and ``inside``, the maps of that name in `nucleate.train.targets`, or the first of them.

    After Caicedo et al., Cytometry A 95 (2019), doi:10.1002/cyto.a.23863.
    """

    def __init__(self, channels_in: int = 1, channels_out: int = 3, *, width: int = 64, depth: int = 4) -> None:
        if channels_out > 3:
            raise ValueError(f"unet-three-class gives three maps at most; got channels_out = {channels_out}")
        super().__init__(channels_in, 3, width=width, depth=depth)
        self.channels_out = channels_out

    def forward(self, batch_NCHW: Tensor) -> Tensor:
        """Map a batch to logits of the same H and W."""
        scores_NCHW = super().forward(batch_NCHW)
        background, edge, inside = scores_NCHW[:, 0], scores_NCHW[:, 1], scores_NCHW[:, 2]
        logits = [
            torch.logaddexp(edge, inside) - background,
            edge - torch.logaddexp(background, inside),
            inside - torch.logaddexp(background, edge),
        ]
        return torch.stack(logits[: self.channels_out], 1)
