"""A model of one convolution: bright is nucleus. Real files, real engine, no training."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from nucleate.run.weights import ModelCard, write_card

if TYPE_CHECKING:
    from pathlib import Path


def write_tiny_model(folder: Path, name: str = "nucleate") -> Path:
    """Write ``<name>.onnx``, a 3 × 3 average through a steep sigmoid, and its card; give the .onnx file."""
    from onnx import TensorProto, helper, numpy_helper

    batch = helper.make_tensor_value_info("batch", TensorProto.FLOAT, ["N", 1, "H", "W"])
    maps = helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 1, "H", "W"])
    weight = numpy_helper.from_array(np.full((1, 1, 3, 3), 20 / 9, np.float32), "weight")
    bias = numpy_helper.from_array(np.array([-8], np.float32), "bias")
    nodes = [
        helper.make_node("Conv", ["batch", "weight", "bias"], ["logits"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["logits"], ["maps"]),
    ]
    graph = helper.make_graph(nodes, "average", [batch], [maps], [weight, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content = bytes(model.SerializeToString())
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    card = ModelCard(
        name=name,
        description="Bright is nucleus.",
        scores={"kaggle": 0.25, "drawn": {"f1": 0.5}},
        licence="CC0-1.0",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    write_card(path.with_suffix(".toml"), card)
    return path
