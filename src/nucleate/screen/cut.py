"""Whether the smallest nuclei of a treatment are missing, since they are smaller than the least area that is kept.

If none are missing, hardly any nucleus is about as small as the smallest of the plate, and the smaller, the rarer they
are. If some are missing, many nuclei are as small as that: counts are too low, median areas too high, and curves
through them are shifted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.text import counted, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.screen.tables import Tables

__all__ = ["Cut", "cut_off", "cut_warning"]

_NEAR = 1.25
_SHARE = 0.05
_FEWEST = 5
_CHANCE = 0.01


@dataclass(frozen=True)
class Cut:
    """A treatment some of whose nuclei seem to be missing.

    Parameters
    ----------
    treatment : str
        Compound and concentration.
    share : float
        Share of its nuclei that are at most a quarter larger than the smallest nucleus of the plate, 0..1.
    least : float
        The area of the smallest nucleus, in pixels.
    """

    treatment: str
    share: float
    least: float


def cut_off(tables: Tables) -> list[Cut]:
    """List the treatments in which one nucleus in twenty or more is about as small as the smallest of the plate.

    Parameters
    ----------
    tables : Tables

    Returns
    -------
    list of Cut
        The most affected first, with five such nuclei at least. Empty if sizes get rarer as they do without a cut.
        Wells that are left out of the screen do not count.
    """
    wells = tables.wells
    known = wells["role"][tables.nuclei["well_index"]] != "empty"
    area = np.asarray(tables.nuclei["area_px"], np.float64)[known]
    if not area.size:
        return []
    treatments = [
        f"{compound} {dose:g}" if compound and np.isfinite(dose) else compound or role
        for compound, dose, role in zip(wells["compound"], wells["concentration"], wells["role"], strict=True)
    ]
    of_nuclei = np.array(treatments, dtype=object)[tables.nuclei["well_index"][known]]
    least = area.min()
    if not _ends_abruptly(area[area <= _NEAR * least]):
        return []
    every, small = Counter(of_nuclei), Counter(of_nuclei[area <= _NEAR * least])
    cuts = [Cut(treatment, n / every[treatment], least) for treatment, n in small.items() if n >= _FEWEST]
    return sorted((cut for cut in cuts if cut.share >= _SHARE), key=lambda cut: -cut.share)


def _ends_abruptly(near: NDArray[np.float64]) -> bool:
    """Tell whether sizes end more abruptly at the smallest nucleus than a tail would.

    Without a cut, small sizes get rarer about exponentially. The chance that none of n lies farther out than f times
    their mean is then about (1 - exp(-f))^n, however steep the tail is.
    """
    out = np.log(_NEAR * near.min() / near)
    return bool((1 - np.exp(-out.max() / out.mean())) ** len(near) < _CHANCE)


def cut_warning(tables: Tables) -> str:
    """Say in one line what `cut_off` found and what to do; empty if it found nothing."""
    found = cut_off(tables)
    if not found:
        return ""
    named = listed([f"{cut.treatment} ({cut.share:.0%})" for cut in found])
    return (
        f"{counted(len(found), 'treatment')} may lack the smallest nuclei, as so many are hardly larger than the "
        f"smallest found ({found[0].least:g} px): {named}; counts are low there and areas high; look at the outlines, "
        "then try --scale over 1 or --min-area 0"
    )
