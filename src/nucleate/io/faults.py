"""Shared by all readers for files that are not as they should be: one-line errors, silence, the memory limit."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import warnings
from typing import TYPE_CHECKING

from nucleate.core.text import one_line
from nucleate.errors import InputError, NucleateError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_size", "cut_short", "fault", "guarded", "machine_memory", "quiet"]

# warnings.catch_warnings changes the whole process, so two readers at once would undo each other's changes.
_LOCK = threading.RLock()
_LONGEST = 160
_LOUD = ("imagecodecs", "liffile", "nd2", "tifffile", "zarr")


def fault(path: Path, what: object, *, cure: str = "save it again from the program it came from") -> InputError:
    """Make the error for a file, which says which file it is, what is wrong with it and what to do."""
    reason = one_line(" ".join(str(what).split()))
    reason = reason if len(reason) <= _LONGEST else reason[: _LONGEST - 3] + "..."
    return InputError(f"{one_line(str(path))}: {reason}; {cure}")


def cut_short(path: Path, needed: int, *, size: int) -> InputError:
    """Make the error for a file that ends before byte `needed`, to which its header says it reaches."""
    return fault(path, f"cut short: {needed} bytes are needed, the file has {size}", cure="copy or export it again")


def check_size(path: Path, shape: tuple[int, ...], *, itemsize: int, max_bytes: int | None, beside: int = 0) -> None:
    """Compare the size that a file's header announces with the memory limit, before anything is decoded.

    Parameters
    ----------
    path : Path
        The file, named in the message.
    shape : tuple of int
        Shape of all that would be decoded.
    itemsize : int
        Bytes of one value.
    max_bytes : int, optional
        The limit; None stands for the memory of this machine.
    beside : int
        Bytes that decoding takes in addition.

    Raises
    ------
    TooLargeError
        If decoding would take more than the limit.
    """
    limit = machine_memory() if max_bytes is None else max_bytes
    given = math.prod(shape) * itemsize
    needed = given + beside
    if limit is not None and needed > limit:
        size = " x ".join(str(n) for n in shape) + " values"
        what, cure = size, "cut the picture into parts"
        if given <= limit:
            what, cure = f"{size} and the chunks that hold them", "save it in chunks of one plane"
        raise TooLargeError(
            f"{one_line(str(path))}: too large: {what} need {needed / 1e9:.3g} GB, "
            f"{limit / 1e9:.3g} GB are allowed; allow more memory, or {cure}"
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the warnings and log lines of libraries, since whatever matters is raised as an error."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.addFilter(_refuse)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(_refuse)


@contextlib.contextmanager
def guarded(path: Path, kind: str) -> Iterator[None]:
    """Turn any error that the reader of a kind of file raises into one of ours, and hide what libraries say.

    Raises
    ------
    InputError
        In place of any error that is not one of ours.
    """
    try:
        with quiet():
            yield
    except NucleateError:
        raise
    except MemoryError as error:
        raise fault(
            path, "memory ran out while reading it", cure="free memory or cut the picture into parts"
        ) from error
    except OSError as error:
        raise fault(path, f"damaged {kind} file ({error.strerror or error or 'cannot be read'})") from error
    except Exception as error:  # decoders raise anything for a damaged file, struct.error and KeyError included
        raise fault(path, f"damaged {kind} file ({type(error).__name__}: {error})") from error


def _refuse(_: logging.LogRecord) -> bool:
    return False


def machine_memory() -> int | None:
    """Give the bytes of memory of this machine; None if the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
