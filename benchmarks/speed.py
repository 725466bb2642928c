"""Whole programs side by side, seconds a megapixel: nucleate and StarDist, same pictures, same threads, in turns.

Pictures: two of drawn nuclei, and two of real ones of the Data Science Bowl set laid side by side, `--side` pixels a
side. Both read the files, scale, run their network, split and write label images; nucleate a second time with its
default exports, an overlay and measurements too. What each needs to start (libraries, model, first picture) is given
apart. Then the shares of nucleate's own time, and what the network reaches of this machine's matrix product.

Run: python benchmarks/speed.py DATA.zip TABLE.csv --stardist PYTHON --weights FOLDER [--model NAME] [--threads N]
where PYTHON has stardist, and FOLDER is what `benchmarks/speed_stardist.py train` wrote.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent


def pictures(data: Path, table: Path, *, side: int, folder: Path) -> list[Path]:
    """Write two drawn and two real pictures as TIFF."""
    from nucleate.data.samples import attach_table, load_samples
    from nucleate.data.synth import Scene, draw

    scene = Scene(size=(side, side), nuclei=side * side // 1500, touching=0.4)
    real = [s.image for s in attach_table(load_samples(data), table) if s.kind == "fluorescence-small"]
    grey = [(image if image.ndim == 2 else image[..., :3].max(axis=2)) for image in real]
    alike = [image for image in grey if image.shape == (256, 256)]
    cells = iter(alike * (1 + 2 * (side // 256 + 1) ** 2 // len(alike)))
    count = -(-side // 256)
    found = []
    for number in range(2):
        joined = np.concatenate([np.concatenate([next(cells) for _ in range(count)], axis=1) for _ in range(count)])
        drawn = draw(scene, np.random.default_rng(number))[0]
        for name, picture in (("drawn", drawn), ("real", joined[:side, :side])):
            found.append(folder / f"{name}{number}.tif")
            tifffile.imwrite(found[-1], picture)
    return found


def ours(images: list[Path], out: Path, *, exports: str, model: str | None, threads: int) -> dict[str, float]:
    """Segment the pictures as `nucleate segment` does; one at a time where `exports` ends in a 1."""
    started = time.perf_counter()
    from nucleate.api import load_segmenter
    from nucleate.apps.cli.batches import settings_of
    from nucleate.run.batch import run_batch
    from nucleate.run.inputs import expand

    segmenter = load_segmenter(model, device="cpu", threads=threads)
    single = exports.endswith("1")
    settings = settings_of({}, export=[exports.removesuffix("1")], memory=None, device="cpu", threads=threads)
    settings = replace(settings, at_once=1) if single else settings
    run_batch(expand([str(images[0])]), out / "first", segmenter=segmenter, settings=settings)
    ready, busy = time.perf_counter(), time.process_time()
    summary = run_batch(expand([str(path) for path in images]), out / "all", segmenter=segmenter, settings=settings)
    wall, processor = time.perf_counter() - ready, time.process_time() - busy
    nuclei = sum(outcome.nuclei or 0 for outcome in summary.outcomes)
    pixels = sum(tifffile.imread(path).size for path in images)
    return {"start": ready - started, "wall": wall, "cpu": processor, "pixels": pixels, "nuclei": nuclei}


def shares(images: list[Path], *, model: str | None, threads: int) -> dict[str, float]:
    """Seconds a megapixel of each stage, the best of three."""
    from nucleate.api import load_segmenter
    from nucleate.post.confidence import rate

    segmenter = load_segmenter(model, device="cpu", threads=threads)
    inner, inside = segmenter.engine, [0.0]

    def timed(batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        begun = time.perf_counter()
        maps_NCHW = inner(batch_NCHW)
        inside[0] += time.perf_counter() - begun
        return maps_NCHW

    segmenter.engine = timed
    recipe, names = segmenter.card.recipe, segmenter.card.maps
    best: dict[str, float] = {}
    for path in images * 3:
        plane = tifffile.imread(path)
        inside[0], begun = 0.0, time.perf_counter()
        maps = segmenter.maps(plane)
        mapped = time.perf_counter()
        labels = recipe.apply(maps, names)
        rate(labels, maps, names=names, model=segmenter.card.confidence)
        done = time.perf_counter()
        stages = {"network": inside[0], "scaling and tiles": mapped - begun - inside[0], "splitting": done - mapped}
        for name, seconds in stages.items():
            best[name] = min(best.get(name, np.inf), seconds / (plane.size / 1e6))
    return best


def peak(size: int = 2048) -> float:
    """Measure numpy's float32 matrix product, operations a second, the best of five."""
    a = np.random.default_rng(0).random((size, size), np.float32)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begun)
    return 2 * size**3 / min(times)


