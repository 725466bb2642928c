"""Dose-response curves: four-parameter logistic fits, the IC50 with its interval, and a plain word if there is no fit.

The curve over the dose d >= 0 is

    y(d) = bottom + (top - bottom) / (1 + (d / ic50) ** hill),     hill > 0,

so `top` is the response without the compound, `bottom` the one at unlimited dose (higher than `top` where the compound
raises the response), and `ic50` the dose half-way between the two: the relative IC50 (Sebaugh 2011, Pharm. Stat.
10:128, DOI 10.1002/pst.426). The model is that of Ritz et al. 2015, PLoS ONE 10:e0146021, DOI
10.1371/journal.pone.0146021.

Wells are weighted by how sure they are: least squares are repeated with the variances that `Scatter` derives from the
curve before (Carroll and Ruppert 1988, Transformation and Weighting in Regression, DOI 10.1201/9780203735268). Whether
there is an effect is tested on a scale where variances do not depend on the curve, since a curve that falls to zero
would make its own wells sure. No spread is taken to be smaller than that of chance.

The interval is that of the profile likelihood: all doses at which the best remaining fit is not worse than F allows
(Bates and Watts 1988, Nonlinear Regression Analysis, chapter 6, DOI 10.1002/9780470316757). Intervals from the
curvature are too short for curves whose plateau is not reached; intervals of the profile stay open there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special  # scipy.stats has the same functions and takes a second to import

from nucleate.screen.scatter import Scatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LEAST_DOSES", "DoseFit", "fit_dose", "logistic"]

_HILLS = (0.2, 8.0)
_LOG_HILLS = np.log(np.geomspace(*_HILLS, 13))
_EIGHTHS = np.linspace(0, 1, 9)
LEAST_DOSES = 4
"""Different doses below which no curve is fitted; controls included, two more wells than that are needed."""
_SIGNIFICANT = 0.01
_REACH = 3.0  # decades beyond the tested doses to which the ends of the interval are sought
_STEPS = 49
_ZOOMS = 7
"""Rounds of looking closer; each leaves a quarter of the range."""


@dataclass(frozen=True)
class DoseFit:
    """A curve fitted to doses and responses, or the reason why none is given.

    Parameters
    ----------
    status : str
        ``ok``; ``outside``: the IC50 lies beyond the tested doses; ``unbounded``: the interval of the IC50 is open;
        ``no effect``: a constant explains the responses as well; ``too few``: under four doses or six wells;
        ``failed``: no fit was found. Only the first three have parameters, and in `told` only ``ok`` and ``unbounded``.
    ic50, ic50_low, ic50_high : float
        In the unit of the doses, with the 95 % interval; an open end is 0 or infinite.
    hill, top, bottom : float
        See the head of this module; `hill` is kept between 0.2 and 8.
    p_effect : float
        Of the F test of the curve against a constant.
    r_squared : float
        Share of the weighted variance that the curve of the test explains.
    doses, points : int
        Different doses over 0, and responses.
    """

    status: str
    ic50: float = math.nan
    ic50_low: float = math.nan
    ic50_high: float = math.nan
    hill: float = math.nan
    top: float = math.nan
    bottom: float = math.nan
    p_effect: float = math.nan
    r_squared: float = math.nan
    doses: int = 0
    points: int = 0

    @property
    def drawn(self) -> bool:
        """Whether there is a curve to be shown."""
        return self.status in {"ok", "outside", "unbounded"}

    @property
    def told(self) -> DoseFit:
        """The fit as tables give it: no curve if ``outside``, since only a part of it lies within the tested doses."""
        if self.status != "outside":
            return self
        return replace(self, ic50=math.nan, hill=math.nan, top=math.nan, bottom=math.nan)

    def response(self, dose: NDArray[Any] | Sequence[float]) -> NDArray[np.float64]:
        """Give the curve's response to doses."""
        return logistic(dose, self.ic50, hill=self.hill, top=self.top, bottom=self.bottom)


def logistic(
    dose: NDArray[Any] | Sequence[float], ic50: float, *, hill: float, top: float, bottom: float
) -> NDArray[np.float64]:
    """Compute the four-parameter logistic curve.

    Parameters
    ----------
    dose : (n,) array-like
        0 or more.
    ic50 : float
        Over 0.
    hill, top, bottom : float
        See the head of this module.

    Examples
    --------
    >>> logistic([0.0, 2.0, 6.0], 2.0, hill=1.0, top=100.0, bottom=20.0).tolist()
    [100.0, 60.0, 40.0]
    """
    with np.errstate(divide="ignore"):
        share = special.expit(hill * (math.log(ic50) - np.log(np.asarray(dose, np.float64))))
    return np.asarray(bottom + (top - bottom) * share)


