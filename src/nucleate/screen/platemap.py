"""The plate map: which compound at which concentration is in which well, and which wells are controls."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nucleate.core.text import one_line
from nucleate.core.wells import PLATE_FORMATS, well_name, well_place
from nucleate.errors import DataError, UsageError
from nucleate.screen.mapfile import read_rows
from nucleate.screen.units import convert, unit_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["ROLES", "Content", "PlateMap", "read_map"]

ROLES = ("sample", "negative", "positive", "empty")
"""What a well is for: a compound to be judged; no treatment, or vehicle only; a known effect; nothing in it."""

_SAME = {
    "": "sample", "compound": "sample", "test": "sample", "treatment": "sample", "treated": "sample",
    "neg": "negative", "neg_control": "negative", "negative_control": "negative", "negcon": "negative",
    "control": "negative", "vehicle": "negative", "dmso": "negative", "untreated": "negative",
    "pos": "positive", "pos_control": "positive", "positive_control": "positive", "poscon": "positive",
    "blank": "empty", "none": "empty", "unused": "empty",
}  # fmt: skip

_HEADINGS = {
    "well": ("wells", "well id", "well name", "well position"),
    "compound": (
        "compounds", "compound name", "compound id", "treatment", "treatments", "drug", "drugs", "drug name", "cpd",
        "cmpd", "substance", "agent", "inhibitor",
    ),
    "concentration": ("concentrations", "conc", "dose", "doses", "dosage", "final conc", "final concentration"),
    "role": ("roles", "well role", "well type", "control type"),
    "unit": ("units", "conc unit", "concentration unit", "dose unit", "unit of concentration"),
}  # fmt: skip
"""Names of columns, each with the other names it may have."""

_UNIT = re.compile(r"^(.*?)\s*[(\[](.*)[)\]]\s*$")  # behind a heading
_LOG = re.compile(r"\blog", re.IGNORECASE)
_NOT_GIVEN = frozenset({"na", "n/a", "nan", "none", "-", "\N{EN DASH}", "\N{EM DASH}"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")


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
        In the unit of the map, which is the same for all wells; NaN if it is not given.
    role : str
        One of `ROLES`.
    """

    well: str
    compound: str = ""
    concentration: float = math.nan
    role: str = "sample"


@dataclass(frozen=True)
class PlateMap:
    """The contents of a map.

    Parameters
    ----------
    contents : dict of str to Content
        By well.
    unit : str
        Of all concentrations; empty if neither the map nor the user tells it.
    remarks : tuple of str
        A line for each thing that was ignored or is odd.
    """

    contents: dict[str, Content]
    unit: str = ""
    remarks: tuple[str, ...] = ()


def read_map(path: Path | str, *, unit: str = "") -> PlateMap:
    r"""Read a plate map.

    Parameters
    ----------
    path : path-like
        CSV with a heading: ``well`` and any of ``compound``, ``concentration``, ``role``, ``unit``, or usual
        other words for them; commas, semicolons or tabs. A unit may stand behind the heading of the concentrations.
    unit : str
        Unit of the concentrations if the map tells none; if its column ``unit`` has several, the unit to which all are
        converted.

    Raises
    ------
    UsageError
        If it cannot be read, a column or the negative controls are missing, `unit` differs from the map's, or a line is
        wrong, whose number is told.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("map.csv").write_text("well,compound,dose (nM),role\na1,,,DMSO\nA2,X,0.5,\n")
    >>> found = read_map("map.csv")
    >>> found.contents["A02"], found.unit
    (Content(well='A02', compound='X', concentration=0.5, role='sample'), 'nM')
    """
    shown = one_line(str(path))
    separator, rows = read_rows(path)
    first = rows[0][1] if rows else []
    columns, in_heading = _columns(first, shown=shown)
    over = [first[i] for i in range(len(first)) if first[i] and i not in columns.values()]
    if "concentration" in columns and separator in ",;":
        _check_thousands(rows[1:], columns["concentration"], mark="." if separator == ";" else ",", shown=shown)
    found: dict[str, Content] = {}
    units: dict[str, str] = {}
    roles: dict[str, str] = {}
    for line, cells in rows[1:]:
        try:
            named = _named(cells, columns, most=len(first))
            content = _content(named)
        except DataError as error:
            raise UsageError(f"{shown}, line {line}: {error}") from error
        if content.well in found:
            raise UsageError(f"{shown}, line {line}: {content.well} is there twice; keep one line a well")
        found[content.well] = content
        units[content.well] = named.get("unit", "")
        roles[named.get("role", "").lower()] = content.role
    odd = [f"role {one_line(word)} is taken for {role}" for word, role in roles.items() if word not in {"", role}]
    if separator == "," and "concentration" in columns:
        odd += _check_decimals(rows, columns, shown=shown)
    if not any(content.role == "negative" for content in found.values()):
        passed = f" (passed over: {', '.join(over)})" if over else ""
        raise UsageError(
            f"{shown}: no negative control{passed}; give some wells the role negative: the others are held to them"
        )
    try:
        found, unit = _in_one_unit(found, units, heading=_known_unit(in_heading), wanted=unit)
    except DataError as error:
        raise UsageError(f"{shown}: {error}") from error
    if in_heading and not unit_name(in_heading) and unit.casefold() != in_heading.casefold():
        odd.append(f"concentrations are taken to be in {unit}; their heading says {one_line(in_heading)}")
    return PlateMap(found, unit, (*_remarks(found, columns, over=over), *odd))


