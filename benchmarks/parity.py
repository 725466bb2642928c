"""One model on ONNX Runtime and on torch: the largest difference between the maps, and whether the labels are the same.

OMP_NUM_THREADS=1 python benchmarks/parity.py DATA [--model NAME|PATH] [--images 100]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from nucleate.data.samples import load_samples
from nucleate.nets.engine import TorchEngine
from nucleate.run.engine import OnnxEngine
from nucleate.run.segmenter import Segmenter
from nucleate.run.weights import find_model
from nucleate.train.start import network_of


def main() -> None:
    """Segment each image twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="nucleate")
    parser.add_argument("--images", type=int, default=100, help="evenly taken from all")
    chosen = parser.parse_args()
    files = find_model(chosen.model)
    onnx = Segmenter(OnnxEngine(files.read()), files.card)
    torch = Segmenter(TorchEngine(network_of(files)), files.card)
    samples = load_samples(chosen.data)
    samples = samples[:: max(1, len(samples) // chosen.images)][: chosen.images]
    worst, other = 0.0, 0
    for sample in samples:
        worst = max(worst, float(np.abs(onnx.maps(sample.image) - torch.maps(sample.image)).max()))
        other += int((onnx.segment_plane(sample.image)[0] != torch.segment_plane(sample.image)[0]).any())
    sys.stdout.write(
        f"{files.card.name}, {len(samples)} images: maps differ by {worst:.1e} at most, labels in {other} images\n"
    )


if __name__ == "__main__":
    main()
