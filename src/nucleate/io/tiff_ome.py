"""OME metadata of TIFF files: what they tell of the pictures that lie in a file, however many its set has."""

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
"""Letters in which the identity of a file is looked for: it stands in the first element of its metadata."""

_MOST_KEPT = 1 << 22
"""Letters of metadata up to which what is read of them is kept: some ten times as many bytes."""

_NOWHERE = "/"
"""A folder, as which no file can be opened."""

_Plane = tuple[str | None, str]


class OmePicture(NamedTuple):
    """What is wanted of a picture's metadata, which can be long.

    Parameters
    ----------
    name : str
    pixels : dict of str to str
        Attributes: sizes and their units.
    channels : tuple of str
        The name, else the dye, of each; empty ones where neither is told.
    colours : tuple of str
        Of each, as they stand there: a number, or nothing.
    files : frozenset of Path
        In which its planes lie.
    """

    name: str = ""
    pixels: dict[str, str] = {}  # noqa: RUF012 - of a tuple, and nobody writes into it
    channels: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    files: frozenset[Path] = frozenset()


class _Set(NamedTuple):
    """Metadata as they lie in a file, with those of the planes of each picture: their file's identity and name."""

    root: ElementTree.Element
    images: list[tuple[ElementTree.Element, frozenset[_Plane | None]]]
    files: dict[_Plane | None, list[int]]  # the numbers of the pictures
    by_uuid: dict[str | None, list[_Plane]]
    by_name: dict[str, list[_Plane]]  # in lower case


class _Here(NamedTuple):
    """What tells whether planes lie in a file: its identity, if the metadata know it, else its name."""

    name: str
    uuid: str | None
    is_known: bool
    is_own: bool  # whether the metadata are those of the file, in which names are enough
    bare: str  # where planes lie of which no file is told
    is_copy: bool  # then planes in other files are not its own

    def file_of(self, plane: _Plane | None) -> str:
        """Name the file in which a plane lies; nothing if it seems to be of this one, but is not."""
        if plane is None:
            return self.bare
        uuid, name = plane
        is_named = name.lower() == self.name.lower()
        may_be_named = is_named and (self.is_own or not uuid or self.uuid is None)
        lies_here = uuid == self.uuid if self.is_known else may_be_named
        return self.name if lies_here else "" if is_named or self.is_copy else name


_MOST_BYTES = 1 << 28
"""Of a text of metadata; those of a plate with a hundred thousand planes have a fifth of that."""

_KNOWN: weakref.WeakKeyDictionary[TiffFile, list[OmePicture]] = weakref.WeakKeyDictionary()
_POINTED: weakref.WeakKeyDictionary[TiffFile, Path] = weakref.WeakKeyDictionary()
_SETS: dict[str, _Set] = {}


def open_tiff(path: Path, *, ome: bool = True) -> TiffFile:
    """Open a TIFF file, of a set with the metadata of the pictures that have planes in it, or in a file they share.

    Where another file has the metadata of the set, they are taken from there. Those that point outside of their folder
    are not followed, and files that are not the ones told, by their identities, count as missing. Beside the file that
    is told, one of its identity under another name is a copy, to which planes of others do not belong. The files that
    Micro-Manager writes are taken as their metadata have them, not all as one stack.

    Parameters
    ----------
    path : Path
        The others of its set are looked for beside it, or beside the file to which it is a link.
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
        return _with_metadata(path, tiff)
    except InputError:
        tiff.close()
        raise


def _with_metadata(path: Path, tiff: TiffFile) -> TiffFile:
    """Give a file as its metadata want it opened."""
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


def files_named(tiff: TiffFile) -> set[Path]:
    """List the files in which planes lie of the pictures of which a file has planes, and the one with their metadata.

    Parameters
    ----------
    tiff : TiffFile
        From `open_tiff`.

    Returns
    -------
    set of Path
        Itself among them; empty where OME metadata do not tell. Some may be missing.
    """
    pointed = {_POINTED[tiff]} if tiff in _POINTED else set[Path]()
    return pointed.union(*(one.files for one in _KNOWN.get(tiff, [])))


def fits_at(path: Path, place: Path) -> bool:
    """Tell whether a file may be put at a place: files there that have names of its set are those of its set.

    Parameters
    ----------
    path : Path
        A file of any kind.
    place : Path
        Where it would lie.

    Returns
    -------
    bool
        True also if it has no OME metadata, or they tell no identities.
    """
    own = None
    with contextlib.suppress(Exception), TiffFile(path, is_mmstack=False) as tiff:  # what is wrong shows on reading
        own, _ = _told(path, tiff.ome_metadata)
    if own is None:
        return True
    pointer = own.root.find("{*}BinaryOnly")
    pointed = set() if pointer is None else {(pointer.get("UUID"), pointer.get("MetadataFile", ""))}
    others = [(plane, _beside(place, place, name=plane[1])) for plane in pointed.union(own.files) if plane is not None]
    return all(file is None or file == place or _is_told(file, plane) for plane, file in others)


def _told(path: Path, text: str | None) -> tuple[_Set | None, str | None]:
    """Read metadata; give the file's identity beside them: the files of a set differ in that alone."""
    text = text or ""
    found = _UUID.search(text, 0, _LONG_ROOT)
    if found is not None:
        text = text[: found.start(1)] + text[found.end(1) :]
    told = _SETS.get(text) or _set(path, text)
    if told is not None and len(text) <= _MOST_KEPT and len(told.images) > 1 < len(told.files):
        if text not in _SETS:
            _SETS.clear()
        _SETS[text] = told  # the next file of the set will ask for it
    return told, None if found is None else found[2]


