"""How much faster two Dask workers are than one, one thread each: pictures of a folder, and one large image.

Every run is the program itself, from its start to its end, workers' starts included. Numbers of workers take turns, so
that other work on the machine hits all of them alike. The label images of all runs are compared.

Run: python benchmarks/cluster.py [--images N] [--side PX] [--large PX] [--repeats N] [--workers N ...] [--model M]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from nucleate.data.synth import Scene, draw


def draw_images(folder: Path, *, images: int, side: int) -> None:
    """Write drawn pictures, 400 nuclei to a megapixel."""
    folder.mkdir()
    scene = Scene(size=(side, side), nuclei=max(side * side // 2500, 1), touching=0.3)
    for number in range(images):
        tifffile.imwrite(folder / f"f{number:03}.tif", draw(scene, np.random.default_rng(number))[0])


def draw_large(folder: Path, *, side: int) -> None:
    """Write one large picture, a drawn tile over and over, in tiles that can be read apart."""
    folder.mkdir()
    tile = draw(Scene(size=(1000, 1000), nuclei=400, touching=0.3), np.random.default_rng(0))[0]
    repeat = -(-side // 1000)
    tifffile.imwrite(folder / "large.tif", np.tile(tile, (repeat, repeat))[:side, :side], tile=(512, 512))


def run(top: Path, kind: str, *, workers: int, model: list[str], number: int) -> tuple[float, float, str]:
    """Segment one folder; give seconds on the clock, seconds of processors, and a hash of all label images."""
    out = top / f"{kind}-{workers}-{number}"
    shared = ["--cluster", "local", "--workers", str(workers)] if workers else []
    words = [sys.executable, "-m", "nucleate", "segment", str(top / kind), "-o", str(out), "--threads", "1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([*words, *shared, *model, "--export", "labels,measurements", "--quiet"], check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    digest = hashlib.sha256()
    for path in sorted(out.glob("*.labels.tif")):
        digest.update(path.read_bytes())
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, processor, digest.hexdigest()[:12]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--large", type=int, default=0, metavar="PX", help="side of one large image instead; over 7100")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="0 is without a cluster")
    parser.add_argument("--model")
    given = parser.parse_args()
    kind = "large" if given.large else "images"
    model = ["--model", given.model] if given.model else []
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        if given.large:
            draw_large(top / kind, side=given.large)
        else:
            draw_images(top / kind, images=given.images, side=given.side)
        walls: dict[int, list[float]] = {workers: [] for workers in given.workers}
        hashes = set()
        for number in range(given.repeats):
            for workers in given.workers:
                wall, processor, found = run(top, kind, workers=workers, model=model, number=number)
                walls[workers].append(wall)
                hashes.add(found)
                load = os.getloadavg()[0]
                print(f"{workers} workers: {wall:.1f} s, {processor:.1f} s of processors, load {load:.1f}", flush=True)
        base = statistics.median(walls[given.workers[0]])
        for workers, seconds in walls.items():
            median = statistics.median(seconds)
            print(f"{workers} workers: median {median:.1f} s, least {min(seconds):.1f} s, {base / median:.2f} times")
        print("label images are the same" if len(hashes) == 1 else f"label images differ: {sorted(hashes)}")


if __name__ == "__main__":
    main()
