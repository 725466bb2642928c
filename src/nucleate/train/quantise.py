"""The same network in integers: two to six times as fast on processors, and smaller.

Activations have 8 bits, weights 7, with one scale a channel. With 7 bits, no processor overflows when it adds two
products in 16 bits, as those without VNNI do, so the integer sums are the same everywhere. The last convolution and the
steps after it stay in float32, so that the maps keep fine steps.
"""

from __future__ import annotations

import contextlib
import itertools
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nucleate.core.files import atomic_path, scratch_folder, temporary_folder
from nucleate.core.text import one_line
from nucleate.errors import ModelError, OutputError
from nucleate.run.engine import OnnxEngine, load_onnxruntime
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import find_model, write_card
from nucleate.train.tuning import Tick, no_tick, told
from nucleate.train.verdict import kaggle_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.normalize import Normalizer
    from nucleate.data.sample import Sample
    from nucleate.run.weights import ModelCard, ModelFiles
    from nucleate.train.config import TrainConfig

__all__ = ["LOST", "add_int8", "calibration_crops", "quantise", "write_int8"]

LOST = 0.005
"""Most Kaggle score that a network may lose when it computes in integers."""

_CROPS, _SIDE = 24, 256  # number and side, in pixels, of the crops by which activations are measured
_JUDGED = 16  # most pictures by which that loss is measured


def write_int8(
    model: Path,
    batches_NCHW: Iterable[NDArray[np.float32]],
    *,
    judged_by: Sequence[Sample] = (),
    tick: Tick = no_tick,
) -> ModelCard:
    """Write ``<name>.int8.onnx`` beside a model and name it in its card.

    Parameters
    ----------
    model : Path
        The model's .onnx file, with its card beside it.
    batches_NCHW : iterable of (N, C, H, W) float32 ndarray
        Typical inputs of the network (`calibration_crops`).
    judged_by : sequence of Sample
        Held-out pictures. If the mean score of some of them falls by more than `LOST`, integers are not written.
    tick : callable
        Told of each picture that is scored.

    Returns
    -------
    ModelCard
        The card as it is written beside the model.

    Raises
    ------
    ModelError
        If there is no such model, or its network cannot be quantised.
    """
    files = find_model(model)
    content = quantise(files.read(), batches_NCHW)
    seen = judged_by[:: max(1, -(-len(judged_by) // _JUDGED))]
    good = not seen or _loss(files, content, seen=seen, tick=tick) <= LOST
    if good:
        with atomic_path(files.int8) as temporary:
            temporary.write_bytes(content)
    else:
        files.int8.unlink(missing_ok=True)  # from an earlier run
    card = files.card.model_copy(update={"sha256_int8": sha256(content).hexdigest() if good else None})
    write_card(files.onnx.with_suffix(".toml"), card)
    return card


def add_int8(
    model: Path,
    config: TrainConfig,
    *,
    samples: Sequence[Sample],
    judged_by: Sequence[Sample] = (),
    tick: Tick = no_tick,
) -> None:
    """Write the network in integers beside a model as `write_int8` does, if there is anything to measure it on.

    Parameters
    ----------
    model : Path
        The model's .onnx file, with its card beside it.
    config : TrainConfig
        How it was trained.
    samples : sequence of Sample
        Pictures that it was trained on; if all are too small to measure activations on, nothing is written.
    judged_by : sequence of Sample
        As in `write_int8`.
    tick : callable
        Told of each crop that is measured, and each picture that is scored.
    """
    crops = calibration_crops(samples, config.normalizer, multiple=2**config.network.depth)
    batches = told(crops, "crops for integers", tick=tick, total=_CROPS)
    with contextlib.suppress(ModelError):
        write_int8(model, batches, judged_by=judged_by, tick=tick)


def _loss(files: ModelFiles, content: bytes, *, seen: Sequence[Sample], tick: Tick) -> float:
    """Give the mean score of a network less that of the same network in integers."""
    means = []
    for number, network in enumerate((files.read(), content)):
        segmenter = Segmenter(OnnxEngine(network), files.card, settings=SegmentSettings(scale=1.0))
        images = told(seen, "images scored", tick=tick, total=2 * len(seen), first=number * len(seen))
        means.append(np.mean(kaggle_scores(segmenter, images)))
    return float(means[0] - means[1])


def calibration_crops(
    samples: Sequence[Sample], normalizer: Normalizer, *, multiple: int = 32
) -> Iterator[NDArray[np.float32]]:
    """Draw crops, as many of each kind of picture, the same in every call.

    Parameters
    ----------
    samples : sequence of Sample
        Pictures that the network was trained on.
    normalizer : Normalizer
        Of the model's card.
    multiple : int
        Sides are multiples of this, at most 256 pixels; pictures that are smaller are passed over.

    Yields
    ------
    (1, C, h, w) float32 ndarray
    """
    rng = np.random.default_rng(0)
    fitting = [sample for sample in samples if min(sample.image.shape[:2]) >= multiple]
    kinds = [[s for s in fitting if s.kind == kind] for kind in sorted({s.kind for s in fitting})]
    for index in range(_CROPS if kinds else 0):
        kind = kinds[index % len(kinds)]
        image_CHW = normalizer(kind[rng.integers(len(kind))].image)
        rows, cols = (min(_SIDE, n) // multiple * multiple for n in image_CHW.shape[1:])
        top, left = (rng.integers(n - size + 1) for n, size in zip(image_CHW.shape[1:], (rows, cols), strict=True))
        yield np.ascontiguousarray(image_CHW[None, :, top : top + rows, left : left + cols])


def quantise(content: bytes, batches_NCHW: Iterable[NDArray[np.float32]]) -> bytes:
    """Turn the convolutions of a network into integers.

    Parameters
    ----------
    content : bytes
        ONNX file of a network that ends in a convolution, followed only by steps without weights.
    batches_NCHW : iterable of (N, C, H, W) float32 ndarray
        Typical inputs of the network, from which the range of each activation is taken.

    Returns
    -------
    bytes
        ONNX file (QDQ format) with the same input and output; the same bytes for the same call.

    Raises
    ------
    ModelError
        If there is no batch or no convolution.
    OutputError
        If there is no room for temporary files.
    """
    load_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model = _melted(content)
    _spread_upsampling(model.graph)
    names = _name_nodes(model.graph)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    rest = iter(batches_NCHW)
    first_NCHW = next(rest, None)
    if not convolutions or first_NCHW is None:
        what = "no convolution in it" if not convolutions else "no pictures to measure activations on"
        raise ModelError(f"cannot quantise the network: {what}")
    with _scratch() as folder:
        path = folder / "int8.onnx"
        quantize_static(
            model,
            path,
            _Reader(model.graph.input[0].name, itertools.chain([first_NCHW], rest)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=names[names.index(convolutions[-1]) :],
        )
        return path.read_bytes()


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    try:
        with scratch_folder() as folder:
            yield folder
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: Exception) -> OutputError:
    place = temporary_folder()
    return OutputError(
        f"cannot write into {place}: {one_line(str(error))}; free space, or set TMPDIR to another folder"
    )


class _Reader:
    """Batches in the form that the quantiser asks for."""

    def __init__(self, name: str, batches_NCHW: Iterator[NDArray[np.float32]]) -> None:
        self._inputs = ({name: batch_NCHW} for batch_NCHW in batches_NCHW)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._inputs, None)


def _melted(content: bytes) -> Any:  # noqa: ANN401 - onnx ships no types
    """Merge normalisations into the convolutions before them, as a runtime does when it loads a file."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with _scratch() as folder:
        options.optimized_model_filepath = str(folder / "melted.onnx")
        try:
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's errors have no common class; the network itself has run before
            raise _no_room(error) from error
        model = onnx.load(options.optimized_model_filepath)
    # Without this entry, the quantiser warns that this step was left out.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    return model


def _spread_upsampling(graph: Any) -> None:  # noqa: ANN401 - onnx ships no types
    """Replace a transposed convolution that doubles the size by the equal four 1 x 1 convolutions, laid side by side.

    Runtimes have no integer kernel for transposed convolutions.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        weight = numpy_helper.to_array(tensors[node.input[1]]) if node.op_type == "ConvTranspose" else np.zeros(())
        doubles = weight.shape[2:] == (2, 2) and list(given["strides"]) == [2, 2] and given.get("group", 1) == 1
        if not doubles or any(given.get("pads", ())) or any(given.get("output_padding", ())):
            nodes.append(node)
            continue
        # Channels are ordered (row, column, channel), so that pixels laid side by side already lie together in memory.
        flat = weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0], 1, 1)
        tensors[node.input[1]].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(flat), node.input[1]))
        if len(node.input) > 2:
            bias = np.tile(numpy_helper.to_array(tensors[node.input[2]]), 4)
            tensors[node.input[2]].CopyFrom(numpy_helper.from_array(bias, node.input[2]))
        nodes += _side_by_side(graph, list(node.input), out=node.output[0], channels=weight.shape[1])
    del graph.node[:], graph.value_info[:]  # noted shapes are those of the old nodes
    graph.node.extend(nodes)


