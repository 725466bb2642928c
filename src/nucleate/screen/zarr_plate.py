"""Which picture of an OME-Zarr plate is which well and field, by its metadata."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nucleate.core.text import listed
from nucleate.core.wells import well_name
from nucleate.errors import DataError, UsageError
from nucleate.io.omezarr import acquisitions

if TYPE_CHECKING:
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
        The acquisition to take if there are several; one must be chosen if a well has fields of two. A plate that tells
        none has the acquisition 0.

    Returns
    -------
    (ZarrPlaces, list of str, int or None)
        The fields, a line for each entry that is no picture or well, and the acquisition, which is None if none is
        told, or if several lie in different wells and all are taken.

    Raises
    ------
    UsageError
        If there is no field, not this acquisition, or a well has several acquisitions of which none is chosen.
    """
    found = acquisitions(folder)
    told = sorted({of for of in found.values() if of is not None})
    if not told and acquisition == 0:
        told = [0]
    if acquisition is not None and acquisition not in told:
        raise UsageError(f"{folder}: no acquisition {acquisition}; it holds {listed(told) or 'none'}")
    # Several acquisitions of one well are the same places, imaged again.
    of_wells = {(name.rpartition("/")[0], of) for name, of in found.items() if of is not None}
    if acquisition is None and len({well for well, _ in of_wells}) < len(of_wells):
        raise UsageError(f"{folder}: holds the acquisitions {listed(told)}; choose one with --acquisition")
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
        if len(told) > 1 and acquisition not in (None, of):  # a well that tells no acquisition has only one
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
    return places, problems, told[0] if len(told) == 1 else acquisition
