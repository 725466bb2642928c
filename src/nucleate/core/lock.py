"""One process at a time: a lock file that the system lets go when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nucleate.errors import OutputError, UsageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["locked", "locked_folder"]


@contextlib.contextmanager
def locked_folder(folder: Path, lock: str, *, wait: bool = False) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs.

    Parameters
    ----------
    folder : Path
    lock : str
        Name of the lock file in it.
    wait : bool
        Wait for another run that is there to end.

    Raises
    ------
    UsageError
        If another one is there.
    OutputError
        If the lock file cannot be made.
    """
    with locked(folder / lock, wait=wait) as ours:
        if not ours:
            raise UsageError(f"{folder}: another run is writing there; wait for it or choose another output folder")
        yield


@contextlib.contextmanager
def locked(path: Path | str, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file while the block runs.

    Parameters
    ----------
    path : path-like
        The file, made if it is not there, and left behind, since its presence alone means nothing.
    wait : bool
        Wait for another holder to end; otherwise give False at once, and the block runs without the lock.

    Yields
    ------
    bool
        Whether the lock is held. It is let go at the end of the block, and by the system if the process is killed.
        On file systems without locks, every caller is let in.

    Raises
    ------
    OutputError
        If the file cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.lock"
    ...     with locked(path) as ours, locked(path, wait=False) as theirs:
    ...         (ours, theirs)
    (True, False)
    """
    try:
        stream = Path(path).open("ab")  # noqa: SIM115 - closed below, which also lets the lock go
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another output folder") from error
    with stream:
        yield _take(stream, wait=wait)


if sys.platform == "win32":

    def _take(stream: IO[bytes], *, wait: bool) -> bool:
        stream.seek(0)
        while True:
            try:
                # LK_LOCK gives up after ten seconds.
                msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    return False
            else:
                return True

else:

    def _take(stream: IO[bytes], *, wait: bool) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:
                raise
        return True
