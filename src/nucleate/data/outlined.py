"""Pictures with outlines beside them: one annotation file a picture with an equal name, or a COCO file for all."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nucleate.data.annotations import READERS, coco_pictures, coco_regions
from nucleate.data.folders import picture_id
from nucleate.data.pixels import PICTURE_SUFFIXES, decode_image
from nucleate.data.regions import paint_regions
from nucleate.data.sample import Sample
from nucleate.errors import DataError

if TYPE_CHECKING:
    from nucleate.data.source import Source

__all__ = ["samples_of"]

_ENDINGS = (".rois", "_rois", "-rois", ".labels", "_annotations")


def samples_of(source: Source) -> list[Sample]:
    """Read every outlined picture of a source.

    Known are ``<id>.geojson``, ``<id>.json``, ``<id>.rois.zip`` or ``<id>.zip``, ``<id>.roi`` and ``<id>.xml`` beside
    or in another folder than ``<id>.png`` (``.tif``, ...), and a COCO file that names its pictures.

    Returns
    -------
    list of Sample
        Sorted by id, each its own group; empty if there are no annotation files.

    Raises
    ------
    DataError
        If a picture or its outlines are missing, an id occurs twice, or a file is damaged.
    """
    files = [name for name in source.names if PurePosixPath(name).suffix.lower() in READERS]
    if not files:
        return []
    pictures = [name for name in source.names if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES]
    for name in files:
        if name.lower().endswith(".json"):
            listed = coco_pictures(source.read(name), f"{source}/{name}")
            if listed is not None:
                return _coco(source, pictures, listed=listed, name=name)
    return _paired(source, _by_id(source, pictures), files=_by_id(source, files))


def _coco(source: Source, pictures: list[str], *, listed: dict[str, dict[str, object]], name: str) -> list[Sample]:
    whole = {**{PurePosixPath(path).name: path for path in pictures}, **{path: path for path in pictures}}
    samples = []
    for file_name, entry in listed.items():
        path = whole.get(file_name) or whole.get(PurePosixPath(file_name).name)
        if path is None:
            raise DataError(f"{source}: {name} names {file_name}, which is not there; add the picture")
        image = decode_image(source.read(path), f"{source}/{path}")
        shape = (image.shape[0], image.shape[1])
        if shape != entry["shape"]:
            raise DataError(
                f"{source}: {file_name} is {shape}, {name} says {entry['shape']}; annotate the same picture"
            )
        regions = coco_regions(entry["annotations"], f"{source}/{name}", shape=shape)  # type: ignore[arg-type]
        image_id = picture_id(file_name)
        samples.append(Sample(image_id, image, paint_regions(regions, shape), group=image_id))
    ids = [sample.image_id for sample in samples]
    if len(set(ids)) < len(ids):
        raise DataError(f"{source}: {name} names two pictures of one id; rename one")
    return sorted(samples, key=lambda sample: sample.image_id)


def _paired(source: Source, pictures: dict[str, str], *, files: dict[str, str]) -> list[Sample]:
    samples = []
    for image_id in sorted(pictures.keys() | files.keys()):
        if image_id not in pictures or image_id not in files:
            missing = "picture" if image_id not in pictures else "outlines"
            raise DataError(f"{source}: {image_id} has no {missing}; add them or take the other file out")
        image = decode_image(source.read(pictures[image_id]), f"{source}/{pictures[image_id]}")
        shape = (image.shape[0], image.shape[1])
        name = files[image_id]
        read = READERS[PurePosixPath(name).suffix.lower()]
        regions = read(source.read(name), f"{source}/{name}", shape=shape)
        samples.append(Sample(image_id, image, paint_regions(regions, shape), group=image_id))
    return samples


def _by_id(source: Source, names: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        image_id = picture_id(name)
        for ending in _ENDINGS:
            image_id = image_id.removesuffix(ending)
        if image_id in found:
            raise DataError(f"{source}: id {image_id} occurs twice: got {found[image_id]} and {name}; rename one")
        found[image_id] = name
    return found
