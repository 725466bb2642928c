"""Training that starts from a model: its network and weights, and the settings that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nucleate.errors import ModelError, UsageError
from nucleate.nets.build import build
from nucleate.run.weights import find_model
from nucleate.train.config import merged

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from torch import nn

    from nucleate.run.weights import ModelFiles
    from nucleate.train.config import TrainConfig

__all__ = ["check_start", "first_network", "network_of", "with_start"]


def network_of(files: ModelFiles) -> nn.Module:
    """Build the network of a model in torch; evaluation mode.

    Raises
    ------
    ModelError
        If the model was not made by this program, or by a version with other networks.
    """
    from nucleate.nets.from_onnx import load_onnx  # torch: settings are told without it

    try:
        return load_onnx(files.read(), files.card.network)
    except ValueError as error:
        raise ModelError(f"{files.card.name} cannot be had in torch: {error}; train from another model") from error


def first_network(config: TrainConfig) -> nn.Module:
    """Give the network that training begins with: that of the model ``config.init``, or drawn by torch's generator.

    Raises
    ------
    UsageError
        If the model has another network or other maps than the settings.
    """
    if config.init is None:
        return build(config.network)
    files = find_model(config.init)
    theirs = (files.card.network, files.card.maps)
    if theirs != (config.network.to_dict(), config.maps):
        raise UsageError(f"init = {config.init}: it is {theirs[0]} with maps {', '.join(theirs[1])}; use the same")
    return network_of(files)


def check_start(config: TrainConfig) -> None:
    """Refuse before anything is written what `first_network` would refuse.

    Raises
    ------
    UsageError
        If the model ``config.init`` is not there, or has another network or other maps than the settings.
    ModelError
        If its files are damaged, or its network cannot be had in torch.
    """
    if config.init is not None:
        first_network(config)


def with_start(values: Mapping[str, Any], *, own: Collection[str] = ()) -> dict[str, Any]:
    """Fill in what the model named by ``init`` decides: network, normalizer, maps, recipe, sizes, scales and tiles.

    Parameters
    ----------
    values : mapping
        Plain settings; given ones are left as they are, table by table. An empty table counts as not given, and so
        does null in a ``config.json``; within a table an empty one counts as given, such as ``card.scale_rule = {}``,
        the rule of the shipped model.
    own : collection of str
        Names of tables that leave numbers out on purpose, and are not filled in from the model.
    """
    if values.get("init") is None:
        return dict(values)
    card = find_model(values["init"]).card
    decided = card.model_dump(mode="json", include={"network", "normalizer", "maps", "recipe"})
    facts = card.model_dump(mode="json", include={"scale_rule", "tile", "bytes_per_pixel"}, exclude_none=True)
    of_model = {**decided, "resize": card.input_size, "card": facts}
    of_model = {name: value for name, value in of_model.items() if name not in own}
    said = dict(values)
    if isinstance(said.get("card"), dict):  # in other tables null has a meaning
        said["card"] = {name: value for name, value in said["card"].items() if value is not None}
    said = {name: value for name, value in said.items() if name not in of_model or value not in (None, {})}
    return merged(of_model, said)
