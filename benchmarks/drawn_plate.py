"""Draw a plate of 384 wells with a known effect, screen it with the command line, and compare with what was put in.

    python benchmarks/drawn_plate.py FOLDER [--rows 16] [--columns 24] [--fields 4] [--model NAME] [--seed 0]

Prints the true IC50 of cell loss and of nuclear shrinkage beside the fitted ones with their intervals, the error of
counts and areas, and how long drawing and screening took.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from nucleate.data.plates import DrawnPlate, write_plate


def main() -> None:
    """Draw, screen, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--columns", type=int, default=24)
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model")
    asked = parser.parse_args()
    plate = DrawnPlate(rows=asked.rows, columns=asked.columns, fields=asked.fields, doses=min(20, asked.columns - 2))
    started = time.perf_counter()
    truth = write_plate(asked.folder, plate, seed=asked.seed)
    drawn = time.perf_counter()
    words = ["screen", str(asked.folder / "plate"), "--map", str(asked.folder / "map.csv"), "--unit", "uM"]
    words += ["-o", str(asked.folder / "results"), *(["--model", asked.model] if asked.model else [])]
    subprocess.run([Path(sys.executable).with_name("nucleate"), *words], check=True)
    finished = time.perf_counter()
    print(f"drawn in {drawn - started:.0f} s, screened in {finished - drawn:.0f} s")
    compare(asked.folder / "results", plate, truth)


def compare(results: Path, plate: DrawnPlate, truth: dict[str, dict[str, float]]) -> None:
    """Print what was found beside what is true."""
    with (results / "fits.csv").open(encoding="utf-8", newline="") as stream:
        fits = {row["feature"]: row for row in csv.DictReader(stream)}
    for feature, effect in (("nuclei_per_field", plate.loss), ("median_area_px", plate.shrinkage)):
        fit = fits[feature]
        inside = float(fit["ic50_low"]) <= effect.ic50 <= float(fit["ic50_high"])
        print(
            f"{feature}: true IC50 {effect.ic50:g}, found {fit['ic50']} ({fit['ic50_low']} to {fit['ic50_high']}), "
            f"{'inside' if inside else 'OUTSIDE'}; left at most {effect.floor:g}, "
            f"found {float(fit['bottom']) / float(fit['top']):.3f}"
        )
    with (results / "wells.csv").open(encoding="utf-8", newline="") as stream:
        wells = {row["well"]: row for row in csv.DictReader(stream)}
    counts = np.array([[truth[well]["nuclei"], float(row["nuclei"])] for well, row in wells.items()])
    print(f"nuclei: {counts[:, 0].sum():.0f} true, {counts[:, 1].sum():.0f} found")


if __name__ == "__main__":
    main()
