"""OME metadata of TIFF files: what they tell of the pictures that lie in a file, however many its set has."""

from __future__ import annotations

import contextlib
import re
import weakref
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from tifffile import TiffFile

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


_KNOWN: weakref.WeakKeyDictionary[TiffFile, list[OmePicture]] = weakref.WeakKeyDictionary()


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
    OSError, ValueError, ...
        As tifffile raises them for damaged files.
    """
    tiff = TiffFile(path, is_mmstack=False, is_ome=None if ome else False)
    own = _tree(tiff.ome_metadata)
    pointer = None if own is None else own.find("{*}BinaryOnly")
    tree = own if pointer is None else _tree_of(path, pointer.get("MetadataFile", ""))
    if own is None or tree is None:
        return tiff
    uuid, images = own.get("UUID"), tree.findall("{*}Image")
    files = {one: _files(one, here=path.name, uuid=uuid) for one in images}
    shared = set[str]().union(*(names for names in files.values() if path.name in names))
    kept = {one: names for one, names in files.items() if names & shared} or files
    if not _are_sane(path, set[str]().union(*kept.values())):
        tiff.close()
        return open_tiff(path, ome=False)
    pictures = [_picture(one, names) for one, names in kept.items()]
    if pointer is not None or len(images) > 1:
        # tifffile opens every file that is named, and leaves out pictures without planes: their numbers tell them.
        for number, one in enumerate(kept):
            one.set("Name", str(number))
        tree[:] = [one for one in tree if one in kept or one not in files]
        tree.attrib.pop("UUID", None)
        tree.attrib.update({} if uuid is None else {"UUID": uuid})
        tiff.close()
        tiff = TiffFile(path, is_mmstack=False, omexml=ElementTree.tostring(tree, encoding="unicode"))
    _KNOWN[tiff] = pictures
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
    return pictures[next(int(one.name) for one in tiff.series if any(level is series for level in one.levels))]


def files_named(tiff: TiffFile) -> set[str]:
    """Name the files in which planes lie of the pictures of which a file has planes.

    Parameters
    ----------
    tiff : TiffFile
        From `open_tiff`.

    Returns
    -------
    set of str
        Itself among them; empty where OME metadata do not tell. Some may be missing.
    """
    return set[str]().union(*(one.files for one in _KNOWN.get(tiff, [])))


def _tree(text: str | None) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(text or "")
    except ElementTree.ParseError:
        return None


def _tree_of(path: Path, name: str) -> ElementTree.Element | None:
    """Take the metadata of a set from the file that has them; None where there are none."""
    if not name or not _are_sane(path, {name}):
        return None
    with contextlib.suppress(Exception), TiffFile(path.parent / name) as tiff:  # what is no TIFF file tells nothing
        return _tree(tiff.ome_metadata)
    return None


def _files(image: ElementTree.Element, *, here: str, uuid: str | None) -> set[str]:
    """Name the files in which planes of a picture lie."""
    told = [one.find("{*}UUID") for one in image.findall("{*}Pixels/{*}TiffData")]
    names = (here if one is None or one.text == uuid else one.get("FileName") for one in told)
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
