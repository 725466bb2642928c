"""The table of networks: from a name and a few numbers to a module."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["DETECTORS", "NETWORKS", "NetConfig", "build", "count_parameters"]

NETWORKS = {
    "unet": ("unet", "UNet"),
    "unet-plus-one": ("variants", "UNetPlusOne"),
    "unet-minus-one": ("variants", "UNetMinusOne"),
    "unet-colour-stem": ("variants", "UNetColourStem"),
    "unet-large-filters": ("variants", "UNetLargeFilters"),
    "unet-learned-upsampling": ("variants", "UNetLearnedUpSampling"),
    "unet-three-class": ("variants", "UNetThreeClass"),
    "flagship": ("flagship", "Flagship"),
}
"""Networks that give maps: name -> (module, class), imported, and torch with it, when one is built."""

DETECTORS = {"mask-rcnn": ("maskrcnn", "MaskRCNN")}
"""Networks that give nuclei, not maps, as `NETWORKS`; they learn from the map ``labels``."""

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
        How often the picture is halved in height and width.

    Raises
    ------
    ValueError
        For an unknown name, a number below 1, a width above 1024 or a depth above 8.
    """

    name: str = "unet"
    channels_in: int = 1
    channels_out: int = 1
    width: int = 64
    depth: int = 4

    def __post_init__(self) -> None:
        if self.name not in [*NETWORKS, *DETECTORS]:
            raise ValueError(f"unknown network {self.name!r}; choose one of {', '.join([*NETWORKS, *DETECTORS])}")
        if min(self.channels_in, self.channels_out, self.width, self.depth) < 1:
            raise ValueError(f"channels, width and depth must be at least 1; got {self.to_dict()}")
        if self.width > _WIDEST or self.depth > _DEEPEST:
            raise ValueError(f"width is at most {_WIDEST}, depth at most {_DEEPEST}; got {self.to_dict()}")

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain values, for cards and checkpoints."""
        return asdict(self)


def build(config: NetConfig) -> nn.Module:
    """Make the network; its weights are drawn from torch's default generator as it stands."""
    module, name = (NETWORKS | DETECTORS)[config.name]
    make = getattr(import_module(f"nucleate.nets.{module}"), name)
    network: nn.Module = make(config.channels_in, config.channels_out, width=config.width, depth=config.depth)
    return network


def count_parameters(module: nn.Module) -> int:
    """Count the trainable numbers."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
