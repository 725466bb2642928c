"""The table of networks: from a name and a few numbers to a module."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nucleate.nets.flagship import Flagship
from nucleate.nets.unet import UNet
from nucleate.nets.variants import UNetMinusOne, UNetPlusOne

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = ["NETWORKS", "NetConfig", "build", "count_parameters"]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "unet-plus-one": UNetPlusOne,
    "unet-minus-one": UNetMinusOne,
    "flagship": Flagship,
}


@dataclass(frozen=True)
class NetConfig:
    """Which network, and how large.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
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
        if self.name not in NETWORKS:
            raise ValueError(f"unknown network {self.name!r}; choose one of {', '.join(NETWORKS)}")
        if min(self.channels_in, self.channels_out, self.width, self.depth) < 1:
            raise ValueError(f"channels, width and depth must be at least 1; got {self.to_dict()}")

    def to_dict(self) -> dict[str, Any]:
        """Give the fields as plain values, for cards and checkpoints."""
        return asdict(self)


def build(config: NetConfig) -> nn.Module:
    """Make the network, weights drawn from torch's current default generator."""
    make = NETWORKS[config.name]
    return make(config.channels_in, config.channels_out, width=config.width, depth=config.depth)


def count_parameters(module: nn.Module) -> int:
    """Count the trainable numbers."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
