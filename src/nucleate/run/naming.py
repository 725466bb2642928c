"""Names of results, none of which any file system takes for another."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from typing import TYPE_CHECKING

from nucleate.core.files import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nucleate.run.inputs import Source

__all__ = ["split_picture", "unique_names"]

_LONGEST_NAME = 220

_PART = re.compile(r"(.+\.(?:tiff?|btf|tf[28]|czi|lif|lof))#([^#/\\]+)|(.+\.zarr)/(.+)", re.IGNORECASE)


def unique_names(sources: Iterable[Source], taken: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give each input the name of its results: its stem, with ``-2``, ``-3``, ... where that is taken.

    Parameters
    ----------
    sources : iterable of Source
        The inputs in order; the first of one stem keeps it.
    taken : mapping, optional
        Names given in an earlier run, by key; they stay, whatever joins the list later.

    Returns
    -------
    dict
        Name by key, each a `plain_name`. No two names differ only in case or in how an accent is written, since some
        file systems take those for one.
    """
    names = dict(taken or {})
    used = {_folded(name) for name in names.values()}
    last: dict[str, int] = {}
    for source in sources:
        if source.key in names:
            continue
        stem = _shortened(plain_name(source.stem))
        name, number = stem, last.get(_folded(stem), 1)
        while _folded(name) in used:
            number += 1
            name = f"{stem}-{number}"
        names[source.key] = name
        used.add(_folded(name))
        last[_folded(stem)] = number
    return names


def split_picture(name: str) -> tuple[str, str]:
    """Take the name of an image apart, as `nucleate.io.images.read_image` gives it.

    Parameters
    ----------
    name : str

    Returns
    -------
    (str, str)
        Of the file, and of one picture of several in it; empty for other images.

    Examples
    --------
    >>> split_picture("mice.lif#Series_2"), split_picture("p.zarr/A/1/0"), split_picture("a#1.png")
    (('mice.lif', 'Series_2'), ('p.zarr', 'A/1/0'), ('a#1.png', ''))
    """
    if (found := _PART.fullmatch(name)) is None:
        return name, ""
    file, part = filter(None, found.groups())
    return file, part


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _shortened(stem: str) -> str:
    # File systems take 255 bytes; the longest ending we add and a number need some of them.
    if len(os.fsencode(stem)) <= _LONGEST_NAME:
        return stem
    digest = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    return f"{os.fsencode(stem)[: _LONGEST_NAME - 9].decode('utf-8', 'ignore')}-{digest}"