def _columns(first: Sequence[str], *, shown: str) -> tuple[dict[str, int], str]:
    """Give the place of each column, and the unit in the heading of the concentrations."""
    read = [_heading(written) for written in first]
    names = [name for name, _ in read]
    columns: dict[str, int] = {}
    for name, others in _HEADINGS.items():
        places = [i for i, one in enumerate(names) if one == name] or [
            i for i, one in enumerate(names) if one in others
        ]
        if len(places) > 1:
            both = " and ".join(repr(first[i]) for i in places)
            raise UsageError(f"{shown}: column {name} is there twice: {both}; keep one")
        if places:
            columns[name] = places[0]
    if "well" not in columns:
        written = ",".join(first)[:60]
        raise UsageError(f"{shown}: no column well in its first line ({written!r}); needs well,compound,...")
    known = {*_HEADINGS, *(name for others in _HEADINGS.values() for name in others)}
    for name in _HEADINGS.keys() - columns.keys() - {"unit"}:
        alike = difflib.get_close_matches(name, set(names) - known, n=1, cutoff=0.75)
        if alike:
            raise UsageError(f"{shown}: no column {name}, got {alike[0]!r}; call it {name}, or something unlike it")
    return columns, read[columns["concentration"]][1] if "concentration" in columns else ""


def _heading(written: str) -> tuple[str, str]:
    """Give the name of a column in small letters, and the unit behind it."""
    bracket = _UNIT.match(written)
    name, unit = (bracket[1], bracket[2]) if bracket else (written, "")
    name = " ".join(re.split(r"[\s_.-]+", name.lower())).strip()
    before, _, last = name.rpartition(" ")
    if not unit and before and unit_name(last):
        return before, last
    return name, unit


def _known_unit(heading: str) -> str:
    """Give the unit among the words behind a heading; all of the words if none is a known unit."""
    return heading if _LOG.search(heading) else next(filter(unit_name, re.split(r"[\s,;]+", heading)), heading)


def _remarks(contents: dict[str, Content], columns: dict[str, int], *, over: Sequence[str]) -> list[str]:
    told = [f"columns of the map that are passed over: {', '.join(map(one_line, over))}"] if over else []
    told += [
        f"the map has no column {name}: {lost}"
        for name, lost in (("compound", "no doses and no curves"), ("concentration", "no curves"))
        if name not in columns
    ]
    compounds = sorted({content.compound for content in contents.values()} - {""})
    by_letters: dict[str, list[str]] = {}
    for compound in compounds:
        by_letters.setdefault(compound.casefold(), []).append(compound)
    told += [
        f"taken for different compounds, as capitals differ: {', '.join(same)}"
        for same in by_letters.values()
        if len(same) > 1
    ]
    return told


def _in_one_unit(
    contents: dict[str, Content], units: dict[str, str], *, heading: str, wanted: str
) -> tuple[dict[str, Content], str]:
    """Bring all concentrations to one unit, and give that unit."""
    if _LOG.search(heading):
        raise DataError(f"concentrations are logarithms ({heading}); give the numbers themselves")
    # Concentrations of other wells are not used: DMSO at 0.1 % need not be converted.
    dosed = [
        well
        for well, content in contents.items()
        if content.concentration > 0 and content.role in {"sample", "positive"}
    ]
    counts = Counter(units[well] for well in dosed if units[well])
    if not counts:
        if unit_name(heading):
            _check_wanted(wanted, heading)
        return contents, wanted or unit_name(heading) or heading
    heading = heading if unit_name(heading) else ""
    without = [well for well in dosed if not units[well] and not heading]
    if without:
        raise DataError(f"{without[0]} has a concentration and no unit, others have one; fill the column unit")
    most = counts.most_common(1)[0][0]
    goal = wanted or unit_name(most) or most
    if len({unit_name(unit) or unit for unit in counts}) == 1:
        _check_wanted(wanted, most)
    changed = dict(contents)
    for well, content in contents.items():
        if not content.concentration > 0:
            continue
        unit = units[well] or heading or goal
        value = convert(content.concentration, unit, wanted=goal)
        if well in dosed and (value is None or (heading and convert(1.0, unit, wanted=heading) != 1)):
            other = heading or goal
            raise DataError(f"{well} is in {units[well]}, others in {other}; give all in units that can be converted")
        changed[well] = replace(content, concentration=math.nan if value is None else value)
    return changed, goal


