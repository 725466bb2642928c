"""From a trained network to a model that runs: its card, its segmenter on torch; ONNX, written once parity is proved.

A card holds a hash of its numbers as they were written here. If they have changed since, as by ``nucleate tune``, they
are not overwritten; texts that were written into the card stay in it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path, make_folder
from nucleate.errors import ModelError, UsageError
from nucleate.nets.engine import TorchEngine
from nucleate.nets.to_onnx import export_onnx
from nucleate.run.engine import OnnxEngine
from nucleate.run.segmenter import Segmenter
from nucleate.run.weights import ModelCard, card_text, read_card, write_card

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from nucleate.post.recipe import PostRecipe
    from nucleate.run.segmenter import SegmentSettings
    from nucleate.train.config import TrainConfig

__all__ = ["PARITY", "card_of", "check_unchanged", "largest_difference", "segmenter_of", "ship", "write_own_card"]

PARITY = 1e-4
"""Largest difference allowed between the maps of torch and of ONNX Runtime, 0..1."""

_TEXTS = ("description", "data", "licence")
_UNCOUNTED = {*_TEXTS, "name", "command", "sha256_int8", "sha256_card"}  # no numbers of the card


def check_unchanged(path: Path) -> None:
    """Refuse to overwrite a card whose numbers differ from those that `write_own_card` wrote.

    Parameters
    ----------
    path : Path
        The card; it may be missing. A card without a hash, which may be older, is accepted.

    Raises
    ------
    UsageError
        If they differ.
    ModelError
        If it cannot be read.
    """
    written = read_card(path).sha256_card if path.is_file() else None
    if written is not None and written != _hash(path.read_text(encoding="utf-8")):
        raise UsageError(
            f"{path} was changed since it was written, as by nucleate tune, and would be overwritten; give the model "
            "another name, or take its files away"
        )


def write_own_card(path: Path, card: ModelCard) -> None:
    """Write the card of a model that was trained here, with the hash of its numbers."""
    write_card(path, card.model_copy(update={"sha256_card": _hash(card_text(card))}))


def _hash(text: str) -> str:
    """Hash the text of a card as it is, so that numbers that a later version adds make no difference."""
    numbers = {name: value for name, value in tomllib.loads(text).items() if name not in _UNCOUNTED}
    return hashlib.sha256(json.dumps(numbers, sort_keys=True, default=str).encode()).hexdigest()


def card_of(config: TrainConfig, recipe: PostRecipe, *, weights: bytes, **facts: Any) -> ModelCard:  # noqa: ANN401 - card fields
    """Describe a trained network.

    Parameters
    ----------
    config : TrainConfig
        How it was trained.
    recipe : PostRecipe
        From its maps to nuclei.
    weights : bytes
        The ONNX file, for the hash; empty for a network that is only tried out.
    **facts
        Further fields of the card.
    """
    multiple = 2**config.network.depth
    texts, normalizer = config.card.model_dump(exclude_none=True, exclude={"ground"}), config.normalizer
    if config.card.ground is not None:
        normalizer = replace(normalizer, ground=config.card.ground)
    # A pixel sees as far as two 3 x 3 convolutions at each size on the way down and up reach; tiles with such a margin
    # give exactly what the whole picture gives. Each up-sampling of the plain U-Nets sees one pixel more.
    tiling = {"margin": (6 if config.network.name == "flagship" else 7) * multiple, "blend": 0}
    return ModelCard(
        **{"name": config.network.name, **tiling, **texts, **facts},
        network=config.network.to_dict(),
        normalizer=normalizer,
        maps=config.maps,
        recipe=recipe,
        multiple=multiple,
        input_size=None if config.full_size else config.resize,
        sha256=hashlib.sha256(weights).hexdigest(),
    )


def segmenter_of(
    module: nn.Module,
    config: TrainConfig,
    *,
    recipe: PostRecipe,
    device: str = "cpu",
    settings: SegmentSettings | None = None,
    **facts: Any,  # noqa: ANN401 - card fields
) -> Segmenter:
    """Run a network that is in memory, through the one prediction path; `facts` are further fields of its card."""
    card = card_of(config, recipe, weights=b"", **facts)
    return Segmenter(TorchEngine(module, device), card, settings=settings)


def ship(
    folder: Path,
    module: nn.Module,
    *,
    config: TrainConfig,
    recipe: PostRecipe,
    name: str,
    **facts: Any,  # noqa: ANN401 - fields of the card
) -> float:
    """Write ``<name>.onnx`` and ``<name>.toml``; a card that is there keeps texts that the settings do not have.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    module : nn.Module
        The network.
    config : TrainConfig
        How it was trained.
    recipe : PostRecipe
        From its maps to nuclei.
    name : str
        Of the model.
    **facts
        Further fields of `nucleate.run.weights.ModelCard`: description, data, licence, scores, command.

    Returns
    -------
    float
        The largest difference between the maps of both runtimes.

    Raises
    ------
    ModelError
        If the two differ by more than `PARITY`; nothing is written then.
    UsageError
        If the card that is there was changed, see `check_unchanged`.
    """
    target = make_folder(folder) / f"{name}.onnx"
    described = target.with_suffix(".toml")
    check_unchanged(described)
    unsaid = {text for text in _TEXTS if getattr(config.card, text) is None}
    texts = read_card(described).model_dump(include=unsaid) if described.is_file() else {}
    multiple = 2**config.network.depth
    with atomic_path(target) as temporary:
        export_onnx(module, temporary, channels_in=config.network.channels_in, multiple=multiple)
        content = temporary.read_bytes()
        difference = largest_difference(module, content, channels=config.network.channels_in, multiple=multiple)
        if not difference <= PARITY:
            raise ModelError(f"{name}: ONNX and torch differ by {difference:.2g}; more than {PARITY:g} is not shipped")
    write_own_card(described, card_of(config, recipe, weights=content, name=name, **{**texts, **facts}))
    return difference


def largest_difference(module: nn.Module, content: bytes, *, channels: int, multiple: int) -> float:
    """Compare the maps of torch and of ONNX Runtime on noise and on smooth pictures of several sizes."""
    rng = np.random.default_rng(0)
    onnx, torch = OnnxEngine(content), TorchEngine(module)
    worst = 0.0
    for count, rows, cols in ((1, 2, 3), (2, 8, 8), (1, 16, 9)):
        noise_NCHW = rng.random((count, channels, rows * multiple, cols * multiple), np.float32)
        coarse_NCHW = rng.random((count, channels, rows, cols), np.float32)
        smooth_NCHW = coarse_NCHW.repeat(multiple, axis=2).repeat(multiple, axis=3)
        for batch_NCHW in (noise_NCHW, smooth_NCHW):
            worst = max(worst, float(np.abs(onnx(batch_NCHW) - torch(batch_NCHW)).max()))
    return worst
