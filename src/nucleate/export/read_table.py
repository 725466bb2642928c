"""Reading back columns of the tables that we write."""

from __future__ import annotations

import contextlib
import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.text import one_line
from nucleate.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["column_names", "read_columns"]


def column_names(path: Path) -> list[str]:
    """Read the heading of a CSV.

    Parameters
    ----------
    path : Path
        As for `read_columns`.

    Returns
    -------
    list of str
        Names of the columns; empty for an empty file.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with _rows_of(path) as rows:
        return next(rows, [])


def read_columns(
    path: Path,
    numbers: Collection[str] | None = None,
    *,
    texts: Collection[str] = (),
    needed: Collection[str] = (),
) -> dict[str, NDArray[Any]]:
    """Read some columns of a CSV.

    Parameters
    ----------
    path : Path
        With a heading, in UTF-8, perhaps with the byte order mark that spreadsheet programs write.
    numbers : collection of str, optional
        Columns of numbers to read if the file has them; when None, all that are not in `texts`. Empty cells are NaN.
    texts : collection of str
        Columns of words.
    needed : collection of str
        Columns of numbers that the file must have; it must have all of `texts`, too.

    Returns
    -------
    dict of str to (n,) ndarray
        float64, or str of object dtype, in the order of the file.

    Raises
    ------
    InputError
        If it cannot be read, lacks a column, or has text in place of a number.
    """
    shown = one_line(str(path))
    with _rows_of(path) as rows:
        header = next(rows, [])
        lacking = [name for name in (*texts, *needed) if name not in header]
        if lacking:
            raise InputError(f"{shown}: no column {', '.join(lacking)}: got {len(header)} others; make it again")
        kept = [i for i, name in enumerate(header) if name in texts or numbers is None or name in numbers]
        columns: list[list[str]] = [[] for _ in kept]
        for row in rows:
            for column, i in zip(columns, kept, strict=True):
                column.append(row[i])
    found: dict[str, NDArray[Any]] = {}
    for column, i in zip(columns, kept, strict=True):
        name = header[i]
        if name in texts:
            found[name] = np.array(column, dtype=object)
            continue
        try:
            found[name] = np.array([value or "nan" for value in column], dtype=np.float64)
        except ValueError as error:
            raise InputError(f"{shown}: column {name} holds no numbers: {error}; make it again") from error
    return found


@contextlib.contextmanager
def _rows_of(path: Path) -> Iterator[Iterator[list[str]]]:
    """Open a CSV for its rows; a row that is too short counts as damage."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield csv.reader(stream)
    except (OSError, UnicodeDecodeError, IndexError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "damaged"
        raise InputError(f"{one_line(str(path))}: cannot be read: {reason}; make it again") from error
