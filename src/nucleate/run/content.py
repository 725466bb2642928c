"""The bytes of an input: their hash, and its place as a plain file."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from nucleate.core.checks import is_regular
from nucleate.core.files import absolute, scratch_folder, short_name
from nucleate.errors import InputError, TooLargeError
from nucleate.run.archives import entry_of, open_entry
from nucleate.run.pictures import files_of_set, stamp_of, tell_of_more

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nucleate.run.inputs import Source

__all__ = ["content_hash", "local_file"]

_BLOCK = 1 << 20


def content_hash(source: Source, each: dict[str, str] | None = None, *, alone: bool = False) -> str:
    """Compute the SHA-256 of an input's bytes, in hexadecimal; a folder counts as its files' names and bytes.

    Parameters
    ----------
    source : Source
        If it is a set of files, the hash is that of a text with the hash of each, line by line.
    each : dict of str to str, optional
        Gets the place of each file of a set, and its hash.
    alone : bool
        Whether only its own file counts.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If it cannot be read, or has a problem that was known before.
    """
    if source.problem:
        raise InputError(source.problem)
    try:
        own = _hash_once(source, source.path)
        others = [] if alone else files_of_set(source)
        hashes = {absolute(source.path): own} | {absolute(file): _hash_once(source, file) for file in others}
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{source.shown}: cannot be read: {reason}; check that it is there and may be read") from error
    if not others:
        return own
    if each is not None:
        each.update(hashes)
    return hashlib.sha256("".join(f"{one}\n" for one in hashes.values()).encode()).hexdigest()


@contextlib.contextmanager
def local_file(source: Source, folder: Path | None = None, *, max_bytes: int | None = None) -> Iterator[Path]:
    """Give the path of an input as a plain file; the member of a zip is unpacked for this time.

    Parameters
    ----------
    source : Source
    folder : Path, optional
        Where to; the system's folder for temporary files when None.
    max_bytes : int, optional
        Most that a member may take.

    Raises
    ------
    InputError
        If the archive or its member is damaged or encrypted, or there is no room for it.
    TooLargeError
        If the member unpacks to more than `max_bytes`.
    """
    if not source.member:
        yield source.path
        return
    with contextlib.ExitStack() as closing:
        try:
            # Each gets a folder, since members of one name may be unpacked at the same time.
            own = closing.enter_context(scratch_folder(folder or tempfile.gettempdir()))
            name = PurePosixPath(source.member)
            target = own / f"{short_name(name.stem)}{name.suffix}"
            _unpack(source, target, max_bytes=max_bytes)
        except OSError as error:
            place = folder or tempfile.tempdir or "the temporary folder"
            cure = f"make room in {place}, or let TMPDIR name another folder"
            raise InputError(f"{source.shown}: cannot be unpacked: {error.strerror or error}; {cure}") from error
        tell_of_more(source.path, source.member, unpacked=target)
        yield target


def _unpack(source: Source, target: Path, *, max_bytes: int | None) -> None:
    _check_regular(source)
    with _opened(source) as stream, target.open("wb") as copy:
        written = 0
        while block := stream.read(_BLOCK):
            written += len(block)
            if max_bytes is not None and written > max_bytes:
                raise TooLargeError(f"{source.shown}: unpacks to over {max_bytes:,} bytes; raise --memory")
            copy.write(block)


def _feed(update: Callable[[bytes], None], stream: BinaryIO) -> None:
    while block := stream.read(_BLOCK):
        update(block)


def _hash_once(source: Source, path: Path) -> str:
    """Hash a file once as long as it does not change, since each of its pictures needs the hash, and so do searches."""
    return _hash_at(replace(source, path=path, picture=None, name=""), stamp_of(path))


@functools.lru_cache(maxsize=65536)
def _hash_at(source: Source, _stamp: object) -> str:
    digest = hashlib.sha256()
    if source.path.is_dir():
        for file in sorted(p for p in source.path.rglob("*") if p.is_file()):
            digest.update(os.fsencode(file.relative_to(source.path)) + b"\0")
            with file.open("rb") as stream:
                _feed(digest.update, stream)
        return digest.hexdigest()
    _check_regular(source)
    with _opened(source) if source.member else source.path.open("rb") as stream:
        _feed(digest.update, stream)
    return digest.hexdigest()


def _check_regular(source: Source) -> None:
    if not is_regular(source.path):
        raise InputError(f"{source.shown}: not a regular file; name an image")


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    """Open the member of an archive."""
    try:
        with open_entry(source.path, entry_of(source.path, source.member, known=source.entry)) as member:
            yield member
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        what = f"cannot be unpacked: {str(error) or 'it ends too soon'}; check the archive"
        raise InputError(f"{source.shown}: {what}") from error
