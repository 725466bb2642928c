"""From a training run to a model that runs: its card, and its segmenter on torch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nucleate.nets.engine import TorchEngine
from nucleate.run.segmenter import Segmenter
from nucleate.run.weights import ModelCard

if TYPE_CHECKING:
    from torch import nn

    from nucleate.post.recipe import PostRecipe
    from nucleate.run.segmenter import SegmentSettings
    from nucleate.train.config import TrainConfig

__all__ = ["card_of", "segmenter_of"]


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
    # Two 3 x 3 convolutions at each size on the way down and on the way up: so far does a pixel see, and tiles with
    # such a margin give exactly what the whole picture gives. The plain U-Nets' up-sampling sees a pixel more each.
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
