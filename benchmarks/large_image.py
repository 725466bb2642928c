"""Segment drawn pictures of growing size in bounded memory; time and memory for each megapixel must not grow.

Each size runs in a process of its own, so that its peak of memory is its own. The picture is never in memory: parts of
it are made when they are read (one drawn tile, repeated and shaded). Labels go to a memory map.

Run: python benchmarks/large_image.py [--memory GB] [--model FILE.onnx] [SIDE ...]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.normalize import Normalizer
from nucleate.data.synth import Scene, draw
from nucleate.post.recipe import PostRecipe
from nucleate.run.segmenter import Segmenter
from nucleate.run.weights import ModelCard

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE = 1000


class Repeated:
    """A drawn tile over and over, brighter from tile to tile, made where it is read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, side: int) -> None:
        self.shape = (side, side)
        scene = Scene(size=(TILE, TILE), nuclei=500, touching=0.4)
        self.tile = draw(scene, np.random.default_rng(0))[0]

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part."""
        row, col = np.arange(rows.start, rows.stop), np.arange(cols.start, cols.stop)
        part: NDArray[Any] = self.tile[np.ix_(row % TILE, col % TILE)]
        return part


class Cheap:
    """Maps that cost next to nothing: the picture as mask and distance, no border."""

    def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give three maps."""
        grey = batch_NCHW[:, 0]
        return np.stack([grey, np.zeros_like(grey), grey], axis=1)


def load(model: str | None) -> Segmenter:
    """Load a model, or make the cheap one."""
    if model:
        from nucleate.api import load_segmenter

        return load_segmenter(model, device="cpu", threads=1)
    card = ModelCard(
        name="cheap",
        sha256="0" * 64,
        maps=("mask", "border", "distance"),
        normalizer=Normalizer(polarity="keep"),
        recipe=PostRecipe(split="markers", level=0.25, marker_level=0.45, smoothing=2.0, min_area=20),
        bytes_per_pixel=50,
    )
    return Segmenter(Cheap(), card)


def one(side: int, memory: float, *, model: str | None) -> dict[str, float]:
    """Segment one picture here and tell what it took."""
    segmenter, plane = load(model), Repeated(side)
    segmenter.maps(np.zeros((64, 64), np.uint8))  # loads the network
    before = resource.getrusage(resource.RUSAGE_SELF)
    with tempfile.TemporaryDirectory() as folder:
        labels = np.memmap(Path(folder) / "labels", np.int32, "w+", shape=plane.shape)
        started = time.perf_counter()
        limit = int(memory * 1e9) - before.ru_maxrss * 1024 - labels.nbytes
        confidence = segmenter.segment_into(plane, labels, max_bytes=limit)
        wall = time.perf_counter() - started
        largest = int(labels[-1000:].max())
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "side": side,
        "megapixels": side**2 / 1e6,
        "nuclei": len(confidence),
        "highest_id_below": largest,
        "peak_gb": after.ru_maxrss * 1024 / 1e9,
        "start_gb": before.ru_maxrss * 1024 / 1e9,
        "wall_s": wall,
        "cpu_s": processor,
        "cpu_s_per_megapixel": processor / (side**2 / 1e6),
    }


def main() -> None:
    """Run every size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sides", nargs="*", type=int, default=[500, 2000, 5000, 10_000])
    parser.add_argument("--memory", type=float, default=4.0, help="GB for everything, the program included")
    parser.add_argument("--model", help="an .onnx file with its card; a cheap stand-in when not given")
    parser.add_argument("--here", action="store_true", help="no process of its own")
    given = parser.parse_args()
    for side in given.sides:
        if given.here:
            print(json.dumps(one(side, given.memory, model=given.model)))
            continue
        words = [sys.executable, __file__, "--here", "--memory", str(given.memory), str(side)]
        words += ["--model", given.model] if given.model else []
        print(subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