def _side_by_side(graph: Any, inputs: list[str], *, out: str, channels: int) -> list[Any]:  # noqa: ANN401 - as above
    """Write a convolution whose (row, column, channel) become pixels, with channels last, as in integer kernels.

    ``DepthToSpace`` wants channels first, so the runtime would transpose there and back.
    """
    steps = (
        ("Transpose", [0, 2, 3, 1]),
        ("Reshape", [0, 0, 0, 2, 2 * channels]),  # (N, H, W, row, column and channel)
        ("Transpose", [0, 1, 3, 2, 4]),
        ("Reshape", [0, 1, -1, 0, 2 * channels]),  # (N, 1, 2 H, W, column and channel)
        ("Reshape", [0, 1, 0, -1, channels]),
        ("Squeeze", [1]),
        ("Transpose", [0, 3, 1, 2]),
    )
    nodes = [helper.make_node("Conv", inputs, [f"{out}.0"])]
    for number, (kind, numbers) in enumerate(steps):
        taken, made = f"{out}.{number}", out if number == len(steps) - 1 else f"{out}.{number + 1}"
        if kind == "Transpose":
            nodes.append(helper.make_node(kind, [taken], [made], perm=numbers))
            continue
        graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), f"{made}.numbers"))
        nodes.append(helper.make_node(kind, [taken, f"{made}.numbers"], [made]))
    return nodes


def _name_nodes(graph: Any) -> list[str]:  # noqa: ANN401 - onnx ships no types
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
    return [node.name for node in graph.node]
