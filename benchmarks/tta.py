"""What `--tta` gains and costs: the Kaggle score and the seconds of held-out pictures with and without it.

Run: python benchmarks/tta.py DATA.zip TABLE.csv [--model NAME] [--fold N] [--every N]
The model must not have been trained on that fold.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from nucleate.api import load_segmenter
from nucleate.data.samples import attach_table, load_samples
from nucleate.run.segmenter import SegmentSettings
from nucleate.score.images import score_image


def main() -> None:
    """Score both ways on the same pictures and print a table, with the paired difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--fold", type=int, default=1)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["auto", "full"], default="auto")
    given = parser.parse_args()
    samples = [s for s in attach_table(load_samples(given.data), given.table) if s.fold == given.fold]
    samples = samples[:: given.every]
    million = sum(s.labels.size for s in samples) / 1e6
    found: dict[bool, list[float]] = {}
    print(f"fold {given.fold}, {len(samples)} pictures, {million:.1f} megapixels\n")
    print("| | Kaggle score | s a megapixel | processor s a megapixel |\n|---|---|---|---|")
    for tta in (False, True):
        settings = SegmentSettings(tta=tta)
        model = load_segmenter(
            given.model, device="cpu", threads=given.threads, precision=given.precision, settings=settings
        )
        begun, busy = time.perf_counter(), time.process_time()
        labels = [model.segment_plane(sample.image)[0] for sample in samples]
        wall, processor = time.perf_counter() - begun, time.process_time() - busy
        found[tta] = [score_image(s.labels, got).kaggle for s, got in zip(samples, labels, strict=True)]
        name = "with --tta" if tta else "default"
        print(f"| {name} | {np.mean(found[tta]):.4f} | {wall / million:.2f} | {processor / million:.2f} |", flush=True)
    gain = np.subtract(found[True], found[False])
    print(f"\ngain {gain.mean():+.4f}, standard error {gain.std() / len(gain) ** 0.5:.4f}")


if __name__ == "__main__":
    main()
