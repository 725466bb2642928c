"""Writing files so that no half-written one is ever found under a final name."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import os
import re
import shutil
import tempfile
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TextIO

__all__ = [
    "HALF_WRITTEN",
    "absolute",
    "atomic_folder",
    "atomic_path",
    "atomic_text",
    "cannot_write",
    "check_folder",
    "check_place",
    "distinct_names",
    "in_file_name",
    "make_folder",
    "plain_name",
    "scratch_folder",
    "short_name",
    "temporary_folder",
    "write_rows",
    "write_text",
]

HALF_WRITTEN = ".writing-"
"""What names of files and folders begin with while they are written."""

_LONGEST_NAME = 220  # bytes

_CURES = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free space",
    errno.ENOENT: "its folder is not there: make it",
    errno.EACCES: "get the right to write there",
    errno.EPERM: "get the right to write there",
    errno.EROFS: "make it writable",
    errno.EFBIG: "raise the limit on the size of files",
    errno.ENAMETOOLONG: "give a shorter name",
}


def absolute(path: Path | str) -> str:
    """Give a full path in which links stay links.

    Examples
    --------
    >>> absolute("/slides/old/../new.svs")
    '/slides/new.svs'
    """
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is flushed to disk and takes the final name.

    The temporary name keeps the suffix, since writers look at it. On any error, Ctrl-C included, the temporary file is
    removed and the old file, if there was one, stays as it was. A link stays a link: the file it leads to is written,
    even if that was not there.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full.
    """
    suffix, path = Path(path).suffix, _behind_link(Path(path))
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=HALF_WRITTEN, suffix=suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # After the writing, since a writer may have put a private file of its own there.
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


@contextlib.contextmanager
def atomic_text(path: Path | str) -> Iterator[TextIO]:
    r"""Give a stream of text in UTF-8 for a temporary file that takes the final name as `atomic_path` does.

    Line ends stay as they are written. Bytes of a file name that are no text are written as escapes, ``\udcff``, since
    UTF-8 cannot hold them.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        yield stream


def write_text(path: Path | str, text: str) -> None:
    """Write a text as `atomic_text` does, whole or not at all.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full.
    """
    with atomic_text(path) as stream:
        stream.write(text)


def write_rows(path: Path | str, rows: Iterable[Iterable[object]], *, header: Sequence[str]) -> None:
    """Write a table as CSV as `atomic_text` does, whole or not at all.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    rows : iterable of iterable
        Rows are taken one by one, so that they need not be in memory together; None is an empty cell.
    header : sequence of str
        The first line.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full.
    """
    with atomic_text(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; on success it is flushed to disk and takes the final name.

    On any error, Ctrl-C included, the temporary folder is removed and the old folder, if there was one, stays as it
    was. A folder cannot be put over another, so a kill in the instant of the exchange leaves neither.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    path = Path(path)
    temporary = old = None
    try:
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=HALF_WRITTEN, suffix=path.suffix))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb+") as stream:
                    os.fsync(stream.fileno())
        if path.is_dir() and not path.is_symlink():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=HALF_WRITTEN))
            path.replace(old / path.name)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if old is not None and not path.exists():
            (old / path.name).replace(path)
        for left in (temporary, old):
            if left is not None:
                shutil.rmtree(left, ignore_errors=True)


def plain_name(name: str) -> str:
    """Give the nearest name under which files lie in their folder, are not hidden, and do not look half-written.

    Examples
    --------
    >>> [plain_name(name) for name in ("cells", "a/b", "..", ".writing-a", "")]
    ['cells', 'a_b', '_.', '_writing-a', '_']
    """
    plain = name.replace("/", "_").replace("\\", "_")
    return plain if plain and plain[0] != "." else f"_{plain[1:]}"


def in_file_name(text: str) -> str:
    """Make a text fit to be a part of a file's name.

    Examples
    --------
    >>> in_file_name("Position 1/3")
    'Position_1_3'
    """
    return re.sub(r"[^\w.+-]+", "_", text).strip("_.")


def short_name(name: str) -> str:
    r"""Cut a name so that it leaves room for a number and an ending; a hash keeps names apart that are cut.

    Letters that names of files cannot have where these are ASCII become escapes, ``\xe9``.

    Examples
    --------
    >>> short_name("cells"), len(short_name(300 * "x"))
    ('cells', 220)
    """
    try:
        whole = os.fsencode(name)
    except UnicodeEncodeError:  # as where names of files are ASCII
        name = name.encode("ascii", "backslashreplace").decode("ascii")
        whole = os.fsencode(name)
    # File systems take names of up to 255 bytes.
    if len(whole) <= _LONGEST_NAME:
        return name
    cut = name[:_LONGEST_NAME]
    while len(os.fsencode(cut)) > _LONGEST_NAME - 9:
        cut = cut[:-1]
    return f"{cut}-{hashlib.sha256(whole).hexdigest()[:8]}"


def distinct_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Add ``-2``, ``-3``, ... to names that are taken, or differ from a taken one only in case or writing of accents.

    Examples
    --------
    >>> distinct_names(["A", "a", "A-2", "b"])
    ['A', 'a-2', 'A-2-2', 'b']
    """
    used = {_folded(name) for name in taken}
    last: dict[str, int] = {}
    distinct = []
    for stem in names:
        name, number = stem, last.get(_folded(stem), 1)
        while _folded(name) in used:
            number += 1
            name = f"{stem}-{number}"
        distinct.append(name)
        used.add(_folded(name))
        last[_folded(stem)] = number
    return distinct