def fit_dose(
    doses: NDArray[Any] | Sequence[float], responses: NDArray[Any] | Sequence[float], *, scatter: Scatter | None = None
) -> DoseFit:
    """Fit a curve to the wells of one compound.

    Parameters
    ----------
    doses : (n,) array-like
        0 or more; wells without the compound (dose 0) hold the top of the curve.
    responses : (n,) array-like
        One a well; wells where either is NaN are left out.
    scatter : Scatter, optional
        How much each response scatters; all alike when None.

    Returns
    -------
    DoseFit
    """
    dose, response = np.asarray(doses, np.float64), np.asarray(responses, np.float64)
    known = np.isfinite(dose) & np.isfinite(response) & (dose >= 0)
    scatter = (scatter or Scatter.even(response)).of(known)
    dose, response = dose[known], response[known]
    tested = np.unique(dose[dose > 0])
    counts = {"doses": int(tested.size), "points": int(dose.size)}
    if tested.size < LEAST_DOSES or dose.size < LEAST_DOSES + 2:
        return DoseFit("too few", **counts)
    if not np.ptp(response) > 0:
        return DoseFit("no effect", p_effect=1.0, **counts)
    steady = scatter.steady
    test, (_, _, rss) = _settle(dose, steady.values, scatter=steady, rounds=2)
    if not test.total > 0:
        return DoseFit("no effect", p_effect=1.0, **counts)
    p, r_squared = _p_effect(test.total, rss, dof=dose.size - 4), 1 - rss / test.total
    if math.isnan(p):
        return DoseFit("failed", **counts)
    if p > _SIGNIFICANT:
        return DoseFit("no effect", p_effect=p, r_squared=r_squared, **counts)
    profile, best = _settle(dose, response, scatter=scatter, rounds=4)
    low, high = profile.interval(best, tested, dof=dose.size - 4)
    status = "ok" if low > 0 and math.isfinite(high) else "unbounded"
    ic50, hill = math.exp(best[0]), best[1]
    if not tested[0] <= ic50 <= tested[-1]:
        status = "outside"
    return DoseFit(status, ic50, low, high, hill, *profile.ends(*best[:2]), p, r_squared, **counts)


