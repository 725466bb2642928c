"""Draw many plates and count how often the intervals of the dose curves hold what was put in, with exact masks.

    python benchmarks/plate_intervals.py [--plates 30] [--rows 16] [--columns 24] [--fields 4] [--least PX]

No segmentation: what is left is the chance of the draw, so 95 % of the intervals should hold the truth. With --least,
masks of fewer pixels are left out, as a segmentation with such a limit would. As in a screen, areas are those of nuclei
that no edge cuts.
"""

from __future__ import annotations

import argparse

import numpy as np

from nucleate.core.labels import areas
from nucleate.data.plates import DrawnPlate, place_field, plan_wells, whole_areas
from nucleate.screen.dose import DoseFit, fit_dose
from nucleate.screen.hits import robust_sd
from nucleate.screen.scatter import Scatter


def main() -> None:
    """Draw, fit, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plates", type=int, default=30)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--columns", type=int, default=24)
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--least", type=int, default=1)
    asked = parser.parse_args()
    plate = DrawnPlate(rows=asked.rows, columns=asked.columns, fields=asked.fields, doses=min(20, asked.columns - 2))
    pairs = [fits(plate, seed, least=asked.least) for seed in range(asked.plates)]
    for name, effect, found in zip(
        ("nuclei a field", "median area"), (plate.loss, plate.shrinkage), zip(*pairs, strict=True), strict=True
    ):
        held = sum(fit.ic50_low <= effect.ic50 <= fit.ic50_high for fit in found)
        logs = np.log([fit.ic50 for fit in found])
        half = np.mean([np.log(fit.ic50_high / fit.ic50_low) for fit in found]) / 2
        print(
            f"{name}: IC50 {effect.ic50:g} put in, {np.exp(logs.mean()):.3f} found in the middle; {held} of "
            f"{len(found)} intervals hold it; spread of log IC50 {logs.std(ddof=1):.3f}, half of an interval {half:.3f}"
        )


def fits(plate: DrawnPlate, seed: int, *, least: int) -> tuple[DoseFit, DoseFit]:
    """Fit counts and areas of the drawn masks of one plate, the same as `write_plate` draws."""
    wells = [well for well in plan_wells(plate) if well.role != "positive"]
    doses = np.array([well.dose for well in wells])
    counts, sizes = [], []
    for well in wells:
        count, seen = 0, [np.zeros(0, np.int64)]
        for number in range(plate.fields):
            rng = np.random.default_rng([seed, well.row, well.column, number])
            labels = place_field(plate, well.dose, rng=rng).labels
            count += int((areas(labels) >= least).sum())
            seen.append(whole_areas(labels))
        whole = np.concatenate(seen)
        sizes.append(whole[whole >= least])
        counts.append(count)
    per_field = np.array(counts) / plate.fields
    medians = np.array([np.median(size) if size.size else np.nan for size in sizes])
    single = np.concatenate([size for size, dose in zip(sizes, doses, strict=True) if dose == 0])
    known, controls = np.array([size.size for size in sizes]), (float(np.median(single)), robust_sd(single))
    return (
        fit_dose(doses, per_field, scatter=Scatter.of_counts(per_field, np.full(len(wells), plate.fields))),
        fit_dose(doses, medians, scatter=Scatter.of_medians(medians, known, controls=controls)),
    )


if __name__ == "__main__":
    main()
