"""Which file of a plate folder is which well, field and channel.

`nucleate.screen.names` has the styles of names that are known; an OME-Zarr plate has it in its metadata.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from nucleate.core.checks import address_fault
from nucleate.core.folders import each_folder
from nucleate.core.text import listed, one_line
from nucleate.core.wells import well_place
from nucleate.errors import DataError, UsageError
from nucleate.run.layouts import OWN_SUFFIXES, is_image_folder, looks_like_image, thumbnails
from nucleate.screen.channels import call_anew
from nucleate.screen.names import FREE, STYLES, choose_naming, job_pattern, stem_of
from nucleate.screen.several import each_field
from nucleate.screen.sources import channels_in, times_in
from nucleate.screen.zarr_plate import places_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nucleate.screen.names import Naming, Place

__all__ = ["Plate", "PlateField", "PlateFile", "read_plate"]

_FLAT = re.compile(r"DC_.*CAM\d+.*|SC_.*_M\d+_CH\d+.*", re.IGNORECASE)
"""Pictures for the calibration of Yokogawa's microscopes, which lie among the pictures of wells."""
_FLAT_FOLDER = "FFC_Profile"
"""The same for Harmony."""


@dataclass(frozen=True, order=True)
class PlateFile:
    """One file of a plate, or one picture of an OME-Zarr plate.

    Parameters
    ----------
    channel : str
        As in its name; ``""`` for files that hold all channels.
    z, time : int
        Plane and time point as numbered in the name; 0 if the name has none.
    path : Path
        The file.
    inner : str
        Path of the picture inside an OME-Zarr plate; empty for a file.
    picture : int, optional
        The number of the picture, if the file holds several fields.
    alone : bool
        Whether its name tells a channel, plane or time: then planes in other files of its OME set are not part of it.
    point : int
        The chosen one of several time points in the file, from 1; 0 if it holds one.
    """

    channel: str
    z: int
    time: int
    path: Path
    inner: str = ""
    picture: int | None = None
    alone: bool = False
    point: int = 0


@dataclass(frozen=True)
class PlateField:
    """One field of view: all files of one place in one well.

    Parameters
    ----------
    well : str
        Like ``A01``.
    number : int
        The number of the field in the names.
    files : tuple of PlateFile
        Sorted by channel, plane.
    """

    well: str
    number: int
    files: tuple[PlateFile, ...]

    @property
    def name(self) -> str:
        """The name of its results: well and number, as ``A01_f02``."""
        return f"{self.well}_f{self.number:02d}"


