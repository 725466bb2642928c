"""How much the wells of a measure scatter: by the chance of few nuclei, between wells, and with the measure's size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from nucleate.screen.hits import stabilised, stabilised_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Spread = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]

__all__ = ["Scatter"]

_MEDIAN_TO_MEAN = 1.2533
"""For normal values, the median scatters this many times as much as the mean."""
_LEAST = 0.1
"""Share of the typical median below which the spread of medians shrinks no further."""
_HALVINGS = 40
_FEW = 50.0
"""Nuclei of the rarer kind expected in a well from which on the mean on that scale is nearly that of the share."""
_MOST = 200
"""Nuclei of the rarer kind that are never found in a well where fewer than `_FEW` are expected."""
_LEAST_HITS = 0.2
"""Nuclei of the rarer kind by which the deviation of a well is told at least: a lone one says little."""
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Scatter:
    """Values of wells, on a scale where chance spreads them by their nuclei or fields alone, and how they scatter.

    Parameters
    ----------
    values : (n,) float64 ndarray
        On that scale; medians are kept as they are.
    chance : (n,) float64 ndarray
        The standard deviation by chance on that scale; 0 where it is not known.
    spreads : tuple of callables
        Each takes the expected measures, not on that scale, and `chance`. It gives their standard deviation by chance,
        and relative sizes of the standard deviation between wells. If there are several, the data decide which is used.
    limits : (float, float)
        The least and the most that the measure can be.
    usual : callable, optional
        Takes `values` and `chance`, and gives the mean and the standard deviation expected of wells that are alike, if
        these depend on their number of nuclei.
    """

    values: NDArray[np.float64]
    chance: NDArray[np.float64]
    spreads: tuple[Spread, ...]
    limits: tuple[float, float] = (-math.inf, math.inf)
    usual: Spread | None = None

    @classmethod
    def even(cls, values: NDArray[Any], chance: NDArray[np.float64] | float = 0.0) -> Scatter:
        """Take values whose spread does not depend on their size.

        Examples
        --------
        >>> Scatter.even(np.array([3.0, 5.0])).chance.tolist()
        [0.0, 0.0]
        """
        array = np.asarray(values, np.float64)
        return cls(array, np.broadcast_to(np.asarray(chance, np.float64), array.shape), (_even,))

    @classmethod
    def of_shares(cls, shares: NDArray[Any], counts: NDArray[Any]) -> Scatter:
        """Take shares, each of so many nuclei: chance is binomial, and variance between wells goes as p (1 - p)."""
        return cls(*stabilised(shares, counts), (_of_share,), (0.0, 1.0), _usual_share)

    @classmethod
    def of_counts(cls, per_field: NDArray[Any], fields: NDArray[Any]) -> Scatter:
        """Take nuclei a field, over so many fields: chance is Poisson, and spread between wells goes as the count."""
        return cls(*stabilised_counts(per_field, fields), (_of_count,), (0.0, math.inf))

    @classmethod
    def of_medians(cls, medians: NDArray[Any], counts: NDArray[Any], *, controls: tuple[float, float]) -> Scatter:
        """Take medians, each of so many nuclei: chance is normal, spread is the same for all or goes as the median.

        `controls` are the median and the standard deviation of single nuclei of the negative controls.
        """
        array, (typical, single) = np.asarray(medians, np.float64), controls
        chance = np.nan_to_num(_MEDIAN_TO_MEAN * single / np.sqrt(np.maximum(counts, 1)))
        if not (typical > 0 and np.nanmin(array, initial=0.0) >= 0):
            return cls.even(array, chance)
        return cls(array, chance, (_even, partial(_of_size, typical=typical)), (0.0, math.inf))

    @property
    def steady(self) -> Scatter:
        """The scatter of `values` less `usual` ones, on their own scale, where it does not depend on their size."""
        if self.usual is None:
            return Scatter.even(self.values, self.chance)
        mean, chance = self.usual(self.values, self.chance)
        return Scatter.even(self.values - mean, chance)

    def of(self, chosen: NDArray[Any]) -> Scatter:
        """Give the scatter of some wells."""
        return replace(self, values=self.values[chosen], chance=self.chance[chosen])

    def variance(self, around: NDArray[np.float64], mean: NDArray[np.float64], *, dof: int) -> NDArray[np.float64]:
        """Tell the variance of each well, given the residuals of a curve: by chance, and as much between wells as fits.

        Parameters
        ----------
        around, mean : (n,) float64 ndarray
            The residuals of the curve, and the curve.
        dof : int
            Degrees of freedom of the residuals.

        Returns
        -------
        (n,) float64 ndarray
            By the one of `spreads` under which normal residuals are likelier.

        Notes
        -----
        The variance between wells is the one for which the weighted sum of squares equals its degrees of freedom, or 0
        where chance is enough: Paule and Mandel 1982, J. Res. Natl. Bur. Stand. 87:377, DOI 10.6028/jres.087.022.
        """
        found = []
        for spread in self.spreads:
            chance, size = (deviation**2 for deviation in spread(mean, self.chance))
            low, high = 0.0, float((around**2 / size).sum()) / dof
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                more = (around**2 / np.maximum(chance + middle * size, _TINY)).sum() > dof
                low, high = (middle, high) if more else (low, middle)
            variance = np.maximum(chance + high * size, _TINY)
            found.append((float((np.log(variance) + around**2 / variance).sum()), variance))
        return min(found, key=itemgetter(0))[1]


def _even(mean: NDArray[np.float64], chance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return chance, np.ones_like(mean)


def _of_size(
    mean: NDArray[np.float64], chance: NDArray[np.float64], *, typical: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    size = np.maximum(mean / typical, _LEAST)
    return size * chance, size


def _of_share(
    mean: NDArray[np.float64], chance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # As in `stabilised`, shares are kept off 0 and 1: 3 chance² is three quarters of a nucleus, as a share of the well.
    inner = mean + (0.5 - mean) * 3 * chance**2
    slope = 2 * np.sqrt(inner * (1 - inner))
    return slope * chance, slope


def _of_count(
    mean: NDArray[np.float64], chance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inner = mean + 0.375 * chance**2
    return np.sqrt(inner) * chance, inner


def _usual_share(
    values: NDArray[np.float64], chance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give mean and deviation of `stabilised` for each well if all have one share and differ by chance alone.

    It depends on the number of nuclei: a well with few seldom has one of a rare kind, and without any, the value on
    that scale is not small.
    """
    counts = np.rint(0.25 / chance**2 - 0.5)
    found = np.sin(values) ** 2 * (counts + 0.75) - 0.375
    share = float(np.clip(found.sum() / counts.sum(), 0.0, 1.0))
    rarer = min(share, 1 - share)
    mean, deviation = np.arcsin(np.sqrt((counts * rarer + 0.125) / (counts + 0.25))), chance.copy()
    few = counts * rarer < _FEW
    n, hits = counts[few][:, None], np.arange(_MOST + 1)
    on_scale = np.arcsin(np.sqrt(np.minimum((hits + 0.375) / (n + 0.75), 1.0)))
    mean[few] = (_binomial(n, hits, share=rarer) * on_scale).sum(axis=1)
    weights = _binomial(n, hits, share=np.maximum(rarer, _LEAST_HITS / np.maximum(n, 1)))
    middle = (weights * on_scale).sum(axis=1, keepdims=True)
    deviation[few] = np.sqrt((weights * (on_scale - middle) ** 2).sum(axis=1))
    return mean if share == rarer else np.pi / 2 - mean, deviation


def _binomial(
    n: NDArray[np.float64], hits: NDArray[np.int64], *, share: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    choices = special.gammaln(n + 1) - special.gammaln(hits + 1) - special.gammaln(n - hits + 1)
    return np.asarray(np.exp(choices + special.xlogy(hits, share) + special.xlog1py(n - hits, -share)))
