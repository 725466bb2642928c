"""Reads from the OME metadata of TIFF files what concerns the pictures in one file, however large its set is."""

from __future__ import annotations

import contextlib
import copy
import functools
import re
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from tifffile import TiffFile

from nucleate.core.files import absolute
from nucleate.errors import InputError
from nucleate.io.faults import fault
from nucleate.io.tiff_head import first_description

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tifffile import TiffPageSeries

__all__ = ["OmePicture", "files_named", "fits_at", "ome_picture", "open_tiff"]

_UUID = re.compile(r"""<(?:\w+:)?OME\b[^>]*?(\sUUID\s*=\s*["']([^"'<>]*)["'])""")
_LONG_ROOT = 1 << 14
"""Letters of the metadata in which the identity of a file is looked for; it stands in their first element."""

_MOST_KEPT = 1 << 22
"""Longest metadata, in letters, that are kept once they are parsed, which takes some ten times as many bytes."""

_NOWHERE = "/"
"""The path of a folder, which cannot be opened as a file."""

_Plane = tuple[str | None, str]


class OmePicture(NamedTuple):
    """The needed part of a picture's metadata, which can be long.

    Parameters
    ----------
    name : str
    pixels : dict of str to str
        Its attributes: sizes and their units.
    channels : tuple of str
        The name of each channel, else its dye, else an empty text.
    colours : tuple of str
        The colour of each channel as it is written: a number, or nothing.
    files : frozenset of Path
        The files in which its planes lie.
    """

    name: str = ""
    pixels: dict[str, str] = {}  # noqa: RUF012 - of a tuple, and nobody writes into it
    channels: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    files: frozenset[Path] = frozenset()


class _Set(NamedTuple):
    """The metadata in a file, with the identity and the name of the file of each plane of each picture."""

    root: ElementTree.Element
    images: list[tuple[ElementTree.Element, frozenset[_Plane | None]]]
    files: dict[_Plane | None, list[int]]  # the numbers of the pictures with planes there
    by_uuid: dict[str | None, list[_Plane]]
    by_name: dict[str, list[_Plane]]  # by file name in lower case


class _Here(NamedTuple):
    """Tells whether planes lie in a file: by its identity if the metadata have it, else by its name."""

    name: str
    uuid: str | None
    is_known: bool
    is_own: bool  # whether the metadata are the file's own; then names are enough
    bare: str  # where planes lie for which no file is named
    is_copy: bool  # if so, planes in other files are not its own

    def file_of(self, plane: _Plane | None) -> str:
        """Name the file in which a plane lies; empty if the plane seems to lie in this file, but does not."""
        if plane is None:
            return self.bare
        uuid, name = plane
        is_named = name.lower() == self.name.lower()
        may_be_named = is_named and (self.is_own or not uuid or self.uuid is None)
        lies_here = uuid == self.uuid if self.is_known else may_be_named
        return self.name if lies_here else "" if is_named or self.is_copy else name


_MOST_BYTES = 1 << 28
"""Most bytes of a text of metadata; a plate with a hundred thousand planes has a fifth of that."""

_KNOWN: weakref.WeakKeyDictionary[TiffFile, list[OmePicture]] = weakref.WeakKeyDictionary()
_POINTED: weakref.WeakKeyDictionary[TiffFile, Path] = weakref.WeakKeyDictionary()
_SETS: dict[str, _Set] = {}


def open_tiff(path: Path, *, ome: bool = True) -> TiffFile:
    """Open a TIFF file; in a set, with the metadata of those pictures that have planes in it or in a file they share.

    If another file has the metadata of the set, they are taken from that file. References that point outside of their
    folder are not followed, and files whose identities are not the expected ones count as missing. A file beside the
    one that the metadata name, with its identity but another name, is a copy, and planes in other files do not belong
    to it. Files from Micro-Manager are opened as their metadata describe them, not all as one stack.

    Parameters
    ----------
    path : Path
        The file; the others of its set are looked for beside it, or, if it is a link, beside the file it leads to.
    ome : bool
        Whether OME metadata are used; if not, all pages are taken as they stand.

    Returns
    -------
    TiffFile

    Raises
    ------
    InputError
        If the metadata hold entities, or are a text of over 256 MiB.
    OSError, ValueError, ...
        As tifffile raises them for damaged files.
    """
    tiff = TiffFile(path, is_mmstack=False, is_ome=None if ome else False)
    try:
        return _with_metadata(path, tiff)
    except InputError:
        tiff.close()
        raise


