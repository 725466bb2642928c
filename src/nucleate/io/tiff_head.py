"""Reads the beginning of a TIFF file in three short reads, which tell what wrote it, for thousands of files."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from nucleate.core.checks import regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["first_description", "is_ome"]

_OME = re.compile(r"<(?:\w+:)?OME\b")

_DESCRIPTION = 270
_MOST = 4096
"""Most bytes that are read of a directory and of a description, since both can be long."""


def first_description(path: Path) -> str:
    """Read the beginning of the description of the first page of a TIFF or BigTIFF file.

    Parameters
    ----------
    path : Path
        A file of any kind.

    Returns
    -------
    str
        The first 4 kB; empty if there is no description, or the file is damaged, gone, no TIFF file or no regular one.
    """
    try:
        with regular(path).open("rb", buffering=0) as file:
            head = file.read(16)
            order = {b"II": "<", b"MM": ">"}[head[:2]]
            start, count, entry = {42: ("4xI", "H", "HHI4s"), 43: ("8xQ", "Q", "HHQ8s")}[_first(order + "2xH", head)]
            file.seek(_first(order + start, head))
            directory = file.read(_MOST)
            length = struct.calcsize(order + count)
            form = struct.Struct(order + entry)
            listed = directory[length : length + form.size * _first(order + count, directory)]
            for tag, _, size, value in form.iter_unpack(listed[: len(listed) // form.size * form.size]):
                if tag == _DESCRIPTION:
                    if size > len(value):
                        file.seek(_first(order + entry[2], value))
                        value = file.read(min(size, _MOST))
                    return bytes(value[:size]).decode("utf-8", "replace")
    except (OSError, ValueError, KeyError, struct.error):
        pass
    return ""


def is_ome(path: Path) -> bool:
    """Tell whether a file is a TIFF file with OME metadata in its `first_description`."""
    return _OME.search(first_description(path)) is not None


def _first(form: str, data: bytes) -> int:
    return int(struct.unpack_from(form, data)[0])
