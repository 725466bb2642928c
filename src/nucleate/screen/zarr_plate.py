"""Which picture of an OME-Zarr plate is which well and field: its metadata say it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nucleate.core.text import listed
from nucleate.core.wells import well_name
from nucleate.errors import DataError, UsageError
from nucleate.io.omezarr import acquisitions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ZarrPlaces", "places_in"]

ZarrPlaces = dict[str, tuple[str, int]]
"""Well and number of each field, by its path in the plate."""


def places_in(folder: Path, acquisition: int | None) -> tuple[ZarrPlaces, list[str], int | None]:
    """Find the fields of a plate.

    Parameters
    ----------
    folder : Path
    acquisition : int, optional
        The one to take, where there are several.

    Returns
    -------
    (ZarrPlaces, list of str, int or None)
        The fields, a line for each picture or well that is none, and the acquisition; None where none is told.

    Raises
    ------
    UsageError
        If there is no field in it, not this acquisition, or several of which none is chosen.
    """
    found = acquisitions(folder)
    chosen = _chosen(folder, found, wanted=acquisition)
    places: ZarrPlaces = {}
    problems = []
    numbers: Counter[str] = Counter()
    for name, of in found.items():
        parts = name.split("/")
        if len(parts) < 3:
            what = "metadata of a well are damaged or lacking; copy it again"
            alone = "a single picture, no field of a well; use: nucleate segment"
            problems.append(f"{folder.name}/{name}: {what if len(parts) == 2 else alone}")
            continue
        if of != chosen:
            continue
        try:
            well = well_name(parts[0] + parts[1])
        except DataError as error:
            problems.append(f"{folder.name}/{name}: {error}")
            continue
        numbers[well] += 1
        places[name] = (well, int(parts[2]) if parts[2].isdecimal() else numbers[well])
    if not places:
        raise UsageError(f"{folder}: {problems[0] if problems else 'no field in it'}; name an OME-Zarr plate")
    return places, problems, chosen


def _chosen(folder: Path, found: Mapping[str, int | None], *, wanted: int | None) -> int | None:
    """Choose an acquisition: fields of several are the same places, imaged again."""
    there = sorted({of for of in found.values() if of is not None})
    if wanted is not None and wanted not in there:
        raise UsageError(f"{folder}: no acquisition {wanted}; it holds {listed(there) or 'none'}")
    if wanted is None and len(there) > 1:
        raise UsageError(f"{folder}: holds the acquisitions {listed(there)}; choose one with --acquisition")
    return wanted if wanted is not None else next(iter(there), None)
