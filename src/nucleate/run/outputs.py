"""Writes the files of a batch: those of each input, the parts of common tables, and the tables joined at the end.

A file gets its name only when it is complete. The parts stay in a hidden folder of the output, so that
a later run with ``--resume`` can join them again.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

from nucleate.core.extras import library
from nucleate.core.files import (
    HALF_WRITTEN,
    atomic_path,
    cannot_write,
    make_folder,
    plain_name,
    write_rows,
    write_text,
)
from nucleate.core.lock import locked_folder
from nucleate.core.text import one_line
from nucleate.errors import OutputError, UsageError
from nucleate.run.exports import EXPORTS
from nucleate.run.journal import JOURNAL_NAME, PARTS_NAME, correct

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nucleate.run.journal import Outcome
    from nucleate.run.results import Result

__all__ = [
    "COMMON_FILES",
    "alone",
    "check_exports",
    "check_name",
    "clear_half_written",
    "correct_counts",
    "files_of",
    "join_tables",
    "kept_strips",
    "prepare_folder",
    "read_record",
    "refuse_existing",
    "remove_result",
    "replaced_files",
    "strips_folder",
    "write_record",
    "write_result",
    "write_summary",
]

_SUMMARY = ("image", "status", "nuclei", "median_area_px", "seconds", "error")

COMMON_FILES = ("summary.csv", "run.json", *(export.file for export in EXPORTS.values() if export.join))
"""Files that a run writes once."""


def check_exports(wanted: str) -> tuple[str, ...]:
    """Read a list of exports such as ``labels,overlay``.

    Raises
    ------
    UsageError
        If one of them does not exist.
    MissingExtraError
        If one needs a library that is not installed, or cannot be loaded.
    """
    names = tuple(dict.fromkeys(part.strip().lower() for part in wanted.split(",") if part.strip()))
    unknown = [name for name in names if name not in EXPORTS]
    if unknown or not names:
        raise UsageError(f"--export: no export {', '.join(unknown) or 'named'}; available: {', '.join(EXPORTS)}")
    for module, extra in filter(None, (EXPORTS[name].needs for name in names)):
        library(module, extra)
    return names


def prepare_folder(output: Path) -> None:
    """Make the output folder and the folder of parts.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    make_folder(make_folder(output) / PARTS_NAME)


def check_name(name: str) -> None:
    """Check that results of this name lie in their folder, are not hidden and do not look half-written.

    Raises
    ------
    UsageError
        If the name is not fit for that.
    """
    if not isinstance(name, str) or name != plain_name(name) or re.search(r"[\x00-\x1f]", name):
        raise UsageError(f"name = {name!r}; give a plain one, without folders, that does not begin with a dot")


def alone(output: Path, *, wait: bool = False) -> AbstractContextManager[None]:
    """Keep other runs out of a prepared folder while the block runs; `wait` for one that is there to end.

    Raises
    ------
    UsageError
        If another run is there.
    OutputError
        If nothing can be written.
    """
    return locked_folder(output, f"{PARTS_NAME}/lock", wait=wait)


def refuse_existing(output: Path, files: Iterable[Path]) -> None:
    """Refuse a folder in which something has the name of a file that would be written.

    Raises
    ------
    UsageError
        If there is such a file.
    """
    there = next((file for file in files if file.exists()), None)
    if there is not None:
        shown = one_line(there.name)
        raise UsageError(
            f"{output} already has {shown}, which would be overwritten; move it away or choose another output folder"
        )


def clear_half_written(output: Path) -> None:
    """Remove files that were begun and never finished, as far as possible."""
    parts = output / PARTS_NAME
    for folder in (output, parts, *parts.glob("*.strips/*")):
        for stale in folder.glob(f"{HALF_WRITTEN}*"):
            with contextlib.suppress(OutputError):  # threads that nobody waited for may still be writing
                _remove(stale)


def strips_folder(output: Path, name: str) -> Path:
    """Name the folder where the strips of a large input are kept until it is finished."""
    return output / PARTS_NAME / f"{name}.strips"


def kept_strips(output: Path) -> int:
    """Count the finished strips of large inputs that a later run takes up."""
    return sum(1 for _ in output.glob(f"{PARTS_NAME}/*.strips/*/strip-*"))


def files_of(output: Path, name: str, *, exports: Iterable[str]) -> list[Path]:
    """Name all files of the input called `name` once it is finished, parts of tables included."""
    parts_last = sorted(exports, key=lambda export: EXPORTS[export].join is not None)
    return [_file(output, name, export=export) for export in parts_last]


def replaced_files(output: Path, name: str, *, exports: Sequence[str]) -> list[Path]:
    """Name the files that are replaced, if they exist, when an input called `name` is added to a folder.

    In a folder that already holds results, tables are not among them, since they are joined again.
    """
    joined = (output / PARTS_NAME).is_dir()
    tables = [] if joined else [output / EXPORTS[e].file for e in exports if EXPORTS[e].join]
    return files_of(output, name, exports=exports) + tables


