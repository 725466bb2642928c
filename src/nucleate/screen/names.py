"""Names of files of a plate: the table of known styles, patterns from the user, and what a name says.

====================  =====================================================================================
style                 a name, and where it comes from
====================  =====================================================================================
``yokogawa``          ``Plate_A01_T0001F002L01A01Z01C03.tif``: CellVoyager CV7000 and CV8000
``opera``             ``r01c01f02p01-ch3sk1fk1fl1.tiff``, ``r01c01f02p01-ch03t01.tiff``: Opera Phenix and Operetta
                      with Harmony
``imagexpress``       ``Plate_A01_s2_w3<identifier>.tif``, ``Plate_A01_2_w3.tif``: ImageXpress with MetaXpress;
                      ``_z`` and ``_t`` may follow
``gen5``              ``A1_01_1_2_DAPI_001.tif``: Cytation and Lionheart with Gen5
``incell``            ``A - 01(fld 2 wv UV - DAPI).tif``: IN Cell Analyzer
``leica``             ``image--L0000--S00--U00--V00--J08--E00--O00--X00--Y00--T0000--Z00--C00.ome.tif``: LAS X with
                      the Matrix Screener; U and V are column and row, X and Y the place in the well, all from 0
``free``              ``A01_2_DAPI.tif``: ``{well}_{field}_{channel}``
====================  =====================================================================================
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucleate.core.wells import PLATE_FORMATS, well_at, well_name, well_place
from nucleate.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "FREE",
    "STYLES",
    "Naming",
    "Place",
    "choose_naming",
    "compile_pattern",
    "job_pattern",
    "stem_of",
]

FREE = "{well}_{field}_{channel}"
"""The pattern of ``free``, which holds if the user gives no other."""

_WELL = r"(?P<well>[A-Za-z]{1,2}\d{1,3})"
_PLATE = r"(?:(?P<plate>.*)_)?"
STYLES = {
    "yokogawa": rf"{_PLATE}{_WELL}_T(?P<time>\d+)F(?P<field>\d+)L\d+A\d+Z(?P<z>\d+)C(?P<channel>\d+)",
    "opera": (
        r"r(?P<row>\d+)c(?P<column>\d+)f(?P<field>\d+)p(?P<z>\d+)(?:rc?\d*)?-ch(?P<channel>\d+)(?:sk|t)(?P<time>\d+)"
        r"(?:fk\d+)?(?:fl\d+)?"
    ),
    "imagexpress": (
        # The name of the plate in front is as short as possible, since "s3" would be a well, too.
        rf"(?:(?P<plate>.*?)_)??{_WELL}"
        # A number alone is the field if a plate stands in front and a channel behind: exp_B02_1_w1.
        r"(?:_(?:s|(?(plate)(?=\d+_w\d)|(?!)))(?P<field>\d+)|_w(?P<channel>\d)[0-9A-Fa-f-]*|_z(?P<z>\d+)|_t(?P<time>\d+))*"
    ),
    "gen5": (rf"{_WELL}_-?\d+_\d+_(?P<field>\d+)(?:Z(?P<z>\d+))?_(?P<channel>[^_/]+)_(?P<time>\d+)"),
    "incell": (
        r"(?P<row>[A-Za-z]{1,2}) - (?P<column>\d+)\(fld (?P<field>\d+)(?: wv [^()]+? - (?P<channel>[^()]+?))?"
        r"(?: z (?P<z>\d+))?(?: time (?P<time>\d+)(?: - [^()]*)?)?\)"
    ),
    "leica": (
        r"(?:.*?--)?(?:(?P<plate>S\d+)--)?U(?P<column0>\d+)--V(?P<row0>\d+)"
        r"(?:--J(?P<job>\d+)|--X(?P<x>\d+)|--Y(?P<y>\d+)|--T(?P<time>\d+)|--Z(?P<z>\d+)|--C(?P<channel>\d+)"
        r"|--[ABD-IK-SUVW]\d+)*"
    ),
    # No channel with "_" in it: that may be a plane and a channel, or a name of some other microscope.
    "free": rf"{_WELL}_[A-Za-z]{{0,5}}?(?P<field>\d+)_(?P<channel>(?![zt]\d+$)[^_/]+)",
}
"""Names without their ending, as regular expressions, in the order in which they are tried."""

_PLACES = {
    "well": _WELL,
    "row": r"(?P<row>\d+|[A-Za-z]{1,2})",
    "row0": r"(?P<row0>\d+)",
    "column": r"(?P<column>\d+)",
    "column0": r"(?P<column0>\d+)",
    "field": r"[A-Za-z]{0,5}?(?P<field>\d+)",
    "x": r"(?P<x>\d+)",
    "y": r"(?P<y>\d+)",
    "channel": r"(?P<channel>[^/]+?)",
    "z": r"[A-Za-z]{0,5}?(?P<z>\d+)",
    "time": r"[A-Za-z]{0,5}?(?P<time>\d+)",
    "any": r"[^/]*?",
}
_LEICA = {"U": "column0", "V": "row0", "X": "x", "Y": "y", "Z": "z", "T": "time", "C": "channel"}
_MOST_ROWS, _MOST_COLUMNS = 26 + 26 * 26, 999
"""Rows and columns that names of wells can have, up to ZZ999."""
_STEPS = re.compile(r"^(TimePoint|ZStep)_(\d+)$")
_LIKE_WELL = re.compile(r"[A-Za-z]{1,2}\d{1,3}")
_STEP = re.compile(r"[swztf]\d+", re.IGNORECASE)
_PLATE_NUMBER = re.compile(r"P\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """What a name says.

    Parameters
    ----------
    well : str
        Like ``A01``.
    field : int
    channel : str
        Empty if the name tells none.
    z, time : int
        0 if the name has none.
    plate : str
        The front of the name, in styles that put the plate's name there.
    job : str
        Number of the pass over the plate, in Leica's names.
    """

    well: str
    field: int
    channel: str
    z: int
    time: int
    plate: str = ""
    job: str = ""


@dataclass(frozen=True)
class Naming:
    """A way to read names.

    Parameters
    ----------
    style : str
        One of `STYLES`.
    expression : re.Pattern
        For names without their ending.
    pattern : str
        The user's own; empty for a style.
    front : str
        The text before the well in all names, if it looks like a well itself; for several plates, all such texts.
    """

    style: str
    expression: re.Pattern[str]
    pattern: str = ""
    front: str = ""

    @property
    def told(self) -> str:
        """Its name in messages."""
        return f"the pattern {self.pattern}" if self.pattern else f"the style {self.style} of the others"

    def match(self, path: Path, *, root: Path) -> dict[str, str] | None:
        """Take a name apart; None if it does not fit."""
        within = path.relative_to(root).with_name(stem_of(path)).as_posix()
        match = self.expression.fullmatch(within if "/" in self.pattern else stem_of(path))
        if match is None or (self.style == "imagexpress" and not self.front and _doubtful(match)):
            return None
        return {name: value for name, value in match.groupdict().items() if value is not None}

    def read(self, path: Path, *, root: Path) -> Place | None:
        """Tell what a name says.

        Parameters
        ----------
        path : Path
        root : Path
            Folder of the plate.

        Returns
        -------
        Place or None
            None if the name does not fit.

        Raises
        ------
        DataError
            If it names no well.
        """
        found = self.match(path, root=root)
        if found is None:
            return None
        steps = {m[1]: m[2] for part in path.parts[:-1] if (m := _STEPS.match(part))}
        z, time = (int(found.get(key, steps.get(step, 0))) for key, step in (("z", "ZStep"), ("time", "TimePoint")))
        plate, job = (found.get(key, "") for key in ("plate", "job"))
        channel = "-".join(found[key] for key in ("channel", "channel_2") if key in found)
        return Place(_well(found), _field(found), channel, z, time, plate, job)


def stem_of(path: Path) -> str:
    """Give a file's name without its ending, to which ``.ome`` belongs."""
    return path.stem.removesuffix(".ome")


