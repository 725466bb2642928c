"""Dose-response curves: four-parameter logistic fits, the IC50 with its interval, and a plain word where there is none.

The curve over the dose d >= 0 is

    y(d) = bottom + (top - bottom) / (1 + (d / ic50) ** hill),     hill > 0,

so `top` is the response without the compound, `bottom` the one at unlimited dose (higher than `top` where the compound
raises the response), and `ic50` the dose half-way between the two: the relative IC50 (Sebaugh 2011, Pharm. Stat.
10:128, DOI 10.1002/pst.426). The model is that of Ritz et al. 2015, PLoS ONE 10:e0146021, DOI
10.1371/journal.pone.0146021. The interval is the profile likelihood's: all doses at which the best remaining fit is
not worse than F allows (Bates and Watts 1988, Nonlinear Regression Analysis, chapter 6, DOI 10.1002/9780470316757).
Intervals from the curvature are too short for curves whose plateau is not reached; the profile's stay open there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special  # scipy.stats has the same functions and takes a second to import

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LEAST_DOSES", "DoseFit", "fit_dose", "logistic"]

_HILLS = (0.2, 8.0)
_LOG_HILLS = np.log(np.geomspace(*_HILLS, 13))
_EIGHTHS = np.linspace(0, 1, 9)
LEAST_DOSES = 4
"""Different ones under which no curve is fitted; with the controls it takes two wells more."""
_SIGNIFICANT = 0.01
_REACH = 3.0  # decades beyond the tested doses that the interval is followed
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
        ``failed``: no fit was found. Only for the first three are there parameters.
    ic50, ic50_low, ic50_high : float
        In the unit of the doses, with the 95 % interval; an open end is 0 or infinite.
    hill, top, bottom : float
        See the head of this module; `hill` is kept between 0.2 and 8.
    p_effect : float
        Of the F test of the curve against a constant.
    r_squared : float
        Share of the variance that the curve explains.
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
    reach = _share(np.asarray(dose, np.float64), math.log(ic50), hill=hill)
    return bottom + (top - bottom) * reach


def fit_dose(doses: NDArray[Any] | Sequence[float], responses: NDArray[Any] | Sequence[float]) -> DoseFit:
    """Fit a curve to the wells of one compound.

    Parameters
    ----------
    doses : (n,) array-like
        0 or more; wells without the compound (dose 0) hold the top of the curve.
    responses : (n,) array-like
        One a well; wells where either is NaN are left out.

    Returns
    -------
    DoseFit
    """
    dose, response = np.asarray(doses, np.float64), np.asarray(responses, np.float64)
    known = np.isfinite(dose) & np.isfinite(response) & (dose >= 0)
    dose, response = dose[known], response[known]
    tested = np.unique(dose[dose > 0])
    counts = {"doses": int(tested.size), "points": int(dose.size)}
    if tested.size < LEAST_DOSES or dose.size < LEAST_DOSES + 2:
        return DoseFit("too few", **counts)
    total = float(((response - response.mean()) ** 2).sum())
    if not total > 0:
        return DoseFit("no effect", p_effect=1.0, **counts)
    profile = _Profile(dose, response)
    best = profile.best(tested)
    if best is None:
        return DoseFit("failed", **counts)
    log_ic50, hill, left = best
    freedom = dose.size - 4
    p = _p_effect(total, left, freedom=freedom)
    if p > _SIGNIFICANT:
        return DoseFit("no effect", p_effect=p, r_squared=1 - left / total, **counts)
    low, high = profile.interval(best, tested, freedom=freedom)
    status = "ok" if low > 0 and math.isfinite(high) else "unbounded"
    ic50 = math.exp(log_ic50)
    if not tested[0] <= ic50 <= tested[-1]:
        status = "outside"
    top, bottom = profile.ends(log_ic50, hill)
    return DoseFit(status, ic50, low, high, hill, top, bottom, p, 1 - left / total, **counts)


class _Profile:
    """Sums of squares: for a given IC50 and hill the best ends of the curve follow by linear least squares."""

    def __init__(self, dose: NDArray[np.float64], response: NDArray[np.float64]) -> None:
        self.dose, self.response = dose, response
        # Wells of one dose have one place on the curve: their number and their mean say all that a fit asks for.
        levels, place, self.counts = np.unique(dose, return_inverse=True, return_counts=True)
        around = response - response.mean()
        with np.errstate(divide="ignore"):
            self.logs = np.log(levels)
        self.sums = np.bincount(place, around)
        self.total = float(around @ around)

    def ends(self, log_ic50: float, hill: float) -> tuple[float, float]:
        """Give top and bottom."""
        share = _share(self.dose, log_ic50, hill=hill)
        design = np.stack([share, 1 - share], axis=1)
        solved = np.linalg.lstsq(design, self.response, rcond=None)[0]
        return float(solved[0]), float(solved[1])

    def left(self, log_ic50: NDArray[np.float64], hills: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the sums of squares that the best curve of each IC50 and hill leaves, of the shape of both."""
        share = special.expit(hills[..., None] * (log_ic50[..., None] - self.logs))
        share -= (share @ self.counts / len(self.dose))[..., None]
        own, common = (share * share) @ self.counts, share @ self.sums
        # Where the curve is flat over the doses it explains nothing.
        explained = np.where(own > 1e-12, common**2 / np.maximum(own, 1e-12), 0.0)
        return np.maximum(self.total - explained, 0.0)

    def at(self, log_ic50: NDArray[np.float64], zooms: int = _ZOOMS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the sum of squares left at each IC50 with the best hill, and that hill.

        Each look after the first goes closer: from the hill below the best one of the last look to the one above it.
        """
        every = np.arange(len(log_ic50))
        # The sum may have two valleys in the hill: the first look takes in all of them.
        logs = np.broadcast_to(_LOG_HILLS, (len(log_ic50), len(_LOG_HILLS)))
        for _ in range(zooms):
            sums = self.left(log_ic50[:, None], np.exp(logs))
            k = sums.argmin(axis=1)
            found, best = sums[every, k], np.exp(logs[every, k])
            low, high = logs[every, np.maximum(k - 1, 0)], logs[every, np.minimum(k + 1, logs.shape[1] - 1)]
            logs = low[:, None] + (high - low)[:, None] * _EIGHTHS
        return found, best

    def best(self, tested: NDArray[np.float64]) -> tuple[float, float, float] | None:
        """Give log IC50, hill and the sum of squares left of the best fit, up to a decade beyond the tested doses."""
        decade = math.log(10)
        places = np.linspace(math.log(tested[0]) - decade, math.log(tested[-1]) + decade, _STEPS)
        for zoom in range(_ZOOMS):
            sums, hills = self.at(places, 2 if zoom == 0 else _ZOOMS)
            k = int(np.argmin(sums))
            if not math.isfinite(sums[k]):
                return None
            found = float(places[k]), float(hills[k]), float(sums[k])
            places = np.linspace(places[max(k - 1, 0)], places[min(k + 1, len(places) - 1)], 9)
        return found

    def interval(
        self, best: tuple[float, float, float], tested: NDArray[np.float64], *, freedom: int
    ) -> tuple[float, float]:
        """Give the doses between which the fit is not worse than F allows, 0 or infinite where it never is."""
        allowed = best[2] * (1 + float(special.fdtri(1, freedom, 0.95)) / freedom)
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


def _share(dose: NDArray[np.float64], log_ic50: float, *, hill: float) -> NDArray[np.float64]:
    """Give what is left of the way from bottom to top: 1 without the compound, 0 at unlimited dose."""
    with np.errstate(divide="ignore"):
        exponent = hill * (np.log(dose) - log_ic50)
    reach: NDArray[np.float64] = 1 / (1 + np.exp(np.clip(exponent, -700, 700)))
    return reach


def _p_effect(total: float, left: float, *, freedom: int) -> float:
    """Compute the F test of the curve's three parameters over a constant."""
    if left <= 1e-12 * total:
        return 0.0
    return float(special.fdtrc(3, freedom, (total - left) / 3 / (left / freedom)))
