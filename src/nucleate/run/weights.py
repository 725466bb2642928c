"""Models on disk: an ONNX file and its card beside it, shipped in the package or the user's own.

``<name>.onnx`` holds the network, ``<name>.toml`` says what it is and how to use it. Nothing is unpickled, and the
ONNX file is used only if its SHA-256 is the one in the card.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_serializer, model_validator

from nucleate.core.files import check_folder, write_text
from nucleate.core.normalize import Normalizer
from nucleate.core.toml import toml_text
from nucleate.errors import ModelError, NucleateError, UnknownModelError, UsageError
from nucleate.post.confidence import ConfidenceModel  # noqa: TC001 - pydantic reads the annotations
from nucleate.post.recipe import PostRecipe
from nucleate.run.scale import ScaleRule  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_MODEL",
    "ModelCard",
    "ModelFiles",
    "card_text",
    "check_free",
    "check_name",
    "find_model",
    "list_models",
    "read_card",
    "write_card",
]

DEFAULT_MODEL = "nucleate"
"""The shipped model that is used when none is named."""

_INT8 = ".int8.onnx"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_LONGEST = 100  # letters of a name; a file system takes 255 with all endings


def _normalizer(value: object) -> object:
    if not isinstance(value, dict):
        return value
    known = [field.name for field in fields(Normalizer)]
    unknown = [name for name in value if name not in known]
    if unknown:
        raise ValueError(f"no field {unknown[0]!r}; it has {', '.join(known)}")
    return value


def _recipe(value: object) -> object:
    return PostRecipe.from_dict(value) if isinstance(value, dict) else value


class ModelCard(BaseModel):
    """What a model is and how it is to be used: everything but the weights of the network.

    Parameters
    ----------
    name : str
        Of the model; the stem of its files.
    description : str
        One line.
    network : dict
        How the network is built again (see `nucleate.nets.build.NetConfig`).
    normalizer : Normalizer
        How pictures are prepared.
    maps : tuple of str
        What the maps mean, in order; ``mask`` is among them.
    recipe : PostRecipe
        From maps to nuclei.
    confidence : ConfidenceModel, optional
        Predicts the IoU of each nucleus; without it, the mean probability of the mask is used.
    min_confidence : float
        Nuclei with a lower confidence are left out unless the user chooses another limit, 0..1.
    diameter_px : float, optional
        Median diameter of the nuclei it was trained on, pixels.
    scale_rule : ScaleRule, optional
        How planes with much smaller or larger nuclei are resized; without it, they are not.
    multiple : int
        Height and width given to the network are multiples of this.
    input_size : int, optional
        Side, in pixels, of the square to which pictures are resized, and maps back (the paper's way); None works on the
        picture's own grid.
    tile, margin, blend : int
        Larger pictures are cut into tiles of `tile` px, and as much around them as the network needs: values nearer
        than `margin` px to a cut are not used; neighbours are mixed over `blend` px. If the margin is as wide as the
        network sees, tiles give exactly what the whole picture gives.
    bytes_per_pixel : int
        Memory the network takes for each pixel of a tile.
    data, licence, command : str
        What it was trained on, under which licence it may be used, and the command that made it.
    scores : dict
        Scores by name.
    trained_on : tuple of str, optional
        A hash of each picture that it was trained on (see `nucleate.train.pictures.hashes_of`); None if not known.
    trained_on_more : bool, optional
        True if it was also trained on other pictures, of which nothing is known.
    sha256 : str
        Of the ONNX file, 64 hexadecimal digits.
    sha256_int8 : str, optional
        Of ``<name>.int8.onnx``, the same network in eight-bit integers for processors, if there is such a file.
    sha256_card : str, optional
        Of the card's numbers as training wrote them; training overwrites no others (see `nucleate.train.shipping`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=_NAME)
    description: str = ""
    network: dict[str, Any] = Field(default_factory=dict)
    normalizer: Annotated[Normalizer, BeforeValidator(_normalizer)] = Normalizer()
    maps: tuple[str, ...] = ("mask",)
    recipe: Annotated[PostRecipe, BeforeValidator(_recipe)] = PostRecipe()
    confidence: ConfidenceModel | None = None
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    diameter_px: float | None = Field(default=None, gt=0)
    scale_rule: ScaleRule | None = None
    multiple: int = Field(default=16, ge=1, le=1024)
    input_size: int | None = Field(default=None, ge=1, le=8192)
    tile: int = Field(default=768, ge=1)
    margin: int = Field(default=64, ge=0)
    blend: int = Field(default=32, ge=0)
    bytes_per_pixel: int = Field(default=2000, ge=1)
    data: str = ""
    licence: str = ""
    command: str = ""
    scores: dict[str, Any] = Field(default_factory=dict)
    trained_on: tuple[str, ...] | None = None
    trained_on_more: bool | None = None
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sha256_int8: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    sha256_card: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "mask" not in self.maps or len(set(self.maps)) < len(self.maps):
            raise ValueError(f"maps = {list(self.maps)}: 'mask' must be among them, and each name once")
        if self.input_size is not None and self.input_size % self.multiple:
            raise ValueError(f"input_size = {self.input_size} is no multiple of multiple = {self.multiple}")
        return self

    @field_serializer("normalizer", "recipe")
    def _plain(self, value: Normalizer | PostRecipe) -> dict[str, Any]:
        return asdict(value)


@dataclass(frozen=True)
class ModelFiles:
    """A model that was found: its card has been read and checked, its weights have not.

    Parameters
    ----------
    onnx : Path
        The network.
    card : ModelCard
    """

    onnx: Path
    card: ModelCard

    def read(self) -> bytes:
        """Read the ONNX file and check its hash.

        Raises
        ------
        ModelError
            If it cannot be read or is not the file that the card describes.
        """
        return _read_checked(self.onnx, self.card.sha256)

    @property
    def int8(self) -> Path:
        """Path of the same network in integers, which is there only if the card has its hash."""
        return self.onnx.with_suffix(_INT8)

    def read_int8(self) -> bytes | None:
        """Read the network in integers and check its hash; None if the model has no such network.

        Raises
        ------
        ModelError
            If it cannot be read or is not the file that the card describes.
        """
        if self.card.sha256_int8 is None or not self.int8.is_file():  # a card may be copied without it
            return None
        return _read_checked(self.int8, self.card.sha256_int8)


def check_name(name: str) -> None:
    """Check the name of a model to be made, since its files are called by it.

    Raises
    ------
    UsageError
        If it cannot be the name of a model.
    """
    if not re.fullmatch(_NAME, name) or len(name) > _LONGEST:
        raise UsageError(
            f"no name for a model: {name!r}; use letters, digits, '.', '_' and '-', a letter or digit first, "
            f"at most {_LONGEST} in all"
        )


def check_free(folder: Path, card: ModelCard) -> None:
    """Refuse to write a model into a folder where another model has its name; its own card may be replaced.

    Raises
    ------
    UsageError
        If there is another model, or a file in the place of the folder.
    """
    check_folder(folder)
    onnx = folder / f"{card.name}.onnx"
    if onnx.exists():
        own = onnx.is_file() and hashlib.sha256(onnx.read_bytes()).hexdigest() == card.sha256
    else:
        described = onnx.with_suffix(".toml")
        own = not described.exists() or read_card(described).sha256 == card.sha256
    if not own:
        raise UsageError(f"{onnx} is another model and would be overwritten; give another folder")


def find_model(name: str | Path | None = None) -> ModelFiles:
    """Find a model by name, by its .onnx or .toml file, or by a folder that holds one.

    Parameters
    ----------
    name : str or Path, optional
        None is `DEFAULT_MODEL`, and the name of a shipped model is that model. Anything else with a path separator or a
        known suffix, or that is a folder, is a path.

    Raises
    ------
    UnknownModelError
        If there is no such model.
    ModelError
        If its card is wrong.
    """
    text, shipped = DEFAULT_MODEL if name is None else str(name), _shipped()
    path = Path(text).expanduser()
    # An empty name would be the current folder.
    if isinstance(name, Path) or (name and name not in shipped and _is_path(path)):
        return _open(_onnx_at(path))
    if text not in shipped:
        have = ", ".join(shipped) or "none is installed"
        raise UnknownModelError(
            f"no model {text!r}; there are: {have}; or give the path of an .onnx file with its .toml card"
        )
    return _open(shipped[text])


def list_models() -> list[ModelFiles]:
    """Give every shipped model, sorted by name.

    Raises
    ------
    ModelError
        If one of their cards is wrong.
    """
    return [_open(path) for path in _shipped().values()]


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises
    ------
    ModelError
        If the file is missing, is not TOML, lacks a field or has one that is not known; one line.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"no card {path}: {error.strerror}; it belongs beside the .onnx file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not TOML: {error}; mend it or fetch the model again") from error
    try:
        return ModelCard.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "card"
        message = " ".join(first["msg"].split())
        raise ModelError(f"{path}: {place}: {message}; mend the card or fetch the model again") from error
    except NucleateError as error:
        raise ModelError(f"{path}: {error}") from error


