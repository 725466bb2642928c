"""Names of results, which no file system mixes up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleate.core.files import distinct_names, plain_name, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nucleate.core.image import Image
    from nucleate.core.lazy import LazyImage
    from nucleate.run.inputs import Source

__all__ = ["split_picture", "unique_names"]


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
        As `nucleate.io.images` gives it, whatever became of its name since.

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
    >>> split_picture(Image(np.zeros((2, 3)), name="folder/a"))
    ('folder/a', '')
    """
    if image.part and image.name.endswith((f"#{image.part}", f"/{image.part}")):
        return image.name[: -len(image.part) - 1], image.part
    return image.name, ""
