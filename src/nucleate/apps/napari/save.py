"""Saving the nuclei of a layer, corrected by hand or not, as the files that ``nucleate segment`` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import plain_name
from nucleate.core.labels import relabel
from nucleate.errors import UsageError
from nucleate.run import outputs
from nucleate.run.exports import EXPORTS
from nucleate.run.segmentation import Segmentation
from nucleate.run.settings import DEFAULT_EXPORTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.apps.napari.found import Found
    from nucleate.core.lazy import LazyImage

__all__ = ["numbered", "save_nuclei"]


def numbered(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Give nuclei the numbers 1..n without gaps, plane after plane, keeping the order of ids in each.

    Parameters
    ----------
    labels : (..., H, W) int ndarray
        0 is background. An id that stands in several planes becomes a nucleus of its own in each.

    Returns
    -------
    (..., H, W) int32 ndarray

    Raises
    ------
    UsageError
        If there are negative ids, or they are no whole numbers.

    Examples
    --------
    >>> numbered(np.array([[[7, 7, 0, 3]], [[7, 0, 0, 0]]])).tolist()
    [[[2, 2, 0, 1]], [[3, 0, 0, 0]]]
    """
    if labels.dtype.kind not in "bui" or int(labels.min(initial=0)) < 0:
        raise UsageError(f"no nuclei: got {labels.dtype} from {labels.min(initial=0)}; give whole numbers from 0")
    found = np.zeros(labels.shape, np.int32)
    count = 0
    for at in np.ndindex(*labels.shape[:-2]):
        plane = relabel(labels[at])
        found[at] = np.where(plane > 0, plane + np.int32(count), np.int32(0))
        count += int(plane.max(initial=0))
    return found


def save_nuclei(
    labels: NDArray[Any],
    image: LazyImage,
    *,
    folder: Path,
    name: str,
    exports: Iterable[str] = DEFAULT_EXPORTS,
    found: Found | None = None,
    channel: int | None = None,
    replace: bool = False,
) -> Segmentation:
    """Give the nuclei of a layer new numbers, measure them and write files.

    Parameters
    ----------
    labels : (..., H, W) int ndarray
        The layer as it is now, with the stack axes of `image`, hidden nuclei taken out.
    image : LazyImage
        The picture in which they are measured; of several channels each gives columns of its own.
    folder : Path
        Made where it is missing.
    name : str
        What the files are called after. Characters that cannot stand in a file name are replaced.
    exports : iterable of str
        Keys of `nucleate.run.exports.EXPORTS`.
    found : Found, optional
        Where the confidence is looked up; that of nuclei changed by hand is NaN, and of all when None.
    channel : int, optional
        Index of the channel shown in the overlay, where the image has several.
    replace : bool
        Whether files that are there may be replaced.

    Returns
    -------
    Segmentation
        What was written.

    Raises
    ------
    UsageError
        If a file is there and may not be replaced, other exports of earlier nuclei would be left beside the new ones,
        there is no such export, or the labels are refused by `numbered`.
    MissingExtraError
        If an export needs a library that is not installed.
    OutputError
        If a file cannot be written.
    """
    wanted = outputs.check_exports(",".join(exports))
    stem = plain_name(name.strip() or "image")
    if not replace:
        outputs.refuse_existing(folder, outputs.replaced_files(folder, stem, exports=wanted))
    _refuse_stale(folder, stem, wanted=wanted)
    new = numbered(labels)
    confidence = np.full(int(new.max(initial=0)), np.nan, np.float32) if found is None else found.confidence_of(new)
    segmentation = Segmentation(new, confidence, image.load(), channel)
    segmentation.save(folder, wanted, name=stem)
    return segmentation


def _refuse_stale(folder: Path, stem: str, *, wanted: Iterable[str]) -> None:
    """Refuse to leave files of earlier nuclei beside new ones, which have other numbers."""
    others = [export for export in EXPORTS if export not in set(wanted)]
    stale = [export for export in others if outputs.files_of(folder, stem, exports=[export])[0].exists()]
    if stale:
        there = ", ".join(stale)
        raise UsageError(f"{folder} has {there} of other nuclei of {stem}; choose these too, or another folder or name")
