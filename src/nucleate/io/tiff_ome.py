"""OME metadata of TIFF files: what they tell of the pictures that lie in a file, however many its set has."""

from __future__ import annotations

import contextlib
import functools
import re
import weakref
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from tifffile import TiffFile

from nucleate.errors import InputError
from nucleate.io.faults import fault

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tifffile import TiffPageSeries

__all__ = ["OmePicture", "files_named", "ome_picture", "open_tiff"]


class OmePicture(NamedTuple):
    """What is wanted of a picture's metadata, which can be long.

    Parameters
    ----------
    name : str
    pixels : dict of str to str
        Attributes: sizes and their units.
    channels : tuple of str
        The name, else the dye, of each; empty ones where neither is told.
    files : frozenset of str
        In which its planes lie.
    """

    name: str = ""
    pixels: dict[str, str] = {}  # noqa: RUF012 - of a tuple, and nobody writes into it
    channels: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()


class _Set(NamedTuple):
    """Metadata as they lie in a file, with those of the planes of each picture: their file's identity and name."""

    root: ElementTree.Element
    images: list[tuple[ElementTree.Element, frozenset[tuple[str | None, str] | None]]]


_MOST_BYTES = 1 << 28
"""Of a text of metadata; those of a plate with a hundred thousand planes have a fifth of that."""

_KNOWN: weakref.WeakKeyDictionary[TiffFile, list[OmePicture]] = weakref.WeakKeyDictionary()
_POINTED: weakref.WeakKeyDictionary[TiffFile, str] = weakref.WeakKeyDictionary()


def open_tiff(path: Path, *, ome: bool = True) -> TiffFile:
    """Open a TIFF file, of a set with the metadata of the pictures that have planes in it, or in a file they share.

    Where another file has the metadata of the set, they are taken from there. Those that point outside of their folder
    are not followed. The files that Micro-Manager writes are taken as their metadata have them, not all as one stack.

    Parameters
    ----------
    path : Path
    ome : bool
        If not, all its pages are taken as they stand, whatever OME metadata tell.

    Returns
    -------
    TiffFile

    Raises
    ------
    InputError
        If the metadata hold entities, or lie in a text of over 256 MiB.
    OSError, ValueError, ...
        As tifffile raises them for damaged files.
    """
    tiff = TiffFile(path, is_mmstack=False, is_ome=None if ome else False)
    try:
        return _with_metadata(path, tiff, own=_tree(path, tiff.ome_metadata))
    except InputError:
        tiff.close()
        raise


def _with_metadata(path: Path, tiff: TiffFile, *, own: ElementTree.Element | None) -> TiffFile:
    """Give a file as its metadata want it opened."""
    if own is None:
        return tiff
    pointer = own.find("{*}BinaryOnly")
    target = "" if pointer is None else pointer.get("MetadataFile", "")
    told = _set(own) if pointer is None else _set_of(path, target)
    if told is None:
        _POINTED[tiff] = target
        return tiff
    uuid = own.get("UUID")
    files = {one: _files(planes, here=path.name, uuid=uuid) for one, planes in told.images}
    shared = set[str]().union(*(names for names in files.values() if path.name in names))
    kept = {one: names for one, names in files.items() if names & shared} or files
    if not _are_sane(path, set[str]().union(*kept.values())):
        tiff.close()
        return open_tiff(path, ome=False)
    if pointer is not None or not _are_in_order(path, tiff, files=list(files.values())):
        tiff.close()
        tiff = TiffFile(path, is_mmstack=False, omexml=_only(told, list(kept), uuid=uuid))
    _KNOWN[tiff] = [_picture(one, names) for one, names in kept.items()]
    _POINTED[tiff] = target
    return tiff


def ome_picture(tiff: TiffFile, series: TiffPageSeries) -> OmePicture:
    """Tell what OME metadata say of a picture.

    Parameters
    ----------
    tiff : TiffFile
        From `open_tiff`.
    series : TiffPageSeries
        One of its series of the kind ``ome``, or a level of one.

    Returns
    -------
    OmePicture
        An empty one where nothing is told.
    """
    pictures = _KNOWN.get(tiff, [])
    if len(pictures) < 2:
        return pictures[0] if pictures else OmePicture()
    told = [one for one in tiff.series if one.kind == "ome"]
    place, found = next((i, one) for i, one in enumerate(told) if any(level is series for level in one.levels))
    return pictures[place if len(told) == len(pictures) else int(found.name)]


