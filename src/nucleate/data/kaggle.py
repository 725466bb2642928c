"""The layout of the 2018 Data Science Bowl: ``<id>/images/<id>.png`` and one PNG a nucleus in ``<id>/masks/``.

Data sets are read in place from a folder or a zip, at any depth, and never written to. A pixel that two masks share
belongs to the first of them in the order of file names. A sole mask may be a label image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.endings import without_extras
from nucleate.core.image import Image
from nucleate.core.labels import areas, relabel
from nucleate.core.names import picture_id
from nucleate.core.pieces import EIGHT, unnumbered
from nucleate.data.pixels import PICTURE_SUFFIXES, read_mask, read_picture, stored_labels
from nucleate.data.sample import Sample
from nucleate.data.source import Source, open_source
from nucleate.errors import DataError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "KaggleEntry",
    "find_entries",
    "list_images",
    "merge_masks",
    "read_labels",
    "samples_of",
    "sole_labels",
]


@dataclass(frozen=True)
class KaggleEntry:
    """Where one image and its masks lie.

    Parameters
    ----------
    image_id : str
        Name of the image's folder.
    image : str
        File name within the source.
    masks : tuple of str, optional
        File names of the masks, sorted; arrays (``.npy``) if there are no pictures; None if there is no masks folder (a
        test image).
    """

    image_id: str
    image: str
    masks: tuple[str, ...] | None


def find_entries(source: Source) -> list[KaggleEntry]:
    """List the images of a source that lie in Kaggle's layout, by id.

    Returns
    -------
    list of KaggleEntry
        Empty if the source has another layout.

    Raises
    ------
    DataError
        If an id occurs twice, or a folder beside them holds several pictures.
    """
    pictures, masks, labels = _by_folder(source)
    places = map(PurePosixPath, source.folders)
    annotated = {str(place.parent) for place in places if place.name.lower() == "masks"}
    entries: dict[str, KaggleEntry] = {}
    crowded = ""
    for folder, names in pictures.items():
        # The folder of a single sample may be given as the whole source.
        image_id, found = PurePosixPath(folder).name or source.path.name, masks.get(folder, [])
        if folder in labels and not found:  # a set of one picture, in a folder named after it
            continue
        named = any(image_id in {picture_id(name), PurePosixPath(name).stem} for name in names)
        if len(names) > 1:
            if found or named:
                crowded = str(PurePosixPath(folder, "images"))
            continue
        is_pair = not {*map(_bare, names)}.isdisjoint(map(_bare, found))  # the mask is called as the picture
        if not named and (is_pair or not found):
            continue
        if image_id in entries:
            where = f"{entries[image_id].image} and {names[0]}"
            raise DataError(f"{source}: image {image_id} occurs twice: got {where}; choose one part with ::FOLDER")
        empty = () if folder in annotated else None
        entries[image_id] = KaggleEntry(image_id, names[0], tuple(found) or empty)
    if entries and crowded:
        raise DataError(f"{source}: several pictures in {crowded}; leave the one that the masks belong to")
    return [entries[image_id] for image_id in sorted(entries)]


def _by_folder(source: Source) -> tuple[dict[str, list[str]], ...]:
    """List pictures, masks and label images by the folder that ``images/``, ``masks/`` and ``labels/`` lie in.

    Masks are arrays only where there are no pictures of them.
    """
    kinds: dict[str, dict[str, list[str]]] = {"images": {}, "masks": {}, "arrays": {}, "labels": {}}
    for name in source.names:
        place = PurePosixPath(name)
        kind, suffix = place.parent.name.lower(), place.suffix.lower()
        if kind in {"masks", "labels"} and suffix == ".npy" and not place.stem.lower().endswith("_seg"):
            kind = "arrays" if kind == "masks" else kind
        elif kind not in {"images", "masks", "labels"} or suffix not in PICTURE_SUFFIXES:
            continue
        kinds[kind].setdefault(str(place.parent.parent), []).append(name)
    return kinds["images"], kinds["arrays"] | kinds["masks"], kinds["labels"]


def list_images(path: Path | str) -> list[tuple[str, Callable[[], Image]]]:
    """List the images of a Kaggle folder or zip, with or without masks.

    Parameters
    ----------
    path : path-like
        Folder or zip, ``archive.zip::folder`` for a folder inside.

    Returns
    -------
    list of (str, callable)
        Image id and a function that reads the image when called; it raises `InputError` for a damaged file.

    Raises
    ------
    DataError
        If the layout is another one.
    """
    source = open_source(path)
    return [(entry.image_id, partial(_read_image, source, entry)) for entry in _entries(source)]


def _read_image(source: Source, entry: KaggleEntry) -> Image:
    try:
        pixels = read_picture(source, entry.image)
    except DataError as error:
        raise InputError(str(error)) from error
    return Image(pixels, "YX" if pixels.ndim == 2 else "YXS", name=entry.image_id)


def samples_of(source: Source) -> list[Sample]:
    """Read every image of a Kaggle training set with its masks merged to one label image.

    Returns
    -------
    list of Sample
        Sorted by id; each image is its own group.

    Raises
    ------
    DataError
        If the layout is another one, an image has no masks folder, a mask has another size, or a file is damaged.
    """
    samples = []
    for entry in _entries(source):
        image = read_picture(source, entry.image)
        labels = read_labels(source, entry, shape=image.shape[:2])
        samples.append(Sample(entry.image_id, image, labels, group=entry.image_id))
    return samples


def read_labels(source: Source, entry: KaggleEntry, *, shape: tuple[int, int] | None = None) -> NDArray[np.int32]:
    """Merge the masks of one image, or take its sole mask as it is if that is a label image (`sole_labels`).

    Parameters
    ----------
    source : Source
        The data set.
    entry : KaggleEntry
        The image.
    shape : (int, int), optional
        Size of the image; read from it when not given.

    Returns
    -------
    (H, W) int32 ndarray
        Nuclei numbered 1..n in the order of the masks' names; a mask without a pixel of its own gets no number.

    Raises
    ------
    DataError
        As `samples_of`.
    """
    if entry.masks is None:
        raise DataError(
            f"{source}: image {entry.image_id} has no masks folder; take it out of the training set, "
            "or give it an empty masks folder if it shows no nuclei"
        )
    if shape is None:
        shape = read_picture(source, entry.image).shape[:2]
    whole = sole_labels(source, entry)
    if whole is not None:
        _check_size(f"{source}/{entry.masks[0]}", whole, shape=shape)
        return whole
    named = ((name, read_mask(source, name)) for name in entry.masks)
    return merge_masks(named, shape)


def sole_labels(source: Source, entry: KaggleEntry) -> NDArray[np.int32] | None:
    """Read the sole mask of an image as a label image, if it is one.

    It is a label image if its values above 0 are several whole numbers, most of which have four pixels or more, hardly
    any of which lies in pieces, and which are not just the soft edges of the largest. If there are several masks, each
    is one nucleus, whatever its values.

    Returns
    -------
    (H, W) int32 ndarray, optional
        Nuclei 1..n; None if it is the mask of one nucleus, or cannot be read.
    """
    if not entry.masks or len(entry.masks) > 1:
        return None
    try:
        labels = relabel(stored_labels(source.read(entry.masks[0]), entry.masks[0]))
    except DataError:  # a mask may have colours or fractions; damage is reported by the reader of masks
        return None
    count = int(labels.max())
    if count < 2 or np.median(areas(labels)) < 4:
        return None
    edges = ndimage.binary_dilation(labels == count, EIGHT, iterations=2)
    return labels if not unnumbered(labels) and ((labels > 0) & ~edges).any() else None


def merge_masks(masks: Iterable[tuple[str, NDArray[Any]]], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Paint masks into one label image; a pixel claimed twice goes to the first.

    Parameters
    ----------
    masks : iterable of (str, (H, W) ndarray)
        Name, for messages, and mask, nonzero inside.
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    (H, W) int32 ndarray
        Nuclei 1..n without gaps, in the order given.

    Raises
    ------
    DataError
        If a mask has another size.

    Examples
    --------
    >>> merge_masks([("a", np.array([[1, 1, 0]])), ("b", np.array([[0, 1, 1]]))], (1, 3))
    array([[1, 1, 2]], dtype=int32)
    """
    labels = np.zeros(shape, dtype=np.int32)
    following = 1
    for name, mask in masks:
        _check_size(name, mask, shape=shape)
        # Nuclei are small in large images, so only the rows that a mask reaches are touched.
        rows = np.flatnonzero(mask.max(axis=1))
        if rows.size == 0:
            continue
        band = labels[rows[0] : rows[-1] + 1]
        free = (mask[rows[0] : rows[-1] + 1] != 0) & (band == 0)
        if free.any():
            band[free] = following
            following += 1
    return labels


def _bare(name: str) -> str:
    return without_extras(picture_id(name))


def _check_size(name: str, mask: NDArray[Any], *, shape: tuple[int, int]) -> None:
    if mask.shape != shape:
        raise DataError(f"mask {name} has another size than its image: got {mask.shape}, the image has {shape}")


def _entries(source: Source) -> list[KaggleEntry]:
    entries = find_entries(source)
    if not entries:
        raise DataError(
            f"{source} is not in Kaggle's layout: no <id>/images/<id>.png found in {len(source.names)} files"
        )
    return entries
