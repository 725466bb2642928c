"""Which file of a plate folder is which well, field and channel: told by the names that microscopes give.

====================  =====================================================================================
style                 a name, and where it comes from
====================  =====================================================================================
``yokogawa``          ``Plate_A01_T0001F002L01A01Z01C03.tif``: CellVoyager CV7000 and CV8000
``opera``             ``r01c01f02p01-ch3sk1fk1fl1.tiff``: Opera Phenix and Operetta with Harmony
``imagexpress``       ``Plate_A01_s2_w3<identifier>.tif``: ImageXpress with MetaXpress; ``_thumb`` is left out
``free``              ``A01_2_DAPI.tif``: ``{well}_{field}_{channel}``, or any pattern of the user's
====================  =====================================================================================

An OME-Zarr plate says it in its metadata (see `nucleate.io.omezarr`).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core.image import find_channel
from nucleate.core.text import one_line
from nucleate.core.wells import well_at, well_name, well_place
from nucleate.errors import DataError, InputError, UsageError
from nucleate.io.omezarr import pictures
from nucleate.run.inputs import OWN_SUFFIXES
from nucleate.run.layouts import is_image_folder, looks_like_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FREE", "STYLES", "Plate", "PlateField", "PlateFile", "compile_pattern", "read_plate"]

FREE = "{well}_{field}_{channel}"
"""The free form of names, when the user gives no other."""

_WELL = r"(?P<well>[A-Za-z]{1,2}\d{1,3})"
STYLES = {
    "yokogawa": re.compile(
        rf"(?:.*_)?{_WELL}_T(?P<time>\d+)F(?P<field>\d+)L\d+A\d+Z(?P<z>\d+)C(?P<channel>\d+)", re.IGNORECASE
    ),
    "opera": re.compile(
        r"r(?P<row>\d+)c(?P<column>\d+)f(?P<field>\d+)p(?P<z>\d+)(?:rc?\d*)?-ch(?P<channel>\d+)sk(?P<time>\d+)"
        r"(?:fk\d+)?(?:fl\d+)?",
        re.IGNORECASE,
    ),
    "imagexpress": re.compile(
        # As little in front as possible: "s3" would be a well, too.
        rf"(?:.*?_)??{_WELL}(?:_s(?P<field>\d+))?(?:_w(?P<channel>\d)[0-9A-Fa-f-]*)?",
        re.IGNORECASE,
    ),
}
"""File names without their ending, in the order in which they are tried; the free form comes last."""

_PLACES = {
    "well": _WELL,
    "row": r"(?P<row>\d+|[A-Za-z]{1,2})",
    "column": r"(?P<column>\d+)",
    "field": r"[A-Za-z]{0,5}?(?P<field>\d+)",
    "channel": r"(?P<channel>[^/]+?)",
    "z": r"[A-Za-z]{0,5}?(?P<z>\d+)",
    "time": r"[A-Za-z]{0,5}?(?P<time>\d+)",
    "any": r"[^/]*?",
}
_MOST_ROWS, _MOST_COLUMNS = 26 + 26 * 26, 999
"""As far as names of wells go: ZZ999."""
_STEPS = re.compile(r"^(TimePoint|ZStep)_(\d+)$")


@dataclass(frozen=True, order=True)
class PlateFile:
    """One file of a plate, or one picture of an OME-Zarr plate.

    Parameters
    ----------
    channel : str
        As its name says; ``""`` for files that hold all channels.
    z, time : int
        Plane and time point as numbered in the name; 0 where there are none.
    path : Path
        The file.
    picture : int, optional
        Which picture of an OME-Zarr plate.
    """

    channel: str
    z: int
    time: int
    path: Path
    picture: int | None = None


@dataclass(frozen=True)
class PlateField:
    """One field of view: all files of one place in one well.

    Parameters
    ----------
    well : str
        Like ``A01``.
    number : int
        Of the field, as its name says.
    files : tuple of PlateFile
        Sorted by channel, plane.
    """

    well: str
    number: int
    files: tuple[PlateFile, ...]

    @property
    def name(self) -> str:
        """Of its results: well and number, as ``A01_f02``."""
        return f"{self.well}_f{self.number:02d}"


@dataclass(frozen=True)
class Plate:
    """What a plate folder holds.

    Parameters
    ----------
    folder : Path
        Where it lies.
    style : str
        How its names were read: one of `STYLES`, ``free`` or ``ome-zarr``.
    fields : tuple of PlateField
        In the order of wells, then of fields.
    problems : tuple of str
        One line for each picture that could not be placed.
    """

    folder: Path
    style: str
    fields: tuple[PlateField, ...]
    problems: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all channels, sorted; empty where the files hold all channels each."""
        found = {file.channel for field in self.fields for file in field.files}
        return tuple(sorted(found - {""}))

    @property
    def time(self) -> int:
        """The time point of all files, as their names number it; 0 where they tell none."""
        return self.fields[0].files[0].time

    def nuclear_channel(self, wanted: str | None) -> str | None:
        """Tell which channel shows nuclei, once for all fields: a field that lacks it must not be taken for another.

        Parameters
        ----------
        wanted : str, optional
            A name, the number in the file names, or an index from 0; the nuclear stain, or the first, when None.

        Returns
        -------
        str or None
            None where each file holds all channels and none is wanted.

        Raises
        ------
        UsageError
            If there is no such channel.
        """
        names = self.channels
        if not names:
            return wanted
        if wanted is not None and wanted.isdecimal() and all(name.isdecimal() for name in names):
            wanted = next((name for name in names if int(name) == int(wanted)), f"number {wanted}")
        try:
            return names[find_channel(wanted, names, count=len(names), name=one_line(str(self.folder)))]
        except InputError as error:
            raise UsageError(str(error)) from error

    def renamed(self, names: Mapping[str, str]) -> Plate:
        """Call channels by other names than the files do.

        Parameters
        ----------
        names : mapping
            New names by what the files call them; leading zeros may be left out.

        Raises
        ------
        UsageError
            If there is no such channel, or two would have one name.
        """
        have = {name.lstrip("0") or "0": name for name in self.channels}
        found = {name: have.get(name.lstrip("0") or "0", name) for name in names}
        unknown = [name for name, old in found.items() if old not in self.channels]
        if unknown:
            listed = ", ".join(self.channels) or "none in their names"
            raise UsageError(f"--channels: no channel {', '.join(unknown)}; the files have {listed}")
        new = {found[name]: wanted for name, wanted in names.items()}
        later = [new.get(name, name) for name in self.channels]
        if twice := sorted({name for name in later if later.count(name) > 1}):
            raise UsageError(
                f"--channels: two channels would be called {', '.join(twice)}; give each a name of its own"
            )
        fields = [
            replace(f, files=tuple(sorted(replace(p, channel=new.get(p.channel, p.channel)) for p in f.files)))
            for f in self.fields
        ]
        return replace(self, fields=tuple(fields))


