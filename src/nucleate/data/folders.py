"""Label images beside images: ``images/`` and ``labels/`` (or ``masks/``) with equal names, or ``<id>.labels.tif``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nucleate.data.pixels import PICTURE_SUFFIXES, decode_image, decode_labels
from nucleate.data.sample import Sample
from nucleate.errors import DataError

if TYPE_CHECKING:
    from nucleate.data.source import Source

__all__ = ["Pair", "find_pairs", "picture_id", "samples_of"]

_LABEL_FOLDERS = {"labels", "masks"}
_LABEL_ENDING = ".labels"
_OME_ENDING = ".labels.ome"  # the same label image again, with OME metadata


@dataclass(frozen=True)
class Pair:
    """Where an image and its label image lie; one of them may be missing.

    Parameters
    ----------
    image_id : str
        Their common name.
    image, labels : str, optional
        File names within the source.
    """

    image_id: str
    image: str | None
    labels: str | None


def picture_id(name: str) -> str:
    """Give the id in a file name: without folder, ending and ``.labels`` or ``.labels.ome``.

    Examples
    --------
    >>> picture_id("labels/plate-1.labels.tif")
    'plate-1'
    """
    return PurePosixPath(name).stem.removesuffix(_OME_ENDING).removesuffix(_LABEL_ENDING)


def find_pairs(source: Source) -> list[Pair]:
    """List the images and label images of a source by id.

    Returns
    -------
    list of Pair
        Empty if there are no label images in one of the known places.

    Raises
    ------
    DataError
        If several folders of the source hold such pairs, or an id occurs twice.
    """
    roots: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
    for name in source.names:
        place = PurePosixPath(name)
        if place.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        in_labels = place.parent.name in _LABEL_FOLDERS
        sorted_out = in_labels or place.parent.name == "images"
        is_label = in_labels or (not sorted_out and place.stem.endswith((_LABEL_ENDING, _OME_ENDING)))
        root = str(place.parent.parent if sorted_out else place.parent)
        side = roots.setdefault(root, ({}, {}))[is_label]
        image_id = picture_id(name)
        twin = image_id in side and PurePosixPath(side[image_id]).stem == f"{image_id}{_OME_ENDING}"
        if image_id in side and not twin:
            raise DataError(f"{source}: id {image_id} occurs twice: got {side[image_id]} and {name}; rename one")
        side[image_id] = name
    paired = {root: sides for root, sides in roots.items() if sides[1]}
    if len(paired) > 1:
        shown = ", ".join(sorted(paired))
        raise DataError(f"{source} has several sets: {shown}; choose one, as in {source}::{min(paired)}")
    return [
        Pair(image_id, images.get(image_id), labels.get(image_id))
        for images, labels in paired.values()
        for image_id in sorted(images.keys() | labels.keys())
    ]


def samples_of(source: Source) -> list[Sample]:
    """Read every pair of a source.

    Returns
    -------
    list of Sample
        Sorted by id; each image is its own group.

    Raises
    ------
    DataError
        If an image has no label image or the other way round, sizes differ, or a file is damaged.
    """
    samples = []
    for pair in find_pairs(source):
        if pair.image is None or pair.labels is None:
            missing = "image" if pair.image is None else "label image"
            raise DataError(f"{source}: {pair.image_id} has no {missing}; add it or take the other file out")
        image = decode_image(source.read(pair.image), f"{source}/{pair.image}")
        labels = decode_labels(source.read(pair.labels), f"{source}/{pair.labels}")
        samples.append(Sample(pair.image_id, image, labels, group=pair.image_id))
    return samples
