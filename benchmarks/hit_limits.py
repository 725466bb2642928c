"""Draw the limits of hits anew: from which z-score on as many wells without an effect are hits as is said.

    python benchmarks/hit_limits.py [--draws 1000000] [--seed 0] [--counts]

Controls are drawn from a normal distribution. Given their median m and robust deviation s, another value of it lies
beyond m - l s or m + l s with a probability that is known; its mean over the draws is set to the nominal share by l.
The table has that l, its standard error from ten parts of the draws, and what `nucleate.screen.hits.hit_limit` says.

With --counts the controls are counts of nuclei that chance alone scatters (Poisson), and the limits are those of
`hit_limit`: the table says how many per cent of wells without an effect are beyond them, judged by the counts and the
spread that the controls have, and as screens judge them, by `nucleate.screen.hits.stabilised_counts` with chance as the
least spread; and how many per cent of wells without any nucleus.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import optimize, special

from nucleate.screen.hits import NOMINAL, hit_limit, robust_sd, stabilised_counts

COUNTS = (6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64, 96, 128, 256)
PARTS = 10
NUCLEI = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 300)
CONTROLS = (6, 8, 12, 16, 32, 64, 128)


def main() -> None:
    """Draw, solve, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--counts", action="store_true")
    asked = parser.parse_args()
    if asked.counts:
        print("nuclei " + "".join(f"{count:>19}" for count in CONTROLS))
        for mean in NUCLEI:
            rng = np.random.default_rng([asked.seed, mean])
            cells = [shares_of_counts(rng.poisson(mean, (asked.draws, count)), mean) for count in CONTROLS]
            shown = (f"{100 * plain:7.2f} {100 * held:5.2f} {100 * none:5.0f}" for plain, held, none in cells)
            print(f"{mean:6} " + "".join(shown), flush=True)
        return
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
    some = np.arange(controls.shape[1])
    return np.stack([middles, distances * robust_sd(some) / np.median(np.abs(some - np.median(some)))])


def limit_of(middles: np.ndarray, spreads: np.ndarray) -> float:
    """Find the limit beyond which `NOMINAL` of values without an effect lie, over controls drawn many times."""

    def surplus(limit: float) -> float:
        beyond = special.ndtr(middles - limit * spreads) + special.ndtr(-middles - limit * spreads)
        return float(np.mean(beyond)) - NOMINAL

    return float(optimize.brentq(surplus, 2, 50))


def shares_of_counts(controls: np.ndarray, mean: int) -> tuple[float, float, float]:
    """Give shares of counts that are hits: without an effect by the controls' spread, as screens judge them, and of 0.

    Where the spread is 0 no well is judged.
    """
    counts = np.arange(max(20, 5 * mean))
    summed = np.concatenate([[0], special.pdtr(counts, mean)])
    limit = hit_limit(controls.shape[1])
    shares = []
    for scale, least in ((lambda values: values.astype(float), 0.0), (_stabilised, 1.0)):
        middles, spreads = spreads_of(scale(controls))
        far = limit * np.maximum(spreads, least)
        values = scale(counts)
        below = np.where(far > 0, np.searchsorted(values, middles - far, side="right"), 0)
        above = np.where(far > 0, np.searchsorted(values, middles + far, side="left"), len(values))
        shares += [float(np.mean(summed[below] + 1 - summed[above])), float(np.mean(below > 0))]
    return shares[0], shares[2], shares[3]


def _stabilised(counts: np.ndarray) -> np.ndarray:
    return stabilised_counts(counts, np.ones(counts.shape))[0]


if __name__ == "__main__":
    main()
