"""Whether a value that a caller gave is a number that can be."""

from __future__ import annotations

import math
from numbers import Integral, Real

__all__ = ["is_number"]


def is_number(value: object, *, least: float, most: float = math.inf, whole: bool = False) -> bool:
    """Tell whether a value is a number, Python's or NumPy's, within bounds; True and False are none.

    Examples
    --------
    >>> [is_number(value, least=0, most=2) for value in (1.5, True, "1", 3)]
    [True, False, False, False]
    >>> is_number(1.5, least=0, whole=True)
    False
    """
    return (
        not isinstance(value, bool) and isinstance(value, Integral if whole else Real) and least <= float(value) <= most
    )
