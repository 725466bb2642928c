"""The network alone: ONNX Runtime and, where it is installed, OpenVINO, each precision, processor seconds a megapixel.

Run: python benchmarks/engines.py MODEL.onnx [--threads N ...] [--side PX]
MODEL.int8.onnx is tried too where it lies beside.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.api import load_segmenter
from nucleate.run.engine import OnnxEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def openvino(model: Path, precision: str, *, threads: int) -> Callable[[NDArray[np.float32]], Any]:
    """Compile a model for the processor."""
    import openvino as ov

    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = ov.Core().compile_model(str(model), "CPU", hints).create_infer_request()
    return lambda batch_NCHW: request.infer([batch_NCHW])


def main() -> None:
    """Time every engine in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--side", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    integers = given.model.with_suffix(".int8.onnx")
    channels = load_segmenter(given.model).card.network["channels_in"]
    batch = np.random.default_rng(0).random((1, channels, given.side, given.side), np.float32)
    print("| engine | threads | s a megapixel | processor s a megapixel |\n|---|---|---|---|")
    for threads in given.threads:
        engines: dict[str, Callable[[NDArray[np.float32]], Any]] = {
            "ONNX Runtime, float32": OnnxEngine(given.model, threads)
        }
        if integers.is_file():
            engines["ONNX Runtime, integers"] = OnnxEngine(integers, threads)
        if importlib.util.find_spec("openvino"):
            engines["OpenVINO, float32"] = openvino(given.model, "f32", threads=threads)
            engines["OpenVINO, bfloat16"] = openvino(given.model, "bf16", threads=threads)
            if integers.is_file():
                engines["OpenVINO, integers"] = openvino(integers, "f32", threads=threads)
        best = dict.fromkeys(engines, (np.inf, np.inf))
        for turn in range(given.repeats + 1):
            for name, engine in engines.items():
                begun, busy = time.perf_counter(), time.process_time()
                engine(batch)
                took = time.perf_counter() - begun, time.process_time() - busy
                if turn:  # the first call prepares
                    best[name] = min(best[name][0], took[0]), min(best[name][1], took[1])
        for name, (wall, processor) in best.items():
            million = given.side**2 / 1e6
            print(f"| {name} | {threads} | {wall / million:.3f} | {processor / million:.3f} |", flush=True)


if __name__ == "__main__":
    main()