def _settle(
    dose: NDArray[np.float64], response: NDArray[np.float64], *, scatter: Scatter, rounds: int
) -> tuple[_Profile, tuple[float, float, float]]:
    """Fit by least squares, weighted by the scatter that follows from the fit before; a constant comes first."""
    mean = np.full(len(response), response.mean())
    for zooms in (*[_ZOOMS // 2] * (rounds - 1), _ZOOMS):
        variance = scatter.variance(response - mean, mean, dof=dose.size - 4)
        weights = 1 / np.maximum(variance, 1e-12 * response.var())
        profile = _Profile(dose, response, weights=weights, limits=scatter.limits)
        log_ic50, hill, rss = profile.best(dose[dose > 0], zooms)
        top, bottom = profile.ends(log_ic50, hill)
        mean = logistic(dose, math.exp(log_ic50), hill=hill, top=top, bottom=bottom)
    return profile, (log_ic50, hill, rss)


class _Profile:
    """Sums of squares by IC50 and hill; for each pair, linear least squares give the best ends of the curve."""

    def __init__(
        self,
        dose: NDArray[np.float64],
        response: NDArray[np.float64],
        *,
        weights: NDArray[np.float64],
        limits: tuple[float, float],
    ) -> None:
        # Wells of one dose have one place on the curve, so their weight and their mean are all that a fit needs.
        levels, place = np.unique(dose, return_inverse=True)
        with np.errstate(divide="ignore"):
            self.logs = np.log(levels)
        self.weight = float(weights.sum())
        around = response - response.mean()
        around -= weights @ around / self.weight  # two steps are exact for large responses that differ little
        self.middle = float(response[0] - around[0])
        self.weights, self.sums = np.bincount(place, weights), np.bincount(place, weights * around)
        self.total = float(weights @ around**2)
        self.limits = limits

    def ends(self, log_ic50: float, hill: float) -> tuple[float, float]:
        """Give top and bottom."""
        _, top, bottom = self.curves(np.array([log_ic50]), np.array([hill]))
        found = np.clip([self.middle + top[0], self.middle + bottom[0]], *self.limits)
        return float(found[0]), float(found[1])

    def curves(self, log_ic50: NDArray[np.float64], hills: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Give the residual sum of squares, top and bottom of the best curve, within the limits, of each IC50 and hill.

        Arrays have the shape of both arguments; top and bottom are less the middle of all responses.
        """
        share = special.expit(hills[..., None] * (log_ic50[..., None] - self.logs))
        mean = share @ self.weights / self.weight
        square, common, least = (share * share) @ self.weights, share @ self.sums, 1e-9 * self.weight
        own = square - self.weight * mean**2
        # A curve that is flat over the doses explains nothing.
        step = np.where(own > least, common / np.maximum(own, least), 0.0)
        rss, top, bottom = np.maximum(self.total - step * common, 0.0), step * (1 - mean), -step * mean
        low, high = (limit - self.middle for limit in self.limits)
        beyond = (np.minimum(top, bottom) < low) | (np.maximum(top, bottom) > high)
        if not beyond.any():
            return rss, top, bottom
        # Then one of the ends beyond a limit is set to the limit, and the other end follows.
        both = self.weight * mean - square
        rest = self.weight - square - 2 * both
        with_top = (-common - np.clip(top, low, high) * both) / np.maximum(rest, least)
        with_bottom = (common - np.clip(bottom, low, high) * both) / np.maximum(square, least)
        tops, bottoms = np.clip([top, with_bottom], low, high), np.clip([with_top, bottom], low, high)
        sums = self.total - 2 * (tops - bottoms) * common + tops**2 * square + bottoms**2 * rest
        sums = np.maximum(sums + 2 * tops * bottoms * both, 0.0)
        first = sums[0] <= sums[1]
        rss, top, bottom = (
            np.where(beyond, np.where(first, *ways), free)
            for ways, free in ((sums, rss), (tops, top), (bottoms, bottom))
        )
        return rss, top, bottom

    def at(self, log_ic50: NDArray[np.float64], zooms: int = _ZOOMS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the residual sum of squares at each IC50 with the best hill, and that hill.

        Each round after the first looks closer: from the hill below the best one of the last round to that above it.
        """
        every = np.arange(len(log_ic50))
        # The sum may have two minima along the hill: the first round looks at the whole range.
        logs = np.broadcast_to(_LOG_HILLS, (len(log_ic50), len(_LOG_HILLS)))
        for _ in range(zooms):
            sums, _, _ = self.curves(log_ic50[:, None], np.exp(logs))
            k = sums.argmin(axis=1)
            found, best = sums[every, k], np.exp(logs[every, k])
            low, high = logs[every, np.maximum(k - 1, 0)], logs[every, np.minimum(k + 1, logs.shape[1] - 1)]
            logs = low[:, None] + (high - low)[:, None] * _EIGHTHS
        return found, best

    def best(self, tested: NDArray[np.float64], rounds: int) -> tuple[float, float, float]:
        """Give log IC50, hill and residual sum of squares of the best fit, up to a decade beyond the tested doses."""
        decade = math.log(10)
        places = np.linspace(math.log(tested.min()) - decade, math.log(tested.max()) + decade, _STEPS)
        for zoom in range(rounds):
            sums, hills = self.at(places, 2 if zoom == 0 else rounds)
            k = int(np.argmin(sums))
            found = float(places[k]), float(hills[k]), float(sums[k])
            places = np.linspace(places[max(k - 1, 0)], places[min(k + 1, len(places) - 1)], 9)
        return found

    def interval(
        self, best: tuple[float, float, float], tested: NDArray[np.float64], *, dof: int
    ) -> tuple[float, float]:
        """Give the doses between which the fit is not worse than F allows; 0 or infinite if it never gets worse."""
        allowed = best[2] + float(special.fdtri(1, dof, 0.95)) * max(best[2] / dof, 1.0)
        far = _REACH * math.log(10)
        bounds = []
        for end, open_end in ((math.log(tested[0]) - far, 0.0), (math.log(tested[-1]) + far, math.inf)):
            places = np.linspace(best[0], end, _STEPS)
            bound = open_end
            for zoom in range(_ZOOMS - 2):
                over = np.flatnonzero(self.at(places, 3 if zoom == 0 else _ZOOMS - 2)[0] > allowed)
                if not over.size:
                    break
                k = max(int(over[0]), 1)
                bound = math.exp(float(places[k]))
                places = np.linspace(places[k - 1], places[k], 9)
            bounds.append(bound)
        return bounds[0], bounds[1]


def _p_effect(total: float, rss: float, *, dof: int) -> float:
    """Compute the F test of the curve's three parameters over a constant."""
    return float(special.fdtrc(3, dof, (total - rss) / 3 / max(rss / dof, 1.0)))
