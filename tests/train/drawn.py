"""Small drawn samples for the tests of training."""

from __future__ import annotations

import numpy as np

from nucleate.data.sample import Sample


def disks(count: int = 6, side: int = 32, seed: int = 0) -> list[Sample]:
    """Draw pictures with two bright disks each."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:side, :side]
    samples = []
    for index in range(count):
        labels = np.zeros((side, side), np.int32)
        for number, centre in ((1, side * 0.3), (2, side * 0.7)):
            row, col = centre + rng.uniform(-2, 2, 2)
            labels[(rows - row) ** 2 + (cols - col) ** 2 < (side / 6) ** 2] = number
        image = np.clip(40 + 150 * (labels > 0) + rng.normal(0, 10, labels.shape), 0, 255).astype(np.uint8)
        samples.append(Sample(f"disks-{index}", image, labels, f"group-{index}", kind="ab"[index % 2]))
    return samples