@dataclass(frozen=True)
class Plate:
    """The contents of a plate folder.

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
    names : tuple of (str, str)
        The name of each channel in the files and in the tables; empty if there is only one channel, without a name.
    acquisition : int, optional
        The acquisition taken from an OME-Zarr plate; None if the plate tells none or all are taken.
    """

    folder: Path
    style: str
    fields: tuple[PlateField, ...]
    problems: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    acquisition: int | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all channels, as the tables have them: sorted, or in the order of files that hold them all."""
        return tuple(name for _, name in self.names)

    @property
    def time(self) -> int:
        """The time point of all files, as numbered in their names, or within each file from 1; 0 if there is none."""
        first = self.fields[0].files[0]
        return first.time or first.point


def read_plate(
    folder: Path | str,
    *,
    pattern: str | None = None,
    time: int | None = None,
    acquisition: int | None = None,
    channels: Mapping[str, str] = MappingProxyType({}),
) -> Plate:
    """Find the fields of a plate.

    Parameters
    ----------
    folder : path-like
        A folder (recursed) or an OME-Zarr plate.
    pattern : str, optional
        See `nucleate.screen.names.choose_naming`.
    time : int, optional
        The time point to take if there are several; within files, they are numbered from 1.
    acquisition : int, optional
        The acquisition to take if an OME-Zarr plate holds several.
    channels : mapping
        New names, as for `nucleate.screen.channels.call_anew`.

    Returns
    -------
    Plate
        Pictures whose names do not fit are listed in `Plate.problems`.

    Raises
    ------
    UsageError
        If nothing in the folder can be used, or from `nucleate.screen.channels.call_anew`.
    """
    folder = Path(folder)
    where = one_line(str(folder))
    if not folder.is_dir():
        why = address_fault(str(folder)) or "no such folder; name the folder of a plate"
        raise UsageError(f"{where}: {why}")
    if is_image_folder(folder):
        return _called(_at_point(_read_zarr(folder, acquisition), time), channels)
    if acquisition is not None:
        raise UsageError(f"{where}: holds no acquisitions as an OME-Zarr plate may; give no number")
    files, unlisted = _pictures(folder)
    if not files:
        raise UsageError(f"{where}: {[*unlisted, 'no picture in this folder; name the folder of a plate'][0]}")
    naming = choose_naming(files, pattern, root=folder)
    places, problems = _read_names(files, naming, root=folder)
    if not places:
        how = f"no name fits the pattern {pattern}" if pattern else "no name fits a plate"
        known = ", ".join([*(style for style in STYLES if style != "free"), FREE])
        raise UsageError(f"{where}: {how} ({problems[0]}); known are {known}, or give --pattern")
    _check_one_name(places, root=folder)
    _check_one_job(places, root=folder)
    fields, doubles = _group(places)
    for path in doubles:
        place = places[path]
        what = f"{place.well} field {place.field} channel {place.channel!r}"
        problems.append(f"{_within(folder, path)}: a second picture of {what}; remove one")
    _check_one_plate(files, doubles, root=folder)
    if 2 * len(doubles) > len(places):
        raise UsageError(
            f"{where}: names read as {naming.style} do not tell pictures apart ({problems[-1]}); "
            "say with --pattern where well, field and channel stand"
        )
    fields, more = each_field(_at_time(fields, time, folder=folder), root=folder)
    plate = Plate(folder, naming.style, tuple(fields), tuple(sorted([*problems, *unlisted, *more])))
    told = any(place.time for place in places.values())
    return _called(plate if told else _at_point(plate, time), channels)


def _within(root: Path, path: Path) -> str:
    """Give the path of a file relative to the plate's folder, for a message."""
    return one_line(str(path.relative_to(root)))


def _called(plate: Plate, new: Mapping[str, str]) -> Plate:
    """Look up the names of channels in the files, and give them their new names."""
    own = sorted({file.channel for field in plate.fields for file in field.files} - {""})
    names = call_anew(own or channels_in(plate.fields), new)
    if not own:
        return replace(plate, names=tuple(names.items()))
    fields = [
        replace(f, files=tuple(sorted(replace(p, channel=names.get(p.channel, "")) for p in f.files)))
        for f in plate.fields
    ]
    return replace(plate, fields=tuple(fields), names=tuple(sorted(names.items(), key=lambda pair: pair[1])))


def _group(places: Mapping[Path, Place]) -> tuple[list[PlateField], dict[Path, Path]]:
    """Group the files by well and field; also give second pictures of the same place, with the first ones."""
    fields: dict[tuple[str, int], dict[tuple[str, int, int], PlateFile]] = defaultdict(dict)
    doubles: dict[Path, Path] = {}
    steps = len({(place.z, place.time) for place in places.values()}) > 1
    for path, place in sorted(places.items(), key=lambda item: _rank(item[0])):
        there, key = fields[place.well, place.field], (place.channel, place.z, place.time)
        if key not in there:
            there[key] = PlateFile(*key, path, alone=steps or bool(place.channel))
        elif not _is_copy(path, there[key].path):
            doubles[path] = there[key].path
    return _in_order(PlateField(*key, tuple(sorted(files.values()))) for key, files in fields.items()), doubles


def _in_order(fields: Iterable[PlateField]) -> list[PlateField]:
    return sorted(fields, key=lambda field: (well_place(field.well), field.number))


