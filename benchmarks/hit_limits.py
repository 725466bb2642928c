"""Draw the limits of hits anew: from which z-score on as many wells without an effect are hits as is said.

    python benchmarks/hit_limits.py [--draws 1000000] [--seed 0]

Controls are drawn from a normal distribution. Given their median m and robust deviation s, another value of it lies
beyond m - l s or m + l s with a probability that is known; its mean over the draws is set to the nominal share by l.
The table has that l, its standard error from ten parts of the draws, and what `nucleate.screen.hits.hit_limit` says.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import optimize, special

from nucleate.screen.hits import NOMINAL, hit_limit, robust_sd

COUNTS = (6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64, 96, 128, 256)
PARTS = 10


def main() -> None:
    """Draw, solve, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print("controls  drawn   +-      hit_limit")
    for count in COUNTS:
        rng = np.random.default_rng([asked.seed, count])
        parts = [spreads_of(rng.normal(0, 1, (asked.draws // PARTS, count))) for _ in range(PARTS)]
        limit = limit_of(*np.concatenate(parts, axis=1))
        error = float(np.std([limit_of(*part) for part in parts], ddof=1)) / np.sqrt(PARTS)
        print(f"{count:8}  {limit:6.3f}  {error:.3f}  {hit_limit(count):9.3f}", flush=True)


def spreads_of(controls: np.ndarray) -> np.ndarray:
    """Give the medians of rows of values and, below them, what `robust_sd` says of each row."""
    middles = np.median(controls, axis=1)
    distances = np.median(np.abs(controls - middles[:, None]), axis=1)
    some = controls[0]
    return np.stack([middles, distances * robust_sd(some) / np.median(np.abs(some - np.median(some)))])


def limit_of(middles: np.ndarray, spreads: np.ndarray) -> float:
    """Find the limit beyond which `NOMINAL` of values without an effect lie, over controls drawn many times."""

    def surplus(limit: float) -> float:
        beyond = special.ndtr(middles - limit * spreads) + special.ndtr(-middles - limit * spreads)
        return float(np.mean(beyond)) - NOMINAL

    return float(optimize.brentq(surplus, 2, 50))


if __name__ == "__main__":
    main()