def files_named(tiff: TiffFile) -> set[str]:
    """Name the files in which planes lie of the pictures of which a file has planes, and the one with their metadata.

    Parameters
    ----------
    tiff : TiffFile
        From `open_tiff`.

    Returns
    -------
    set of str
        Itself among them; empty where OME metadata do not tell. Some may be missing.
    """
    pointed = {_POINTED.get(tiff, "")} - {""}
    return pointed.union(*(one.files for one in _KNOWN.get(tiff, [])))


def _tree(path: Path, text: str | bytes | None) -> ElementTree.Element | None:
    if (b"<!ENTITY" if isinstance(text, bytes) else "<!ENTITY") in (text or ""):  # type: ignore[operator]
        raise fault(path, "its OME metadata hold entities, which could grow without end")
    try:
        return ElementTree.fromstring(text or "")
    except ElementTree.ParseError:
        return None


def _set(root: ElementTree.Element) -> _Set:
    images = []
    for image in root.findall("{*}Image"):
        told = [one.find("{*}UUID") for one in image.findall("{*}Pixels/{*}TiffData")]
        planes = (None if one is None else (one.text, one.get("FileName", "")) for one in told)
        images.append((image, frozenset(planes)))
    return _Set(root, images)


def _set_of(path: Path, name: str) -> _Set | None:
    """Take the metadata of a set from the file that has them; None where there are none."""
    if not name or not _are_sane(path, {name}):
        return None
    with contextlib.suppress(OSError):
        found = (path.parent / name).stat()
        return _read_set(path.parent / name, found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns)
    return None


@functools.lru_cache(maxsize=4)  # each file of a set points to the same metadata, which grow with their number
def _read_set(path: Path, size: int, *_: int) -> _Set | None:
    """Read metadata, of a TIFF file or as text; what follows the path changes with the file."""
    text: str | bytes | None = None
    is_text = False
    with contextlib.suppress(Exception):  # what is neither tells nothing
        with path.open("rb") as file:
            is_text = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        if not is_text:
            with TiffFile(path) as tiff:
                text = tiff.ome_metadata
        elif size <= _MOST_BYTES:
            text = path.read_bytes()
    if is_text and size > _MOST_BYTES:
        said = f"{size / 2**20:.0f} MiB of OME metadata, at most {_MOST_BYTES >> 20} are read"
        raise fault(path, said, cure="move it away, then its pictures are read without it")
    tree = _tree(path, text)
    return None if tree is None else _set(tree)


def _only(told: _Set, kept: list[ElementTree.Element], *, uuid: str | None) -> str:
    """Write the metadata of a file without the pictures that are not kept.

    tifffile opens every file that is named, and leaves out pictures without planes: their numbers, as names, tell them.
    """
    numbers = {one: number for number, one in enumerate(kept)}
    images = {one for one, _ in told.images}
    attributes = {key: value for key, value in told.root.attrib.items() if key != "UUID"}
    root = ElementTree.Element(told.root.tag, attributes if uuid is None else attributes | {"UUID": uuid})
    for one in told.root:
        if one in numbers:
            image = ElementTree.SubElement(root, one.tag, one.attrib | {"Name": str(numbers[one])})
            image.extend(one)
        elif one not in images:
            root.append(one)
    return ElementTree.tostring(root, encoding="unicode")


def _are_in_order(path: Path, tiff: TiffFile, *, files: list[set[str]]) -> bool:
    """Tell whether the metadata can be taken as they are: one picture, or all of them lie in this file."""
    if len(files) < 2:
        return True
    if any(names != {path.name} for names in files):
        return False
    with contextlib.suppress(Exception):  # whatever is wrong with the pages shows when they are read
        len(tiff.pages)  # finds chains of pages that lead back into themselves
        return sum(one.kind == "ome" for one in tiff.series) == len(files)
    return False


def _files(planes: Iterable[tuple[str | None, str] | None], *, here: str, uuid: str | None) -> set[str]:
    """Name the files in which planes of a picture lie."""
    names = (here if one is None or one[0] == uuid else one[1] for one in planes)
    return {here if name.lower() == here.lower() else name for name in names if name}


def _are_sane(path: Path, names: Iterable[str]) -> bool:
    # Opening a pipe or a device would wait for ever.
    return all(
        re.search(r"[/\\\0]", name) is None and (not (path.parent / name).exists() or (path.parent / name).is_file())
        for name in names
    )


def _picture(image: ElementTree.Element, files: Iterable[str]) -> OmePicture:
    pixels = image.find("{*}Pixels")
    if pixels is None:
        return OmePicture(image.get("Name", ""))
    channels = (one.get("Name") or one.get("Fluor") or "" for one in pixels.findall("{*}Channel"))
    return OmePicture(image.get("Name", ""), dict(pixels.attrib), tuple(channels), frozenset(files))