def _is_copy(path: Path, first: Path) -> bool:
    """Tell whether two files are the same picture in two formats: same folder and name, another ending."""
    alike = path.parent == first.parent and stem_of(path) == stem_of(first)
    return alike and _rank(first) == 0 < _rank(path)


def _rank(path: Path) -> int:
    """Rank the formats of a picture that was saved several times: a TIFF is taken first, a JPEG last."""
    return {".tif": 0, ".tiff": 0, ".jpg": 2, ".jpeg": 2}.get(path.suffix.lower(), 1)


def _read_names(files: Sequence[Path], naming: Naming, *, root: Path) -> tuple[dict[Path, Place], list[str]]:
    """Give the places of the files that have one, and a line for each of the others."""
    places: dict[Path, Place] = {}
    problems: list[str] = []
    no_wells: list[str] = []
    for path in files:
        try:
            place = naming.read(path, root=root)
        except DataError as error:
            no_wells.append(str(error))
            problems.append(f"{_within(root, path)}: {error}")
            continue
        if place is not None:
            places[path] = place
        elif "_thumb" not in path.name.lower():  # several programs write them for a well or a plate
            what = f"its name does not fit {naming.told}; rename it, move it away or give --pattern"
            problems.append(f"{_within(root, path)}: {what}")
    zeros = [told for told in no_wells if "{row0}" in told]
    if naming.pattern and len(set(zeros)) > 1 and 50 * len(zeros) > len(files):
        raise UsageError(
            f"--pattern {naming.pattern}: rows or columns count from 0 in these names; write {{row0}} and {{column0}}"
        )
    nameless = [path for path, place in places.items() if not place.channel]
    if 2 * len(nameless) < len(places):
        for path in nameless:
            del places[path]
            problems.append(f"{_within(root, path)}: names no channel, others do; move it away")
    if not places and not no_wells:
        problems = [f"such as {_within(root, files[0])}"]
    return places, problems


def _check_one_name(places: Mapping[Path, Place], *, root: Path) -> None:
    """Refuse a folder in which names begin with the names of several plates."""
    plates: dict[str, list[Place]] = defaultdict(list)
    for place in places.values():
        plates[place.plate.casefold()].append(place)
    # One well beside a plate of many was imaged a second time, or is an overview.
    many = [found for found in plates.values() if len({place.well for place in found}) > 1]
    pictures = [{replace(place, plate="") for place in found} for found in plates.values()]
    twice = len(set().union(*pictures)) < sum(map(len, pictures))
    if len(many) > 1 or (twice and not many):
        most = sorted(plates.values(), key=len, reverse=True)[:8]
        names = (Counter(place.plate for place in found).most_common(1)[0][0] for found in most)
        told = ", ".join(
            f"{one_line(name) or 'none'} ({len(its)} files)" for name, its in zip(names, most, strict=True)
        )
        raise UsageError(
            f"{one_line(str(root))}: names begin with those of several plates: {told}; give each plate a folder of "
            'its own, or say with --pattern "{any}_{well}_..." that they are one'
        )


def _check_one_job(places: Mapping[Path, Place], *, root: Path) -> None:
    """Refuse a folder of several passes of a Leica microscope, whose pictures do not form fields together."""
    jobs: dict[str, dict[Path, Place]] = defaultdict(dict)
    for path, place in places.items():
        jobs[place.job][path] = place
    if len(jobs) < 2 or _are_apart(places.values()):
        return
    ordered = sorted(jobs, key=lambda job: (not job, -len(jobs[job]), job))
    told = ", ".join(f"{f'J{job}' if job else 'none'} ({len(jobs[job])} files)" for job in ordered)
    stem = stem_of(next(iter(jobs[ordered[0]])))
    cure = f'take one, --pattern "{job_pattern(stem)}"'
    alike = len({frozenset((place.well, place.field) for place in found.values()) for found in jobs.values()}) == 1
    # A name without a channel may stand for several channels.
    if alike and all(place.job and place.channel for place in places.values()):
        cure += f', or take the channels of all, --pattern "{job_pattern(stem, as_channel=True)}"'
    raise UsageError(f"{one_line(str(root))}: pictures of several jobs: {told}; {cure}, or move the others away")


