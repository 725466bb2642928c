"""How far wells are from the controls, how good the plate is, and whether its edge differs.

Every formula stands beside its source. Spreads are sample standard deviations, or their robust form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "FEWEST_CONTROLS",
    "FEW_CONTROLS",
    "NOMINAL",
    "Edge",
    "Separation",
    "edge_effect",
    "fraction_floor",
    "hit_limit",
    "robust_sd",
    "robust_z",
    "separation",
    "stabilised",
    "stabilised_counts",
]

NOMINAL = 0.0027
"""Share of wells without an effect that one measure calls hits: as many as normal values lie beyond 3 deviations."""
FEWEST_CONTROLS = 6
"""Negative controls below which no well is called a hit."""
FEW_CONTROLS = 16
"""Negative controls below which there is a warning about the plate."""
_LIMITS = {
    6: 10.88, 8: 7.72, 10: 6.38, 12: 5.57, 14: 5.07, 16: 4.73, 20: 4.3, 24: 4.04, 32: 3.74, 48: 3.47,
    64: 3.35, 128: 3.17,
}  # fmt: skip
"""z-scores that a share `NOMINAL` of normal values exceeds, by negative controls; from benchmarks/hit_limits.py."""
_SMALL = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}

_MAD_TO_SD = 1.4826
"""For normal values the standard deviation is this much times the median absolute deviation."""
_LEAST_ON_A_SIDE = 3


@dataclass(frozen=True)
class Separation:
    """How well positive and negative controls are told apart.

    Parameters
    ----------
    z_prime, robust_z_prime : float
        1 at best; from 0.5 on a plate is called excellent, below 0 the controls overlap.
    ssmd, robust_ssmd : float
        0 is none; beyond 3 or -3 is a very strong effect.
    positives, negatives : int
        Wells that were used. All numbers are NaN with fewer than two on a side; those of one form (plain or robust) are
        NaN if neither side has any spread.
    """

    z_prime: float
    robust_z_prime: float
    ssmd: float
    robust_ssmd: float
    positives: int
    negatives: int


@dataclass(frozen=True)
class Edge:
    """Whether wells on the rim of a plate differ from those inside.

    Parameters
    ----------
    difference : float
        Median of the rim less the median inside.
    relative : float
        The difference as a share of the median inside.
    p : float
        Two-sided, of the Mann-Whitney test.
    rim, inside : int
        Wells that were used. The numbers are NaN with fewer than three on a side.
    """

    difference: float
    relative: float
    p: float
    rim: int
    inside: int


def robust_sd(values: NDArray[Any] | Sequence[float]) -> float:
    """Estimate the standard deviation as 1.4826 times the median absolute deviation from the median, times a factor.

    Parameters
    ----------
    values : (n,) array-like

    Returns
    -------
    float
        NaN without values.

    Notes
    -----
    Rousseeuw and Croux 1993, J. Am. Stat. Assoc. 88:1273, DOI 10.1080/01621459.1993.10476408. For few values the
    estimate would be too small, hence the factors of Croux and Rousseeuw 1992, Computational Statistics 1:411, DOI
    10.1007/978-3-662-26811-7_58; from ten values on the factor is n / (n - 0.8).

    Examples
    --------
    >>> round(robust_sd([1, 2, 3, 4, 100]), 4)  # 1.206 x 1.4826
    1.788
    """
    array = np.asarray(values, np.float64)
    if array.size == 0:
        return math.nan
    factor = _SMALL.get(array.size, array.size / (array.size - 0.8))
    return factor * _MAD_TO_SD * float(np.median(np.abs(array - np.median(array))))


def hit_limit(controls: int) -> float:
    """Tell from which z-score on a well is a hit; it is higher for fewer controls, whose spread is less well known.

    Parameters
    ----------
    controls : int
        Negative controls that have a value.

    Returns
    -------
    float
        3 for many; infinite under `FEWEST_CONTROLS`.

    Examples
    --------
    >>> hit_limit(16), hit_limit(5), round(hit_limit(10_000), 2)
    (4.73, inf, 3.0)
    """
    if controls < FEWEST_CONTROLS:
        return math.inf
    known = sorted((1 / count, limit) for count, limit in _LIMITS.items())
    # An odd number is no better than the even number below it.
    return float(np.interp(1 / (controls - controls % 2), [0, *(x for x, _ in known)], [3, *(y for _, y in known)]))


def stabilised(shares: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring shares to a scale on which their spread depends on the counts alone.

    Parameters
    ----------
    shares, counts : (n,) ndarray
        One a well: a share, and the number of nuclei that it is a share of.

    Returns
    -------
    values, spreads : (n,) float64 ndarray
        Arcsine of the square root, and the standard deviation that chance alone gives it.

    Notes
    -----
    Anscombe 1948, Biometrika 35:246, DOI 10.1093/biomet/35.3-4.246.
    """
    n = np.asarray(counts, np.float64)
    hits = np.asarray(shares, np.float64) * n
    return np.arcsin(np.sqrt((hits + 0.375) / (n + 0.75))), 0.5 / np.sqrt(n + 0.5)


