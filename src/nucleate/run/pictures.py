"""Files that hold several pictures, and pictures that lie in several files: one input a picture.

Plates, series and scenes are found by their metadata; nothing is decoded. A file whose metadata cannot be
read stays one input, so that its fault is reported when its turn comes.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nucleate.core.files import absolute, in_file_name
from nucleate.core.text import one_line
from nucleate.errors import NucleateError
from nucleate.io.images import FORMATS, layout_of, pictures_of
from nucleate.io.omezarr import name_in_collection
from nucleate.io.tiff_head import is_ome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nucleate.run.inputs import Source

__all__ = [
    "brought_along",
    "each_picture",
    "files_of_set",
    "is_there",
    "only_part",
    "split_part",
    "stamp_of",
    "tell_of_more",
    "why_no_picture",
]

_logger = logging.getLogger(__name__)

_MORE = (
    "%s: %s in it holds several pictures or is one of a set; of a file in an archive the largest picture is taken, "
    "with its own planes: unpack the archive to have them all"
)
_told: set[str] = set()
"""Archives of which this warning was given; each of their files would give it, each time that it is read."""

_SEVERAL = tuple(suffix for one in FORMATS if one.several and not one.sets for suffix in one.suffixes)
"""Endings of files that are asked for their pictures; TIFF files only if they are OME-TIFF files."""
_OTHERS = tuple(suffix for one in FORMATS if not one.sets for suffix in one.suffixes)
"""Endings of files that are not asked whether they are OME-TIFF files."""

_Stamp = tuple[tuple[int, int], ...]


class _Layout(NamedTuple):
    pictures: list[str]
    others: dict[Path, bool]
    stamps: dict[Path, _Stamp]


_LAYOUTS: dict[Path, _Layout] = {}
_MOST_LAYOUTS = 1 << 16


def each_picture(source: Source, *, alone: bool = False) -> list[Source]:
    """Split an input into its pictures: fields of a plate, scenes of a CZI, series of a LIF or an OME-TIFF.

    Parameters
    ----------
    source : Source
    alone : bool
        As for `nucleate.io.images.open_image`.

    Returns
    -------
    list of Source
        Only the source itself if it holds one picture.
    """
    if source.member or source.problem or source.picture is not None:
        return [source]
    if folder := source.path.is_dir():
        source = replace(source, name=name_in_collection(source.path))
    if not (folder or source.path.name.lower().endswith(_SEVERAL) or _is_ome_tiff(source.path)):
        return [source]
    try:
        names = pictures_of(source.path, alone=alone) if folder or alone else _layout(source.path).pictures
    except NucleateError:
        return [source]
    if len(names) < 2 and (not folder or names in ([""], [])):
        return [source]
    whole = source.stem.removesuffix(".ome")
    stems = [f"{whole}_{in_file_name(name) or number}" for number, name in enumerate(names)]
    if folder:  # each has its own folder, so that a plate is not hashed once for each field
        return [replace(source, path=source.path / name, name=stem) for name, stem in zip(names, stems, strict=True)]
    return [replace(source, picture=number, name=stem) for number, stem in enumerate(stems)]


def split_part(word: str) -> tuple[str, str]:
    """Split a word that names one picture of a file: ``plate.zip!a.png`` of an archive, ``mice.lif#3`` of other files.

    Parameters
    ----------
    word : str
        If it is the name of a file or folder that is there, or a glob that matches, it is not split.

    Returns
    -------
    (str, str)
        The file, and the rest from ``!`` or ``#`` on, which is empty if the word names no part.
    """
    for place, letter in enumerate(word):
        if letter in "!#" and is_there(word[:place]) and not _names_files(word):
            return word[:place], word[place:]
    return word, ""


def is_there(path: str | Path) -> bool:
    """Tell whether there is a file of that name."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name that is too long
        return False