def _check_wanted(wanted: str, said: str) -> None:
    """Refuse a unit from the user that differs from the unit of the map."""
    if wanted and convert(1.0, said, wanted=wanted) != 1:
        raise DataError(f"the map says {said}, --unit {wanted}; leave --unit out, or correct one of them")


def _named(cells: Sequence[str], columns: dict[str, int], *, most: int) -> dict[str, str]:
    """Give cells by column; refuse a line that a comma in a number made longer than the first."""
    if any(cells[most:]):
        raise DataError("more cells than the first line names; put numbers with a comma in quotes")
    return {name: cells[i] if i < len(cells) else "" for name, i in columns.items()}


def _check_thousands(rows: Sequence[tuple[int, list[str]]], at: int, *, mark: str, shown: str) -> None:
    """Refuse a number whose mark may separate thousands, unless in another number it clearly precedes decimals."""
    marked = [(line, cells[at]) for line, cells in rows if at < len(cells) and mark in cells[at]]
    if marked and all(_THOUSANDS.fullmatch(written) for _, written in marked):
        line, written = marked[0]
        both = f"{written.replace(mark, '')} or {written.replace(mark, ',' if mark == '.' else '.')}"
        raise UsageError(f"{shown}, line {line}: concentration {written!r} can be two numbers; write {both}")


def _check_decimals(rows: Sequence[tuple[int, list[str]]], columns: dict[str, int], *, shown: str) -> list[str]:
    """Refuse 0,5 without quotes, which makes its line longer than the first; give a remark if that is uncertain."""
    at, most = columns["concentration"], len(rows[0][1])
    if at + 1 in columns.values():
        return []
    parted = [row for row in rows[1:] if len(row[1]) > at + 1 and all(map(str.isdecimal, row[1][at : at + 2]))]
    longer = [(line, cells) for line, cells in parted if len(cells) > most]
    if longer and any(len(cells) <= most for _, cells in rows[1:]):
        line, cells = longer[0]
        raise UsageError(
            f"{shown}, line {line}: concentration {cells[at]},{cells[at + 1]} can be one number; put it in quotes, or "
            "write a point"
        )
    zeros = [(line, cells) for line, cells in parted if not int(cells[at])]
    if not zeros or all(len(cells) > at + 1 and cells[at + 1] for _, cells in rows[1:]):
        return []
    line, cells = zeros[0]
    return [f"line {line} of the map has concentration 0; if 0,{cells[at + 1]} is meant, put it in quotes"]


def _content(cells: dict[str, str]) -> Content:
    role = _role(cells.get("role", ""))
    if role not in ROLES:
        raise DataError(f"no role {cells['role']!r}; use {', '.join(ROLES)}")
    written = cells.get("concentration", "")
    if role != "sample" and written.lower() in _NOT_GIVEN:
        written = ""
    plain = written.replace(",", ".")  # half of Europe writes decimals with a comma
    if written and not _NUMBER.fullmatch(plain):
        raise DataError(f"concentration {written!r} is no number; give it in one unit for the whole plate")
    concentration = float(plain) if written else math.nan
    if concentration < 0 or math.isinf(concentration):
        raise DataError(f"concentration {written} cannot be; use 0 or more")
    compound = cells.get("compound", "")
    named = "" if compound.lower() in _NOT_GIVEN else compound
    kinds = {_role(word) for word in re.findall(r"[^\W\d_]+", named)}  # "0.1% DMSO" has the role of DMSO
    is_treated = concentration > 0 or (concentration != 0 and bool(named))
    is_empty = _role(named) == "empty"  # an empty vector is a control, and not nothing
    is_other = is_empty or "positive" in kinds or (is_treated and kinds != {"negative"})
    if is_other and cells.get("role", "").lower() == "control":
        what = compound or f"dose {written}"
        raise DataError(f"role control with {what}: write negative, positive or empty, which it is")
    well = well_name(cells["well"])
    if any(place >= most for place, most in zip(well_place(well), PLATE_FORMATS[-1], strict=True)):
        raise DataError(f"no plate has a well {well}; correct its name")
    return Content(well, compound, concentration, role)


def _role(written: str) -> str:
    """Give the role that a word stands for; the word in small letters if it stands for none."""
    word = written.lower().replace(" ", "_").replace("-", "_")
    return _SAME.get(word, word)
