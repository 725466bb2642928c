"""The table of networks: from a name and a few numbers to a module."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nucleate.nets.flagship import Flagship
from nucleate.nets.unet import UNet
from nucleate.nets.variants import (
    UNetColourStem,
    UNetLargeFilters,
    UNetLearnedUpSampling,
    UNetMinusOne,
    UNetPlusOne,
    UNetThreeClass,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = ["DETECTORS", "NETWORKS", "NetConfig", "build", "count_parameters"]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "unet-plus-one": UNetPlusOne,
    "unet-minus-one": UNetMinusOne,
    "unet-colour-stem": UNetColourStem,
    "unet-large-filters": UNetLargeFilters,
    "unet-learned-upsampling": UNetLearnedUpSampling,
    "unet-three-class": UNetThreeClass,
    "flagship": Flagship,
}


def _mask_rcnn(channels_in: int, channels_out: int, *, width: int, depth: int) -> nn.Module:
    # torchvision is an extra that most never need.
    from nucleate.nets.maskrcnn import MaskRCNN

    del channels_out, depth  # it finds nuclei one by one, and its backbone has a depth of its own
    return MaskRCNN(channels_in, width=width)


DETECTORS: dict[str, Callable[..., nn.Module]] = {"mask-rcnn": _mask_rcnn}
"""Networks that give nuclei, not maps; they learn from the map ``labels``."""

_WIDEST, _DEEPEST = 1024, 8  # beyond these a mistyped number fills the memory


@dataclass(frozen=True)
class NetConfig:
    """Which network, and how large.

    Parameters
    ----------
    name : str
        A key of `NETWORKS` or `DETECTORS`.
    channels_in, channels_out : int
        Channels of a batch and number of maps.
    width : int
        Channels at full size.
    depth : int
        How often the picture is halved.

    Raises
    ------
    ValueError
        For an unknown name or a size below 1.
    """

    name: str = "unet"
    channels_in: int = 1
    channels_out: int = 1
    width: int = 64
    depth: int = 4

    def __post_init__(self) -> None:
        if self.name not in {**NETWORKS, **DETECTORS}:
            raise ValueError(f"unknown network {self.name!r}; choose one of {', '.join([*NETWORKS, *DETECTORS])}")
        if min(self.channels_in, self.channels_out, self.width, self.depth) < 1:
            raise ValueError(f"channels, width and depth must be at least 1; got {self.to_dict()}")
        if self.width > _WIDEST or self.depth > _DEEPEST:
            raise ValueError(f"width is at most {_WIDEST}, depth at most {_DEEPEST}; got {self.to_dict()}")

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain values, for cards and checkpoints."""
        return asdict(self)


def build(config: NetConfig) -> nn.Module:
    """Make the network, weights drawn from torch's current default generator."""
    make = {**NETWORKS, **DETECTORS}[config.name]
    return make(config.channels_in, config.channels_out, width=config.width, depth=config.depth)


def count_parameters(module: nn.Module) -> int:
    """Count the trainable numbers."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