def write_card(path: Path, card: ModelCard) -> None:
    """Write a card as TOML.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_text(path, card_text(card))


def card_text(card: ModelCard) -> str:
    """Give a card as TOML."""
    values: Mapping[str, Any] = card.model_dump(mode="json", exclude_none=True)
    return toml_text(values)


def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files("nucleate"))) / "weights"
    return {path.stem: path for path in _networks(folder)}


def _networks(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.onnx")) if not path.name.endswith(_INT8)]


def _is_path(path: Path) -> bool:
    return path.suffix in {".onnx", ".toml"} or len(path.parts) > 1 or os.path.isdir(path)  # noqa: PTH112 - as below


def _onnx_at(path: Path) -> Path:
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir() may raise, and so may is_file()
        found = _networks(path)
        if len(found) != 1:
            raise UnknownModelError(f"{path} holds {len(found)} .onnx files; name the one to use")
        return found[0]
    onnx = path.with_suffix(".onnx") if path.suffix == ".toml" else path
    if not os.path.isfile(onnx):  # noqa: PTH113
        raise UnknownModelError(f"no model file {onnx}; give an .onnx file with its .toml card, or a name")
    return onnx


def _open(onnx: Path) -> ModelFiles:
    card = read_card(onnx.with_suffix(".toml"))
    # A model whose files were renamed is called like its files, so that its results do not bear another model's name.
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", onnx.stem).strip("._-")
    return ModelFiles(onnx, card.model_copy(update={"name": name or card.name}))


def _read_checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; fetch the model again") from error
    got = hashlib.sha256(content).hexdigest()
    if got != sha256:
        raise ModelError(
            f"{path} is not the file its card describes: SHA-256 {got[:12]}..., the card says {sha256[:12]}...; "
            "fetch the model again"
        )
    return content