def _set(path: Path, text: str | bytes) -> _Set | None:
    # Of the encodings that the parser takes UTF-16 alone has other bytes for these letters: a zero beside each.
    plain = text if isinstance(text, str) else text.replace(b"\0", b"").decode("latin-1")
    if "<!ENTITY" in plain:
        raise fault(path, "its OME metadata hold entities, which could grow without end")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):  # the latter of encodings
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
    """Find a file beside another or beside the link to it, if only where it will be; None if it may not be read."""
    if not name or re.search(r"[/\\\0]", name):
        return None
    found = next((one for one in (real.parent / name, path.parent / name) if one.exists()), None)
    # Opening a pipe or a device would wait for ever.
    return path.parent / name if found is None else found if found.is_file() else None


def _set_of(path: Path) -> tuple[_Set | None, bool]:
    """Take the metadata of a set from the file that has them; tell whether it is a text, not one of the set."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return _read_set(path, found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns)
    return None, True


@functools.lru_cache(maxsize=4)  # each file of a set points to the same metadata, which grow with their number
def _read_set(path: Path, size: int, *_: int) -> tuple[_Set | None, bool]:
    """Read metadata, of a TIFF file or as text; what follows the path changes with the file."""
    text: str | bytes | None = None
    is_text = False
    with contextlib.suppress(Exception):  # what is neither tells nothing
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
    """Keep the pictures that have planes in a file, or in a file they share, each with the names of its files."""

    def within(names: Collection[str]) -> set[_Plane | None]:
        named = (plane for name in names for plane in told.by_name.get(name.lower(), ()))
        may_be = [*named, *(told.by_uuid[here.uuid] if here.is_known else ()), *(told.files.keys() & {None})]
        return {plane for plane in may_be if here.file_of(plane) in names}

    def pictures_of(planes: Iterable[_Plane | None]) -> list[int]:
        return sorted({number for plane in planes for number in told.files[plane]})

    mine = within({here.name})
    shared = {here.file_of(plane) for number in pictures_of(mine) for plane in told.images[number][1]} - {""}
    # The only picture of a file that got another name is still its own; of several, and of other files' nobody knows.
    is_only = not mine and here.is_own and len(told.images) == 1
    kept = (told.images[number] for number in ([0] if is_only else pictures_of(within(shared))))
    return {image: {here.file_of(plane) for plane in planes} - {""} for image, planes in kept}


def _moved(here: Path, plane: _Plane, *, file: Path | None) -> str | None:
    """Tell the place of a plane that lies in another folder; nowhere, if the file is another than the one told."""
    if file is None:
        return _NOWHERE
    if file != here and not _is_told(file, plane):
        return _NOWHERE
    return absolute(file) if file.parent != here.parent and file.exists() else None


def _is_copy(path: Path, real: Path, *, planes: Iterable[_Plane]) -> bool:
    """Tell whether the file that is told to hold the planes of this one is another, which lies beside it."""
    beside = {plane: _beside(path, real, name=plane[1]) for plane in planes if plane[1].lower() != real.name.lower()}
    there = ((plane, file) for plane, file in beside.items() if file is not None and file.exists())
    return any(not file.samefile(real) and _is_told(file, plane) for plane, file in there)


def _is_told(file: Path, plane: _Plane) -> bool:
    """Tell whether a file is the one told, by its identity, where both are known."""
    found = _UUID.search(first_description(file))
    return not plane[0] or found is None or found[2] == plane[0]


def _only(told: _Set, kept: list[ElementTree.Element], *, uuid: str | None, moved: dict[_Plane, str]) -> str:
    """Write the metadata of a file without the pictures that are not kept, with the places of planes that were moved.

    tifffile opens every file that is named, and leaves out pictures without planes: their numbers, as names, tell them.
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
    """Tell whether the metadata can be taken as they are: one picture, or all of them lie in this file."""
    if len(told.images) < 2:
        return len(files) == len(told.images)
    if len(files) < len(told.images) or any(names != {tiff.filename} for names in files.values()):
        return False
    with contextlib.suppress(Exception):  # whatever is wrong with the pages shows when they are read
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