def check_folder(path: Path | str) -> None:
    """Refuse a path where a folder is wanted if it, or a part above it, is a file or a link to nothing.

    Raises
    ------
    UsageError
        If so.
    """
    there = next((place for place in (Path(path), *Path(path).parents) if os.path.lexists(place)), None)
    if there is not None and not os.path.isdir(there):  # noqa: PTH112 - in pathlib both raise without rights
        what = "a file" if os.path.exists(there) else "a link to no folder"  # noqa: PTH110
        raise UsageError(f"{there} is {what}; name a folder")


def make_folder(path: Path | str) -> Path:
    """Create a folder with its parents.

    Raises
    ------
    UsageError
        If a file stands in its place or above it.
    OutputError
        If it cannot be made.
    """
    path = Path(path)
    check_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {path}: {error.strerror}; choose another output folder") from error
    return path


def check_place(path: Path | str) -> None:
    """See that a file that is to be written later can be; nothing is made.

    Its folder may be missing: then the next folder above it is looked at, in which `make_folder` makes it later.

    Raises
    ------
    UsageError
        If a folder or a device has the file's name, or a file stands in the place of its folder.
    OutputError
        If the folder cannot be made or written.
    """
    path = Path(path)
    check_folder(path.parent)
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a file")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no file, and would be replaced by one; name a file")
        place = next((one for one in path.parents if one.exists()), path.parent)
        place = _behind_link(path).parent if place == path.parent else place
        with tempfile.TemporaryFile(dir=place, prefix=HALF_WRITTEN):
            pass
    except OSError as error:
        raise cannot_write(_behind_link(path), error) from error


def temporary_folder() -> str:
    """Name the system's folder for temporary files.

    Raises
    ------
    OutputError
        If there is none that can be written.
    """
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise OutputError("no temporary folder can be written; set TMPDIR to a folder that can") from error


@contextlib.contextmanager
def scratch_folder(within: Path | str | None = None) -> Iterator[Path]:
    """Make a private folder that is removed with all that is in it when the block ends.

    Parameters
    ----------
    within : path-like, optional
        Folder in which it is made; the system's folder for temporary files when None.

    Yields
    ------
    Path
        The folder, called ``nucleate-...``. What cannot be removed, as a file that is open on Windows, is left behind.

    Raises
    ------
    OutputError
        If no temporary folder can be written.
    OSError
        If the folder cannot be made.
    """
    place = temporary_folder() if within is None else within
    with tempfile.TemporaryDirectory(prefix="nucleate-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def cannot_write(path: Path | str, error: OSError) -> OutputError:
    """Say in one line why a file could not be written and what helps.

    Examples
    --------
    >>> print(cannot_write("a.csv", OSError(errno.ENOSPC, "No space left on device")))
    cannot write a.csv: No space left on device; free space or choose another output folder
    """
    reason, cure = error.strerror or str(error), _CURES.get(error.errno or 0, "check the disk")
    return OutputError(f"cannot write {path}: {reason}; {cure} or choose another output folder")


def _behind_link(path: Path) -> Path:
    return Path(os.path.realpath(path)) if os.path.islink(path) else path  # noqa: PTH114 - Path.is_symlink() may raise


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _umask() -> int:
    # Files made by tempfile are private, so the mask is needed; it can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
