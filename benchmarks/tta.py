"""What `--tta` gains on held-out pictures, and what it costs.

    python benchmarks/tta.py DATA.zip TABLE.csv RUN --config configs/flagship.toml [--folds 0,1] [--every N]

RUN is the folder that `nucleate crossval` left. Every picture is segmented twice, with and without `--tta`, by the
network that never saw its field of view and by what was fitted to the other folds. The time is that of the model in the
package on every eighth of these pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.api import load_segmenter
from nucleate.report.tables import markdown_table
from nucleate.run.segmenter import SegmentSettings
from nucleate.score.images import score_image
from nucleate.study.crossfold import CrossPlan, load_fold, read_endings
from nucleate.study.gains import gain_of
from nucleate.train.config import load_config
from nucleate.train.device import choose_device, describe

if TYPE_CHECKING:
    from nucleate.data.sample import Sample
    from nucleate.run.segmenter import Segmenter

WAYS = {"default": SegmentSettings(), "with --tta": SegmentSettings(tta=True)}


def score(segmenter: Segmenter, samples: list[Sample]) -> dict[str, float]:
    """Give the Kaggle score of each picture by its id."""
    return {s.image_id: score_image(s.labels, segmenter.segment_plane(s.image)[0]).kaggle for s in samples}


def seconds(settings: SegmentSettings, samples: list[Sample], *, threads: int) -> float:
    """Give processor seconds a megapixel of the model in the package."""
    model = load_segmenter(device="cpu", threads=threads, settings=settings)
    model.segment_plane(samples[0].image)
    begun = time.process_time()
    for sample in samples:
        model.segment_plane(sample.image)
    return (time.process_time() - begun) / sum(sample.labels.size for sample in samples) * 1e6


def main() -> None:
    """Score both ways on the same pictures and print a table by type, with paired differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--folds", default="0,1,2,3")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    choose_device("cpu", given.threads)
    folds = tuple(int(fold) for fold in given.folds.split(","))
    plan = CrossPlan(given.data, given.run, given.table, config=load_config(given.config), folds=folds)
    samples = plan.pictures(folds)[:: given.every]
    endings = read_endings(given.run)
    scores: dict[str, dict[str, float]] = {way: {} for way in WAYS}
    for fold in folds:
        held, name = [s for s in samples if s.fold == fold], f"fold-{fold}"
        for way, settings in WAYS.items():
            scores[way] |= score(load_fold(plan, name, ending=endings[name], settings=settings), held)

    held = [s for s in samples if s.fold in folds]
    kinds = {"**all**": held, **{kind: [s for s in held if s.kind == kind] for kind in sorted({s.kind for s in held})}}
    kinds |= {f"fold {fold}": [s for s in held if s.fold == fold] for fold in folds}
    rows = []
    for kind, some in kinds.items():
        ours, theirs = ({s.image_id: scores[way][s.image_id] for s in some} for way in reversed(WAYS))
        gain, low, high = gain_of(ours, theirs, groups={s.image_id: s.group for s in some})
        means = (f"{sum(one.values()) / len(some):.3f}" for one in (theirs, ours))
        rows.append([kind, str(len(some)), *means, f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]"])
    costs = ", ".join(f"{way} {seconds(one, held[::8], threads=given.threads):.2f}" for way, one in WAYS.items())
    print("\n".join(markdown_table(["", "images", *WAYS, "gain [95 %]"], rows)))
    print(f"\nProcessor seconds a megapixel of the model in the package: {costs}.\n{describe()}.")


if __name__ == "__main__":
    main()