def _are_apart(places: Iterable[Place]) -> bool:
    """Tell whether each channel of a field is of one job, and each well has a field with all jobs of the well."""
    jobs: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    of_channel: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    for place in places:
        jobs[place.well][place.field].add(place.job)
        of_channel[place.well, place.field, place.channel].add(place.job)
    together = all(set().union(*fields.values()) in fields.values() for fields in jobs.values())
    return together and all(len(one) == 1 for one in of_channel.values())


def _check_one_plate(files: Sequence[Path], doubles: Mapping[Path, Path], *, root: Path) -> None:
    """Refuse a folder of several plates, in which two folders have most of their wells in common."""
    sizes = Counter(path.parent for path in files)
    shared = Counter((first.parent, second.parent) for second, first in doubles.items())
    for (first, second), count in shared.items():
        if first != second and 2 * count > max(sizes[first], sizes[second]):
            both = f"{_within(root, first)} and {_within(root, second)}"
            raise UsageError(
                f"{one_line(str(root))}: holds two plates, or one twice: {both} have the same wells; "
                "name one of them, or move the other away"
            )


def _pictures(top: Path) -> tuple[list[Path], list[str]]:
    """List the pictures in a folder, and a line for each folder in it that cannot be read."""
    found: list[Path] = []
    unlisted: list[str] = []

    def note(error: OSError) -> None:
        where = one_line(os.path.relpath(error.filename, top))
        unlisted.append(f"{where}: cannot be listed: {error.strerror}; check that it may be read")

    for here, folders, files in each_folder(top, note):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != _FLAT_FOLDER)
        named = {name for name in files if _is_picture(name)}
        found += [here / name for name in sorted(named - thumbnails(named))]
    return found, unlisted


def _is_picture(name: str) -> bool:
    return looks_like_image(name) and not (name.endswith(OWN_SUFFIXES) or _FLAT.fullmatch(name))


def _at_time(fields: list[PlateField], time: int | None, *, folder: Path) -> list[PlateField]:
    times = sorted({file.time for field in fields for file in field.files})
    if time is None and len(times) > 1:
        raise UsageError(f"{folder}: holds the time points {listed(times)}; choose one with --time")
    if times == [0]:  # names have no time points, or only the first
        return fields
    wanted = times[0] if time is None else time
    if wanted not in times:
        raise UsageError(f"{folder}: no time point {wanted}; it holds {', '.join(map(str, times))}")
    kept = [replace(f, files=tuple(p for p in f.files if p.time == wanted)) for f in fields]
    return [field for field in kept if field.files]


def _at_point(plate: Plate, time: int | None) -> Plate:
    """Choose a time point within the files if names tell none."""
    where, count = one_line(str(plate.folder)), times_in(plate.fields)
    if count < 2 and not time:
        return plate
    if count < 2:
        raise UsageError(f"{where}: no time point {time}; a field holds one; leave --time out")
    if time is None:
        raise UsageError(f"{where}: each field holds {count} time points; choose one with --time 1 to --time {count}")
    if time not in range(1, count + 1):
        raise UsageError(f"{where}: no time point {time}; each field holds {count}: --time 1 to --time {count}")
    chosen = [replace(f, files=tuple(replace(p, point=time) for p in f.files)) for f in plate.fields]
    return replace(plate, fields=tuple(chosen))


def _read_zarr(folder: Path, acquisition: int | None) -> Plate:
    places, problems, chosen = places_in(folder, acquisition)
    fields = (PlateField(*place, (PlateFile("", 0, 0, folder, name),)) for name, place in places.items())
    return Plate(folder, "ome-zarr", tuple(_in_order(fields)), tuple(problems), acquisition=chosen)
