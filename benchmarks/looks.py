"""What the rule of scales and `--tta` gain on held-out pictures, and what they cost.

    python benchmarks/looks.py DATA.zip TABLE.csv RUN --config configs/flagship.toml [--folds 0,1] [--every N]

RUN is the folder that `nucleate crossval` left. Every picture is segmented at its own size, by default (at the scale
that the rule finds) and with `--tta`, by the network that never saw its field of view and by what was fitted to the
other folds. Gains are over the way before. The time is that of the model in the package on every eighth of these
pictures.
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
from nucleate.study.crossfold import load_fold, read_endings
from nucleate.study.crossfold_plan import CrossPlan
from nucleate.study.gains import gain_of
from nucleate.train.config import load_config
from nucleate.train.device import choose_device, describe

if TYPE_CHECKING:
    from nucleate.data.sample import Sample
    from nucleate.run.segmenter import Segmenter

WAYS = {
    "`--scale 1`": SegmentSettings(scale=1.0),
    "default": SegmentSettings(),
    "`--tta`": SegmentSettings(tta=True),
}


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


def row_of(kind: str, some: list[Sample], *, scores: dict[str, dict[str, float]]) -> list[str]:
    """Give the row of the table for some of the pictures."""
    groups, before, row = {s.image_id: s.group for s in some}, None, [kind, str(len(some))]
    for way in WAYS:
        now = {s.image_id: scores[way][s.image_id] for s in some}
        row.append(f"{sum(now.values()) / len(some):.3f}")
        if before is not None:
            gain, low, high = gain_of(now, before, groups=groups)
            row.append(f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]")
        before = now
    return row


def study_parser(about: str | None) -> argparse.ArgumentParser:
    """Give a parser of what says where a cross-validated study lies, and how many of its pictures are looked at."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1)
    return parser


def main() -> None:
    """Score all ways on the same pictures and print a table by type, with paired differences."""
    parser = study_parser(__doc__)
    parser.add_argument("--folds", default="0,1,2,3")
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
    rows = [row_of(kind, some, scores=scores) for kind, some in kinds.items()]
    costs = ", ".join(f"{way} {seconds(one, held[::8], threads=given.threads):.2f}" for way, one in WAYS.items())
    header = [f"{way}{column}" for way in WAYS for column in ("", " gain [95 %]")]
    header.pop(1)  # nothing stands before the first
    print("\n".join(markdown_table(["", "images", *header], rows)))
    print(f"\nProcessor seconds a megapixel of the model in the package: {costs}.\n{describe('cpu')}.")


if __name__ == "__main__":
    main()
