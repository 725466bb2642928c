"""Names of results, which no file system mixes up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nucleate.core.files import distinct_names, plain_name, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nucleate.core.image import Image
    from nucleate.core.lazy import LazyImage
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
        The inputs in order; the first input of one stem keeps the stem.
    taken : mapping, optional
        Names given in an earlier run, by key; they stay, whatever inputs are added later.

    Returns
    -------
    dict
        Name by key, each a `plain_name`. No two names differ only in case or in how an accent is written, since some
        file systems take those for one.
    """
    names = dict(taken or {})
    stems = {source.key: short_name(plain_name(source.stem)) for source in sources if source.key not in names}
    return names | dict(zip(stems, distinct_names(stems.values(), names.values()), strict=True))


def split_picture(image: Image | LazyImage) -> tuple[str, str]:
    """Take the name of an image apart.

    Parameters
    ----------
    image : Image or LazyImage
        Where it has no `part`, as one that was made in Python, its name tells as far as names do.

    Returns
    -------
    (str, str)
        The name of the file, and the name of one of several pictures in it, which is empty for other images.

    Examples
    --------
    >>> import numpy as np
    >>> from nucleate.core.image import Image
    >>> split_picture(Image(np.zeros((2, 3)), name="plate/A/1/f0", part="A/1/f0"))
    ('plate', 'A/1/f0')
    >>> [split_picture(Image(np.zeros((2, 3)), name=name)) for name in ("mice.lif#S_2", "p.zarr/A/1/0", "folder/a")]
    [('mice.lif', 'S_2'), ('p.zarr', 'A/1/0'), ('folder/a', '')]
    """
    if image.part and image.name.endswith((f"#{image.part}", f"/{image.part}")):
        return image.name[: -len(image.part) - 1], image.part
    found = None if image.part else _PART.fullmatch(image.name)
    file, part = filter(None, found.groups()) if found else (image.name, "")
    return file, part
