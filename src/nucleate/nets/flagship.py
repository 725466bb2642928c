"""The network we ship: a small residual U-Net that computes at half size. Legend in `nucleate.nets.unet`.

The picture is folded to half its size, four pixels to four times the channels, and the maps are unfolded again at the
end: no pixel is lost, and nothing is computed at full size, where convolutions cost most.

Residual blocks: He et al., CVPR 2016, doi:10.1109/CVPR.2016.90. Folding and unfolding: Shi et al., CVPR 2016,
doi:10.1109/CVPR.2016.207. Batch normalisation is frozen at run time, so a tile is treated exactly as the same pixels of
the whole picture.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nucleate.nets.unet import UShape

__all__ = ["Flagship"]

_GROWTH = (3, 6, 10, 14, 16)  # channels of each level, in thirds of the width; deeper levels have the last


class _Block(nn.Module):
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
    """Residual U-Net between a fold and an unfold.

    Parameters
    ----------
    channels_in, channels_out : int
        Channels of the batch and number of maps.
    width : int
        Channels at half size; 48 makes 5.5 million parameters and 80 thousand multiply-adds a pixel.
    depth : int
        Number of times the picture is halved, the fold included. H and W may be any size of at least ``2 ** depth``.
    """

    def __init__(self, channels_in: int = 3, channels_out: int = 3, *, width: int = 48, depth: int = 5) -> None:
        super().__init__()
        thirds = [_GROWTH[min(level, len(_GROWTH) - 1)] for level in range(depth)]
        widths = [max(1, width * part // 3) for part in thirds]
        self.down = nn.ModuleList(_Block(i, o) for i, o in zip([4 * channels_in, *widths], widths, strict=False))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, 2, 2) for deep, shallow in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.merge = nn.ModuleList(_Block(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(widths[0], 4 * channels_out, 3, padding=1)

    def forward(self, batch_NCHW: Tensor) -> Tensor:
        """Map a batch to logits of the same H and W."""
        rows, cols = batch_NCHW.shape[-2:]
        even_NCHW = batch_NCHW
        if rows % 2 or cols % 2:
            even_NCHW = functional.pad(batch_NCHW, (0, cols % 2, 0, rows % 2), mode="replicate")
        logits_NCHW = functional.pixel_shuffle(super().forward(functional.pixel_unshuffle(even_NCHW, 2)), 2)
        return logits_NCHW[..., :rows, :cols]
