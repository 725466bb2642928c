"""Which files of a folder or an archive are pictures to segment, and which are the truth that lies beside them."""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from nucleate.core.endings import stem_of, without_ending
from nucleate.core.files import absolute
from nucleate.core.names import is_ours, read_names
from nucleate.core.text import listed
from nucleate.io.images import IMAGE_SUFFIXES, is_zarr
from nucleate.run.journal import JOURNAL_NAME, PARTS_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

__all__ = [
    "OWN_SUFFIXES",
    "is_image_folder",
    "is_own",
    "looks_like_image",
    "members_to_segment",
    "tell_left",
    "thumbnails",
    "truth_among",
]

OWN_SUFFIXES = (".labels.tif", ".labels.ome.tif", ".overlay.png", ".rois.zip")
"""Endings of the pictures that we write; in a folder of results they are not taken as inputs."""

_RECORDS = ("run.json", "summary.csv")  # in a folder of results, beside hidden files

_IDENTITY = re.compile(r"[0-9a-f]{8}-[0-9a-f-]+$", re.IGNORECASE)

_EITHER = re.compile(r"[-_]label(led)?(\.ome)?$", re.IGNORECASE)  # pictures of labelled cells end so, too

_logger = logging.getLogger(__name__)

_TRUTH = {"labels", "masks"}

_Path = TypeVar("_Path", bound=PurePath)


def looks_like_image(name: str) -> bool:
    """Tell by its name whether a file is a picture; hidden files (resource forks, thumbnails) are not."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_image_folder(path: Path) -> bool:
    """Tell whether a folder is one picture, as in OME-Zarr."""
    with contextlib.suppress(OSError):
        return path.is_dir() and (path.suffix.lower() == ".zarr" or is_zarr(path))
    return False


def is_own(path: Path, output: Path | None) -> bool:
    """Tell whether we wrote a picture, in this run or another one: results are not taken as inputs."""
    same = output is not None and absolute(path.parent) == absolute(output)
    with contextlib.suppress(OSError):  # a folder without access is reported when its turn comes
        ours = path.name.endswith(OWN_SUFFIXES) or (path.suffix == ".zarr" and (path / "labels" / "nuclei").is_dir())
        return ours and (same or _has_results(path.parent, Path.exists))
    return False


def _has_results(folder: _Path, exists: Callable[[_Path], bool]) -> bool:
    """Tell whether a folder holds results, even if its hidden files got lost when it was copied or downloaded."""
    hidden = any(exists(folder / mark) for mark in (JOURNAL_NAME, PARTS_NAME))
    return hidden or all(exists(folder / name) for name in _RECORDS)


def truth_among(names: Iterable[str], *, top: str = "") -> dict[str, str]:
    """Find the truth among the pictures of a folder or an archive, and files that programs write beside pictures.

    A file that `nucleate.core.names.read_names` takes as a label image is truth, unless it may be a picture to segment:

    - beside pictures, if it has no picture of its own, or if its name ends in ``_label``, as pictures of labelled cells
      do, too;
    - in a folder ``labels`` or ``masks`` in which some file has no picture: there the names alone decide, as if the
      folder were all there is. In Kaggle's layout all masks are truth.

    Parameters
    ----------
    names : iterable of str
        With forward slashes, from the folder.
    top : str
        The name of the folder.

    Returns
    -------
    dict
        Name -> what a message names as left out: the folder, if all of it is truth, or the name.

    Examples
    --------
    >>> sorted(truth_among(["a.tif", "a_mask.png", "b.labels.tif", "c.ome.tif", "c.ome.labels.tif", "c.ome_flows.tif"]))
    ['a_mask.png', 'c.ome.labels.tif', 'c.ome_flows.tif']
    """
    names = [*names]
    small = thumbnails(names)
    found = read_names(name for name in names if name not in small)
    pictures = [one for one in found.values() if not one.is_label]
    pictured = {one.key for one in pictures}
    in_images = [one for one in pictures if one.folder == "images"]
    kaggle = {one.root for one in in_images if one.image_id == PurePosixPath(top, one.root).name}
    labels = {name: one for name, one in found.items() if one.is_label}
    with_others = {(one.root, one.folder) for one in labels.values() if one.key not in pictured}
    beside = {(PurePosixPath(name).parent, without_ending(stem_of(name))) for name in found}
    truth = {name: name for name in names if name not in found and not _is_lone_result(name, beside)}
    inside: dict[str, list[str]] = {}  # names in folders that are not truth as a whole
    for name, one in labels.items():
        if one.folder in _TRUTH:
            folder = _folder_called(one.folder, name)
            if (one.root, one.folder) not in with_others or (one.folder == "masks" and one.root in kaggle):
                truth[name] = folder
            else:
                inside.setdefault(folder, []).append(name.removeprefix(f"{folder}/"))
        elif one.key in pictured and not _EITHER.search(stem_of(name)):
            truth[name] = name
    for folder, members in inside.items():
        truth |= {f"{folder}/{name}": f"{folder}/{left}" for name, left in truth_among(members).items()}
    return truth


def thumbnails(names: Iterable[str]) -> set[str]:
    """Find the small copies that microscopes put beside their pictures, each file with an identity in its name.

    Examples
    --------
    >>> sorted(thumbnails(["A01_w1D6A5B5B1-4C0D.tif", "A01_w1_thumb00E1A7C0-77F2.tif", "my_thumb.tif"]))
    ['A01_w1_thumb00E1A7C0-77F2.tif']
    """
    bare = {name: (PurePosixPath(name).parent, _IDENTITY.sub("", stem_of(name)).lower()) for name in names}
    there = set(bare.values())
    ends = {name: stem.removesuffix("_thumb") for name, (_, stem) in bare.items() if stem.endswith("_thumb")}
    return {name for name, stem in ends.items() if (bare[name][0], stem) in there}


def _is_lone_result(name: str, beside: AbstractSet[tuple[PurePosixPath, str]]) -> bool:
    """Tell whether a file has the name of a picture that we write beside another one, while that one is not there."""
    return is_ours(name) and (PurePosixPath(name).parent, stem_of(name).rpartition(".")[0]) not in beside


def _folder_called(folder: str, name: str) -> str:
    parts = name.split("/")[:-1]
    return "/".join(parts[: max(at for at, one in enumerate(parts, 1) if one.lower() == folder)])


def members_to_segment(names: Iterable[str]) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Choose the pictures among the members of an archive, and name the truth beside them: label images and folders.

    Results that we wrote are neither.
    """
    there = dict.fromkeys(map(PurePosixPath, names))
    members = [
        one
        for one in there
        if looks_like_image(one.name)
        and "__MACOSX" not in one.parts
        and not (one.name.endswith(OWN_SUFFIXES) and _has_results(one.parent, there.__contains__))
    ]
    truth = truth_among(map(str, members))
    return [one for one in members if str(one) not in truth], [*map(PurePosixPath, dict.fromkeys(truth.values()))]


def tell_left(where: Path, truth: Sequence[PurePath]) -> None:
    """Warn of the truth in a folder or an archive that is not segmented."""
    if truth:
        shown = listed(truth, 3)
        _logger.warning("%s: left out label images of pictures there, and the like (%d): %s", where, len(truth), shown)
