"""Intervals of means by Student's t, for few groups, for which those of a bootstrap would be too short."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["half_width"]

_FEWEST = 3  # groups
_UPPER = 0.975  # 95 % lie within both ends


def half_width(values: Sequence[float], units: Sequence[object]) -> float | None:
    """Give half of the 95 % interval of the mean of values, from the spread of the means of their units.

    Parameters
    ----------
    values : sequence of n float
        One a picture, or a part.
    units : sequence of n
        Unit to which each belongs. All different: each value counts by itself.

    Returns
    -------
    float or None
        The interval is the mean plus and minus this; units with more values count for more, as in the mean. It is exact
        if all units have one size, or if the values of a unit are equal; else it is wider than necessary. None with
        fewer than three units, for which an interval would say nothing.

    Examples
    --------
    >>> round(half_width([0.1, 0.2, 0.3], "abc"), 3)
    0.248
    """
    member = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    count = len(member)
    if count < _FEWEST:
        return None
    places = [member[unit] for unit in units]
    share = np.bincount(places) / len(places)
    means = np.bincount(places, weights=np.asarray(values, np.float64)) / len(places) / share
    return float(stdtrit(count - 1, _UPPER) * means.std(ddof=1) * math.sqrt(float((share**2).sum())))
