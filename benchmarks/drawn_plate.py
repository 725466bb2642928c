"""Draw a plate of 384 wells with a known effect, screen it with the command line, and compare with what was put in.

    python benchmarks/drawn_plate.py FOLDER [--rows 16] [--columns 24] [--fields 4] [--model NAME] [--seed 0]
        [--threads N] [--scale auto|FLOAT]

For cell loss and nuclear shrinkage it prints the IC50 that was put in, the one fitted to the drawn masks (what a
perfect segmentation would give: it differs by the chance of the draw alone), and the one that the screen found, with
their intervals; the error of counts and areas by dose; and how long drawing and screening took.
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
from nucleate.screen.dose import fit_dose
from nucleate.screen.scatter import Scatter


def main() -> None:
    """Draw, screen, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--columns", type=int, default=24)
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--scale")
    asked = parser.parse_args()
    plate = DrawnPlate(rows=asked.rows, columns=asked.columns, fields=asked.fields, doses=min(20, asked.columns - 2))
    started = time.perf_counter()
    truth = write_plate(asked.folder, plate, seed=asked.seed)
    drawn = time.perf_counter()
    words = ["screen", str(asked.folder / "plate"), "--map", str(asked.folder / "map.csv"), "--unit", "uM"]
    words += ["-o", str(asked.folder / "results"), *(["--model", asked.model] if asked.model else [])]
    words += ["--threads", str(asked.threads)] if asked.threads else []
    words += ["--scale", asked.scale] if asked.scale else []
    program = [sys.executable, "-c", "from nucleate.apps.cli.main import main; main()"]
    subprocess.run([*program, *words], check=True)
    finished = time.perf_counter()
    print(f"drawn in {drawn - started:.0f} s, screened in {finished - drawn:.0f} s")
    compare(asked.folder / "results", plate, truth)


def compare(results: Path, plate: DrawnPlate, truth: dict[str, dict[str, float]]) -> None:
    """Print what was found beside what is true."""
    wells = read(results / "wells.csv")
    fits = {row["feature"]: row for row in read(results / "fits.csv")}
    used = [row for row in wells if row["role"] != "positive" and row["concentration"]]
    doses = np.array([float(row["concentration"]) for row in used])
    drawn = {name: np.array([truth[row["well"]][name] for row in used]) for name in ("nuclei", "median_area_px")}
    drawn["median_area_px"][drawn["median_area_px"] == 0] = np.nan  # no nucleus
    exact = {"nuclei_per_field": drawn["nuclei"] / plate.fields, "median_area_px": drawn["median_area_px"]}
    ordinary = float(np.median(drawn["median_area_px"][doses == 0]))
    scatters = {
        "nuclei_per_field": Scatter.of_counts(exact["nuclei_per_field"], np.full(len(used), plate.fields)),
        "median_area_px": Scatter.of_medians(drawn["median_area_px"], drawn["nuclei"], controls=(ordinary, np.nan)),
    }
    for feature, effect in (("nuclei_per_field", plate.loss), ("median_area_px", plate.shrinkage)):
        fit, best = fits[feature], fit_dose(doses, exact[feature], scatter=scatters[feature])
        found = tuple(float(fit[name] or "nan") for name in ("ic50", "ic50_low", "ic50_high"))
        print(f"{feature}: put in: IC50 {effect.ic50:g}, at most {effect.floor:g} left")
        for what, (ic50, low, high), left in (
            ("drawn masks", (best.ic50, best.ic50_low, best.ic50_high), best.bottom / best.top),
            ("found", found, float(fit["bottom"]) / float(fit["top"])),
        ):
            inside = "inside" if low <= effect.ic50 <= high else "OUTSIDE"
            print(f"  {what}: {ic50:.3f} ({low:.3f} to {high:.3f}), {inside}; {left:.3f} left")
    print("dose  nuclei drawn  found  median area drawn  found")
    for dose in np.unique(doses):
        own = doses == dose
        counted = sum(int(row["nuclei"]) for row, mine in zip(used, own, strict=True) if mine)
        areas = [float(row["median_area_px"] or "nan") for row, mine in zip(used, own, strict=True) if mine]
        true = drawn["nuclei"][own].sum(), np.nanmean(drawn["median_area_px"][own])
        print(f"{dose:g}  {true[0]:.0f}  {counted}  {true[1]:.1f}  {np.nanmean(areas):.1f}")


def read(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    main()