def _with_metadata(path: Path, tiff: TiffFile) -> TiffFile:
    """Open a file again as its metadata ask for, or give it as it is."""
    own, uuid = _told(path, tiff.ome_metadata)
    if own is None:
        return tiff
    real = Path(tiff.filehandle.path)
    told: _Set | None = own
    is_bare_here, pointer = True, own.root.find("{*}BinaryOnly")
    if pointer is not None:
        target = _beside(path, real, name=pointer.get("MetadataFile", ""))
        if target is None:
            return tiff
        _POINTED[tiff] = target
        told, is_bare_here = _set_of(target)
    if told is None:
        return tiff
    bare = real.name if is_bare_here else _POINTED[tiff].name
    is_known = uuid is not None and uuid in told.by_uuid
    is_copy = is_known and _is_copy(path, real, planes=told.by_uuid[uuid])
    here = _Here(real.name, uuid, is_known, pointer is None, bare, is_copy)
    kept = _kept(told, here)
    files = {name: _beside(path, real, name=name) for name in set[str]().union(*kept.values())}
    if None in files.values():
        tiff.close()
        return open_tiff(path, ome=False)
    planes = {plane for image, those in told.images if image in kept for plane in those if plane is not None}
    moved = {plane: place for plane in planes if (place := _moved(real, plane, file=files.get(here.file_of(plane))))}
    if pointer is not None or moved or not _are_in_order(tiff, told, files=kept):
        tiff.close()
        tiff, before = TiffFile(path, is_mmstack=False, omexml=_only(told, list(kept), uuid=uuid, moved=moved)), tiff
        if before in _POINTED:
            _POINTED[tiff] = _POINTED[before]
    _KNOWN[tiff] = [_picture(one, [file for name in names if (file := files[name])]) for one, names in kept.items()]
    return tiff


def ome_picture(tiff: TiffFile, series: TiffPageSeries) -> OmePicture:
    """Read what OME metadata say of a picture.

    Parameters
    ----------
    tiff : TiffFile
        From `open_tiff`.
    series : TiffPageSeries
        One of the file's series of the kind ``ome``, or a level of one.

    Returns
    -------
    OmePicture
        Without content if the metadata say nothing of the picture.
    """
    pictures = _KNOWN.get(tiff, [])
    if len(pictures) < 2:
        return pictures[0] if pictures else OmePicture()
    told = [one for one in tiff.series if one.kind == "ome"]
    place, found = next((i, one) for i, one in enumerate(told) if any(level is series for level in one.levels))
    return pictures[place if len(told) == len(pictures) else int(found.name)]


def files_named(tiff: TiffFile) -> set[Path]:
    """List all files that hold planes of pictures with planes in this file, and the file that has their metadata.

    Parameters
    ----------
    tiff : TiffFile
        From `open_tiff`.

    Returns
    -------
    set of Path
        The file itself is included; empty if OME metadata name no files. Some of them may not exist.
    """
    pointed = {_POINTED[tiff]} if tiff in _POINTED else set[Path]()
    return pointed.union(*(one.files for one in _KNOWN.get(tiff, [])))


def fits_at(path: Path, place: Path) -> bool:
    """Tell whether a file may be put at a place, where files with names of its set must be files of its set.

    Parameters
    ----------
    path : Path
        A file of any kind.
    place : Path
        Where it would lie.

    Returns
    -------
    bool
        Also True if the file has no OME metadata, or these have no identities.
    """
    own = None
    with contextlib.suppress(Exception), TiffFile(path, is_mmstack=False) as tiff:  # faults are found when it is read
        own, _ = _told(path, tiff.ome_metadata)
    if own is None:
        return True
    pointer = own.root.find("{*}BinaryOnly")
    pointed = set() if pointer is None else {(pointer.get("UUID"), pointer.get("MetadataFile", ""))}
    others = [(plane, _beside(place, place, name=plane[1])) for plane in pointed.union(own.files) if plane is not None]
    return all(file is None or file == place or _is_told(file, plane) for plane, file in others)


