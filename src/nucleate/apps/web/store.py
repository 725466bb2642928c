"""The list of opened images and their status; it lives in the server, so that a page loaded anew shows it again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nucleate.core.text import one_line
from nucleate.run.outputs import files_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nucleate.apps.web.choices import Choices
    from nucleate.run.inputs import Source
    from nucleate.run.journal import Outcome

__all__ = ["Entry", "Finished", "Store"]

_IS_PART = "part of another open image now; its results are those from before"


@dataclass(frozen=True)
class Finished:
    """Results of one image.

    Parameters
    ----------
    outcome : Outcome
    folder : Path
        Folder of its files.
    choices : Choices
        The choices that they were made with.
    """

    outcome: Outcome
    folder: Path
    choices: Choices

    def file(self, export: str) -> Path:
        """Give the place of one kind of file, from `nucleate.run.exports.EXPORTS`, whether it exists or not."""
        [path] = files_of(self.folder, self.outcome.name, exports=[export])
        return path


@dataclass(frozen=True)
class Entry:
    """One opened image.

    Parameters
    ----------
    number : int
        A number that no other image of this run of the server has.
    source : Source
    word : str
        What the user named to open it: a path, a folder, a pattern.
    status : {"new", "waiting", "running", "ok", "failed"}
    error : str
        One line; empty if all went well.
    finished : Finished, optional
        Its latest results.
    revision : int
        Of the store when it last changed.
    """

    number: int
    source: Source
    word: str
    status: str = "new"
    error: str = ""
    finished: Finished | None = None
    revision: int = 0

    def shown(self) -> dict[str, Any]:
        """Give the image as the page lists it."""
        outcome = None if self.finished is None else self.finished.outcome
        return {
            "id": self.number,
            "name": one_line(self.source.stem),
            "path": self.source.shown,
            "status": self.status,
            "error": self.error,
            "nuclei": None if outcome is None else outcome.nuclei,
            "median_area_px": None if outcome is None else outcome.median_area_px,
            "seconds": None if outcome is None else outcome.seconds,
            "folder": None if self.finished is None else str(self.finished.folder),
            "revision": self.revision,
        }


class Store:
    """Opened images, in order. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[int, Entry] = {}
        self._numbers: dict[str, int] = {}
        self._last = self._cleared = self._revision = 0

    def add(self, sources: Iterable[Source], word: str) -> list[int]:
        """Open images and give their numbers; images that are open already stay open once, with the new source."""
        with self._lock:
            numbers = []
            for source in sources:
                number = self._numbers.get(source.key)
                status = "failed" if source.problem else "new"
                if number is None:
                    self._last = number = self._last + 1
                    self._numbers[source.key] = number
                    self._put(Entry(number, source, word, status, source.problem))
                elif source.problem != self._entries[number].source.problem:
                    self.change(number, source=source, status=status, error=source.problem)
                else:  # nothing that is shown changes
                    self._entries[number] = replace(self._entries[number], source=source)
                numbers.append(number)
            return numbers

    def clear(self) -> None:
        """Close all images; their files and results stay."""
        with self._lock:
            self._entries.clear()
            self._numbers.clear()
            self._revision += 1
            self._cleared = self._revision

    def drop(self, sources: Iterable[Source]) -> None:
        """Close images that turned out to be part of others, which are listed anew.

        Images that wait to be done stay, and so do those with results, which get a note.
        """
        with self._lock:
            found = [self._entries[self._numbers[one.key]] for one in sources if one.key in self._numbers]
            gone = [entry for entry in found if entry.status in {"new", "failed"} and entry.finished is None]
            for entry in gone:
                del self._entries[entry.number], self._numbers[entry.source.key]
            for entry in found:
                if entry.finished is not None:
                    self.change(entry.number, error=_IS_PART)
            if gone:
                self._revision += 1
                self._cleared = self._revision
                for entry in self.entries():
                    self._put(entry)

    def get(self, number: int) -> Entry | None:
        """Give an image; None if it is not open."""
        with self._lock:
            return self._entries.get(number)

    def entries(self, numbers: Iterable[int] | None = None) -> list[Entry]:
        """List open images, all when None."""
        with self._lock:
            if numbers is None:
                return list(self._entries.values())
            return [self._entries[number] for number in numbers if number in self._entries]

    def words(self) -> list[str]:
        """List the words that opened the images, each once."""
        return list(dict.fromkeys(entry.word for entry in self.entries()))

    def change(self, number: int, **values: Any) -> None:  # noqa: ANN401 - fields of an Entry
        """Change fields of an image, if it is still open."""
        with self._lock:
            if number in self._entries:
                self._put(replace(self._entries[number], **values))

    def since(self, revision: int) -> dict[str, Any]:
        """Give the changes since a revision: images, and whether images known before are gone."""
        with self._lock:
            anew = revision < self._cleared or revision > self._revision
            changed = [e.shown() for e in self._entries.values() if anew or e.revision > revision]
            return {"revision": self._revision, "anew": anew, "images": changed, "count": len(self._entries)}

    def _put(self, entry: Entry) -> None:
        self._revision += 1
        self._entries[entry.number] = replace(entry, revision=self._revision)
