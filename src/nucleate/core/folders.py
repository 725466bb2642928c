"""Going through folders: links are followed, no folder is met twice, and folders that cannot be listed are reported."""

from __future__ import annotations

import contextlib
import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["each_folder", "matches_of", "named_again"]


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
        A folder, the names of the folders in it, and the names of its files. Folders whose names are taken out of the
        list are passed over; so are links to folders that hold `top`, since the user did not name all that lies there.
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
    """List the paths that match a pattern, as `glob.glob` does, sorted; ``**`` follows `each_folder`."""
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
    """Find the folders that are, by way of links, the same as another one among them."""
    seen: set[tuple[int, int]] = set()
    again: set[Path] = set()
    for folder in sorted(set(folders), key=lambda one: (one.absolute() != one.resolve(), one)):
        with contextlib.suppress(OSError):  # a folder that is not there is reported elsewhere
            place = folder.stat()
            identity = place.st_dev, place.st_ino
            again.update({folder} if identity in seen else ())
            seen.add(identity)
    return again


def _holds(path: Path, top: Path) -> bool:
    """Tell whether a path is a link to `top`, or to a folder that holds `top`."""
    return os.path.islink(path) and top.resolve().is_relative_to(os.path.realpath(path))  # noqa: PTH114 - Path.is_symlink() may raise