def only_part(pictures: list[Source], part: str) -> list[Source]:
    """Keep the named one of the pictures of a file; if it is not there, give one with a problem.

    Parameters
    ----------
    pictures : list of Source
    part : str
        From `split_part`; all are kept when it is empty.

    Returns
    -------
    list of Source
    """
    if not part:
        return pictures
    first = pictures[0]
    found = [one for one in pictures if one.problem or one.key == absolute(first.path) + part]
    problem = f"{one_line(str(first.path) + part)}: no such picture in it; it holds {len(pictures)}"
    return found or [replace(first, member="", picture=None, name="", problem=problem)]


def brought_along(sources: Iterable[Source]) -> set[Source]:
    """Find the files of OME-TIFF sets in which no picture begins, since other files of the set bring them along.

    Parameters
    ----------
    sources : iterable of Source

    Returns
    -------
    set of Source
        Some of the sources; a file that is known to be brought along is not opened.
    """
    each = list(dict.fromkeys(sources))
    brought: set[str] = set()
    for source in each:
        if not brought or os.path.realpath(source.path) not in brought:
            brought.update(str(path) for path, has_own in _others_of(source).items() if not has_own)
    return {one for one in each if brought and not one.member and os.path.realpath(one.path) in brought}


def files_of_set(source: Source) -> list[Path]:
    """List the other files in which planes of an input lie, if its file belongs to an OME-TIFF set.

    Parameters
    ----------
    source : Source

    Returns
    -------
    list of Path
        Sorted; empty for all other inputs, and where the metadata cannot be read.
    """
    return list(_others_of(source))


def _others_of(source: Source) -> dict[Path, bool]:
    if source.member or source.problem or not _is_ome_tiff(source.path):
        return {}
    try:
        return _layout(source.path).others
    except NucleateError:
        return {}


def _is_ome_tiff(path: Path) -> bool:
    return not path.name.lower().endswith(_OTHERS) and _is_ome(path, stamp_of(path))


@functools.lru_cache(maxsize=65536)
def _is_ome(path: Path, *_: object) -> bool:
    return is_ome(path)


def _layout(path: Path) -> _Layout:
    """Tell what lies in a file; the answer is kept until the file, or one that it depends on, changes."""
    known = _LAYOUTS.get(path)
    if known is None or any(stamp_of(file) != then for file, then in known.stamps.items()):
        stamps = {path: stamp_of(path)}
        known = _Layout(*layout_of(path, lambda named: stamps.update((file, stamp_of(file)) for file in named)), stamps)
        if len(_LAYOUTS) >= _MOST_LAYOUTS:
            _LAYOUTS.clear()
        _LAYOUTS[path] = known
    return known


def tell_of_more(archive: Path, member: str, *, unpacked: Path) -> None:
    """Warn, once for each archive, that other pictures of its files, or other files of their sets, are not read.

    Parameters
    ----------
    archive : Path
    member : str
    unpacked : Path
        The member as a plain file.
    """
    place = absolute(archive)
    if place in _told:
        return
    with contextlib.suppress(NucleateError):  # a fault is reported when the file is read
        is_several = _is_ome_tiff(unpacked) or member.lower().endswith(_SEVERAL)
        named: list[Path] = []
        if is_several and (len(layout_of(unpacked, named.extend)[0]) > 1 or named):
            _told.add(place)
            _logger.warning(_MORE, archive, one_line(member))


def stamp_of(path: Path) -> _Stamp:
    """Give size and time of the last change of a file, or of each file of a folder, () if it is gone."""
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return tuple((found.st_size, found.st_mtime_ns) for found in (file.stat() for file in files))
    except (OSError, ValueError):
        return ()


def why_no_picture(members: Iterable[str]) -> str:
    """Say what is wrong with an archive that has these members, none of which is a picture."""
    if any(name.rsplit("/", 1)[-1] in {"zarr.json", ".zattrs", ".zgroup"} for name in members):
        return "an OME-Zarr in an archive; unpack it and name its folder"
    return "no image in this archive; check that it is the right one"


def _names_files(word: str) -> bool:
    try:
        return os.path.lexists(word) or (glob.has_magic(word) and any(glob.iglob(word, recursive=True)))  # noqa: PTH207 - Path.glob takes no absolute patterns
    except ValueError:  # characters that no name can have
        return False
