"""A network to ONNX: one file with the weights for every engine, read back by `nucleate.nets.from_onnx`.

The sigmoid is part of the file, so every engine gives maps in 0..1. Batch normalisation is not folded into the
convolutions, and weights keep their names in torch: runtimes fold it when they load the file, and torch gets its own
weights back, to the last bit. Large weights are stored in half precision, which halves the file; `halve` rounds them in
the network first, so that every engine computes with the same numbers, in float32.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveUnusedNodesPass
from onnxscript import optimizer
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["OPSET", "Maps", "export_onnx", "halve"]

OPSET = 18
"""ONNX operator set: the one that torch's exporter writes without converting."""

_LARGE = 1024  # numbers in a tensor from which on halving it makes the file notably smaller


class Maps(nn.Module):
    """A network of ours, which gives logits, with the sigmoid that other programs need to get maps, 0..1."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch_NCHW: Tensor) -> Tensor:
        """Compute the maps."""
        return torch.sigmoid(self.module(batch_NCHW))


def export_onnx(module: nn.Module, path: Path, *, channels_in: int, multiple: int) -> None:
    """Write a network as ONNX with free N, H and W; input ``batch``, output ``maps``.

    Parameters
    ----------
    module : nn.Module
        Gives logits; on the CPU. Its weights are rounded by `halve`; its mode is put back afterwards.
    path : Path
        File to write; weights are stored inside.
    channels_in : int
        Channels of a batch.
    multiple : int
        H and W are multiples of this when run.
    """
    halve(module)
    training = module.training
    wrapped = Maps(module.eval().to("cpu", memory_format=torch.contiguous_format))  # type: ignore[call-overload]
    example_NCHW = torch.zeros(2, channels_in, 4 * multiple, 6 * multiple)
    rows = multiple * torch.export.Dim("rows", min=1, max=4096)
    cols = multiple * torch.export.Dim("cols", min=1, max=4096)
    shapes = {"batch_NCHW": {0: torch.export.Dim("images", min=1, max=1024), 2: rows, 3: cols}}
    with warnings.catch_warnings(), _hushed("torch.onnx"):
        # The exporter warns about its own internals; whoever calls this compares the file's maps with torch's.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            wrapped,
            (example_NCHW,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["batch"],
            output_names=["maps"],
            dynamic_shapes=shapes,
            optimize=False,  # it would fold the normalisation away
            verbose=False,
        )
        assert program is not None  # for the types: the dynamo exporter always gives one
        optimizer.fold_constants(program.model)
    RemoveUnusedNodesPass()(program.model)
    # The exporter notes the source lines of every operation, with the folders of this machine.
    ClearMetadataAndDocStringPass()(program.model)
    program.save(path, external_data=False)
    _store_halves(path)
    module.train(training)


@contextlib.contextmanager
def _hushed(name: str) -> Iterator[None]:
    """Silence a logger below errors while the context lasts."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def halve(module: nn.Module) -> None:
    """Round the large weights of a network to half precision, in place; they stay float32."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.numel() >= _LARGE:
                weight.copy_(weight.half())


def _store_halves(path: Path) -> None:
    """Store large weights as halves, widened by the runtime when it loads them."""
    model = onnx.load(path)
    graph = model.graph
    casts = []
    for place, tensor in enumerate(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _LARGE:
            continue
        wide = f"{tensor.name}.wide"
        for node in graph.node:
            node.input[:] = [wide if name == tensor.name else name for name in node.input]
        casts.append(helper.make_node("Cast", [tensor.name], [wide], to=TensorProto.FLOAT))
        graph.initializer[place].CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)
