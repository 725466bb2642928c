"""Time `nucleate.export.measurements.measure` against scikit-image's regionprops_table, and compare the values.

Run: python benchmarks/measurements.py [SIDE] [NUCLEI]
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.measure import regionprops_table

from nucleate.export.measurements import measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PROPERTIES = {
    "label": "label", "area": "area_px", "centroid": "centroid_row", "bbox": "bbox_row_min",
    "perimeter": "perimeter_px", "equivalent_diameter_area": "equivalent_diameter_px",
    "axis_major_length": "major_axis_px", "axis_minor_length": "minor_axis_px", "eccentricity": "eccentricity",
    "orientation": "orientation_rad", "solidity": "solidity", "intensity_mean": "mean_intensity",
    "intensity_min": "min_intensity", "intensity_max": "max_intensity", "intensity_std": "std_intensity",
    "extent": "extent",
}  # fmt: skip


def draw(side: int, nuclei: int) -> NDArray[np.int32]:
    """Draw about `nuclei` ellipses of random size and direction on a grid, some touching."""
    rng = np.random.default_rng(0)
    cells = int(np.ceil(np.sqrt(nuclei)))
    pitch = side / cells
    labels = np.zeros((side, side), np.int32)
    row, col = np.mgrid[:side, :side]
    for one in range(nuclei):
        centre = (np.array(divmod(one, cells)) + 0.5 + rng.uniform(-0.1, 0.1, 2)) * pitch
        major, minor, angle = rng.uniform(0.4, 0.6) * pitch, rng.uniform(0.25, 0.4) * pitch, rng.uniform(0, np.pi)
        box = np.s_[
            max(0, int(centre[0] - pitch)) : int(centre[0] + pitch),
            max(0, int(centre[1] - pitch)) : int(centre[1] + pitch),
        ]
        r, c = row[box] - centre[0], col[box] - centre[1]
        u, v = r * np.cos(angle) + c * np.sin(angle), -r * np.sin(angle) + c * np.cos(angle)
        labels[box][(u / major) ** 2 + (v / minor) ** 2 <= 1] = one + 1
    return labels


def best_of(times: int, call: Callable[[], Any]) -> tuple[float, Any]:
    """Give the shortest of some timings in seconds of the processor, and the result."""
    seconds = []
    for _ in range(times):
        start = time.process_time()  # other programs on the machine do not count
        result = call()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def main() -> None:
    """Print both times, their ratio, and the largest difference of each column."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    nuclei = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    labels = draw(side, nuclei)
    plane = np.random.default_rng(1).integers(0, 4096, labels.shape, np.uint16)
    ours_s, ours = best_of(5, lambda: measure(labels, {"": plane}))
    oracle: Any = regionprops_table  # it has no annotations
    theirs_s, theirs = best_of(3, lambda: oracle(labels, plane, properties=list(PROPERTIES)))
    print(f"{side} x {side} pixels, {len(ours['label'])} nuclei, best of 5 and of 3")
    print(f"measure {1e3 * ours_s:.1f} ms, regionprops_table {1e3 * theirs_s:.1f} ms, ratio {theirs_s / ours_s:.1f}")
    for name, column in PROPERTIES.items():
        other = theirs.get(name, theirs.get(f"{name}-0"))
        print(f"  {column:24s} largest difference {np.abs(other - ours[column]).max():.2g}")


if __name__ == "__main__":
    main()
