"""Pieces of one id that do not touch: many of them show that ids do not stand for single nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.labels import relabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["EIGHT", "Ids", "count_pieces", "look_at_ids", "unnumbered", "unnumbered_set"]

EIGHT = np.ones((3, 3), dtype=bool)
"""Neighbours by which the pixels of a nucleus hang together: those at the corners count too."""

_LOOKED_AT = 100  # ids of a picture that are looked at, at most: a photograph has thousands, each all over it


# Most ids of an image that may be a map of classes, and fewest images of a set by which that can be told.
_FEW, _MANY = 3, 8
# Share of the images with ids in pieces from which on a set holds maps of classes: nuclei in pieces are rarer.
_OFTEN = 1 / 3


@dataclass(frozen=True)
class Ids:
    """How the ids of a label image lie.

    Parameters
    ----------
    count : int
        How many ids there are.
    parted : bool
        Whether more pieces were seen than ids.
    reason : str
        Why ids cannot stand for single nuclei, see `unnumbered`; "" where they can.
    """

    count: int
    parted: bool = False
    reason: str = ""


def count_pieces(mask: NDArray[np.bool_]) -> int:
    """Count the parts of a mask, of a picture or of a stack, that do not touch, not even by corners."""
    return int(ndimage.label(mask, np.ones((3,) * mask.ndim, bool))[1])


def unnumbered(labels: NDArray[Any]) -> str:
    """Tell why the ids of a label image cannot stand for single nuclei.

    They cannot if ids have more than two pieces each on average, or a sole id has several, as in masks of all nuclei,
    sharp or soft, in maps of classes, and in photographs; nor if a sole id covers most of the border and has several
    holes, as in an inverted mask. Specks beside a piece that is nine tenths of its id do not count.

    Parameters
    ----------
    labels : (H, W) or (N, H, W) int or bool ndarray
        0 background.

    Returns
    -------
    str
        What was seen; "" where ids can stand for single nuclei.

    Examples
    --------
    >>> unnumbered(np.array([[1, 0, 1, 0, 1], [2, 0, 2, 0, 2]]))
    '2 of 2 ids in 6 pieces'
    """
    return look_at_ids(labels).reason


def unnumbered_set(images: Sequence[Ids]) -> list[str]:
    """Tell of each label image of a set why its ids cannot stand for single nuclei; all "" if the set is fit for use.

    A set is not fit if most of its images are `unnumbered`. Neither is a set of 8 images or more, all with three ids at
    most, of which more than a third have ids in pieces, as maps of classes of sparse nuclei have.

    Parameters
    ----------
    images : sequence of Ids
        From `look_at_ids`. Those without an id do not count.

    Returns
    -------
    list of str
        One for each.

    Examples
    --------
    >>> unnumbered_set([Ids(2, parted=True)] * 8)[0]
    '2 ids in pieces, as in many images, none with more than 3'
    >>> unnumbered_set([*[Ids(2, parted=True)] * 8, Ids(4)])[0]
    ''
    """
    full = [one for one in images if one.count]
    if 2 * sum(bool(one.reason) for one in full) > len(full):
        return [one.reason for one in images]
    few = len(full) >= _MANY and max(one.count for one in full) <= _FEW
    if not few or sum(one.parted for one in full) <= _OFTEN * len(full):
        return [""] * len(images)
    told = f"ids in pieces, as in many images, none with more than {_FEW}"
    return [one.reason or (f"{one.count} {told}" if one.parted else "") for one in images]


def look_at_ids(labels: NDArray[Any]) -> Ids:
    """Look at how the ids of a label image lie, for `unnumbered_set`.

    Parameters
    ----------
    labels : (H, W) or (N, H, W) int or bool ndarray
        0 background.
    """
    numbered = relabel(labels)
    boxes = ndimage.find_objects(numbered)
    count = len(boxes)
    if not boxes:
        return Ids(0)
    looked = np.linspace(0, len(boxes) - 1, min(len(boxes), _LOOKED_AT)).astype(int)
    most = 1 if count == 1 else 2 * len(looked)
    pieces = 0
    for seen, at in enumerate(looked, 1):
        pieces += _count_large(numbered[boxes[at]] == at + 1)
        if pieces > most:  # the other ids cannot change that any more
            told = "a sole id in several pieces" if count == 1 else f"{seen} of {count} ids in {pieces} pieces"
            return Ids(count, parted=True, reason=told)
    parted = pieces > len(looked)
    if count == 1 and numbered.ndim == 2:
        border = np.concatenate([numbered[0], numbered[-1], numbered[:, 0], numbered[:, -1]])
        if 2 * border.sum() > border.size and ndimage.label(np.pad(numbered == 0, 1, constant_values=True))[1] > 2:
            return Ids(count, parted, "a sole id round holes along the border")
    return Ids(count, parted)


def _count_large(mask: NDArray[np.bool_]) -> int:
    """Count the pieces of an id; if the others are mere specks beside the largest, they do not count."""
    parted, pieces = ndimage.label(mask, np.ones((3,) * mask.ndim, bool))
    sizes = np.bincount(parted.ravel())[1:]
    return 1 if 10 * sizes.max() >= 9 * sizes.sum() else int(pieces)
