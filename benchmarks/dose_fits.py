"""Draw wells whose truth is known and count what dose curves make of them; no pictures, seconds to minutes.

    python benchmarks/dose_fits.py nulls [--draws 1000]        # curves where only the number of nuclei follows the dose
    python benchmarks/dose_fits.py power [--draws 200]         # curves of rare kinds that do follow it in such wells
    python benchmarks/dose_fits.py intervals [--draws 300]     # how often intervals of the IC50 hold the truth
    python benchmarks/dose_fits.py plateaus [--draws 200]      # ends of curves whose plateau the doses hardly reach

Nine doses over four decades. With --alike all wells are taken to be equally sure, without limits to the ends of curves,
as fits were before 30 November 2026.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.screen.dose import DoseFit, fit_dose, logistic
from nucleate.screen.scatter import Scatter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DOSES = 10.0 ** np.arange(-3, 1.1, 0.5)
MEDIAN = 1.2533
FIELDS = 2
TRUE = 0.15


class Wells:
    """The wells of one compound and of the controls, and draws of what each kind of measure says of them."""

    def __init__(self, rng: np.random.Generator, *, controls: int, replicates: int, alike: bool) -> None:
        self.rng, self.alike = rng, alike
        self.doses = np.r_[np.zeros(controls), np.repeat(DOSES, replicates)]

    def counts(self, most: int, least: int, *, ic50: float) -> NDArray[np.int64]:
        """Give the nuclei of each well where the compound kills."""
        return np.maximum(least, np.round(most / (1 + (self.doses / ic50) ** 1.5))).astype(int)

    def curve(self, top: float, bottom: float, *, ic50: float = TRUE, hill: float = 1.3) -> Floats:
        """Give the truth."""
        return logistic(self.doses, ic50, hill=hill, top=top, bottom=bottom)

    def apart(self, part: float) -> Floats:
        """Draw a factor of each well."""
        return np.exp(self.rng.normal(0, part, self.doses.size))

    def median(self, mean: Floats, n: NDArray[Any], *, single: Floats | float) -> DoseFit:
        """Fit medians of nuclei that scatter so much each."""
        y = mean + self.rng.normal(size=mean.size) * MEDIAN * single / np.sqrt(n)
        spread = float(np.broadcast_to(single, y.shape)[0])
        return self._fit(y, Scatter.of_medians(y, n, controls=(float(np.median(y[self.doses == 0])), spread)))

    def share(self, mean: Floats, n: NDArray[Any]) -> DoseFit:
        """Fit shares."""
        y = self.rng.binomial(n, np.clip(mean, 0, 1)) / n
        return self._fit(y, Scatter.of_shares(y, n))

    def count(self, mean: Floats) -> DoseFit:
        """Fit nuclei a field, of so many in both fields of a well."""
        y = self.rng.poisson(mean) / FIELDS
        return self._fit(y, Scatter.of_counts(y, np.full(y.size, FIELDS)))

    def _fit(self, y: Floats, scatter: Scatter) -> DoseFit:
        return fit_dose(self.doses, y, scatter=None if self.alike else scatter)


def nulls(draws: int, *, alike: bool) -> None:
    """Print how many per cent of compounds without an effect on a measure get a curve for it.

    In wells of less than half the nuclei, these differ half as much again where it says uneven.
    """
    print("controls  replicates  nuclei       between wells  median  uneven  share 0.5 %   5 %  30 %  count")
    for controls, replicates, most, least, part in (
        (16, 1, 100, 8, 0.0),
        (16, 2, 100, 8, 0.0),
        (16, 2, 100, 20, 0.0),
        (32, 2, 200, 10, 0.0),
        (16, 3, 60, 10, 0.0),
        (6, 3, 60, 10, 0.0),
        (16, 2, 100, 8, 0.03),
        (16, 2, 100, 100, 0.0),
        (16, 2, 100, 100, 0.03),
    ):
        wells = Wells(np.random.default_rng(14), controls=controls, replicates=replicates, alike=alike)
        n, found = wells.counts(most, least, ic50=0.1), np.zeros(6)
        for _ in range(draws):
            apart = wells.apart(part)
            uneven = np.where(n < most / 2, 450.0, 300.0)
            fits = [wells.median(1000 * apart, n, single=single) for single in (300, uneven)]
            fits += [wells.share(p * apart, n) for p in (0.005, 0.05, 0.3)]
            found += [fit.status != "no effect" for fit in (*fits, wells.count(most * apart))]
        rates = 100 * found / draws
        print(
            f"{controls:8}  {replicates:10}  {most:3} to {least:3}  {part:13.0%}  {rates[0]:6.1f}  {rates[1]:6.1f}"
            f"  {rates[2]:11.1f}  {rates[3]:4.1f}  {rates[4]:4.1f}  {rates[5]:5.1f}",
            flush=True,
        )


def power(draws: int, *, alike: bool) -> None:
    """Print how many per cent of compounds that kill and raise the share of a rare kind get a curve for it."""
    designs = ((16, 1), (16, 2), (32, 3))
    print("share of         nuclei     " + "".join(f"  {c} controls, {r} replicates" for c, r in designs))
    for low, high, most, least in (
        (0.001, 0.001, 800, 6),
        (0.003, 0.003, 800, 6),
        (0.005, 0.05, 200, 8),
        (0.01, 0.1, 100, 8),
        (0.01, 0.03, 400, 10),
        (0.02, 0.05, 800, 20),
        (0.005, 0.05, 100, 100),
    ):
        print(f"{low:5.1%} to {high:5.1%}  {most:3} to {least:3}", end="")
        for controls, replicates in designs:
            wells = Wells(np.random.default_rng(15), controls=controls, replicates=replicates, alike=alike)
            mean, n = wells.curve(low, high, ic50=0.1), wells.counts(most, least, ic50=0.1)
            found = sum(wells.share(mean, n).status != "no effect" for _ in range(draws))
            print(f"  {100 * found / draws:25.1f}", end="", flush=True)
        print()


def measures(*, alike: bool) -> Iterator[tuple[str, Callable[[], DoseFit]]]:
    """List measures that follow the dose, each with a way to draw it."""
    rng = np.random.default_rng(12)
    for replicates, controls, n, top, bottom, part in (
        (2, 16, 100, 0.02, 1.0, 0.0),
        (2, 32, 100, 0.0, 0.5, 0.0),
        (4, 16, 50, 0.05, 1.0, 0.0),
        (2, 16, 100, 0.05, 1.0, 0.05),
        (3, 16, 200, 0.05, 0.6, 0.03),
    ):
        wells = Wells(rng, controls=controls, replicates=replicates, alike=alike)
        mean, many = wells.curve(top, bottom), np.full(wells.doses.size, n)

        def share(wells: Wells = wells, mean: Floats = mean, n: NDArray[Any] = many, part: float = part) -> DoseFit:
            return wells.share(mean + rng.normal(0, part, mean.size) * 2 * np.sqrt(mean * (1 - mean)), n)

        yield f"share {top:g} to {bottom:g}, {n} nuclei, {controls} controls, between wells {part:g}", share
    wells = Wells(rng, controls=16, replicates=2, alike=alike)
    kept, dying = np.full(wells.doses.size, 100), wells.counts(100, 8, ic50=0.3)
    yield "share 0.05 to 0.8, 100 to 8 nuclei", lambda: wells.share(wells.curve(0.05, 0.8), dying)
    for most, part in ((100, 0.0), (100, 0.1), (40, 0.0), (400, 0.2)):

        def count(most: int = most, part: float = part) -> DoseFit:
            return wells.count(wells.curve(most, most / 10) * wells.apart(part))

        yield f"count {most} to {most / 10:g}, between wells {part:.0%}", count
    rise, shrink = wells.curve(100, 1000), wells.curve(120, 60)
    yield (
        "intensity 100 to 1000, 30 at all doses",
        lambda: wells.median(rise + rng.normal(0, 30, rise.size), kept, single=20),
    )
    yield "intensity 100 to 1000, 5 % of it", lambda: wells.median(rise * wells.apart(0.05), kept, single=20)
    yield (
        "intensity 100 to 1000, 3 % of it, 100 to 8 nuclei",
        lambda: wells.median(rise * wells.apart(0.03), dying, single=0.3 * rise),
    )
    yield (
        "area 120 to 60, 2 % of it, 100 to 8 nuclei",
        lambda: wells.median(shrink * wells.apart(0.02), dying, single=0.2 * shrink),
    )


def intervals(draws: int, *, alike: bool) -> None:
    """Print how many per cent of the intervals hold the IC50, of fits with a curve."""
    print("hold it  too high  too low  width in decades")
    for name, draw in measures(alike=alike):
        fits = [fit for fit in (draw() for _ in range(draws)) if fit.drawn]
        low, high = (np.array([getattr(fit, end) for fit in fits]) for end in ("ic50_low", "ic50_high"))
        with np.errstate(divide="ignore"):
            width = np.median(np.log10(high / low))
        above, below = np.mean(low > TRUE), np.mean(high < TRUE)
        print(f"{1 - above - below:7.1%}  {above:8.1%}  {below:7.1%}  {width:16.2f}  {name}", flush=True)


def plateaus(draws: int, *, alike: bool) -> None:
    """Print statuses, ends and IC50 of curves whose IC50 is near the highest dose, 10."""
    wells = Wells(np.random.default_rng(11), controls=16, replicates=2, alike=alike)
    many = np.full(wells.doses.size, 100)
    for kind, least, most in (("share", -0.02, 1.02), ("count", -1.0, np.inf)):
        for ic50 in (1.0, 2.0, 3.0, 5.0, 8.0):
            if kind == "share":
                fits = [wells.share(wells.curve(0.02, 1, ic50=ic50, hill=1.5), many) for _ in range(draws)]
            else:
                fits = [wells.count(wells.curve(100, 0, ic50=ic50, hill=1.5)) for _ in range(draws)]
            ok = [fit for fit in fits if fit.status == "ok"]
            beyond = np.mean([not least <= fit.bottom <= most for fit in ok])
            held = np.mean([fit.ic50_low <= ic50 <= fit.ic50_high for fit in ok])
            ratio = np.median([fit.ic50 for fit in ok]) / ic50
            print(
                f"{kind} IC50 {ic50:g}: {dict(Counter(fit.status for fit in fits))}; of ok {beyond:.0%} have an end "
                f"that cannot be; IC50 {ratio:.2f} of the true one in the middle; {held:.1%} of intervals hold it",
                flush=True,
            )


def main() -> None:
    """Draw, fit, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"nulls": (nulls, 1000), "power": (power, 200), "intervals": (intervals, 300), "plateaus": (plateaus, 200)}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--alike", action="store_true")
    asked = parser.parse_args()
    run, usual = parts[asked.part]
    run(asked.draws or usual, alike=asked.alike)


if __name__ == "__main__":
    main()