def write_result(result: Result, output: Path, *, exports: Sequence[str]) -> None:
    """Write all wanted exports of one input.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    for export in exports:
        EXPORTS[export].write(result, _file(output, result.name, export=export))


def remove_result(output: Path, name: str, *, exports: Iterable[str]) -> None:
    """Remove the files of the input called `name`, parts of tables included.

    Raises
    ------
    OutputError
        If something cannot be removed.
    """
    for path in files_of(output, name, exports=exports):
        _remove(path)


def join_tables(
    output: Path, names: Sequence[str], *, exports: Iterable[str], but: Container[str] = frozenset(), new: str = ""
) -> None:
    """Join the parts of the finished inputs `names`, in this order, into the files of the whole run.

    Parts that others wrote into the folder, such as `nucleate.run.segmentation.Segmentation.save`, follow, except those
    of the inputs `but`. If there are no parts, there is no table. The parts of `new` were written just now: a table
    that holds the parts of all other inputs gets its rows, and the other parts are not read again.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    for export in exports:
        join = EXPORTS[export].join
        if join is None:
            continue
        ending = _file(output, "", export=export).name
        there = sorted(path.name.removesuffix(ending) for path in (output / PARTS_NAME).glob(f"*{ending}"))
        known = set(names)
        joined = [*names, *(name for name in there if name not in known and name not in but)]
        path, parts = output / EXPORTS[export].file, [_file(output, name, export=export) for name in joined]
        if not parts:
            _remove(path)
        elif not (EXPORTS[export].rows and new in joined and _inserted(path, parts, at=joined.index(new))):
            join(path, parts)


def write_summary(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write summary.csv, with a row for each input.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    rows = (
        (
            o.name,
            o.status,
            *_told(o.nuclei, o.median_area_px),
            f"{o.seconds:.3f}" if o.seconds else "",
            o.error,
        )
        for o in outcomes
    )
    write_rows(path, rows, header=_SUMMARY)


def correct_counts(output: Path, result: Result) -> None:
    """Correct summary.csv, and the journal from which a run goes on, after a result replaced an earlier one.

    Raises
    ------
    OutputError
        If they cannot be read or written.
    """
    path, counts = output / "summary.csv", result.counts
    if not correct(output / JOURNAL_NAME, result.name, counts=counts):
        return
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
    except FileNotFoundError:  # the run that goes on writes the summary later
        return
    except (OSError, ValueError, csv.Error) as error:
        raise OutputError(f"cannot read {path}: {one_line(str(error))}; move it away") from error
    own = [result.text, "ok"]
    new = [[*own, *_told(**counts), *row[4:]] if row[:2] == own else row for row in rows]
    write_rows(path, new, header=header)


def read_record(path: Path) -> dict[str, Any]:
    """Read run.json; empty if it is missing, damaged or of another program."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("settings", {}), dict) else {}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write run.json.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_text(path, json.dumps(record, indent=2) + "\n")


def _told(nuclei: int | None, median_area_px: float | None) -> tuple[str, str]:
    return "" if nuclei is None else str(nuclei), "" if median_area_px is None else f"{median_area_px:g}"


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def _file(output: Path, name: str, *, export: str) -> Path:
    """Name the file of an input for one export, or its part of a table."""
    kind = EXPORTS[export]
    return output / PARTS_NAME / f"{name}.{export}{kind.part}" if kind.join else output / f"{name}{kind.file}"


def _inserted(path: Path, parts: Sequence[Path], *, at: int) -> bool:
    """Insert the rows of one part into the table of all others without reading these; tell whether it was possible."""
    place = _place(path, parts, at=at)
    if place is None:
        return False
    with atomic_path(path) as temporary, path.open("rb") as old, parts[at].open("rb") as rows:
        rows.readline()
        with temporary.open("wb") as joined:
            while place and (block := old.read(min(place, 1 << 20))):
                joined.write(block)
                place -= len(block)
            shutil.copyfileobj(rows, joined)
            shutil.copyfileobj(old, joined)
    return True


def _place(path: Path, parts: Sequence[Path], *, at: int) -> int | None:
    """Find the byte of the table of all other parts at which the rows of one part belong; None if it is no such table.

    It is such a table if no other part is younger, all lengths add up (they would not if a part had other columns), and
    the part before ends at that byte, since a batch joins its inputs in an order of its own.
    """
    try:
        others = [part.stat() for part in (*parts[:at], *parts[at + 1 :])]
        table = path.stat()
        with path.open("rb") as old, parts[at].open("rb") as rows:
            header = old.readline()
            alike = header == rows.readline() and b'"' not in header
        lengths = [other.st_size - len(header) for other in others]
        place = len(header) + sum(lengths[:at])
        before = next((number for number in reversed(range(at)) if lengths[number]), None)
        if before is not None:
            most, end = lengths[before], others[before].st_size
            alike = alike and _tail(path, place, most=most) == _tail(parts[before], end, most=most)
    except OSError:
        return None
    whole = table.st_size == len(header) + sum(lengths) and all(o.st_mtime_ns <= table.st_mtime_ns for o in others)
    return place if alike and whole else None


def _tail(path: Path, end: int, *, most: int) -> bytes:
    """Read the bytes before a place in a file, 64 KiB if there are so many."""
    start = max(end - min(most, 1 << 16), 0)
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(max(end - start, 0))
