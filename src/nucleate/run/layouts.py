"""What in a folder or an archive is a picture to segment, and what is the truth that lies beside it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nucleate.core.endings import without_ending
from nucleate.io.images import IMAGE_SUFFIXES, is_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

__all__ = ["each_folder", "is_image_folder", "looks_like_image", "members_to_segment", "truth_in"]

_IMAGES, _TRUTH = "images", ("labels", "masks")


def looks_like_image(name: str) -> bool:
    """Tell by its name whether a file is a picture; resource forks and thumbnails of file managers are hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_image_folder(path: Path) -> bool:
    """Tell whether a folder is one picture, as in OME-Zarr."""
    with contextlib.suppress(OSError):
        return path.is_dir() and (path.suffix.lower() == ".zarr" or is_zarr(path))
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
    waiting, seen, whole = [top], set[tuple[int, int]](), top.resolve()
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
            waiting += [link for link in links if not whole.is_relative_to(link.resolve())]


def truth_in(folder: Path) -> set[str]:
    """Name the folders in a folder that hold the truth of what lies in its ``images``."""
    return _truth(folder.name, {name: _stems(folder / name) for name in (_IMAGES, *_TRUTH)})


def members_to_segment(names: Iterable[str]) -> list[PurePosixPath]:
    """Choose the pictures among the members of an archive, without the truth beside them."""
    members = [one for one in map(PurePosixPath, names) if looks_like_image(one.name) and "__MACOSX" not in one.parts]
    stems: dict[PurePosixPath, dict[str, set[str]]] = {}
    for one in members:
        stems.setdefault(one.parent.parent, {}).setdefault(one.parent.name, set()).add(one.stem)
    truth = {folder: _truth(folder.name, beside) for folder, beside in stems.items()}
    return [one for one in members if one.parent.name not in truth[one.parent.parent]]


def _truth(folder: str, stems: Mapping[str, Collection[str]]) -> set[str]:
    """Name truth by the stems of the pictures in each folder: Kaggle's layout, and a label image of each picture."""
    images = set(stems.get(_IMAGES, ()))
    if folder in images:
        return {"masks"}
    return {name for name in _TRUTH if (named := stems.get(name)) and all(_of(stem) & images for stem in named)}


def _of(stem: str) -> set[str]:
    """Give what the picture of a label image may be called."""
    return {stem, without_ending(stem)}


def _stems(folder: Path) -> set[str]:
    with contextlib.suppress(OSError):  # what may not be looked into is told when the walk comes there
        return {path.stem for path in folder.iterdir() if looks_like_image(path.name)} if folder.is_dir() else set()
    return set()
