"""Training throughput: crops a second, and what share of the machine's measured peak that is.

    OMP_NUM_THREADS=1 python benchmarks/training.py [--config configs/flagship.toml] [--device cpu|cuda] [--steps 20]

The floor is counted: the multiply-adds of the network's convolutions on one crop, times three for forward and both
backward products. The peak is measured: a matrix product of the same precision. On the processor, seconds are those of
this process (its share of the work done where other programs run beside it); on a graphics card, of the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from nucleate.data.drawn import drawn_samples
from nucleate.nets.build import build
from nucleate.train.augment import seeded
from nucleate.train.batches import make_batch, prepare
from nucleate.train.config import load_config
from nucleate.train.device import choose_device, describe
from nucleate.train.loop import fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from nucleate.train.config import TrainConfig

_PICTURES = 24
_SIDE = 2048  # of the matrices


@dataclass(frozen=True)
class Clock:
    """Seconds on a device: of the process on a CPU, of the clock once all is computed on a card."""

    device: str

    def now(self) -> float:
        """Read it."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, work: Callable[[], object], *, times: int) -> float:
        """Time work, after one call to warm up; the mean of `times` calls."""
        work()
        began = self.now()
        for _ in range(times):
            work()
        return (self.now() - began) / times


def multiply_adds(config: TrainConfig) -> float:
    """Count the multiply-adds of the network on one crop."""
    module = build(config.network).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, config.network.channels_in, config.crop, config.crop))
    return float(counter.get_total_flops()) / 2


def peak(config: TrainConfig, clock: Clock) -> float:
    """Measure multiply-adds a second of a matrix product."""
    kind = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    generator = seeded(0, device=clock.device)
    a, b = (torch.randn(_SIDE, _SIDE, generator=generator, device=clock.device).to(kind) for _ in range(2))
    best = min(clock.seconds(lambda: a @ b, times=5) for _ in range(3))
    return _SIDE**3 / best


def throughput(config: TrainConfig, clock: Clock, *, steps: int) -> tuple[float, float]:
    """Give crops a second of training as a whole, and of making batches alone."""
    atlas = prepare(drawn_samples(_PICTURES, seed=0), config.normalizer)
    moments: list[float] = []

    def tick(step: int, _total: int) -> None:
        if step in {3, 3 + steps}:  # the first three warm up
            moments.append(clock.now())

    class _Enough(Exception):  # noqa: N818 - no fault
        pass

    def stop(module: nn.Module) -> dict[str, float]:
        raise _Enough

    short = config.replace(steps_per_epoch=3 + steps, epochs=1, restarts=())
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_Enough):
        fit(short, atlas, folder=Path(folder), validate=stop, device=clock.device, tick=tick)
    there = atlas.to(torch.device(clock.device))
    made = clock.seconds(lambda: make_batch(there, config, step=1), times=max(3, steps // 4))
    return steps * config.batch / (moments[1] - moments[0]), config.batch / made


def main() -> None:
    """Measure and write one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path(__file__).parents[1] / "configs" / "flagship.toml")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, help="that of the configuration when not given")
    parser.add_argument("--compiled", action="store_true")
    chosen = parser.parse_args()
    clock = Clock(choose_device(chosen.device, 1 if chosen.device == "cpu" else None))
    config = load_config(chosen.config).replace(compiled=chosen.compiled)
    config = config if chosen.batch is None else config.replace(batch=chosen.batch)
    counted, measured = multiply_adds(config), peak(config, clock)
    crops, batches = throughput(config, clock, steps=chosen.steps)
    floor = measured / (3 * counted)
    sys.stdout.write(
        f"{describe(clock.device)}, {config.precision}, batches of {config.batch} crops of {config.crop}\n"
        f"crops a second:                       {crops:.1f}, data and augmentation included\n"
        f"crops a second, making batches alone: {batches:.1f}\n"
        f"multiply-adds a crop:                 {counted / 1e9:.2f} billion forward, three times that to train\n"
        f"matrix product:                       {measured / 1e9:.0f} billion multiply-adds a second\n"
        f"floor:                                {floor:.1f} crops a second; reached {crops / floor:.0%}\n"
    )


if __name__ == "__main__":
    main()
