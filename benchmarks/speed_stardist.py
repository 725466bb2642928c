"""StarDist's side of `benchmarks/speed.py`; runs in an environment of its own: pip install stardist tensorflow-cpu.

Run: python benchmarks/speed_stardist.py train stardist_subset.zip FOLDER [--epochs N]
     python benchmarks/speed_stardist.py run FOLDER OUT IMAGE.tif ... [--threads N]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np


def train(data: Path, folder: Path, *, epochs: int, threads: int) -> None:
    """Train its default network, on the half-size grid of its published models, for a few epochs."""
    limit(threads)
    import tifffile
    from csbdeep.utils import normalize
    from stardist.models import Config2D, StarDist2D

    archive = zipfile.ZipFile(data)
    names = sorted(n for n in archive.namelist() if n.startswith("train/images/") and n.endswith(".tif"))

    def load(name: str) -> np.ndarray:
        return np.asarray(tifffile.imread(io.BytesIO(archive.read(name))))

    pairs = [(normalize(load(n), 1, 99.8), load(n.replace("/images/", "/masks/"))) for n in names]
    rng = np.random.default_rng(0)
    pairs = [pairs[i] for i in rng.permutation(len(pairs)) if min(pairs[i][0].shape) >= 256]
    pictures, labels = [list(side) for side in zip(*pairs, strict=True)]
    config = Config2D(
        n_rays=32, grid=(2, 2), n_channel_in=1, train_epochs=epochs, train_learning_rate=1e-3, train_tensorboard=False
    )
    model = StarDist2D(config, name=folder.name, basedir=str(folder.parent))
    model.train(pictures[:-40], labels[:-40], validation_data=(pictures[-16:], labels[-16:]))
    model.optimize_thresholds(pictures[-40:], labels[-40:])


def run(folder: Path, out: Path, *, images: list[Path], threads: int) -> dict[str, float]:
    """Segment pictures as its examples do: read, scale, predict, write."""
    started = time.perf_counter()
    limit(threads)
    import tifffile
    from csbdeep.utils import normalize
    from stardist.models import StarDist2D

    model = StarDist2D(None, name=folder.name, basedir=str(folder.parent))
    first = normalize(tifffile.imread(images[0]), 1, 99.8)
    model.predict_instances(first)  # builds its graph
    ready, busy, found, pixels = time.perf_counter(), time.process_time(), 0, 0
    for image in images:
        plane = normalize(tifffile.imread(image), 1, 99.8)
        labels, _ = model.predict_instances(plane)
        tifffile.imwrite(out / image.name, labels.astype(np.int32), compression="zlib")
        found += int(labels.max())
        pixels += labels.size
    wall, processor = time.perf_counter() - ready, time.process_time() - busy
    return {"start": ready - started, "wall": wall, "cpu": processor, "pixels": pixels, "nuclei": found}


def limit(threads: int) -> None:
    """Keep TensorFlow and the suppression of stars to so many threads."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def main() -> None:
    """Train, or run and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "run"])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.what == "train":
        train(given.paths[0], given.paths[1], epochs=given.epochs, threads=given.threads)
        return
    folder, out, *images = given.paths
    print(json.dumps(run(folder, out, images=images, threads=given.threads)))


if __name__ == "__main__":
    main()
