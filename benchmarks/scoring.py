"""Time the scoring of one large pair: python benchmarks/scoring.py [--side PX] [--nuclei N].

Draws round nuclei on a grid; in the prediction each is shifted by up to three pixels and one in twenty is left out.
Scores the pair once and prints nuclei, seconds and the memory it took.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import TYPE_CHECKING

import numpy as np

from nucleate.score.scores import evaluate_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw(side: int, per_row: int, *, centres: NDArray[np.int64], radii: NDArray[np.int64]) -> NDArray[np.int32]:
    """Draw disks (n, 2), (n,) of ids 1..n on a grid of cells that none leaves; radius 0 draws nothing."""
    labels = np.zeros((side, side), np.int32)
    cell = side // per_row
    reach = np.arange(cell)
    for index, ((row, col), radius) in enumerate(zip(centres, radii, strict=True)):
        top, left = index // per_row * cell, index % per_row * cell
        inside = (reach[:, None] + top - row) ** 2 + (reach + left - col) ** 2 < radius**2
        labels[top : top + cell, left : left + cell][inside] = index + 1
    return labels


def main() -> None:
    """Draw, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--nuclei", type=int, default=100_000)
    options = parser.parse_args()
    per_row = int(np.ceil(np.sqrt(options.nuclei)))
    cell = options.side // per_row
    generator = np.random.default_rng(0)
    index = np.arange(options.nuclei)
    centres = np.stack([index // per_row, index % per_row], axis=1) * cell + cell // 2
    radii = generator.integers(cell // 3, cell // 2, options.nuclei)
    true = draw(options.side, per_row, centres=centres, radii=radii)
    shifted = centres + generator.integers(-3, 4, centres.shape)
    kept = generator.random(options.nuclei) > 0.05
    pred = draw(options.side, per_row, centres=shifted, radii=radii * kept)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    scores = evaluate_pairs([("drawn", true, pred)])
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{true.shape[0]} x {true.shape[1]} pixels, {scores.nuclei_true} true and {scores.nuclei_pred} predicted nuclei"
    )
    print(f"scored in {seconds:.2f} s, {(after - before) / 1024:.0f} MB over the two label images")
    print(f"kaggle {scores.kaggle:.4f}, AJI {scores.aji:.4f}")


if __name__ == "__main__":
    main()
