"""Names of results, none of which any file system takes for another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nucleate.core.files import distinct_names, plain_name, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nucleate.run.inputs import Source

__all__ = ["split_picture", "unique_names"]

_PART = re.compile(
    r"(.+\.(?:tiff?|btf|tf[28]|czi|lif|lof))#([^#/\\]+)|(.+\.zarr)/(.+)|(.+?)/((?:[A-Z]+/\d+/)?\d+)", re.IGNORECASE
)


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
    stems = {source.key: short_name(plain_name(source.stem)) for source in sources if source.key not in names}
    return names | dict(zip(stems, distinct_names(stems.values(), names.values()), strict=True))


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
    >>> split_picture("plate/A/1/0"), split_picture("series/0"), split_picture("folder/a")
    (('plate', 'A/1/0'), ('series', '0'), ('folder/a', ''))
    """
    if (found := _PART.fullmatch(name)) is None:
        return name, ""
    file, part = filter(None, found.groups())
    return file, part