def _told(path: Path, text: str | None) -> tuple[_Set | None, str | None]:
    """Read metadata, and give with them the identity of the file, the only part in which files of a set differ."""
    text = text or ""
    found = _UUID.search(text, 0, _LONG_ROOT)
    if found is not None:
        text = text[: found.start(1)] + text[found.end(1) :]
    told = _SETS.get(text) or _set(path, text)
    if told is not None and len(text) <= _MOST_KEPT and len(told.images) > 1 < len(told.files):
        if text not in _SETS:
            _SETS.clear()
        _SETS[text] = told  # the next file of the set has the same text
    return told, None if found is None else found[2]


def _set(path: Path, text: str | bytes) -> _Set | None:
    # Among the encodings that the parser takes, only UTF-16 has other bytes for these letters: a zero beside each.
    plain = text if isinstance(text, str) else text.replace(b"\0", b"").decode("latin-1")
    if "<!ENTITY" in plain:
        raise fault(path, "its OME metadata hold entities, which could grow without end")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):  # LookupError for an unknown encoding
        return None
    images = []
    for image in root.findall("{*}Image"):
        told = [one.find("{*}UUID") for one in image.findall("{*}Pixels/{*}TiffData")]
        planes = (None if one is None else (one.text, one.get("FileName", "")) for one in told)
        images.append((image, frozenset(planes)))
    found = _Set(root, images, {}, {}, {})
    for number, (_, those) in enumerate(images):
        for plane in those:
            found.files.setdefault(plane, []).append(number)
    for plane in filter(None, found.files):
        found.by_uuid.setdefault(plane[0], []).append(plane)
        found.by_name.setdefault(plane[1].lower(), []).append(plane)
    return found


def _beside(path: Path, real: Path, *, name: str) -> Path | None:
    """Find a file beside another or beside the link to it, even if it does not exist; None if it may not be read."""
    if not name or re.search(r"[/\\\0]", name):
        return None
    found = next((one for one in (real.parent / name, path.parent / name) if one.exists()), None)
    # Opening a pipe or a device would wait for ever.
    return path.parent / name if found is None else found if found.is_file() else None


