"""What in a folder or an archive is a picture to segment, and what is the truth that lies beside it."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import re
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

from nucleate.core.endings import stem_of, without_ending, without_extras
from nucleate.core.files import absolute
from nucleate.core.text import one_line
from nucleate.io.images import IMAGE_SUFFIXES, is_zarr
from nucleate.run.journal import JOURNAL_NAME, PARTS_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

__all__ = [
    "OWN_SUFFIXES",
    "each_folder",
    "is_image_folder",
    "is_own",
    "looks_like_image",
    "matches_of",
    "members_to_segment",
    "named_again",
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


def each_folder(top: Path, note: Callable[[OSError], None]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Go through a folder as `os.walk` does, then through the folders that links in it lead to, each once.

    Parameters
    ----------
    top : Path
    note : callable
        Told of each folder that cannot be listed.

    Yields
    ------
    (Path, list of str, list of str)
        A folder, the names of the folders in it, of which those that are taken out are passed over, and of its files.
        Links to what holds `top` are passed over too: the user did not name all that lies there.
    """
    waiting, seen = [top], set[tuple[int, int]]()
    for start in waiting:  # grows meanwhile
        for folder, folders, files in os.walk(start, onerror=note):
            here = Path(folder)
            place = here.stat()
            identity = place.st_dev, place.st_ino
            if start is not top and identity in seen:
                folders.clear()
                continue
            seen.add(identity)
            yield here, folders, files
            links = [here / name for name in folders if os.path.islink(here / name)]  # noqa: PTH114 - Path.is_symlink() may raise
            waiting += [link for link in links if not _holds(link, top)]


def matches_of(pattern: str) -> list[Path]:
    """List what matches a pattern, sorted, as `glob.glob` does; ``**`` goes through folders as `each_folder` does."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return sorted(map(Path, glob.glob(pattern)))  # noqa: PTH207 - Path.glob takes no absolute patterns
    place = parts.index("**")
    found: set[Path] = set()
    for top in matches_of(str(Path(*parts[:place]))):
        for here, folders, _ in each_folder(top, lambda _: None) if top.is_dir() else ():
            folders[:] = [name for name in folders if not name.startswith(".")]
            deeper = matches_of(str(Path(glob.escape(str(here)), *(parts[place + 1 :] or "*"))))
            found.update(one for one in deeper if not _holds(one, top))
    return sorted(found)


def named_again(folders: Iterable[Path]) -> set[Path]:
    """Find the folders that are the same as others of them, by way of links."""
    seen: set[tuple[int, int]] = set()
    again: set[Path] = set()
    for folder in sorted(set(folders), key=lambda one: (one.absolute() != one.resolve(), one)):
        with contextlib.suppress(OSError):  # what is not there is told by itself
            place = folder.stat()
            identity = place.st_dev, place.st_ino
            again.update({folder} if identity in seen else ())
            seen.add(identity)
    return again


def _holds(path: Path, top: Path) -> bool:
    """Tell whether a path is a link to a folder that holds another, or to that itself."""
    return os.path.islink(path) and top.resolve().is_relative_to(os.path.realpath(path))  # noqa: PTH114 - Path.is_symlink() may raise


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
    """Choose the pictures among the members of an archive, and name the truth that lies beside them."""
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
    left: list[PurePosixPath] = []
    for one in members:
        is_truth = one.parent.name in truth[one.parent.parent] or one.name in labels[one.parent]
        (left if is_truth else kept).append(one)
    return kept, left


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
