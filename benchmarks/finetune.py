"""What ten annotated images of a new kind are worth: the default model, fine-tuned, on images it was not tuned on.

    OMP_NUM_THREADS=1 python benchmarks/finetune.py OUT [--model NAME|PATH] [--images 10] [--epochs 10]

Draws images of a kind, trains with the preset `finetune` through the command line and prints its verdict with the
processor time of everything: reading, training, scoring both models, writing the new one.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path


def nucleate(*words: object) -> str:
    """Run a verb and give what it says on stdout."""
    call = [sys.executable, "-m", "nucleate", *map(str, words)]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout


def main() -> None:
    """Draw, train, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="nucleate")
    parser.add_argument("--style", default="histology", help="of nucleate synth")
    parser.add_argument("--images", type=int, default=10, help="to train on")
    parser.add_argument("--held-out", type=int, default=24)
    parser.add_argument("--epochs", type=int, help="those of the preset when not given")
    chosen = parser.parse_args()
    changed = () if chosen.epochs is None else ("--set", f"epochs={chosen.epochs}")
    ours, theirs = chosen.out / "annotated", chosen.out / "held-out"
    for folder, count, seed in ((ours, chosen.images, 1), (theirs, chosen.held_out, 2)):
        if not folder.is_dir():
            nucleate("synth", "-o", folder, "--layout", "labels", "--images", count, "--seed", seed,
                     "--style", chosen.style, "--quiet")  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = nucleate("train", ours, "-o", chosen.out / "run", "--preset", "finetune", "--init", chosen.model,
                    "--val", theirs, "--device", "cpu", "--threads", 1, *changed)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(f"{said}{chosen.images} images of the style {chosen.style}, {seconds:.0f} s of processor time\n")


if __name__ == "__main__":
    main()
