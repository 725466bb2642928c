"""What in a folder or an archive is a picture to segment, and what is the truth that lies beside it."""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from nucleate.core.endings import stem_of, without_ending, without_extras
from nucleate.core.files import absolute
from nucleate.core.text import one_line
from nucleate.io.images import IMAGE_SUFFIXES, is_zarr
from nucleate.run.journal import JOURNAL_NAME, PARTS_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = [
    "OWN_SUFFIXES",
    "is_image_folder",
    "is_own",
    "looks_like_image",
    "members_to_segment",
    "tell_left",
    "truth_beside",
    "truth_in",
]

OWN_SUFFIXES = (".labels.tif", ".labels.ome.tif", ".overlay.png", ".rois.zip")
"""Endings of the pictures that we write; they are not taken as inputs again when they lie in a folder of results."""

_EITHER = re.compile(r"[-_]label(led)?$", re.IGNORECASE)  # a picture of labelled cells, too

_logger = logging.getLogger(__name__)

_IMAGES, _TRUTH = "images", ("labels", "masks")


def looks_like_image(name: str) -> bool:
    """Tell by its name whether a file is a picture; resource forks and thumbnails of file managers are hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_image_folder(path: Path) -> bool:
    """Tell whether a folder is one picture, as in OME-Zarr."""
    with contextlib.suppress(OSError):
        return path.is_dir() and (path.suffix.lower() == ".zarr" or is_zarr(path))
    return False


def is_own(path: Path, output: Path | None) -> bool:
    """Tell whether we wrote a picture: results are not taken for inputs, of this run or of another."""
    same = output is not None and absolute(path.parent) == absolute(output)
    with contextlib.suppress(OSError):  # what may not be looked at is told when its turn comes
        ours = path.name.endswith(OWN_SUFFIXES) or (path.suffix == ".zarr" and (path / "labels" / "nuclei").is_dir())
        return ours and (same or any((path.parent / mark).exists() for mark in (JOURNAL_NAME, PARTS_NAME)))
    return False


def truth_in(folder: Path) -> set[str]:
    """Name the folders in a folder that hold the truth of what lies in its ``images``."""
    return _truth(folder.name, {name: _stems(folder / name) for name in (_IMAGES, *_TRUTH)})


def truth_beside(names: Iterable[str]) -> set[str]:
    """Name the label images among the pictures of one folder: what ends as one, beside the picture that it is of.

    Examples
    --------
    >>> sorted(truth_beside(["a.tif", "a_mask.png", "b.labels.tif", "c.ome.tif", "c.ome.labels.tif"]))
    ['a_mask.png', 'c.ome.labels.tif']
    """
    stems = {name: stem_of(name) for name in names}
    pictures = {without_extras(stem) for stem in stems.values()}
    ended = {name: without_ending(stem) for name, stem in stems.items() if not _EITHER.search(stem)}
    return {name for name, plain in ended.items() if plain != stems[name] and without_extras(plain) in pictures}


def members_to_segment(names: Iterable[str]) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Choose the pictures among the members of an archive, and name the truth beside them: label images and folders."""
    members = [one for one in map(PurePosixPath, names) if looks_like_image(one.name) and "__MACOSX" not in one.parts]
    inside: dict[PurePosixPath, list[str]] = {}
    for one in members:
        inside.setdefault(one.parent, []).append(one.name)
    stems: dict[PurePosixPath, dict[str, set[str]]] = {}
    for folder, found in inside.items():
        stems.setdefault(folder.parent, {})[folder.name] = {*map(stem_of, found)}
    truth = {folder: _truth(folder.name, beside) for folder, beside in stems.items()}
    labels = {folder: truth_beside(found) for folder, found in inside.items()}
    kept: list[PurePosixPath] = []
    left: dict[PurePosixPath, None] = {}
    for one in members:
        if one.parent.name in truth[one.parent.parent]:
            left[one.parent] = None
        elif one.name in labels[one.parent]:
            left[one] = None
        else:
            kept.append(one)
    return kept, [*left]


def tell_left(where: Path, truth: Sequence[PurePath]) -> None:
    """Warn of the truth in a folder or an archive that is not segmented."""
    if truth:
        shown = one_line(", ".join(map(str, truth[:3]))) + ", ..." * (len(truth) > 3)
        _logger.warning("%s: left out label images of pictures there (%d): %s", where, len(truth), shown)


def _truth(folder: str, stems: Mapping[str, Collection[str]]) -> set[str]:
    """Name truth by the stems of the pictures in each folder: Kaggle's layout, and a label image of each picture."""
    images = set(stems.get(_IMAGES, ()))
    if folder in images:
        return {"masks"}
    known = images | {without_extras(stem) for stem in images}
    return {name for name in _TRUTH if (named := stems.get(name)) and all(_of(stem) & known for stem in named)}


def _of(stem: str) -> set[str]:
    """Give what the picture of a label image may be called."""
    return {stem, without_extras(stem), without_ending(stem), without_extras(without_ending(stem))}


def _stems(folder: Path) -> set[str]:
    with contextlib.suppress(OSError):  # what may not be looked into is told when the walk comes there
        return (
            {stem_of(one.name) for one in folder.iterdir() if looks_like_image(one.name)} if folder.is_dir() else set()
        )
    return set()