def read_plate(folder: Path | str, *, pattern: str | None = None, time: int | None = None) -> Plate:
    """Find the fields of a plate.

    Parameters
    ----------
    folder : path-like
        A folder (recursed) or an OME-Zarr plate.
    pattern : str, optional
        One of `STYLES`, or a pattern for `compile_pattern`; the style that most names fit when None.
    time : int, optional
        The time point to take where there are several.

    Returns
    -------
    Plate
        Pictures whose names do not fit stand in `Plate.problems`.

    Raises
    ------
    UsageError
        If nothing in it can be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{one_line(str(folder))}: no such folder; name the folder of a plate")
    if is_image_folder(folder):
        return _read_zarr(folder)
    files = _pictures(folder)
    if not files:
        raise UsageError(f"{one_line(str(folder))}: no picture in this folder; name the folder of a plate")
    style, expression = _choose(files, pattern)
    wells: dict[tuple[str, int], list[PlateFile]] = {}
    problems, elsewhere = [], Counter[tuple[Path, Path]]()
    for path in files:
        shown = one_line(str(path.relative_to(folder)))
        try:
            well, number, file = _place(path, expression, root=folder)
        except DataError as error:
            problems.append(f"{shown}: {error}")
            continue
        if file is None:
            what = f"the pattern {pattern}" if style == "free" and pattern else f"the style {style} of the others"
            problems.append(f"{shown}: its name does not fit {what}; rename it, move it away or give --pattern")
            continue
        there = wells.setdefault((well, number), [])
        before = next(
            (one for one in there if (one.channel, one.z, one.time) == (file.channel, file.z, file.time)), None
        )
        if before is not None:
            elsewhere[before.path.parent, path.parent] += 1
            problems.append(f"{shown}: a second picture of {well} field {number} channel {file.channel!r}; remove one")
            continue
        there.append(file)
    _check_one_plate(files, elsewhere, root=folder)
    if not wells:
        known = ", ".join([*STYLES, FREE])
        raise UsageError(f"{folder}: no name fits a plate ({problems[0]}); known are {known}, or give --pattern")
    ordered = sorted(wells, key=lambda key: (well_place(key[0]), key[1]))
    fields = [PlateField(well, number, tuple(sorted(wells[well, number]))) for well, number in ordered]
    return Plate(folder, style, tuple(_at_time(fields, time, folder=folder)), tuple(problems))


def _check_one_plate(files: Sequence[Path], elsewhere: Counter[tuple[Path, Path]], *, root: Path) -> None:
    """Refuse a folder of several plates: two folders in it have most of their wells in common."""
    sizes = Counter(path.parent for path in files)
    for (first, second), count in elsewhere.items():
        if first != second and 2 * count > max(sizes[first], sizes[second]):
            one, other = (one_line(str(folder.relative_to(root))) for folder in (first, second))
            raise UsageError(
                f"{one_line(str(root))}: holds two plates, or one twice: {one} and {other} have the same wells; "
                "name one of them, or move the other away"
            )


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Turn a pattern of the user's into a regular expression for names without their ending.

    Parameters
    ----------
    pattern : str
        Text with ``{well}`` or both ``{row}`` and ``{column}``, and any of ``{field}``, ``{channel}``, ``{z}``,
        ``{time}`` and ``{any}`` (may occur several times); with ``/`` it counts from the plate's folder on.

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
    twice = [name for name, count in Counter(names).items() if count > 1 and name != "any"]
    if unknown or twice or not ("well" in names or {"row", "column"} <= set(names)):
        listed = ", ".join(f"{{{name}}}" for name in _PLACES)
        raise UsageError(f"--pattern {pattern}: needs {{well}}, or {{row}} and {{column}}, each once, out of {listed}")
    text = "".join(_PLACES[part] if i % 2 else re.escape(part) for i, part in enumerate(parts))
    return re.compile(text, re.IGNORECASE)


def _pictures(folder: Path) -> list[Path]:
    found = []
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(here) / name for name in sorted(files) if _is_picture(name)]
    return found


def _is_picture(name: str) -> bool:
    return looks_like_image(name) and not name.endswith(OWN_SUFFIXES) and "_thumb" not in name.lower()


def _choose(files: list[Path], pattern: str | None) -> tuple[str, re.Pattern[str]]:
    if pattern in STYLES:
        return pattern, STYLES[pattern]
    free = compile_pattern(pattern or FREE)
    if pattern is not None and pattern != "free":
        return "free", free
    if pattern == "free":
        return "free", compile_pattern(FREE)
    styles = {**STYLES, "free": free}
    # A name of the free form whose channel is left out may look like another style: the most fitting one wins.
    best = max(styles, key=lambda style: sum(styles[style].fullmatch(_stem(path)) is not None for path in files))
    return best, styles[best]


def _stem(path: Path) -> str:
    return path.stem.removesuffix(".ome")


def _place(path: Path, expression: re.Pattern[str], *, root: Path) -> tuple[str, int, PlateFile | None]:
    within = path.relative_to(root).with_name(_stem(path)).as_posix()
    match = expression.fullmatch(within if "/" in expression.pattern.replace("[^/]", "") else _stem(path))
    if match is None:
        return "", 0, None
    found = {name: value for name, value in match.groupdict().items() if value is not None}
    well = well_name(found["well"]) if "well" in found else _well_of(found["row"], found["column"])
    steps = {m[1]: m[2] for part in path.parts[:-1] if (m := _STEPS.match(part))}
    z, time = (int(found.get(key, steps.get(step, 0))) for key, step in (("z", "ZStep"), ("time", "TimePoint")))
    return well, int(found.get("field", 1)), PlateFile(found.get("channel", ""), z, time, path)


def _well_of(row: str, column: str) -> str:
    if not row.isdecimal():
        return well_name(row + column)
    if not (0 < int(row) <= _MOST_ROWS and 0 < int(column) <= _MOST_COLUMNS):
        raise DataError(f"row {row}, column {column} is no well; rows and columns count from 1: correct the name")
    return well_at(int(row) - 1, int(column) - 1)


def _at_time(fields: list[PlateField], time: int | None, *, folder: Path) -> list[PlateField]:
    times = sorted({file.time for field in fields for file in field.files})
    if time is None and len(times) > 1:
        listed = ", ".join(map(str, times[:8])) + (", ..." if len(times) > 8 else "")
        raise UsageError(f"{folder}: holds the time points {listed}; choose one with --time")
    wanted = times[0] if time is None else time
    if wanted not in times:
        raise UsageError(f"{folder}: no time point {wanted}; it holds {', '.join(map(str, times))}")
    kept = [PlateField(f.well, f.number, tuple(p for p in f.files if p.time == wanted)) for f in fields]
    return [field for field in kept if field.files]


def _read_zarr(folder: Path) -> Plate:
    fields, problems = [], []
    numbers: Counter[str] = Counter()
    for index, name in enumerate(pictures(folder)):
        parts = name.split("/")
        if len(parts) < 3:
            problems.append(f"{folder.name}/{name}: a single picture, no field of a well; use: nucleate segment")
            continue
        try:
            well = well_name(parts[0] + parts[1])
        except DataError as error:
            problems.append(f"{folder.name}/{name}: {error}")
            continue
        numbers[well] += 1
        number = int(parts[2]) if parts[2].isdecimal() else numbers[well]
        fields.append(PlateField(well, number, (PlateFile("", 0, 0, folder, index),)))
    if not fields:
        raise UsageError(f"{folder}: {problems[0] if problems else 'no field in it'}; name an OME-Zarr plate")
    fields.sort(key=lambda field: (well_place(field.well), field.number))
    return Plate(folder, "ome-zarr", tuple(fields), tuple(problems))
