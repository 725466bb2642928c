"""The network we ship: a small residual U-Net with batch normalisation. Legend in `nucleate.nets.unet`.

Residual blocks: He et al., CVPR 2016, doi:10.1109/CVPR.2016.90. Batch normalisation is frozen at run time, so a tile is
treated exactly as the same pixels of the whole picture.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nucleate.nets.unet import UShape

__all__ = ["Flagship", "ResidualBlock"]


class ResidualBlock(nn.Module):
    """Two normalised 3 x 3 convolutions beside a 1 x 1 short cut."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm_first = nn.BatchNorm2d(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm_second = nn.BatchNorm2d(channels_out)
        same = channels_in == channels_out
        self.short_cut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Keep H and W."""
        y_NCHW = functional.relu(self.norm_first(self.first(x_NCHW)))
        return functional.relu(self.norm_second(self.second(y_NCHW)) + self.short_cut(x_NCHW))


class Flagship(UShape):
    """Residual U-Net; cheap at full size, deep where pixels are few.

    Parameters
    ----------
    channels_in, channels_out : int
        Channels of the batch and number of maps.
    width : int
        Channels at full size; doubled at each level up to twelve times.
    depth : int
        Number of times the picture is halved. H and W may be any size of at least ``2 ** depth``.
    """

    def __init__(self, channels_in: int = 3, channels_out: int = 3, *, width: int = 16, depth: int = 5) -> None:
        super().__init__()
        widths = [width * min(2**level, 12) for level in range(depth + 1)]
        self.down = nn.ModuleList(ResidualBlock(i, o) for i, o in zip([channels_in, *widths], widths, strict=False))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, 2, 2) for deep, shallow in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.merge = nn.ModuleList(ResidualBlock(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(width, channels_out, 1)