def _set_of(path: Path) -> tuple[_Set | None, bool]:
    """Take the metadata of a set from the file that has them, and tell whether it is a text that is not in the set."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return _read_set(path, found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns)
    return None, True


@functools.lru_cache(maxsize=4)  # all files of a set point to one file, whose metadata grow with the set
def _read_set(path: Path, size: int, *_: int) -> tuple[_Set | None, bool]:
    """Read metadata from a TIFF file or a text; the values after the path are others once the file has changed."""
    text: str | bytes | None = None
    is_text = False
    with contextlib.suppress(Exception):  # a file of another kind tells nothing
        with path.open("rb") as file:
            is_text = file.read(64).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<")
        if not is_text:
            with TiffFile(path) as tiff:
                text = tiff.ome_metadata
        elif size <= _MOST_BYTES:
            text = path.read_bytes()
    if is_text and size > _MOST_BYTES:
        said = f"{size / 2**20:.0f} MiB of OME metadata, at most {_MOST_BYTES >> 20} are read"
        raise fault(path, said, cure="move it away, then its pictures are read without it")
    return _set(path, text) if isinstance(text, bytes) else _told(path, text)[0], is_text


def _kept(told: _Set, here: _Here) -> dict[ElementTree.Element, set[str]]:
    """Select the pictures with planes in a file, or in a file they share, each with the names of its files."""

    def within(names: Collection[str]) -> set[_Plane | None]:
        named = (plane for name in names for plane in told.by_name.get(name.lower(), ()))
        may_be = [*named, *(told.by_uuid[here.uuid] if here.is_known else ()), *(told.files.keys() & {None})]
        return {plane for plane in may_be if here.file_of(plane) in names}

    def pictures_of(planes: Iterable[_Plane | None]) -> list[int]:
        return sorted({number for plane in planes for number in told.files[plane]})

    mine = within({here.name})
    shared = {here.file_of(plane) for number in pictures_of(mine) for plane in told.images[number][1]} - {""}
    # A file that was renamed still holds its picture if that is the only one; if there are several, nobody knows.
    is_only = not mine and here.is_own and len(told.images) == 1
    kept = (told.images[number] for number in ([0] if is_only else pictures_of(within(shared))))
    return {image: {here.file_of(plane) for plane in planes} - {""} for image, planes in kept}


def _moved(here: Path, plane: _Plane, *, file: Path | None) -> str | None:
    """Give the path of a plane in another folder, or that of no file if the file is not the one named."""
    if file is None:
        return _NOWHERE
    if file != here and not _is_told(file, plane):
        return _NOWHERE
    return absolute(file) if file.parent != here.parent and file.exists() else None


def _is_copy(path: Path, real: Path, *, planes: Iterable[_Plane]) -> bool:
    """Tell whether the file that the metadata name for the planes of this one is another file beside it."""
    beside = {plane: _beside(path, real, name=plane[1]) for plane in planes if plane[1].lower() != real.name.lower()}
    there = ((plane, file) for plane, file in beside.items() if file is not None and file.exists())
    return any(not file.samefile(real) and _is_told(file, plane) for plane, file in there)


def _is_told(file: Path, plane: _Plane) -> bool:
    """Tell whether a file is the one that the metadata name, by identity if both identities are known."""
    found = _UUID.search(first_description(file))
    return not plane[0] or found is None or found[2] == plane[0]


def _only(told: _Set, kept: list[ElementTree.Element], *, uuid: str | None, moved: dict[_Plane, str]) -> str:
    """Write the metadata of a file with the pictures that are kept only, and with the places of planes that were moved.

    tifffile opens every named file, and leaves out pictures without planes, so names are replaced by their numbers.
    """
    numbers = {one: number for number, one in enumerate(kept)}
    images = {one for one, _ in told.images}
    attributes = {key: value for key, value in told.root.attrib.items() if key != "UUID"}
    root = ElementTree.Element(told.root.tag, attributes if uuid is None else attributes | {"UUID": uuid})
    for one in told.root:
        if one in numbers:
            image = ElementTree.SubElement(root, one.tag, one.attrib | {"Name": str(numbers[one])})
            image.extend(copy.deepcopy(one) if moved else one)
        elif one not in images:
            root.append(one)
    for file in root.iterfind("{*}Image/{*}Pixels/{*}TiffData/{*}UUID") if moved else ():
        plane = file.text, file.get("FileName", "")
        file.set("FileName", moved.get(plane, plane[1]))
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)


def _are_in_order(tiff: TiffFile, told: _Set, *, files: dict[ElementTree.Element, set[str]]) -> bool:
    """Tell whether the metadata can be used as they are: there is one picture, or all pictures lie in this file."""
    if len(told.images) < 2:
        return len(files) == len(told.images)
    if len(files) < len(told.images) or any(names != {tiff.filename} for names in files.values()):
        return False
    with contextlib.suppress(Exception):  # faults of the pages are found when they are read
        len(tiff.pages)  # finds chains of pages that lead back into themselves
        return sum(one.kind == "ome" for one in tiff.series) == len(files)
    return False


def _picture(image: ElementTree.Element, files: Iterable[Path]) -> OmePicture:
    pixels = image.find("{*}Pixels")
    if pixels is None:
        return OmePicture(image.get("Name", ""))
    channels = pixels.findall("{*}Channel")
    names = tuple(one.get("Name") or one.get("Fluor") or "" for one in channels)
    colours = tuple(one.get("Color", "") for one in channels)
    return OmePicture(image.get("Name", ""), dict(pixels.attrib), names, colours, frozenset(files))
