"""The endings that the names of label images have beyond those of their pictures."""

from __future__ import annotations

import re

__all__ = ["without_ending"]

_LABELS = re.compile(  # ours, Cellpose's, StarDist's, and what QuPath's scripts write
    r"(?<=.)(\.labels(\.ome)?|(_cp)?_masks?|\.stardist|[-_]labels?|-labelled)$", re.IGNORECASE
)


def without_ending(stem: str) -> str:
    """Take off what a label image is called beyond its picture.

    Examples
    --------
    >>> [without_ending(stem) for stem in ("a.labels", "a_cp_masks", "a.stardist", "a-labels", "a")]
    ['a', 'a', 'a', 'a', 'a']
    """
    return _LABELS.sub("", stem)
