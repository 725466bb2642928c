"""Endings in the names of label images that their pictures lack, and in those of pictures that label images lack."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["alone", "matcher", "stem_of", "without_ending", "without_extras"]

_LABELS = re.compile(  # ours, Cellpose's, StarDist's, and what QuPath's scripts write
    r"(?<=.)(\.labels|(_cp)?_masks?|\.stardist|[-_]labels?|-labelled)(\.ome)?$", re.IGNORECASE
)
_EXTRAS = re.compile(r"(?<=.)(\.ome|_img)$", re.IGNORECASE)


def stem_of(name: str) -> str:
    """Give a file's name without folder and suffix, accents composed (NFC); endings such as ``.labels`` stay.

    Examples
    --------
    >>> stem_of("labels/a.labels.tif")
    'a.labels'
    """
    return unicodedata.normalize("NFC", PurePosixPath(name).stem)


def without_ending(stem: str) -> str:
    """Take off the ending that the name of a label image has and the name of its picture lacks.

    Examples
    --------
    >>> [without_ending(stem) for stem in ("a.labels", "a_cp_masks", "a.stardist", "a-labels", "a")]
    ['a', 'a', 'a', 'a', 'a']
    """
    return _LABELS.sub("", stem)


def without_extras(image_id: str) -> str:
    """Take off the endings that names of pictures often have and names of their label images lack.

    Examples
    --------
    >>> [without_extras(stem) for stem in ("a.ome", "a_img", "a")]
    ['a', 'a', 'a']
    """
    return _EXTRAS.sub("", image_id)


def alone(ids: Iterable[str], bare: Callable[[str], str]) -> dict[str, str]:
    """Map the `bare` form of each id to the id, leaving out bare forms that several ids share.

    Examples
    --------
    >>> alone(["a.ome", "b.ome", "b_img"], without_extras)
    {'a': 'a.ome'}
    """
    grouped: dict[str, list[str]] = {}
    for one in ids:
        grouped.setdefault(bare(one), []).append(one)
    return {left: same[0] for left, same in grouped.items() if len(same) == 1}


def matcher(ids: Iterable[str]) -> Callable[[str], str | None]:
    """Give a function that finds the id for a name: the same one, or the only one alike without ``.ome`` and ``_img``.

    Examples
    --------
    >>> find = matcher(["a.ome", "b", "c", "c.ome"])
    >>> find("a"), find("b_img"), find("c"), find("c_img")
    ('a.ome', 'b', 'c', None)
    """
    known = {*ids}
    longer = alone(known, without_extras)
    return lambda name: name if name in known else longer.get(without_extras(name))
