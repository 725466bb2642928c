"""Checks of what a caller gave: numbers within bounds, and paths."""

from __future__ import annotations

import errno
import math
import os
import re
import stat
from numbers import Integral, Real
from pathlib import Path
from typing import TypeAlias

from nucleate.core.text import one_line
from nucleate.errors import InputError, UsageError

__all__ = ["AnyPath", "address_fault", "as_path", "check_number", "is_number", "is_regular", "regular"]

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""What Python takes as the name of a file."""

_LONGEST_PATH = 4096
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def as_path(given: AnyPath) -> Path:
    """Give the path that a caller means.

    Raises
    ------
    UsageError
        If it is no path, or empty: an empty one would be the current folder.
    InputError
        If it is the content of a file, or an address.

    Examples
    --------
    >>> str(as_path(b"cells.png"))
    'cells.png'
    """
    if isinstance(given, bytes) and (b"\0" in given or len(given) > _LONGEST_PATH):
        raise InputError(f"{len(given)} bytes are no name of a file, but the content of one; give the path of the file")
    if not isinstance(given, str | bytes | os.PathLike):
        raise UsageError(f"no path: got {type(given).__name__}; give the name of a file or folder")
    if given in ("", b""):
        raise UsageError("no path: got an empty text; name a file, or . for this folder")
    name = os.fsdecode(given)
    if fault := address_fault(name):
        raise InputError(f"{one_line(name)}: {fault}")
    return Path(name)


def address_fault(name: str) -> str:
    """Say why an address is no path, and what to do; empty if the name is no address.

    One slash is enough, since `Path` leaves one of two. A file such as ``exp1:/a.tif`` has no address if its folder,
    which ends in a colon, is there.

    Examples
    --------
    >>> address_fault("s3://bucket/plate.zarr")
    'an address; remote stores are not read: copy it here and name the copy'
    """
    found = _ADDRESS.match(name)
    if found is None or os.path.isdir(found.group()):  # noqa: PTH112 - Path.is_dir() may raise
        return ""
    if name.lower().startswith("file:"):
        return "an address; give the path alone, without file://"
    return "an address; remote stores are not read: copy it here and name the copy"


def is_regular(path: Path, *, piped: bool = False) -> bool:
    """Tell whether reading a file comes to an end: of a pipe it may wait for ever, of a device it may go on for ever.

    Parameters
    ----------
    path : Path
    piped : bool
        Whether a pipe that the shell holds open counts too, such as ``<(...)``; one that lies in a folder never does,
        since it cannot be told whether somebody will write to it.

    Raises
    ------
    OSError
        If there is no such file, or it may not be looked at.
    """
    mode = path.stat().st_mode
    if piped and stat.S_ISFIFO(mode):
        return os.path.realpath(path).startswith(("/dev/", "/proc/"))
    return stat.S_ISREG(mode)


def regular(path: Path, *, piped: bool = False) -> Path:
    """Give a path back that is to be read.

    Raises
    ------
    OSError
        If `is_regular` says no, or raises it.
    """
    if not is_regular(path, piped=piped):
        raise OSError(errno.EINVAL, "not a regular file")
    return path


def check_number(
    name: str,
    value: object,
    *,
    least: float,
    most: float = math.inf,
    whole: bool = False,
    optional: bool = False,
) -> None:
    """Refuse a value that `is_number` refuses; None too, unless the value is `optional`.

    Raises
    ------
    UsageError
        If the value is refused; `name` is what the caller calls it.
    """
    if not (optional and value is None) and not is_number(value, least=least, most=most, whole=whole):
        bounds = f", {least} or more" if most == math.inf else f" from {least} to {most}"
        raise UsageError(f"{name} = {value!r}; use a {'whole ' if whole else ''}number{bounds}")


def is_number(value: object, *, least: float, most: float = math.inf, whole: bool = False) -> bool:
    """Tell whether a value is a number, Python's or NumPy's, within bounds; True and False are no numbers.

    Examples
    --------
    >>> [is_number(value, least=0, most=2) for value in (1.5, True, "1", 3)]
    [True, False, False, False]
    >>> is_number(1.5, least=0, whole=True)
    False
    """
    kind = Integral if whole else Real
    return not isinstance(value, bool) and isinstance(value, kind) and not value < least and value <= most