def child(words: list[str], threads: int) -> dict[str, float]:
    """Run a program in a process of its own and read the JSON of its last line."""
    import os

    kept = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=kept)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Run all in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--stardist", help="its Python")
    parser.add_argument("--weights", type=Path, help="its model's folder")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--operations", type=float, default=160e3, help="of the network for each pixel")
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "OUT", "IMAGES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        what, out, folder = given.one[0], Path(given.one[1]), Path(given.one[2])
        images, common = sorted(folder.glob("*.tif")), {"model": given.model, "threads": given.threads}
        if what == "peak":
            print(json.dumps({"peak": peak()}))
        else:
            alone = shares(images, **common) if what == "shares" else ours(images, out, exports=what, **common)
            print(json.dumps(alone))
        return
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), given)


def compare(folder: Path, given: Any) -> None:  # noqa: ANN401 - what argparse gives
    """Take turns and print."""
    (folder / "in").mkdir()
    images = pictures(given.data, given.table, side=given.side, folder=folder / "in")
    me = [sys.executable, __file__, str(given.data), str(given.table), "--threads", str(given.threads)]
    me += ["--model", given.model] if given.model else []
    programs = {
        "nucleate, labels": "labels",
        "nucleate, default exports": "labels,overlay,measurements",
        "nucleate, labels, one picture at a time": "labels1",
        "nucleate, default exports, one picture at a time": "labels,overlay,measurements1",
        **({"StarDist, labels": ""} if given.stardist else {}),
    }
    runs: dict[str, list[dict[str, float]]] = {program: [] for program in programs}
    for turn in range(given.repeats):
        for number, (program, exports) in enumerate(programs.items()):
            out = folder / f"out{turn}{number}"
            out.mkdir()
            if exports:
                words = [*me, "--one", exports, str(out), str(folder / "in")]
            else:
                words = [given.stardist, str(HERE / "speed_stardist.py"), "run", str(given.weights), str(out)]
                words += [*map(str, images), "--threads", str(given.threads)]
            runs[program].append(child(words, given.threads))
    print(f"{given.threads} threads, {runs['nucleate, labels'][0]['pixels'] / 1e6:.1f} megapixels, medians of turns\n")
    print("| program | s a megapixel | processor s a megapixel | start s | nuclei |\n|---|---|---|---|---|")
    for program, found in runs.items():
        million = found[0]["pixels"] / 1e6
        wall, processor, start = (statistics.median(one[key] for one in found) for key in ("wall", "cpu", "start"))
        nuclei = f"{found[0]['nuclei']:,}"
        print(f"| {program} | {wall / million:.3f} | {processor / million:.3f} | {start:.1f} | {nuclei} |")
    for program in list(programs)[:2] if given.stardist else []:
        for key in ("wall", "cpu"):
            ratios = [a[key] / b[key] for a, b in zip(runs["StarDist, labels"], runs[program], strict=True)]
            print(
                f"{program}: {statistics.median(ratios):.2f} times as fast ({key}; {min(ratios):.2f}-{max(ratios):.2f})"
            )
    stages = child([*me, "--one", "shares", str(folder), str(folder / "in")], given.threads)
    rate = child([*me, "--one", "peak", str(folder), str(folder / "in")], given.threads)["peak"]
    print("\n| stage | s a megapixel | share |\n|---|---|---|")
    for stage, seconds in stages.items():
        print(f"| {stage} | {seconds:.3f} | {seconds / sum(stages.values()):.0%} |")
    reached = given.operations * 1e6 / stages["network"]
    print(
        f"\nnetwork: {reached / 1e9:.0f} billion operations a second, float32 matrix product {rate / 1e9:.0f}: ", end=""
    )
    print(f"{reached / rate:.0%}")


if __name__ == "__main__":
    main()
