"""The files of a data set, in a folder or in a zip: listed, read in place, never written to."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nucleate.core.checks import address_fault, regular
from nucleate.core.files import scratch_folder
from nucleate.core.folders import each_folder
from nucleate.core.text import counted, one_line
from nucleate.errors import DataError, UnfitDataError, UsageError
from nucleate.io.images import is_zarr

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager

__all__ = ["MAX_FILE_BYTES", "FolderSource", "Source", "ZipSource", "is_stored", "no_layout", "open_source"]

MAX_FILE_BYTES = 2**30
"""The largest single file read from a data set, unpacked; anything larger is treated as a decompression bomb."""

_PART = "::"
_ROI = ".roi"
_BLOCK = 2**20

_logger = logging.getLogger(__name__)


class Source(ABC):
    """Files of a data set under names with forward slashes.

    Parameters
    ----------
    path : Path
        The folder or the zip.
    part : str
        Only what lies below this folder inside it; "" for all.
    """

    def __init__(self, path: Path, part: str = "") -> None:
        self.path = path
        self.part = part.strip("/")
        self.names: list[str] = []
        """Every file, sorted, without hidden files and macOS resource folders."""
        self.folders: set[str] = set()
        """Every known folder, including empty ones."""

    def __str__(self) -> str:
        return f"{self.path}{_PART}{self.part}" if self.part else str(self.path)

    @property
    def given(self) -> str:
        """The path that was given for all of it: as ``str`` says, or that of a single file."""
        return str(self)

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read one file.

        Raises
        ------
        DataError
            If it is damaged, missing or larger than `MAX_FILE_BYTES`.
        """

    @abstractmethod
    def file(self, name: str) -> AbstractContextManager[Path]:
        """Give the path of a file while a ``with`` block lasts; for a file in a zip, the path of a copy.

        Raises
        ------
        DataError
            As `read`.
        """

    @abstractmethod
    def fingerprint(self, used: Collection[str] | None = None) -> str:
        """Give a hexadecimal hash of names and contents; equal content means an equal hash.

        Parameters
        ----------
        used : collection of str, optional
            Names and folders that count; everything when None.
        """

    def _fill(self, names: list[str]) -> None:
        below = f"{self.part}/" if self.part else ""
        names = [name for name in names if name.startswith(below) and not _hidden(name)]
        self.names = sorted(name for name in names if not name.endswith("/"))
        self.folders = {name.rstrip("/") for name in names if name.endswith("/")}
        parents = {str(parent) for name in names for parent in PurePosixPath(name).parents}
        self.folders.update(parents - {"."})
        if self.part and not names:
            raise UsageError(f"no folder {self.part!r} in {self.path}; give one that is in it")