def choose_naming(files: list[Path], pattern: str | None, *, root: Path) -> Naming:
    """Tell how the names of a plate are read.

    Parameters
    ----------
    files : list of Path
    pattern : str, optional
        One of `STYLES`, or a pattern for `compile_pattern`; when None, the style that tells most files apart.
    root : Path
        Folder of the plate.

    Raises
    ------
    UsageError
        If the pattern cannot be understood.
    """
    if pattern in STYLES:
        return _naming_for(pattern, files)
    if pattern is not None:
        return Naming("free", compile_pattern(pattern), pattern)
    # Names may fit several styles; in a wrong style, many names say the same.
    return max(
        (_naming_for(style, files) for style in STYLES), key=lambda naming: _told_apart(files, naming, root=root)
    )


def _naming_for(style: str, files: list[Path]) -> Naming:
    """Give a style; a front that all names have is no well, be it the same or numbers of plates: P1_A01, P2_A01."""
    naming = Naming(style, re.compile(STYLES[style], re.IGNORECASE))
    if style != "imagexpress":
        return naming
    matches = [match for path in files if (match := naming.expression.fullmatch(stem_of(path)))]
    fronts = sorted({match["plate"] for match in matches} - {None})
    several = len(fronts) > 1
    if not fronts or not all(map(_has_well, fronts)) or (several and not all(map(_is_numbered, fronts))):
        return naming
    either = "|".join(map(re.escape, fronts))
    within = re.compile(STYLES[style].replace("(?:(?P<plate>.*?)_)??", f"(?P<plate>{either})_"), re.IGNORECASE)
    again = [within.fullmatch(match.string) for match in matches]
    wells = {match["well"] for match in again if match is not None}
    if None in again or not all(_is_plate(front, wells) for front in fronts):
        return naming
    return Naming(style, within, front=", ".join(fronts))


