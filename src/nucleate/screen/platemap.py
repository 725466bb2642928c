"""The plate map: which compound at which concentration is in which well, and which wells are controls."""

from __future__ import annotations

import csv
import difflib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core.text import one_line
from nucleate.core.wells import PLATE_FORMATS, well_name, well_place
from nucleate.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ROLES", "Content", "read_map"]

ROLES = ("sample", "negative", "positive", "empty")
"""What a well is for: a compound to be judged; untreated or vehicle only; the known effect; nothing in it."""

_SAME = {
    "": "sample", "compound": "sample", "test": "sample", "treatment": "sample", "treated": "sample",
    "neg": "negative", "neg_control": "negative", "negative_control": "negative", "negcon": "negative",
    "control": "negative", "vehicle": "negative", "dmso": "negative", "untreated": "negative",
    "pos": "positive", "pos_control": "positive", "positive_control": "positive", "poscon": "positive",
    "blank": "empty", "none": "empty", "unused": "empty",
}  # fmt: skip

_HEADINGS = ("well", "compound", "concentration", "role")
_SAME_HEADING = {"conc": "concentration", "dose": "concentration", "wells": "well", "compounds": "compound"}
_UNIT = re.compile(r"[ _]*[(\[].*[)\]]$")  # behind a heading
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")


@dataclass(frozen=True)
class Content:
    """What is in one well.

    Parameters
    ----------
    well : str
        Like ``A01``.
    compound : str
        Empty for controls without a name.
    concentration : float
        In the unit of the map, one for all; NaN where it is not given.
    role : str
        One of `ROLES`.
    """

    well: str
    compound: str = ""
    concentration: float = math.nan
    role: str = "sample"


def read_map(path: Path | str) -> dict[str, Content]:
    r"""Read a plate map.

    Parameters
    ----------
    path : path-like
        CSV in UTF-8 with a heading: ``well`` and any of ``compound``, ``concentration``, ``role``; commas, semicolons
        or tabs; ``dose`` and ``conc`` are concentrations, and a unit in brackets behind a heading is passed over; other
        columns are left alone.

    Returns
    -------
    dict of str to Content
        By well.

    Raises
    ------
    UsageError
        If it cannot be read, a column or the negative controls are missing, or a line is wrong: its number is told.

    Examples
    --------
    >>> _ = Path("map.csv").write_text("well,compound,concentration,role\na1,,,DMSO\nA2,X,0.5,\n")
    >>> read_map("map.csv")["A02"]
    Content(well='A02', compound='X', concentration=0.5, role='sample')
    """
    shown = one_line(str(path))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise UsageError(f"{shown}: cannot be read: {reason}; give a CSV with columns well,compound,...") from error
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(lines, delimiter=delimiter)
    reader.fieldnames = [_heading(name) for name in reader.fieldnames or []]
    _check_headings(reader.fieldnames, shown=shown, first=first)
    found: dict[str, Content] = {}
    for row in reader:
        cells = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
        if not any(cells.values()):
            continue
        try:
            _check_commas(
                cells,
                more=any(any(beyond) for name, beyond in row.items() if name is None),
                parted_by_commas=delimiter == ",",
            )
            content = _content(cells)
        except DataError as error:
            raise UsageError(f"{shown}, line {reader.line_num}: {error}") from error
        if content.well in found:
            raise UsageError(f"{shown}, line {reader.line_num}: {content.well} is there twice; keep one line a well")
        found[content.well] = content
    if not any(content.role == "negative" for content in found.values()):
        raise UsageError(
            f"{shown}: no negative control; give some wells the role negative: the others are held to them"
        )
    return found


def _heading(written: str) -> str:
    name = _UNIT.sub("", written.strip().lower())
    return _SAME_HEADING.get(name, name)


def _check_headings(names: Sequence[str], *, shown: str, first: str) -> None:
    if "well" not in names:
        raise UsageError(f"{shown}: no column well in its first line ({first[:60]!r}); needs well,compound,...")
    for name in _HEADINGS:
        if names.count(name) > 1:
            raise UsageError(f"{shown}: column {name} is there twice; keep one")
        alike = difflib.get_close_matches(name, set(names) - set(_HEADINGS), n=1, cutoff=0.75)
        if name not in names and alike:
            raise UsageError(f"{shown}: no column {name}, got {alike[0]!r}; call it {name}, or something unlike it")


def _check_commas(cells: dict[str, str], *, more: bool, parted_by_commas: bool) -> None:
    """Refuse a number whose comma parted columns, or parts thousands where a comma is not the decimal sign."""
    if more:
        raise DataError("more cells than the first line names; put numbers with a comma in quotes")
    if parted_by_commas and _THOUSANDS.fullmatch(written := cells.get("concentration", "")):
        raise DataError(f"concentration {written!r} can be two numbers; write it without a comma")


def _content(cells: dict[str, str]) -> Content:
    role = cells.get("role", "").lower().replace(" ", "_").replace("-", "_")
    role = _SAME.get(role, role)
    if role not in ROLES:
        raise DataError(f"no role {cells['role']!r}; use {', '.join(ROLES)}")
    written = cells.get("concentration", "")
    plain = written.replace(",", ".")  # a comma is the decimal sign in files of half of Europe
    if written and not _NUMBER.fullmatch(plain):
        raise DataError(f"concentration {written!r} is no number; give it in one unit for the whole plate")
    concentration = float(plain) if written else math.nan
    if concentration < 0 or math.isinf(concentration):
        raise DataError(f"concentration {written} cannot be; use 0 or more")
    well = well_name(cells["well"])
    if any(place >= most for place, most in zip(well_place(well), PLATE_FORMATS[-1], strict=True)):
        raise DataError(f"no plate has a well {well}; correct its name")
    return Content(well, cells.get("compound", ""), concentration, role)
