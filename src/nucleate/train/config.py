"""What a training run is: frozen settings that check themselves, read from TOML."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nucleate.core.normalize import Normalizer
from nucleate.errors import UsageError
from nucleate.nets.build import NetConfig

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAPS", "AugmentConfig", "Range", "TrainConfig", "load_config", "parse_config"]

MAPS = ("mask", "border", "distance")
"""Maps a network can be taught, see `nucleate.train.targets`."""

Range = tuple[float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AugmentConfig(_Frozen):
    """How crops are changed; every range is drawn from uniformly, once a crop, unless said otherwise.

    Parameters
    ----------
    flips : bool
        Horizontal and vertical flips, each with p = 0.5.
    rotate : bool
        Any angle.
    zoom : (float, float)
        Size of nuclei in the crop relative to the source, drawn log-uniformly.
    displace : (float, float)
        Range of z, the standard deviation of the piecewise affine shift of a `displace_grid` of points, as a share of
        the crop's side.
    displace_grid : int
        Points a side.
    gamma : (float, float)
        Exponent on 0..1, drawn log-uniformly.
    gain : (float, float)
        Contrast: the picture is multiplied by this, then clipped.
    offset : (float, float)
        Brightness: this is added, then the picture is clipped.
    noise : float
        Largest standard deviation of Gaussian noise, 0..1 of the range.
    blur : float
        Largest standard deviation of a Gaussian blur, pixels.
    invert : float
        Chance that the picture is inverted.
    mix_channels : float
        Chance that colours are shuffled and shifted, or turned to grey (one half each).
    """

    flips: bool = True
    rotate: bool = False
    zoom: Range = (1.0, 1.0)
    displace: Range = (0.0, 0.0)
    displace_grid: int = Field(4, ge=2)
    gamma: Range = (1.0, 1.0)
    gain: Range = (1.0, 1.0)
    offset: Range = (0.0, 0.0)
    noise: float = Field(0.0, ge=0)
    blur: float = Field(0.0, ge=0)
    invert: float = Field(0.0, ge=0, le=1)
    mix_channels: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("zoom", "displace", "gamma", "gain", "offset"):
            low, high = getattr(self, name)
            if low > high or (name in {"zoom", "gamma"} and low <= 0):
                raise ValueError(f"{name}: need 0 < low <= high; got {low}, {high}")
        return self


class TrainConfig(_Frozen):
    """One training run.

    Parameters
    ----------
    network : NetConfig
        Its `channels_out` must be the number of `maps`.
    normalizer : Normalizer
        How pictures are prepared; stored in the model's card.
    augment : AugmentConfig
        How crops are moved and changed.
    resize : int or None
        Side of the square to which whole pictures are resized first (256 in the paper); None keeps them.
    crop : int
        Side of the crops, pixels.
    maps : tuple of str
        What the network is taught, of `MAPS`.
    loss : {"bce", "compound"}
        See `nucleate.train.losses`.
    epochs : int
        An epoch is `steps_per_epoch` batches, or each picture once where that is None.
    steps_per_epoch : int or None
        Batches an epoch, crops drawn at random.
    batch : int
        Crops a batch.
    lr : float
        Learning rate of Adam (decoupled weight decay when `weight_decay` > 0).
    schedule : {"constant", "cosine"}
        ``cosine`` warms up over 2 % of the steps and falls to 1 % of `lr`.
    weight_decay : float
        Share of `lr` by which the weights shrink at each step.
    ema : float
        Decay of the running mean of the weights that is validated and kept; 0 turns it off.
    balance : float
        0 draws pictures evenly, 1 draws the kinds of picture evenly; between is between. With `steps_per_epoch` only.
    precision : {"float32", "bfloat16"}
        Of the network's arithmetic; the weights are float32.
    seed : int
        Everything random follows from it.
    """

    network: NetConfig = NetConfig()
    normalizer: Normalizer = Normalizer()
    augment: AugmentConfig = AugmentConfig()
    resize: int | None = Field(None, ge=16)
    crop: int = Field(256, ge=16)
    maps: tuple[str, ...] = ("mask",)
    loss: Literal["bce", "compound"] = "bce"
    epochs: int = Field(20, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1)
    batch: int = Field(8, ge=1)
    lr: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = Field(0.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    balance: float = Field(0.0, ge=0, le=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = set(self.maps) - set(MAPS)
        if unknown or not self.maps:
            raise ValueError(f"maps: choose of {', '.join(MAPS)}; got {', '.join(self.maps) or 'none'}")
        if self.network.channels_out != len(self.maps):
            raise ValueError(
                f"network.channels_out must be {len(self.maps)}, one a map; got {self.network.channels_out}"
            )
        if self.network.channels_in != self.normalizer.channels:
            raise ValueError(f"network.channels_in must be normalizer.channels; got {self.network.channels_in}")
        return self

    def replace(self, **changes: object) -> TrainConfig:
        """Give a checked copy with some fields changed."""
        return TrainConfig.model_validate({**self.model_dump(), **changes})


def parse_config(values: dict[str, Any], origin: str = "settings") -> TrainConfig:
    """Check plain values.

    Raises
    ------
    UsageError
        One line naming the first wrong field.
    """
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "settings"
        raise UsageError(f"{origin}: {place}: {first['msg']}; see docs/reference/training.md") from error


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file.

    Raises
    ------
    UsageError
        If it cannot be read or a field is wrong.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot read the configuration: {error}; give a TOML file") from error
    return parse_config(values, str(path))
