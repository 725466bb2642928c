"""Results as one file to be saved: existing files are sent from where they lie, and several are packed on the way.

Other kinds of files are written by the same writers on demand.
"""

from __future__ import annotations

import contextlib
import shutil
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucleate.apps.web.views import FileLabels
from nucleate.core.files import cannot_write
from nucleate.core.project import projected
from nucleate.core.text import encodable
from nucleate.errors import MissingExtraError, UsageError
from nucleate.run import outputs
from nucleate.run.exports import EXPORTS
from nucleate.run.journal import PARTS_NAME
from nucleate.run.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nucleate.apps.web.store import Entry, Finished
    from nucleate.apps.web.views import Views

__all__ = ["Download", "available", "prepare"]

_RUN_FILES = ("summary.csv", "run.json")
_PACKED = {".png", ".zip", ".tif", ".parquet", ".h5ad"}  # compressed already
_LEVEL = 3
_PIECE = 1 << 20


@dataclass(frozen=True)
class Download:
    """Files to be saved as one.

    Parameters
    ----------
    name : str
        Name under which the browser saves it.
    files : dict of str to Path
        The path of each file, by its name in the archive.
    """

    name: str
    files: dict[str, Path]

    @property
    def alone(self) -> Path | None:
        """The file itself, if there is only one."""
        return next(iter(self.files.values())) if len(self.files) == 1 else None

    @property
    def nbytes(self) -> int:
        """Bytes of all files, before they are packed."""
        return sum(path.stat().st_size for path in self.files.values())

    def is_there(self) -> bool:
        """Tell whether all files are still there."""
        return all(path.is_file() for path in self.files.values())

    def packed(self) -> Iterator[bytes]:
        """Give a zip archive piece by piece; the whole is never stored."""
        sink = _Sink()
        with zipfile.ZipFile(sink, "w") as archive:
            for name, path in self.files.items():
                info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
                # Level 0, not "stored": programs that unpack a stream must see where a file ends.
                info.compress_type = zipfile.ZIP_DEFLATED
                info._compresslevel = 0 if path.suffix in _PACKED else _LEVEL  # type: ignore[attr-defined]
                with path.open("rb") as source, archive.open(info, "w") as target:
                    while piece := source.read(_PIECE):
                        target.write(piece)
                        yield sink.taken()
        yield sink.taken()


class _Sink:
    """Where an archive is written to, to be taken piece by piece."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def write(self, piece: bytes) -> int:
        self._kept += piece
        return len(piece)

    def flush(self) -> None:
        """Do nothing, since there is no file to flush."""

    close = flush

    def taken(self) -> bytes:
        piece = bytes(self._kept)
        self._kept.clear()
        return piece


def available() -> list[dict[str, str]]:
    """List what can be downloaded: name, description, and the library it needs if that is missing or fails to load."""
    found = []
    for name, kind in EXPORTS.items():
        needs = ""
        try:
            outputs.check_exports(name)
        except MissingExtraError as error:
            needs = str(error)
        found.append({"name": name, "what": kind.what, "needs": needs})
    return found


def prepare(entries: Sequence[Entry], exports: Sequence[str], *, views: Views, folder: Path) -> Download:
    """Gather files of some images.

    Parameters
    ----------
    entries : sequence of Entry
        The images; those without results are left out.
    exports : sequence of str
        Of `nucleate.run.exports.EXPORTS`.
    views : Views
        Opens the images.
    folder : Path
        An empty folder, for files that have to be written.

    Returns
    -------
    Download
        In several files, with a folder for each folder of results if the images have several.

    Raises
    ------
    UsageError
        If none of the images has results, or there is no such export.
    ChangedError
        If a file has to be written for an image that has changed since.
    NucleateError
        If a file cannot be read or written.
    """
    if not exports:
        raise UsageError("no kind of file is ticked; tick at least one")
    wanted = outputs.check_exports(",".join(exports))
    groups: dict[Path, list[Entry]] = {}
    for entry in entries:
        if entry.finished is not None:
            groups.setdefault(entry.finished.folder, []).append(entry)
    if not groups:
        raise UsageError("nothing to download: find nuclei first")
    files: dict[str, Path] = {}
    for number, (results, members) in enumerate(groups.items()):
        under = f"{results.name}/" if len(groups) > 1 else ""
        found = _gather(members, wanted, views=views, place=folder / str(number))
        found |= {name: results / name for name in (_RUN_FILES if len(entries) > 1 else ())}
        files |= {encodable(under + name): path for name, path in found.items() if path.is_file()}
    return Download(encodable(_archive_name(entries, files)), dict(sorted(files.items())))


def _archive_name(entries: Sequence[Entry], files: dict[str, Path]) -> str:
    if len(files) == 1:
        return next(iter(files.values())).name
    one = entries[0].finished if len(entries) == 1 else None
    return "nucleate-results.zip" if one is None else f"{one.outcome.name}.zip"


def _gather(entries: Sequence[Entry], exports: Sequence[str], *, views: Views, place: Path) -> dict[str, Path]:
    """Find the files of some images, and write into `place` those that are not there."""
    outputs.prepare_folder(place)
    names: list[str] = []
    found: dict[str, Path] = {}
    for entry in entries:
        finished = entry.finished
        assert finished is not None
        name = finished.outcome.name
        names.append(name)
        missing = []
        for export in exports:
            there = finished.file(export)
            [wanted] = outputs.files_of(place, name, exports=[export])
            if not there.exists():
                missing.append(export)
            elif wanted.parent == place:
                found |= _all_in(there, top=there.parent)
            else:
                _lend(there, wanted)
        if missing:
            _write(entry, finished, exports=missing, views=views, place=place)
    outputs.join_tables(place, names, exports=exports)
    shutil.rmtree(place / PARTS_NAME)
    return found | _all_in(place, top=place)


def _all_in(path: Path, *, top: Path) -> dict[str, Path]:
    """List a file, or the files in a folder, by their names from `top` on."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return {one.relative_to(top).as_posix(): one for one in files}


def _lend(part: Path, place: Path) -> None:
    """Let a part of a table appear in another folder; it is copied only if the system knows no links."""
    try:
        try:
            place.symlink_to(part.absolute())
        except OSError:
            shutil.copyfile(part, place)
    except OSError as error:
        raise cannot_write(place, error) from error


def _write(entry: Entry, finished: Finished, *, exports: Sequence[str], views: Views, place: Path) -> None:
    """Write the kinds of files that are missing, from the label image that is there."""
    choices = finished.choices
    views.check(entry, finished)
    with entry.source.open(place / PARTS_NAME) as opened:
        image = projected(opened, choices.project)
        shown = image.channel(choices.channel)
        with contextlib.closing(FileLabels.of(finished, shown)) as labels:
            result = Result(
                finished.outcome.name,
                image,
                shown,
                labels,
                views.nuclei(finished).confidence[1:].astype("float32"),
                file_name=entry.source.file_name,
                is_projected=image is not opened,
            )
            outputs.write_result(result, place, exports=exports)
