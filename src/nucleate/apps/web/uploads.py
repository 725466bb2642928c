"""Files from the browser, which go to the disk piece by piece and are never in memory as a whole."""

from __future__ import annotations

import asyncio
import filecmp
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core.files import HALF_WRITTEN, cannot_write, make_folder
from nucleate.core.text import size_text
from nucleate.errors import OutputError, UsageError
from nucleate.io.tiff_head import is_ome
from nucleate.io.tiff_ome import fits_at
from nucleate.run.outputs import check_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["receive"]

_SPARE = 200_000_000
"""Bytes of the disk that are left free."""

_ASKED = 64_000_000
"""Bytes after which the free space is checked again, since others write to the disk, too."""

_naming = threading.Lock()


async def receive(pieces: AsyncIterator[bytes], folder: Path, *, name: str, said: int | None = None) -> Path:
    """Write a file that is being sent into a folder.

    Parameters
    ----------
    pieces : async iterator of bytes
    folder : Path
        Made where it is missing.
    name : str
        Of the file, without folders. If a file of other content has it, ``-2``, ``-3``, ... is added; an OME-TIFF file
        keeps its name, in a folder ``2``, ``3``, ... with the rest of its set, which refers to it by that name.
    said : int, optional
        How many bytes were announced.

    Returns
    -------
    Path
        The file; one that was there, if it has the same content.

    Raises
    ------
    UsageError
        If it cannot be the name of a file, or another number of bytes came than was announced.
    OutputError
        If the disk has no room for it, or cannot be written.
    """
    check_name(name)
    if not name.strip() or name.startswith("."):
        raise UsageError(f"name = {name!r}; give a file with a name that does not begin with a dot")
    make_folder(folder)
    _check_room(folder, name, wanted=said or 0)
    temporary: Path | None = None
    try:
        handle, made = tempfile.mkstemp(dir=folder, prefix=HALF_WRITTEN, suffix=Path(name).suffix)
        temporary = Path(made)
        with os.fdopen(handle, "wb") as stream:
            written = asked = 0
            async for piece in pieces:
                written += len(piece)
                if written - asked >= _ASKED:
                    asked = written
                    _check_room(folder, name, wanted=len(piece))
                stream.write(piece)
        if said is not None and written != said:
            raise UsageError(f"{name}: {written:,} of {said:,} bytes came; send it again")
        path = await asyncio.to_thread(_settle, temporary, folder / name)
    except OSError as error:
        raise cannot_write(folder / name, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _check_room(folder: Path, name: str, *, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if wanted + _SPARE > free:
        raise OutputError(
            f"{name}: no room in {folder}: {size_text(free)} are free; free space or open it by its path instead"
        )


def _settle(temporary: Path, wanted: Path) -> Path:
    """Give a complete file the wanted name, or the nearest free one."""
    with _naming:
        number, path, may_be_of_set = 1, wanted, is_ome(temporary)
        while path.exists() or (may_be_of_set and not fits_at(temporary, path)):
            if path.is_file() and filecmp.cmp(temporary, path, shallow=False):
                return path
            number += 1
            own = Path(str(number), wanted.name) if may_be_of_set else f"{wanted.stem}-{number}{wanted.suffix}"
            path = wanted.parent / own
        make_folder(path.parent)
        temporary.chmod(0o644)
        temporary.replace(path)
    return path
