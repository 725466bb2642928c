"""Names of wells: rows A..Z, AA..AF and so on, columns from 1; they are written as ``A01`` here."""

from __future__ import annotations

import re

from nucleate.errors import DataError, UsageError

__all__ = ["PLATE_FORMATS", "plate_shape", "well_at", "well_name", "well_place"]

PLATE_FORMATS = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
"""Rows and columns of plates with 6 to 1,536 wells (ANSI SLAS 4-2004 gives 96, 384 and 1,536)."""

_USUAL = 4  # `PLATE_FORMATS` from here on are assumed for plates that some wells are missing from
_WELL = re.compile(r"([A-Za-z]{1,2})[-_ ]?0*([1-9]\d{0,2})")


def well_place(name: str) -> tuple[int, int]:
    """Tell row and column of a well, both from 0.

    Parameters
    ----------
    name : str
        Like ``A1``, ``A01``, ``a001`` or ``AF48``.

    Returns
    -------
    (int, int)

    Raises
    ------
    DataError
        If the name is no well.

    Examples
    --------
    >>> well_place("B03"), well_place("aa1")
    ((1, 2), (26, 0))
    """
    match = _WELL.fullmatch(name.strip())
    if match is None:
        raise DataError(f"{name!r} is no well; write a row letter and a column number, as A01 or P24")
    row = 0
    for letter in match[1].upper():
        row = 26 * row + ord(letter) - 64
    return row - 1, int(match[2]) - 1


def well_at(row: int, column: int) -> str:
    """Name the well in a row and column, both from 0.

    Examples
    --------
    >>> well_at(15, 23), well_at(31, 47)
    ('P24', 'AF48')
    """
    letters = chr(65 + row) if row < 26 else chr(64 + row // 26) + chr(65 + row % 26)
    return f"{letters}{column + 1:02d}"


def well_name(name: str) -> str:
    """Write the name of a well in the one way used here.

    Raises
    ------
    DataError
        If it is no well.
    """
    return well_at(*well_place(name))


def plate_shape(wells: list[str], count: int | None = None) -> tuple[int, int]:
    """Give rows and columns of the smallest usual plate that has all these wells; under 96 wells, they must fill it.

    Parameters
    ----------
    wells : list of str
        Names; without any, the plate has 96 wells.
    count : int, optional
        How many wells the plate has, where that is known.

    Raises
    ------
    UsageError
        If no plate has so many wells, or the plate lacks one of `wells`.

    Examples
    --------
    >>> plate_shape(["A01", "P24"]), plate_shape(["C07"]), plate_shape(["A01"], 24)
    ((16, 24), (8, 12), (4, 6))
    """
    if count is not None:
        return _of_count(wells, count)
    if not wells:
        return 8, 12
    places = [well_place(well) for well in wells]
    rows, columns = (max(place[i] for place in places) + 1 for i in (0, 1))
    if (rows, columns) in PLATE_FORMATS and len(set(places)) == rows * columns:
        return rows, columns
    for shape in PLATE_FORMATS[_USUAL:]:
        if rows <= shape[0] and columns <= shape[1]:
            return shape
    return rows, columns


def _of_count(wells: list[str], count: int) -> tuple[int, int]:
    shape = next(((rows, columns) for rows, columns in PLATE_FORMATS if rows * columns == count), None)
    if shape is None:
        known = ", ".join(str(rows * columns) for rows, columns in PLATE_FORMATS)
        raise UsageError(f"--wells {count}: no plate has so many; choose one of {known}")
    outside = [well for well in wells if any(at >= end for at, end in zip(well_place(well), shape, strict=True))]
    if outside:
        raise UsageError(f"--wells {count}: such a plate has no well {outside[0]}; leave the option out or correct it")
    return shape