class FolderSource(Source):
    """A data set in a folder, without the contents of Zarr folders in it; or `only` one of the files there."""

    def __init__(self, path: Path, part: str = "", *, only: str | None = None) -> None:
        super().__init__(path, part)
        self._only = only
        if only is not None:
            self._fill([only])
            return
        names: list[str] = []
        for here, folders, files in each_folder(path, self._note):
            if here != path and is_stored(here):  # its metadata are JSON, like outlines
                folders.clear()
                continue
            folders[:] = [name for name in folders if not _hidden(name)]
            below = here.relative_to(path)
            names += [] if here == path else [f"{below.as_posix()}/"]
            names += [(below / name).as_posix() for name in files]
        self._fill(names)

    @property
    def given(self) -> str:
        """The folder, or its only file (see `Source.given`)."""
        return str(self) if self._only is None else str(self.path / self._only)

    def _note(self, error: OSError) -> None:
        where = one_line(os.path.relpath(error.filename, self.path))
        why = f"cannot be listed: {error.strerror}; check that it may be read"
        _logger.warning("%s: passed over the folder %s, which %s", self, where, why)

    def read(self, name: str) -> bytes:
        """Read one file (see `Source.read`)."""
        with self.file(name) as path:
            try:
                return path.read_bytes()
            except OSError as error:
                raise DataError(_unreadable(path, error)) from error

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give the path of a file (see `Source.file`)."""
        path = self.path / name
        try:
            size = regular(path).stat().st_size
        except OSError as error:
            raise DataError(_unreadable(path, error)) from error
        if size > MAX_FILE_BYTES:
            raise DataError(_too_large(str(path), size))
        yield path

    def fingerprint(self, used: Collection[str] | None = None) -> str:
        """Hash names and bytes of files of any size, since a file beside the pictures may be a whole slide."""
        digest = hashlib.sha256(b"folder")
        for name in self.names:
            if used is not None and name not in used:
                continue
            path = self.path / name
            try:
                with regular(path).open("rb") as stream:
                    digest.update(os.fsencode(f"{name}\n{os.fstat(stream.fileno()).st_size}\n"))
                    while block := stream.read(_BLOCK):
                        digest.update(block)
            except OSError as error:
                raise DataError(_unreadable(path, error)) from error
        for folder in sorted(self.folders if used is None else self.folders.intersection(used)):
            digest.update(os.fsencode(f"{folder}/\n"))
        return digest.hexdigest()


class ZipSource(Source):
    """A data set in a zip; entries are decompressed in memory, one at a time, or on disk while a reader has them open.

    Raises
    ------
    DataError
        If the file is no zip or its directory is damaged.
    """

    def __init__(self, path: Path, part: str = "") -> None:
        super().__init__(path, part)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(f"cannot open {path}: {error}; give a whole zip file or a folder") from error
        self._entries = {entry.filename.removeprefix("./"): entry for entry in self._zip.infolist()}
        self._fill(list(self._entries))

    def read(self, name: str) -> bytes:
        """Unpack one entry in memory (see `Source.read`); its CRC32 is checked."""
        shown = f"{name} in {self.path}"
        entry = self._entries.get(name)
        if entry is None:
            raise DataError(f"no {shown}; the data set lacks a file it should have")
        if entry.file_size > MAX_FILE_BYTES:
            raise DataError(_too_large(shown, entry.file_size))
        try:
            return self._zip.read(entry)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            # RuntimeError is what zipfile raises for an encrypted entry.
            raise DataError(f"cannot read {shown}: {error}; get the zip again") from error

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Unpack one entry for as long as the block lasts (see `Source.file`)."""
        data = self.read(name)
        with scratch_folder() as folder:
            path = (folder / "picture").with_suffix(PurePosixPath(name).suffix)
            try:
                path.write_bytes(data)
            except OSError as error:
                raise DataError(
                    f"cannot unpack {name} in {self.path}: {error.strerror}; make room in {folder}, or let TMPDIR name "
                    "another folder"
                ) from error
            yield path

    def fingerprint(self, used: Collection[str] | None = None) -> str:
        """Hash the central directory: name, size and CRC32 of entries; the pixels are not read."""
        digest = hashlib.sha256(b"zip")
        for name in sorted(self._entries):
            if used is not None and name.rstrip("/") not in used:
                continue
            entry = self._entries[name]
            digest.update(f"{name}\n{entry.file_size}\n{entry.CRC}\n".encode())
        return digest.hexdigest()


def open_source(path: Path | str) -> Source:
    """Open a data set for reading.

    Parameters
    ----------
    path : path-like
        A folder, a zip, or either with a folder inside it behind two colons: ``subset.zip::train``. A file of another
        kind is a data set of one file, and so is a zip of only ImageJ regions, which belong to one picture.

    Raises
    ------
    UsageError
        If the path does not exist.
    DataError
        If it is a damaged zip.
    """
    text, part = str(path), ""
    if _PART in text and not Path(text).exists():
        text, part = text.rsplit(_PART, 1)
    place = Path(text)
    if place.is_dir():
        return FolderSource(place, part)
    if place.is_file():
        if place.suffix.lower() == ".zip" or zipfile.is_zipfile(place):
            zipped = ZipSource(place, part)
            if not zipped.names or not all(name.lower().endswith(_ROI) for name in zipped.names):
                return zipped
        return FolderSource(place.parent, only=place.name)
    if place.exists():
        raise UsageError(f"{text}: not a regular file; give a file or folder")
    why = address_fault(text) or "no such file or folder; give a path that is there"
    raise UsageError(f"nothing at {text}: {why}")


def no_layout(source: Source) -> UnfitDataError:
    """Give the error for files that are annotated in no way that is known; it lists the ways that are."""
    return UnfitDataError(
        f"{source.given} has no known layout: got {counted(len(source.names), 'file')}; give <id>/images + <id>/masks, "
        "images/ + labels/ with equal names, a.tif + a_masks.tif, or pictures with outlines (GeoJSON, ImageJ ROIs, "
        "XML, COCO)"
    )


def is_stored(folder: Path) -> bool:
    """Tell whether a folder holds Zarr, as far as rights allow: some folders may be listed, but not entered."""
    with contextlib.suppress(OSError):
        return is_zarr(folder)
    return False


def _hidden(name: str) -> bool:
    return any(piece.startswith(".") or piece == "__MACOSX" for piece in name.rstrip("/").split("/"))


def _unreadable(path: Path, error: OSError) -> str:
    return f"cannot read {path}: {error.strerror}; restore the file or remove it"


def _too_large(shown: str, size: int) -> str:
    return f"{shown} would take {size} bytes unpacked, over the limit of {MAX_FILE_BYTES}; remove or crop it"
