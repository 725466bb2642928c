"""One file that holds all of a run: weights, running mean, optimiser, step, history and configuration.

safetensors keeps the numbers, its header the rest as JSON: nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nucleate.core.files import atomic_path
from nucleate.errors import ModelError
from nucleate.nets.build import NetConfig, build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TypeAlias

    import torch
    from torch import Tensor, nn

    Parts: TypeAlias = tuple[nn.Module, nn.Module | None, torch.optim.Optimizer]
    """The network, its running mean, the optimiser."""

__all__ = ["facts_of_state", "load_network", "load_state", "save_network", "save_state"]


_HEADER = "nucleate"  # one key for all: safetensors writes several in any order, and equal files would differ


def save_state(path: Path, parts: Parts, *, facts: dict[str, Any]) -> None:
    """Write everything a run needs to go on; `facts` is anything JSON can hold."""
    module, average, optimiser = parts
    tensors = {f"weights.{name}": value for name, value in module.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    _write(path, tensors, header={"facts": facts})


def facts_of_state(path: Path) -> dict[str, Any]:
    """Read the facts of `save_state` alone.

    Raises
    ------
    ModelError
        If the file is damaged or no state.
    """
    try:
        with _opened(path) as stream:
            return dict(_header(stream)["facts"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not the state of a run; use another run folder") from error


def load_state(path: Path, parts: Parts) -> None:
    """Read what `save_state` wrote into the given objects.

    Raises
    ------
    ModelError
        If the file is damaged or of another network.
    """
    module, average, optimiser = parts
    states: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}}
    moments: dict[int, dict[str, Tensor]] = {}
    try:
        tensors, _ = _read(path)
        for key, value in tensors.items():
            part, _, name = key.partition(".")
            if part == "optimiser":
                index, _, name = name.partition(".")
                moments.setdefault(int(index), {})[name] = value
            else:
                states[part][name] = value
        module.load_state_dict(states["weights"])
        if average is not None:
            average.load_state_dict(states["average"])
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: not the state of this run: {_first_line(error)}; use another run folder") from error


def save_network(path: Path, module: nn.Module, *, config: NetConfig, facts: dict[str, Any] | None = None) -> None:
    """Write the weights of one network with what is needed to build it again."""
    _write(path, dict(module.state_dict()), header={"network": config.to_dict(), "facts": facts or {}})


def load_network(path: Path) -> tuple[nn.Module, NetConfig, dict[str, Any]]:
    """Build a network from `save_network`'s file; evaluation mode.

    Raises
    ------
    ModelError
        If the file is damaged or holds no network.
    """
    try:
        tensors, header = _read(path)
        config = NetConfig(**header["network"])
        module = build(config)
        module.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: holds no network of nucleate: {_first_line(error)}; train it again") from error
    return module.eval(), config, dict(header.get("facts", {}))


def _write(path: Path, tensors: dict[str, Tensor], *, header: dict[str, Any]) -> None:
    with atomic_path(path) as temporary:
        # Channels-last weights are stored in the plain order.
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        temporary.write_bytes(save(plain, {_HEADER: json.dumps(header)}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with _opened(path) as stream:
        return {name: stream.get_tensor(name) for name in stream.keys()}, _header(stream)  # noqa: SIM118 - not a dict


def _header(stream: Any) -> dict[str, Any]:  # noqa: ANN401 - safetensors ships no types
    return dict(json.loads((stream.metadata() or {})[_HEADER]))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as stream:
            yield stream
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read the weights: {_first_line(error)}; train or fetch them again") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no {error} in it"
    return str(error).strip().splitlines()[0]
