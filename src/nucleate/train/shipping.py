"""From a trained network to a model that others run: ONNX file and card, written only after parity is proved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path, make_folder
from nucleate.errors import ModelError
from nucleate.nets.engine import TorchEngine
from nucleate.nets.to_onnx import export_onnx
from nucleate.run.engine import OnnxEngine
from nucleate.run.weights import write_card
from nucleate.train.card import card_of

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from nucleate.post.recipe import PostRecipe
    from nucleate.train.config import TrainConfig

__all__ = ["PARITY", "largest_difference", "ship"]

PARITY = 1e-4
"""Largest difference allowed between the maps of torch and of ONNX Runtime, 0..1."""


def ship(
    folder: Path,
    module: nn.Module,
    *,
    config: TrainConfig,
    recipe: PostRecipe,
    name: str,
    **facts: Any,  # noqa: ANN401 - fields of the card
) -> float:
    """Write ``<name>.onnx`` and ``<name>.toml``.

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
    """
    target = make_folder(folder) / f"{name}.onnx"
    multiple = 2**config.network.depth
    with atomic_path(target) as temporary:
        export_onnx(module, temporary, channels_in=config.network.channels_in, multiple=multiple)
        content = temporary.read_bytes()
        difference = largest_difference(module, content, channels=config.network.channels_in, multiple=multiple)
        if not difference <= PARITY:
            raise ModelError(f"{name}: ONNX and torch differ by {difference:.2g}; more than {PARITY:g} is not shipped")
    write_card(target.with_suffix(".toml"), card_of(config, recipe, weights=content, name=name, **facts))
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
