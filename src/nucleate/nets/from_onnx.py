"""From the ONNX file that `nucleate.nets.to_onnx` writes back to the network in torch, the weights to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs
from onnx import numpy_helper

from nucleate.nets.build import NetConfig, build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

__all__ = ["load_onnx"]

_PREFIX = "module."  # of the weights: the network is the attribute `module` of `nucleate.nets.to_onnx.Maps`
_COUNTER = "num_batches_tracked"  # batches that a normalisation has seen; not in the file, as no output depends on it


def load_onnx(content: bytes, network: Mapping[str, Any]) -> nn.Module:
    """Build a network from a file that `export_onnx` wrote, in evaluation mode, on the CPU.

    Parameters
    ----------
    content : bytes
        The ONNX file.
    network : mapping
        Fields of `nucleate.nets.build.NetConfig`.

    Raises
    ------
    ValueError
        With one line, if it is no ONNX file, there is no such network, or the weights are those of another.
    """
    try:
        module = build(NetConfig(**network))
        tensors = onnx.load_from_string(content).graph.initializer
    except (TypeError, ValueError) as error:
        raise ValueError(f"no network {dict(network)}: {error}") from error
    except DecodeError as error:
        raise ValueError("no ONNX file") from error
    found = {
        tensor.name.removeprefix(_PREFIX): torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in tensors
        if tensor.name.startswith(_PREFIX)
    }
    counters = {name: value for name, value in module.state_dict().items() if name.endswith(_COUNTER)}
    try:
        module.load_state_dict(counters | found)
    except RuntimeError as error:
        raise ValueError(f"weights of another network than {dict(network)}") from error
    return module.eval()