def stabilised_counts(per_field: NDArray[Any], fields: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring counts of nuclei to a scale on which their spread depends on the number of fields alone.

    Parameters
    ----------
    per_field, fields : (n,) ndarray
        One a well: nuclei a field, and how many fields.

    Returns
    -------
    values, spreads : (n,) float64 ndarray
        Twice the square root, and the standard deviation that chance alone (Poisson) gives it.

    Notes
    -----
    Anscombe 1948, Biometrika 35:246, DOI 10.1093/biomet/35.3-4.246.

    Examples
    --------
    >>> values, spreads = stabilised_counts(np.array([36, 18]), np.array([1, 2]))
    >>> values.round(2).tolist(), spreads.round(2).tolist()
    ([12.06, 8.53], [1.0, 0.71])
    """
    known = np.maximum(np.asarray(fields, np.float64), 1)
    return 2 * np.sqrt(np.asarray(per_field, np.float64) + 0.375 / known), 1 / np.sqrt(known)


def fraction_floor(shares: NDArray[Any], counts: NDArray[Any]) -> float:
    """Give the standard deviation that chance alone gives the shares of some wells: sqrt(p (1 - p) / n).

    Parameters
    ----------
    shares, counts : (n,) ndarray
        As for `stabilised`.

    Returns
    -------
    float
        With p over all nuclei of the wells, kept off 0 and 1, and n the median of the counts; 0 without wells.
    """
    known = np.isfinite(shares) & (np.asarray(counts) > 0)
    if not known.any():
        return 0.0
    n = np.asarray(counts, np.float64)[known]
    p = float(((np.asarray(shares)[known] * n).sum() + 0.375) / (n.sum() + 0.75))
    return math.sqrt(p * (1 - p) / float(np.median(n)))


def robust_z(
    values: NDArray[Any] | Sequence[float],
    negatives: NDArray[Any] | Sequence[float],
    *,
    floors: NDArray[Any] | float = 0.0,
    own: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Count how many robust standard deviations of the negative controls values lie from the controls' median.

    Parameters
    ----------
    values : (n,) array-like
        One a well.
    negatives : (m,) array-like
        Of the negative controls; NaN is left out.
    floors : float or (n,) ndarray
        The least spread that a well can have, by chance alone.
    own : (m,) ndarray, optional
        The same for the negative controls. What their spread has in addition is how wells differ; the least spread of a
        well is then made of that and of its own floor.

    Returns
    -------
    (n,) float64 ndarray
        NaN if the controls have no spread or are fewer than two.

    Notes
    -----
    z = (x - median) / `robust_sd`. Birmingham et al. 2009, Nat. Methods 6:569, DOI 10.1038/nmeth.1351.

    Examples
    --------
    >>> robust_z([3.0, 3 + 2 * 1.206 * 1.4826], [1, 2, 3, 4, 100]).round(4).tolist()
    [0.0, 2.0]
    """
    array, controls = np.asarray(values, np.float64), _finite(negatives)
    if controls.size < 2:
        return np.full(array.shape, np.nan)
    whole = robust_sd(controls)
    chance = whole if own is None else float(np.median(own[np.isfinite(negatives)]))
    between = math.sqrt(max(whole**2 - chance**2, 0))
    spread = np.broadcast_to(np.fmax(whole, np.hypot(between, floors)), array.shape)
    scores: NDArray[np.float64] = (array - np.median(controls)) / np.where(spread > 0, spread, np.nan)
    return scores


def separation(
    positives: NDArray[Any] | Sequence[float],
    negatives: NDArray[Any] | Sequence[float],
    *,
    floors: tuple[float, float] = (0.0, 0.0),
) -> Separation:
    """Compute Z-prime and the strictly standardised mean difference of two groups of wells.

    Parameters
    ----------
    positives, negatives : (n,), (m,) array-like
        One value a well; NaN is left out.
    floors : (float, float)
        The least spread of each group, by chance alone.

    Returns
    -------
    Separation

    Notes
    -----
    Z' = 1 - 3 (s_p + s_n) / |m_p - m_n|: Zhang, Chung and Oldenburg 1999, J. Biomol. Screen. 4:67, DOI
    10.1177/108705719900400206. SSMD = (m_p - m_n) / sqrt(s_p^2 + s_n^2), the moment estimate for independent groups:
    Zhang 2007, Genomics 89:552, DOI 10.1016/j.ygeno.2006.12.014. The robust forms use the median and `robust_sd` in
    place of mean and standard deviation (Birmingham et al. 2009, DOI 10.1038/nmeth.1351).

    Examples
    --------
    >>> found = separation([9, 10, 11], [0, 1, 2])
    >>> round(found.z_prime, 4), round(found.ssmd, 4)
    (0.3333, 6.364)
    """
    pos, neg = _finite(positives), _finite(negatives)
    if min(pos.size, neg.size) < 2:
        return Separation(math.nan, math.nan, math.nan, math.nan, int(pos.size), int(neg.size))
    groups = list(zip((pos, neg), floors, strict=True))
    plain = [(float(group.mean()), max(float(group.std(ddof=1)), floor)) for group, floor in groups]
    robust = [(float(np.median(group)), max(robust_sd(group), floor)) for group, floor in groups]
    return Separation(_z_prime(*plain), _z_prime(*robust), _ssmd(*plain), _ssmd(*robust), int(pos.size), int(neg.size))


def edge_effect(values: NDArray[Any] | Sequence[float], rim: NDArray[np.bool_] | Sequence[bool]) -> Edge:
    """Compare wells on the rim with wells inside.

    Parameters
    ----------
    values : (n,) array-like
        One a well, of wells that should be alike: negative controls, or a plate of one treatment. NaN is left out.
    rim : (n,) array-like of bool
        Which wells lie in the first or last row or column of the plate.

    Returns
    -------
    Edge

    Notes
    -----
    Mann and Whitney 1947, Ann. Math. Stat. 18:50, DOI 10.1214/aoms/1177730491; edge effects as the commonest spatial
    bias of plates: Malo et al. 2006, Nat. Biotechnol. 24:167, DOI 10.1038/nbt1186.
    """
    from scipy import stats  # slow to import, and needed only here

    array, where = np.asarray(values, np.float64), np.asarray(rim, bool)
    outer, inner = _finite(array[where]), _finite(array[~where])
    if min(outer.size, inner.size) < _LEAST_ON_A_SIDE:
        return Edge(math.nan, math.nan, math.nan, int(outer.size), int(inner.size))
    middle = float(np.median(inner))
    difference = float(np.median(outer)) - middle
    p = float(stats.mannwhitneyu(outer, inner, alternative="two-sided").pvalue)
    return Edge(difference, difference / middle if middle else math.nan, p, int(outer.size), int(inner.size))


def _finite(values: NDArray[Any] | Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]


def _z_prime(positive: tuple[float, float], negative: tuple[float, float]) -> float:
    distance, spread = abs(positive[0] - negative[0]), positive[1] + negative[1]
    return 1 - 3 * spread / distance if distance and spread else math.nan


def _ssmd(positive: tuple[float, float], negative: tuple[float, float]) -> float:
    spread = math.hypot(positive[1], negative[1])
    return (positive[0] - negative[0]) / spread if spread else math.nan
