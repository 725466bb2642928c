"""Label images and their images: in ``labels/`` or ``masks/`` beside ``images/``, or side by side, told by endings."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nucleate.core.endings import matcher, without_ending
from nucleate.core.names import FileName, is_ours, picture_id, tree_id
from nucleate.core.text import listed
from nucleate.data.pixels import PICTURE_SUFFIXES, decode_labels, read_picture
from nucleate.data.run_names import by_inputs
from nucleate.data.sample import Sample
from nucleate.errors import DataError, UnfitDataError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nucleate.data.source import Source

__all__ = ["Pair", "find_labels", "find_pairs", "pictured", "samples_of", "tell"]

_logger = logging.getLogger(__name__)

_SEGMENTED = "_seg.npy"
"""Files that Cellpose keeps for itself; they are pickled."""
_OTHER, _AGAIN = "is no label image", "other files hold too"


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


def find_pairs(source: Source, named: Mapping[str, FileName]) -> list[Pair]:
    """List the images and label images of a source by id.

    Parameters
    ----------
    source : Source
        A data set.
    named : mapping of str to FileName
        From `nucleate.data.outlined.names_in`.

    Returns
    -------
    list of Pair
        Empty if there are no label images in one of the known places.

    Raises
    ------
    DataError
        If several folders of the source hold such pairs, or an id occurs twice.
    """
    images_of: dict[str, dict[str, str]] = {}
    labels_of: dict[str, dict[str, str]] = {}
    for name, found in named.items():
        side = labels_of if found.is_label else images_of
        _add(side.setdefault(found.root, {}), found.image_id, name=name, source=source)
    used = {name for labels in labels_of.values() for name in labels.values()}
    tell(source, [name for name, found in named.items() if found.is_label], what=_AGAIN, but=used)
    if not labels_of:
        return []
    root = min(labels_of)
    if len(labels_of) > 1:
        raise UnfitDataError(
            f"{source} has several sets: {', '.join(sorted(labels_of))}; choose one, as in {source}::{root}"
        )
    images = images_of.get(root, {})
    labels = _by_image(labels_of[root], images, source=source)
    return [Pair(one, images.get(one), labels.get(one)) for one in sorted(images.keys() | labels.keys())]


def find_labels(source: Source, named: Mapping[str, FileName], *, like: Collection[str] = ()) -> dict[str, str]:
    """List the label images of a source that may hold nothing else, whatever their names.

    If pictures lie there, too (a folder ``images`` beside label images, or a picture beside its label image), label
    images are known by their folder or ending. Otherwise all files are label images.

    Parameters
    ----------
    source : Source
        One side of a comparison.
    named : mapping of str to FileName
        From `nucleate.data.outlined.names_in`.
    like : collection of str
        Ids of the other side.

    Returns
    -------
    dict
        Id -> file name. If names occur in several folders, the id includes the folders: ``p1-a`` for ``p1/a.tif``; also
        if the ids of the other side include them. For results that we wrote, ``run.json`` tells the folders.

    Raises
    ------
    DataError
        As `find_pairs`, and if the nuclei are in Cellpose's ``_seg.npy`` only, which could run any program when read.
    """
    if pictured(named):
        found = {pair.image_id: pair.labels for pair in find_pairs(source, named) if pair.labels is not None}
        tell(source, _pictures(source), what=_OTHER, but=named)
        return found
    files = [*named, *(name for name in source.names if _is_array(name) and name not in named)]
    segmented = {name[: -len(_SEGMENTED)] for name in source.names if name.lower().endswith(_SEGMENTED)}
    if segmented and all(str(PurePosixPath(name).with_suffix("")) in segmented for name in files):
        raise UnfitDataError(
            f"{source} has its nuclei in *{_SEGMENTED} only: got {len(segmented)}, which may hold programs and are not "
            "read; save them in Cellpose as PNG or TIFF"
        )
    tell(source, _pictures(source), what=_OTHER, but={*files})
    whole: dict[str, str] = {}
    for name in files:
        inside = named[name].folder if name in named else ""
        _add(whole, named[name].image_id if inside else tree_id(name), name=name, source=source)
    tell(source, files, what=_AGAIN, but={*whole.values()})
    plain = {picture_id(name): name for name in whole.values()}
    if len(plain) < len(whole) or (plain.keys().isdisjoint(like) and not whole.keys().isdisjoint(like)):
        return whole
    return by_inputs(source, plain, like=like) if like else plain


def _pictures(source: Source) -> list[str]:
    """Name the files that look like pictures, but for those that we write beside a picture."""
    return [name for name in source.names if name.lower().endswith((*PICTURE_SUFFIXES, ".npy")) and not is_ours(name)]


def tell(source: Source, names: Sequence[str], *, what: str, but: Collection[str] = ()) -> None:
    """Warn of the files among these that are not used."""
    if left := [name for name in names if name not in but]:
        _logger.warning("%s: passed over what %s (%d): %s", source, what, len(left), listed(left, 3))


def pictured(named: Mapping[str, FileName]) -> bool:
    """Tell whether pictures lie among label images: in their own folder, or as one of two files with the same name."""
    if any(one.folder == "images" for one in named.values()) and any(
        one.is_label and one.folder != "images" for one in named.values()
    ):
        return True
    ids = Counter(one.key for one in {*named.values()})
    labelled = {one.key for one in named.values() if one.is_label}
    return any(ids[key] > 1 for key in labelled)


def _is_array(name: str) -> bool:
    place = PurePosixPath(name)
    return place.suffix.lower() == ".npy" and not name.lower().endswith(_SEGMENTED)


def _by_image(labels: Mapping[str, str], images: Collection[str], *, source: Source) -> dict[str, str]:
    """Give label images the ids of their images, which may be ``a.ome`` or ``a_img`` for a label image ``a``."""
    find = matcher(images)
    found: dict[str, str] = {}
    for label_id, name in labels.items():
        _add(found, find(label_id) or label_id, name=name, source=source)
    return found


def _add(side: dict[str, str], image_id: str, *, name: str, source: Source) -> None:
    """Note a file; if a label image is there twice, as an array or with OME metadata, the plain file is taken."""
    before = side.get(image_id)
    if before is not None and (_bare(before) != _bare(name) or _rank(before) == _rank(name)):
        raise DataError(f"{source}: id {image_id} occurs twice: got {before} and {name}; rename one")
    if before is None or _rank(name) < _rank(before):
        side[image_id] = name


def _bare(name: str) -> str:
    """Give the part of a name that all files of one label image share: everything but the kind of file."""
    bare = name.removesuffix(PurePosixPath(name).suffix)
    return bare.removesuffix(".ome") if _has_ome(bare) else bare


def _rank(name: str) -> int:
    place = PurePosixPath(name)
    again = _has_ome(place.stem) or name.lower().endswith("_cp_masks.png")  # the same as Cellpose's TIFF
    return 2 if place.suffix.lower() == ".npy" else int(again)


def _has_ome(stem: str) -> bool:
    """Tell whether a name ends as that of a label image, followed by the ending of OME metadata."""
    return stem.endswith(".ome") and without_ending(stem) != stem


def samples_of(source: Source, named: Mapping[str, FileName]) -> list[Sample]:
    """Read every pair of a source, see `find_pairs`.

    Returns
    -------
    list of Sample
        Sorted by id; each image is its own group.

    Raises
    ------
    DataError
        If an image has no label image or the reverse, sizes differ, or a file is damaged.
    """
    samples = []
    for pair in find_pairs(source, named):
        if pair.image is None or pair.labels is None:
            missing = "image" if pair.image is None else "label image"
            raise DataError(f"{source}: {pair.image_id} has no {missing}; add it or take the other file out")
        image = read_picture(source, pair.image)
        labels = decode_labels(source.read(pair.labels), f"{source}/{pair.labels}")
        samples.append(Sample(pair.image_id, image, labels, group=pair.image_id))
    return samples
