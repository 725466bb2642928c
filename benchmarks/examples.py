"""What the model in the package finds in pictures it was not trained on: of each type the one with the middle score.

    python benchmarks/examples.py DATA.zip TABLE.csv OUT.jpg

The table says the type of each picture (`nucleate.data.samples.attach_table`). Of a large one the part with most nuclei
is shown; the score is that of the whole.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nucleate.api import load_segmenter
from nucleate.data.samples import attach_table, load_samples
from nucleate.export.overlay import render_overlay
from nucleate.report.figures import draw_panels
from nucleate.score.images import score_image
from nucleate.train.pictures import part_known

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE, STEP = 256, 32


def most_nuclei(labels: NDArray[np.int32]) -> tuple[slice, slice]:
    """Give the window of `SIDE` pixels a side in which most nuclei were found."""
    rows, cols = (range(0, max(1, length - SIDE + 1), STEP) for length in labels.shape)
    windows = [(slice(row, row + SIDE), slice(col, col + SIDE)) for row in rows for col in cols]
    return max(windows, key=lambda window: len(np.unique(labels[window])))


def main() -> None:
    """Draw the pictures above what is found in them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    segmenter = load_segmenter(device="cpu")
    unseen, _ = part_known(attach_table(load_samples(asked.data), asked.table), segmenter.card.trained_on or ())
    by_kind = defaultdict(list)
    for sample in unseen:
        labels, _ = segmenter.segment_plane(sample.image)
        score = score_image(sample.labels, labels)
        by_kind[sample.kind].append((score.kaggle, sample.image_id, sample.image, labels, score))
    pictures, found = [], []
    for kind, scored in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        kaggle, image_id, image, labels, score = sorted(scored, key=lambda one: one[:2])[len(scored) // 2]
        window = most_nuclei(labels)
        plain, outlined = (render_overlay(image, one)[window] for one in (labels * 0, labels))
        pictures.append((f"{kind}\n{image_id[:8]}", plain))
        caption = f"score {kaggle:.2f}\n{score.found[0]} of {score.nuclei_true} nuclei at IoU 0.5"
        found.append((caption, outlined))
        print(f"{kind}: {len(scored)} pictures, the middle one {image_id}, {kaggle:.3f}")
    draw_panels(asked.out, [pictures, found])


if __name__ == "__main__":
    main()
