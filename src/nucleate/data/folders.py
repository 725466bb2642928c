"""Label images with their images: in ``labels/`` or ``masks/`` beside ``images/``, or beside them by their endings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nucleate.data.names import read_name, without_extras
from nucleate.data.pixels import decode_image, decode_labels
from nucleate.data.sample import Sample
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nucleate.data.source import Source

__all__ = ["Pair", "find_pairs", "samples_of"]


@dataclass(frozen=True)
class Pair:
    """Where an image and its label image lie; one of them may be missing.

    Parameters
    ----------
    image_id : str
        Name of the image.
    image, labels : str, optional
        File names within the source.
    """

    image_id: str
    image: str | None
    labels: str | None


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
        found = read_name(name)
        if found is not None:
            side = roots.setdefault(found.root, ({}, {}))[found.is_label]
            _add(side, found.image_id, name=name, source=source)
    paired = {root: sides for root, sides in roots.items() if sides[1]}
    if len(paired) > 1:
        shown = ", ".join(sorted(paired))
        raise DataError(f"{source} has several sets: {shown}; choose one, as in {source}::{min(paired)}")
    return [
        Pair(image_id, images.get(image_id), labels.get(image_id))
        for images, labels in ((images, _by_image(labels, images, source=source)) for images, labels in paired.values())
        for image_id in sorted(images.keys() | labels.keys())
    ]


def _by_image(labels: Mapping[str, str], images: Collection[str], *, source: Source) -> dict[str, str]:
    """Put label images under the ids of their images, which may be called ``a.ome`` or ``a_img`` beside ``a``."""
    longer = {without_extras(image_id): image_id for image_id in images}
    found: dict[str, str] = {}
    for label_id, name in labels.items():
        image_id = label_id if label_id in images else longer.get(without_extras(label_id), label_id)
        _add(found, image_id, name=name, source=source)
    return found


def _add(side: dict[str, str], image_id: str, *, name: str, source: Source) -> None:
    """Note a file; the same label image again, with OME metadata, gives way to the plain one."""
    twin = image_id in side and PurePosixPath(side[image_id]).stem.endswith(".labels.ome")
    if image_id in side and not twin:
        raise DataError(f"{source}: id {image_id} occurs twice: got {side[image_id]} and {name}; rename one")
    side[image_id] = name


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