def _is_plate(front: str, behind: set[str]) -> bool:
    """Tell whether the front of all names is the name of a plate, and not the well, by the wells read behind it."""
    if all(map(_STEP.fullmatch, behind)):
        return False
    # A01_1_C01 and A01_1_C02 are two channels of one field: the letter is the same, and a number stands before it.
    several_rows = len({one.rstrip("0123456789").upper() for one in behind}) > 1
    last = front.rpartition("_")[2]
    two_digits = not last.isdecimal() and all(one[-2].isdecimal() for one in behind)
    return several_rows or two_digits or _is_numbered(front)


def _is_numbered(front: str) -> bool:
    """Tell whether a front ends in a plate's number, as P01; that is a well, too, but channels are hardly called A1."""
    before, _, last = front.rpartition("_")
    return _PLATE_NUMBER.fullmatch(last) is not None and not _has_well(before)


def _told_apart(files: list[Path], naming: Naming, *, root: Path) -> int:
    places = (naming.match(path, root=root) for path in files)
    return len({tuple(sorted(place.items())) for place in places if place is not None})


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Turn a pattern from the user into a regular expression for names without their ending.

    Parameters
    ----------
    pattern : str
        Text with ``{well}`` or both ``{row}`` and ``{column}`` (``{row0}`` and ``{column0}`` if they count from 0), and
        any of ``{field}`` (or ``{x}`` and ``{y}``, its place in the well), ``{channel}`` (may stand in two places),
        ``{z}``, ``{time}`` and ``{any}`` (may occur several times). A pattern with ``/`` is for paths relative to the
        plate's folder.

    Raises
    ------
    UsageError
        If a placeholder is unknown or the well is missing.

    Examples
    --------
    >>> compile_pattern("{any}-{well}-s{field}-{channel}").fullmatch("p7-B02-s3-DAPI").groupdict()
    {'well': 'B02', 'field': '3', 'channel': 'DAPI'}
    """
    parts = re.split(r"\{(\w*)\}", pattern)
    names = parts[1::2]
    unknown = [name for name in names if name not in _PLACES]
    often = {"any": len(names), "channel": 2}
    counts = Counter(name.rstrip("0") for name in names)
    twice = [name for name, count in counts.items() if count > often.get(name, 1)]
    twofold = "field" in names and {"x", "y"} & set(names)
    tells_well = "well" in counts or {"row", "column"} <= counts.keys()
    if unknown or twice or twofold or not tells_well:
        listed = ", ".join(f"{{{name}}}" for name in _PLACES)
        raise UsageError(
            f"--pattern {pattern}: needs {{well}}, or {{row}} and {{column}}; may have {{field}} or {{x}} and {{y}}; "
            f"each once ({{channel}} up to twice), out of {listed}"
        )
    text = "".join(_PLACES[part] if i % 2 else re.escape(part) for i, part in enumerate(parts))
    if names.count("channel") > 1:
        text = "(?P<channel_2>".join(text.rsplit("(?P<channel>", 1))
    return re.compile(text, re.IGNORECASE)


def job_pattern(stem: str, *, as_channel: bool = False) -> str:
    """Give the pattern for Leica's names of the same job as `stem`, or the one that takes each job as a channel.

    Examples
    --------
    >>> job_pattern("image--L0000--S00--U01--V00--J08--X00--Y00--C00")
    '{any}U{column0}--V{row0}--J08--X{x}--Y{y}--C{channel}'
    >>> job_pattern("image--L0000--S00--U01--V00--J08--X00--Y00--C00", as_channel=True)
    '{any}U{column0}--V{row0}--J{channel}--X{x}--Y{y}--C{channel}'
    """
    known = _LEICA | ({"J": "channel"} if as_channel else {})

    def place(found: re.Match[str]) -> str:
        letter = found[1].upper()
        return found[0] if letter == "J" and not as_channel else f"{found[1]}{{{known.get(letter, 'any')}}}"

    text = re.sub(r"^.*?(?=U\d+--V\d)", "{any}", stem, count=1, flags=re.IGNORECASE)
    return re.sub(r"\b([A-Z])\d+(?=--|$)", place, text, flags=re.IGNORECASE)


def _doubtful(match: re.Match[str]) -> bool:
    """Tell whether another part of a name may be the well: A01_1_C1 is channel C1 of A01, not well C01."""
    at_end = match.end("well") == match.end() or _STEP.fullmatch(match["well"]) is not None
    return at_end and _has_well(match["plate"] or "")


def _has_well(front: str) -> bool:
    """Tell whether a part of the front can be a well of some plate, which A549 and HT29 cannot."""
    parts = (part for part in front.split("_") if _LIKE_WELL.fullmatch(part))
    return any(_on_a_plate(part) for part in parts)


def _on_a_plate(written: str) -> bool:
    try:
        row, column = well_place(written)
    except DataError:
        return False
    return row < PLATE_FORMATS[-1][0] and column < PLATE_FORMATS[-1][1]


def _field(found: Mapping[str, str]) -> int:
    """Give the number of a field; a place in a well makes one of row and column: X03 and Y02 are field 2003."""
    if "x" in found or "y" in found:
        return 1000 * int(found.get("y", 0)) + int(found.get("x", 0))
    return int(found.get("field", 1))


def _well(found: Mapping[str, str]) -> str:
    if "well" in found:
        return well_name(found["well"])
    row, column = (found.get(name) or str(int(found[f"{name}0"]) + 1) for name in ("row", "column"))
    if not row.isdecimal():
        return well_name(row + column)
    if not (0 < int(row) <= _MOST_ROWS and 0 < int(column) <= _MOST_COLUMNS):
        raise DataError(
            f"row {row}, column {column} is no well; rows and columns count from 1: correct the name, or write "
            "{row0} and {column0} in --pattern where all count from 0"
        )
    return well_at(int(row) - 1, int(column) - 1)
