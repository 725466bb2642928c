"""The list of finished inputs, line by line, so that a run that was stopped can go on where it was.

The file holds one JSON object a line: first the settings, then the names given to inputs, then one line an input that
is finished. Each line is on disk before the next input starts; one that is cut off or damaged is dropped, with all that
follow. A journal that cannot be read or written is an `OutputError`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nucleate.core.files import atomic_path, cannot_write
from nucleate.core.text import one_line
from nucleate.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "JOURNAL_NAME",
    "PARTS_NAME",
    "Journal",
    "Outcome",
    "begun",
    "correct",
    "refuse_begun",
    "refuse_unfinished",
    "sources_of",
]

JOURNAL_NAME = ".nucleate-journal.jsonl"

PARTS_NAME = ".nucleate-parts"
"""The folder of the parts of the common tables; it lies wherever results were written."""


@dataclass(frozen=True)
class Outcome:
    """How one input ended.

    Parameters
    ----------
    name : str
        Name of its results.
    source : str
        Where it came from (`Source.key`).
    status : {"ok", "failed", "not done"}
        ``not done`` if the run was stopped before.
    sha256 : str
        Hash of its content; empty when it could not be read.
    nuclei : int, optional
        How many nuclei were found.
    median_area_px : float, optional
        None without nuclei.
    seconds : float
        Time to read, segment and write it.
    error : str
        One line; empty when all went well.
    files : dict of str to str
        For an input of several files: the place of each, and its hash.
    """

    name: str
    source: str
    status: str
    sha256: str = ""
    nuclei: int | None = None
    median_area_px: float | None = None
    seconds: float = 0.0
    error: str = ""
    files: dict[str, str] = field(default_factory=dict)


class Journal:
    """The list of finished inputs in an output folder.

    Parameters
    ----------
    path : Path
        The journal's file.
    settings : mapping
        Everything that decides the results, JSON types only.
    resume : bool
        Whether an existing journal is taken up. A journal without results is begun anew: if nothing in it went well
        and it has other settings, or if all that was finished failed and this is no resume.

    Raises
    ------
    UsageError
        If there is a journal and `resume` is false, or it was written with other settings.
    OutputError
        If it cannot be read.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        now: dict[str, Any] = json.loads(json.dumps(dict(settings)))  # as the file gives them: tuples become lists
        if not resume:
            refuse_begun(path)
        self.given_up: tuple[list[str], set[str]] = [], set()
        """Names of results that were begun with other settings and never finished, and their exports."""
        lines = _whole_lines(path)
        if lines and not (resume and lines[0].get("settings") == now) and not _finished(lines):
            self.given_up = _names_begun(lines), {*lines[0]["settings"].get("export", "").split(",")}
            lines = []
        if lines:
            _check_settings(path, lines[0]["settings"], now=now)
        self._lines = lines or [{"kind": "settings", "settings": now}]
        self._read()

    def rename(self, keys: Mapping[str, str]) -> None:
        """Give inputs that were moved their new keys, by the old ones; `begin` writes it down."""
        for line in self._lines:
            if line["kind"] == "names":
                line["names"] = {keys.get(key, key): name for key, name in line["names"].items()}
            elif line["kind"] == "done":
                line["source"] = keys.get(line["source"], line["source"])
        self._read()

    def begin(self, names: Mapping[str, str]) -> None:
        """Write down the names given to inputs, before anything is written under them; the file is made here."""
        new = {key: name for key, name in names.items() if key not in self.names}
        self._lines += [{"kind": "names", "names": new}] if new else []
        _write(self.path, self._lines)
        self.names.update(new)

    def add(self, outcome: Outcome) -> None:
        """Write down a finished input; it is on disk when this returns."""
        try:
            with self.path.open("a", encoding="ascii") as stream:
                stream.write(json.dumps({"kind": "done", **asdict(outcome)}) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.done[outcome.source] = outcome

    def _read(self) -> None:
        names = (line["names"] for line in self._lines if line["kind"] == "names")
        self.names = {key: name for one in names for key, name in one.items()}
        ends = ({key: line[key] for key in line if key != "kind"} for line in self._lines if line["kind"] == "done")
        self.done = {end["source"]: Outcome(**end) for end in ends}


def correct(path: Path, name: str, *, counts: Mapping[str, Any]) -> bool:
    """Write down new counts for the results called `name`; tell whether an input of that name is finished.

    Raises
    ------
    OutputError
        If the journal cannot be read or written.
    """
    lines = _whole_lines(path)
    known = [line for line in lines if line["kind"] == "done" and (line["name"], line["status"]) == (name, "ok")]
    for line in known:
        line.update(counts)
    if known:
        _write(path, lines)
    return bool(known)


def begun(path: Path) -> dict[str, str] | None:
    """List the inputs that a journal has as done: hashes by keys.

    None without a journal, and if all that was finished failed, since there is nothing to go on with.

    Raises
    ------
    OutputError
        If it cannot be read.
    """
    lines = _whole_lines(path)
    finished = _finished(lines)
    has_failed = not finished and any(line["kind"] == "done" for line in lines)
    return finished if lines and not has_failed else None


def refuse_begun(path: Path) -> None:
    """Refuse a folder in which another run has begun, for a run that is not to resume it.

    Raises
    ------
    UsageError
        If there is a journal, unless all that was finished in it failed.
    """
    if begun(path) is not None:
        raise UsageError(f"{path.parent} already holds results; add --resume to go on or choose another folder")


def refuse_unfinished(folder: Path) -> None:
    """Refuse the results of a run that still goes on, or was broken off before it wrote its summary.

    Raises
    ------
    UsageError
        If they are of such a run.
    """
    if (folder / JOURNAL_NAME).exists() and not (folder / "summary.csv").exists():
        raise UsageError(f"{one_line(str(folder))}: the run is not finished; wait for it, or go on with --resume")


def sources_of(path: Path) -> dict[str, str]:
    """List all inputs that a journal has given names to, in their order: names by keys; none without a journal.

    Raises
    ------
    OutputError
        If it cannot be read.
    """
    lines = [line for line in _whole_lines(path) if line["kind"] == "names"]
    return {key: name for line in lines for key, name in line["names"].items()}


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot read {path}: {error}; choose another output folder") from error
    lines = []
    for row in text.splitlines():
        try:
            line = json.loads(row)
        except json.JSONDecodeError:
            break
        if not _is_line(line):
            break
        lines.append(line)
    if text and not (lines and lines[0]["kind"] == "settings"):
        raise OutputError(f"{path} is not a journal of this program; choose another output folder")
    return lines


def _is_line(line: object) -> bool:
    match line:
        case {"kind": "settings", "settings": dict()}:
            return True
        case {"kind": "names", "names": dict(names)}:
            return all(isinstance(name, str) for name in names.values())
        case {"kind": "done", "name": str(), "source": str(), "status": str(), "sha256": str(), **others}:
            return others.keys() <= Outcome.__dataclass_fields__.keys()
    return False


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")


def _finished(lines: list[dict[str, Any]]) -> dict[str, str]:
    return {line["source"]: line["sha256"] for line in lines if line["kind"] == "done" and line["status"] == "ok"}


def _names_begun(lines: list[dict[str, Any]]) -> list[str]:
    """List the names of inputs that were begun and not finished; a run that was broken off may have used them."""
    ended = {line["name"] for line in lines if line["kind"] == "done"}
    given = (name for line in lines if line["kind"] == "names" for name in line["names"].values())
    return [name for name in given if name not in ended]


def _check_settings(path: Path, before: dict[str, Any], *, now: dict[str, Any]) -> None:
    changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    if changed:
        listed = ", ".join(f"{key} was {before.get(key)}, is now {now.get(key)}" for key in changed)
        raise UsageError(f"{path.parent} holds results of other settings: {listed}; use those or another folder")
