"""What a training run is: frozen settings that check themselves, read from TOML."""

from __future__ import annotations

import difflib
import itertools
import json
import tomllib
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from nucleate.core.normalize import Normalizer
from nucleate.errors import UsageError
from nucleate.nets.build import DETECTORS, NetConfig
from nucleate.post.recipe import PostRecipe
from nucleate.run.scale import ScaleRule  # noqa: TC001 - pydantic looks it up
from nucleate.train.augment_config import AugmentConfig, CalmConfig, FrozenConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "AFTER",
    "CLASSES",
    "MAPS",
    "START",
    "STATE",
    "CardConfig",
    "TrainConfig",
    "load_config",
    "merged",
    "parse_config",
    "read_values",
]

MAPS = ("mask", "border", "distance", "edge", "inside", "labels")
"""Maps a network can be taught, see `nucleate.train.targets`; ``labels`` is for detectors."""

CLASSES = ("mask", "edge", "inside")
"""The maps of a network with a softmax over background, edge and inside."""

START = PostRecipe(split="markers", marker_level=0.4, min_area=10)
"""Where tuning begins for networks that learn a distance or a border map."""

AFTER = ("recipe", "spare", "card")
"""Settings of what follows the training: a trained network is the same whatever they are."""

STATE = "state.safetensors"
"""In the folder of a run, what it goes on with."""


class CardConfig(FrozenConfig):
    """What the model's card says beyond what the run finds out; nothing here changes how the network is trained.

    Parameters
    ----------
    description, data, licence : str or None
        Texts of the card.
    tile, bytes_per_pixel : int or None
        How large pictures are cut for this network, see `nucleate.run.weights.ModelCard`.
    scale_rule : ScaleRule or None
        Finds the scale of a plane; None leaves every plane at its own.
    ground : float or None
        `Normalizer.ground` where the model runs; None leaves that of training, in which crops may keep their ground.
    """

    description: str | None = None
    data: str | None = None
    licence: str | None = None
    tile: int | None = Field(None, ge=1)
    bytes_per_pixel: int | None = Field(None, ge=1)
    scale_rule: ScaleRule | None = None
    ground: float | None = Field(None, ge=0, lt=100)


class TrainConfig(FrozenConfig):
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
    spare : float
        Score that a chosen recipe may give up for smoother maps and lower levels, see `nucleate.train.tuning.tune`.
    card : CardConfig
        Fields of the model's card.
    """

    network: NetConfig = NetConfig()
    normalizer: Normalizer = Normalizer()
    augment: AugmentConfig = AugmentConfig()
    calm: CalmConfig | None = None
    resize: int | None = Field(None, ge=16)
    crop: int = Field(256, ge=16, le=8192)
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
    spare: float = Field(0.0, ge=0, le=0.1)
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
        if self.frame == "crop" and self.crop < (least := 2**self.network.depth):
            raise ValueError(f"crop must be {least} or more with network.depth = {self.network.depth}; got {self.crop}")
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
        step = 2**self.network.depth
        if self.resize is not None and not self.full_size and self.resize % step:
            raise ValueError(f"resize must be a multiple of {step} for a network of this depth; got {self.resize}")
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
        said = first["msg"].removeprefix("Value error, ").replace("valid tuple", "list in brackets")
        wrong = f"{place}: {said}"
        if first["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
            alike = _alike(first["loc"])
            wrong = f"there is no setting {place}" + (f"; did you mean {' or '.join(alike)}?" if alike else "")
        elif first["type"] != "value_error" and isinstance(first["input"], str | int | float):  # ours say it themselves
            wrong += f", got {first['input']!r}"
        raise UsageError(f"{origin}: {wrong}; see docs/reference/training.md") from error


def _alike(place: Sequence[str | int]) -> list[str]:
    """Give the settings of the same table that have the most similar names."""
    *tables, last = map(str, place)
    calm = CalmConfig.model_validate({"epochs": 1, **AugmentConfig().model_dump()})
    known = TrainConfig(calm=calm).model_dump()
    for table in tables:
        known = known.get(table) or {}
    return [".".join([*tables, name]) for name in difflib.get_close_matches(last, known, n=2)]


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give plain settings with some of them changed, table by table; a change to an empty table empties it."""
    tables = {
        name: merged(values[name], change)
        for name, change in changes.items()
        if change and isinstance(change, dict) and isinstance(values.get(name), dict)
    }
    return {**values, **changes, **tables}


def read_values(path: Path) -> dict[str, Any]:
    """Read the plain values of a TOML file, or of the ``config.json`` of a training, unchecked.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    cure = "give a TOML file, or the config.json of a training"
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:  # ValueError: no text, no TOML, no JSON
        raise UsageError(f"{path}: cannot read the configuration: {error}; {cure}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: got {type(values).__name__} where settings have names; {cure}")
    return values


def load_config(path: Path) -> TrainConfig:
    """Read a TOML file, or the ``config.json`` of a training.

    Raises
    ------
    UsageError
        If it cannot be read or a field is wrong.
    """
    return parse_config(read_values(path), str(path))
