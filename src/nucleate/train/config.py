"""What a training run is: frozen settings that check themselves, read from TOML."""

from __future__ import annotations

import itertools
import tomllib
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nucleate.core.normalize import Normalizer
from nucleate.errors import UsageError
from nucleate.nets.build import DETECTORS, NetConfig
from nucleate.post.recipe import PostRecipe
from nucleate.run.scale import ScaleRule  # noqa: TC001 - pydantic looks it up

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CLASSES",
    "MAPS",
    "AugmentConfig",
    "CalmConfig",
    "CardConfig",
    "Range",
    "TrainConfig",
    "load_config",
    "parse_config",
    "read_values",
]

MAPS = ("mask", "border", "distance", "edge", "inside", "labels")
"""Maps a network can be taught, see `nucleate.train.targets`; ``labels`` is for detectors."""

CLASSES = ("mask", "edge", "inside")
"""The maps of a network with a softmax over background, edge and inside."""

Range = tuple[float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AugmentConfig(_Frozen):
    """How crops are changed; every range is drawn from uniformly, once a crop, unless said otherwise.

    Parameters
    ----------
    flips, rotate : bool
        Horizontal and vertical flips, each with p = 0.5; any angle.
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
    hue : float
        Largest turn of the colours around the grey axis, radians.
    saturation : (float, float)
        Distance of the colours from grey: 0 is grey, 1 as it was.
    dye : float
        Largest change of each colour channel, as a logarithm of its factor.
    tint : float
        Chance that a grey picture is shown in one colour, as fluorescence often is.
    hollow : float
        Largest share, 0..1, of their dye that the middles of nuclei on light ground lose, but for a rim and clumps.
    tissue : float
        Largest density, 0..1, of rough tissue with gaps in which the nuclei are laid.
    shade : float
        Largest unevenness of the ground across a crop, 0..1 of the range.
    lamp : float
        Largest share of the light that a lamp takes away across a crop, and as much again from single colours.
    coarse : float
        Chance that few grey levels (4 to 64) are left, as in pictures that use little of their range.
    jpeg, jpeg_quality : float and (float, float)
        Chance of the block noise of a JPEG compression, and its quality, 1 (worst) to 100: dim pictures suffer as
        bright ones of a lower quality do. `crop` must be a multiple of 8.
    plain : float
        Chance that a crop's intensities are left as they are; it is moved all the same.
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
    hue: float = Field(0.0, ge=0)
    saturation: Range = (1.0, 1.0)
    dye: float = Field(0.0, ge=0)
    tint: float = Field(0.0, ge=0, le=1)
    hollow: float = Field(0.0, ge=0, le=1)
    tissue: float = Field(0.0, ge=0, le=1)
    shade: float = Field(0.0, ge=0)
    lamp: float = Field(0.0, ge=0, le=1)
    coarse: float = Field(0.0, ge=0, le=1)
    jpeg: float = Field(0.0, ge=0, le=1)
    jpeg_quality: Range = (20.0, 90.0)
    plain: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("zoom", "displace", "gamma", "gain", "offset", "saturation", "jpeg_quality"):
            low, high = getattr(self, name)
            if low > high or (name in {"zoom", "gamma", "jpeg_quality"} and low <= 0):
                raise ValueError(f"{name}: need 0 < low <= high; got {low}, {high}")
        return self


class CalmConfig(_Frozen):
    """What is different in the last epochs, in which a network learns outlines from crops that are changed less.

    Whatever else is given stands in place of what `AugmentConfig` has under that name.

    Parameters
    ----------
    epochs : int
        How many they are; all, in a run of fewer.
    lr : float or None
        Learning rate of the run from there on, with which ``cosine`` begins anew; None leaves it.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    epochs: int = Field(ge=1)
    lr: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        AugmentConfig.model_validate(self.model_extra)
        return self


class CardConfig(_Frozen):
    """What the model's card says beyond what the run finds out; nothing here changes the network.

    Parameters
    ----------
    description, data, licence : str or None
        Texts of the card.
    tile, bytes_per_pixel : int or None
        How large pictures are cut for this network, see `nucleate.run.weights.ModelCard`.
    scale_rule : ScaleRule or None
        Finds the scale of a plane; None leaves every plane at its own.
    """

    description: str | None = None
    data: str | None = None
    licence: str | None = None
    tile: int | None = Field(None, ge=1)
    bytes_per_pixel: int | None = Field(None, ge=1)
    scale_rule: ScaleRule | None = None


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
    calm : CalmConfig or None
        What is different in the last epochs.
    resize : int or None
        Side of the square to which whole pictures are resized first (256 in the paper); None keeps them.
    crop : int
        Side of the crops, pixels.
    frame : {"crop", "image", "size-groups"}
        What a batch is made of: crops; one whole picture; whole pictures of one size, drawn with `steps_per_epoch`.
    drawn : int
        Drawn pictures (`nucleate.data.synth`) added to those trained on.
    stains : bool
        Coloured pictures that `normalizer` inverts are two pictures: one in grey, one of their haematoxylin.
    maps : tuple of str
        What the network is taught, of `MAPS`.
    loss : {"bce", "compound", "softmax"}
        See `nucleate.train.losses`.
    border_weight : float
        By how much ``compound`` weighs pixels up where two nuclei are within four pixels.
    dice : float
        Share of the soft Dice loss in ``compound``.
    seam_weight, seam_sigma : float
        w0 and sigma (pixels) of `nucleate.train.seams.seam_weights`, by which pixels are weighed; 0 turns it off.
    epochs : int
        An epoch is `steps_per_epoch` batches, or each picture once where that is None.
    steps_per_epoch : int or None
        Batches an epoch, crops drawn at random.
    batch : int
        Crops a batch.
    optimiser : {"adam", "muon"}
        ``adam``, with decoupled weight decay, or `nucleate.train.muon`.
    lr : float
        Learning rate.
    beta1 : float
        Adam's decay of the mean gradient.
    schedule : {"constant", "cosine"}
        ``cosine`` warms up over 2 % of the steps and falls to 1 % of `lr`.
    restarts : tuple of int
        Epochs after which ``cosine`` begins anew, ascending.
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
    full_size : bool
        Run the network on pictures of their own size although it was trained on resized ones.
    init : str or None
        Model that the weights start from, by name or file; drawn at random when None.
    freeze_norms : bool
        Normalisation keeps the statistics it has: right for few pictures, which would give poor ones.
    shards : int
        Parts in which a batch is drawn, so that as many processes can share it.
    compiled : bool
        Compile the network for the machine before training; worth its minute or two on graphics cards.
    recipe : PostRecipe or None
        From maps to nuclei; chosen by score on held-out pictures when None.
    card : CardConfig
        Fields of the model's card.
    """

    network: NetConfig = NetConfig()
    normalizer: Normalizer = Normalizer()
    augment: AugmentConfig = AugmentConfig()
    calm: CalmConfig | None = None
    resize: int | None = Field(None, ge=16)
    crop: int = Field(256, ge=16)
    frame: Literal["crop", "image", "size-groups"] = "crop"
    drawn: int = Field(0, ge=0)
    stains: bool = False
    maps: tuple[str, ...] = ("mask",)
    loss: Literal["bce", "compound", "softmax"] = "bce"
    border_weight: float = Field(4.0, ge=0)
    dice: float = Field(0.5, ge=0)
    seam_weight: float = Field(0.0, ge=0)
    seam_sigma: float = Field(5.0, gt=0)
    epochs: int = Field(20, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1)
    batch: int = Field(8, ge=1)
    optimiser: Literal["adam", "muon"] = "adam"
    lr: float = Field(1e-3, gt=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["constant", "cosine"] = "constant"
    restarts: tuple[int, ...] = ()
    weight_decay: float = Field(0.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    balance: float = Field(0.0, ge=0, le=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    full_size: bool = False
    init: str | None = None
    freeze_norms: bool = False
    shards: int = Field(1, ge=1)
    compiled: bool = False
    recipe: PostRecipe | None = None
    card: CardConfig = CardConfig()

    @field_validator("recipe", mode="before")
    @classmethod
    def _make_recipe(cls, value: object) -> object:
        return PostRecipe.from_dict(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _check_frame(self) -> Self:
        if self.frame == "image" and self.batch != 1:
            raise ValueError(f"batch must be 1 with frame = 'image', pictures differ in size; got {self.batch}")
        if self.frame == "size-groups" and self.steps_per_epoch is None:
            raise ValueError("steps_per_epoch is needed with frame = 'size-groups'; got none")
        if self.shards > 1 and (self.steps_per_epoch is None or self.batch % self.shards):
            raise ValueError(f"shards = {self.shards} needs steps_per_epoch, and must divide batch = {self.batch}")
        if self.loss == "softmax" and self.maps != CLASSES:
            raise ValueError(f"maps must be {', '.join(CLASSES)} with loss = 'softmax'; got {', '.join(self.maps)}")
        if ("labels" in self.maps or self.network.name in DETECTORS) and not self.detector:
            raise ValueError(f"the map labels, alone, goes with the networks {', '.join(DETECTORS)}; got {self.maps}")
        if self.seam_weight and self.loss != "bce":
            raise ValueError(f"seam_weight goes with loss = 'bce'; got {self.loss!r}")
        return self

    @model_validator(mode="after")
    def _check_restarts(self) -> Self:
        if any(b <= a for a, b in itertools.pairwise((0, *self.restarts, self.epochs))):
            raise ValueError(f"restarts must ascend between 1 and epochs - 1; got {self.restarts}")
        if self.restarts and self.schedule != "cosine":
            raise ValueError(f"restarts go with schedule = 'cosine'; got {self.schedule!r}")
        return self

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

    @property
    def detector(self) -> bool:
        """Whether the network gives nuclei one by one and not maps."""
        return self.network.name in DETECTORS and self.maps == ("labels",)

    @property
    def falls(self) -> tuple[int, ...]:
        """Epochs between which the learning rate falls once: 0, those of restarts, the first calm one, the end."""
        ends = {0, *self.restarts, self.epochs}
        if self.calm and self.calm.lr:
            ends.add(self.calm_from)
        return tuple(sorted(ends))

    @property
    def calm_from(self) -> int:
        """Epochs before the calm ones; all where there are none."""
        return max(0, self.epochs - self.calm.epochs) if self.calm else self.epochs

    def during(self, epoch: int) -> TrainConfig:
        """Give the settings of an epoch, counted from 0."""
        if self.calm is None or epoch < self.calm_from:
            return self
        changed = {**self.augment.model_dump(), **(self.calm.model_extra or {})}
        return self.replace(augment=changed, lr=self.calm.lr or self.lr)

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


def read_values(path: Path) -> dict[str, Any]:
    """Read the plain values of a TOML file, unchecked.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot read the configuration: {error}; give a TOML file") from error


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file.

    Raises
    ------
    UsageError
        If it cannot be read or a field is wrong.
    """
    return parse_config(read_values(path), str(path))
