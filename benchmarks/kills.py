"""Kill a run with SIGKILL at random moments, go on with --resume, and compare all that it wrote with an unbroken run.

Run from the repository:
python -m benchmarks.kills FOLDER [--verb segment|screen] [--images 40] [--large PX] [--kills 50] [--seed 0]
                                  [--export NAME,...] [--model FILE.onnx|stand-in]

Draws pictures (for `screen` a plate), runs once without a disturbance, then kills as often as asked: half of the kills
fall into the start of the program, half into the work on the few pictures after it. With `--large` one picture of so
many pixels a side, over 7100, is the first in the batch: most of the late kills fall into it. After each kill every
file under its final name must be byte for byte that of the unbroken run, and at the end all of them must be there.
Times are left out: the seconds in summary.csv, the call in run.json, report.html.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tifffile
from benchmarks.larger_than_memory import stand_in
from tests.apps.stopped import Tally, contents, survive

from nucleate.data.plates import DrawnPlate, write_plate
from nucleate.data.synth import Scene, draw
from nucleate.errors import MissingExtraError
from nucleate.run.exports import EXPORTS
from nucleate.run.journal import JOURNAL_NAME
from nucleate.run.outputs import check_exports

FEW = 5.0
"""Pictures that are done before a late kill, at most."""


def main() -> None:
    """Draw, run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--verb", choices=["segment", "screen"], default="segment")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--large", type=int, default=0, metavar="PX")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", help="every one that there is when not given")
    parser.add_argument("--model", help="stand-in: a network that costs next to nothing")
    asked = parser.parse_args()
    inputs = draw_inputs(asked.folder, asked.verb, images=asked.images, seed=asked.seed)
    if asked.large:
        draw_large(asked.folder / "in", side=asked.large)
    inputs += ["--export", asked.export or every_export()]
    if asked.model:
        inputs += ["--model", str(stand_in(asked.folder)) if asked.model == "stand-in" else asked.model]
    whole, broken = asked.folder / "unbroken", asked.folder / "killed"
    start_s, all_s = time_run(start(inputs, whole), whole)
    expected = contents(whole)
    rng = np.random.default_rng(asked.seed)
    late = FEW * (all_s - start_s) / (asked.images + bool(asked.large))

    def moment() -> float:
        return float(rng.uniform(0, start_s) if rng.random() < 0.5 else start_s + rng.uniform(0, late))

    print(f"unbroken: {len(expected)} files in {all_s:.1f} s, {start_s:.1f} s of them until the work began")
    tally = survive(
        functools.partial(start, inputs, broken), broken, expected=expected, kills=asked.kills, moment=moment
    )
    tell(tally, len(expected))


def draw_inputs(folder: Path, verb: str, *, images: int, seed: int) -> list[str]:
    """Write what is to be segmented; give the words that name it."""
    if verb == "screen":
        plate = DrawnPlate(rows=4, columns=max(images // 4, 3), fields=1, size=160, doses=max(images // 4 - 2, 1))
        write_plate(folder, plate, seed=seed)
        return ["screen", str(folder / "plate"), "--map", str(folder / "map.csv")]
    (folder / "in").mkdir(parents=True)
    for number in range(images):
        rng = np.random.default_rng([seed, number])
        size = (int(rng.integers(100, 400)), int(rng.integers(100, 400)))
        picture, _ = draw(Scene(size, nuclei=size[0] * size[1] // 1500), rng)
        tifffile.imwrite(folder / "in" / f"p{number:02d}.tif", picture)
    return ["segment", str(folder / "in")]


def draw_large(folder: Path, *, side: int) -> None:
    """Write one large picture, a drawn tile over and over, whose name comes before the others."""
    tile = draw(Scene((1000, 1000), nuclei=400), np.random.default_rng(0))[0]
    repeat = -(-side // 1000)
    tifffile.imwrite(folder / "large.tif", np.tile(tile, (repeat, repeat))[:side, :side], tile=(512, 512))


def every_export() -> str:
    """Name everything that can be written with the libraries that are installed."""
    found: list[str] = []
    for name in EXPORTS:
        with contextlib.suppress(MissingExtraError):
            found += check_exports(name)
    return ",".join(found)


def start(inputs: list[str], out: Path) -> subprocess.Popen[bytes]:
    """Start the program."""
    program = [sys.executable, "-c", "from nucleate.apps.cli.main import main; main()"]
    words = [*program, *inputs, "-o", str(out), "--resume", "--threads", "1", "--quiet"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def time_run(running: subprocess.Popen[bytes], out: Path) -> tuple[float, float]:
    """Give the seconds until the journal is there, and until the end."""
    began = time.perf_counter()
    while running.poll() is None and not list(out.rglob(JOURNAL_NAME)):
        time.sleep(0.01)
    first = time.perf_counter() - began
    _, said = running.communicate()
    if running.returncode:
        raise SystemExit(said.decode())
    return first, time.perf_counter() - began


def tell(tally: Tally, files: int) -> None:
    """Print what the kills hit."""
    print(
        f"{tally.kills} kills: {tally.early} before the first result, {tally.half_written} left something half-written "
        f"under a temporary name, {tally.in_strips} left a large image with finished strips, {tally.finished + 1} runs "
        f"came to their end; all {files} files equal each time"
    )


if __name__ == "__main__":
    main()
