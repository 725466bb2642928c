"""Cut real pictures into tiles and compare with the whole: nuclei gained, lost, cut or merged, and pixels that differ.

Pictures of the Data Science Bowl set, the largest of each kind of one fold, laid side by side to `--side` pixels where
they are smaller, so that tiles of 256 to 4,096 px cut nuclei. Margins below the model's own can be tried.

Run: python benchmarks/tiling.py DATA.zip TABLE.csv [--model NAME] [--margin PX ...] [--tile PX ...] [--fold N]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.api import load_segmenter
from nucleate.core.labels import overlap_table
from nucleate.data.samples import attach_table, load_samples
from nucleate.run.segmenter import Segmenter, SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample


def changed(whole: NDArray[np.int32], tiled: NDArray[np.int32]) -> int:
    """Count the nuclei of both that have no counterpart of IoU 0.9 in the other: gained, lost, cut or merged."""
    pairs, shared = overlap_table(whole, tiled)
    first, second = np.bincount(whole.ravel()), np.bincount(tiled.ravel())
    real = (pairs > 0).all(axis=1)
    a, b = pairs[real].T
    same = shared[real] / (first[a] + second[b] - shared[real]) >= 0.9
    return len(first) + len(second) - 2 - 2 * int(np.count_nonzero(same))


def pictures(samples: Sequence[Sample], side: int) -> dict[str, NDArray[Any]]:
    """Lay the largest pictures of each kind side by side, on a square of `side` px at least where they suffice."""
    found = {}
    for kind in sorted({sample.kind for sample in samples}):
        some = sorted((s for s in samples if s.kind == kind), key=lambda s: -s.image.shape[0] * s.image.shape[1])
        first = some[0].image
        alike = [s.image for s in some if s.image.shape == first.shape]
        down, across = (-(-side // n) for n in first.shape[:2])
        grid = [[alike[(row * across + col) % len(alike)] for col in range(across)] for row in range(down)]
        found[kind] = np.concatenate([np.concatenate(row, axis=1) for row in grid], axis=0)[:side, :side]
    return found


def main() -> None:
    """Compare every tile and margin on every picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--precision", choices=["auto", "full"], default="auto")
    parser.add_argument("--margin", type=int, nargs="*", default=[])
    parser.add_argument("--tile", type=int, nargs="*", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--fold", type=int, default=1)
    parser.add_argument("--side", type=int, default=1200)
    parser.add_argument("--kind", nargs="*")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    samples = [s for s in attach_table(load_samples(given.data), given.table) if s.fold == given.fold]
    model = load_segmenter(given.model, device="cpu", threads=given.threads, precision=given.precision)
    columns = ("kind", "pixels", "margin", "tile", "nuclei", "changed", "differ", "per 100,000", "largest step", "s")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for kind, plane in pictures(samples, given.side).items():
        if given.kind and kind not in given.kind:
            continue
        once = model.card.model_copy(update={"tile": 2 * max(plane.shape[:2])})
        seen = Segmenter(model.engine, once)
        maps, (whole, _) = seen.maps(plane), seen.segment_plane(plane)
        for margin in given.margin or [model.card.margin]:
            for tile in given.tile:
                settings = SegmentSettings(tile=tile)
                parts = Segmenter(model.engine, model.card.model_copy(update={"margin": margin}), settings=settings)
                started = time.perf_counter()
                tiled, _ = parts.segment_plane(plane, max_bytes=0)
                seconds = time.perf_counter() - started
                step = float(np.abs(parts.maps(plane) - maps).max())
                # Numbers follow the order of the first pixels, so a nucleus more moves all behind it: compare outlines.
                differ = int(np.count_nonzero(edges(whole) != edges(tiled)))
                print(
                    f"| {kind} | {whole.size:,} | {margin} | {tile} | {whole.max()} | {changed(whole, tiled)} "
                    f"| {differ} | {1e5 * differ / whole.size:.1f} | {step:.1e} | {seconds:.1f} |",
                    flush=True,
                )


def edges(labels: NDArray[np.int32]) -> NDArray[np.int8]:
    """Tell nuclei from background and from the next nucleus, whatever their numbers."""
    right, below = np.zeros_like(labels, bool), np.zeros_like(labels, bool)
    right[:, :-1], below[:-1] = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    return (labels > 0).astype(np.int8) + 2 * right.astype(np.int8) + 4 * below.astype(np.int8)


if __name__ == "__main__":
    main()
