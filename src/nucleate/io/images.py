"""Reads any supported file as an `Image`: its content decides which reader takes it, its name only seldom."""

from __future__ import annotations

import importlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleate.core.checks import as_path, check_number, is_regular
from nucleate.core.files import absolute, distinct_names, in_file_name
from nucleate.core.lazy import LazyImage, lazy
from nucleate.io.faults import check_size, fault, guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nucleate.core.checks import AnyPath
    from nucleate.core.image import Image

__all__ = [
    "FORMATS",
    "IMAGE_SUFFIXES",
    "Format",
    "format_of",
    "is_zarr",
    "layout_of",
    "open_image",
    "pictures_of",
    "read_image",
]


@dataclass(frozen=True)
class Format:
    """A kind of file and its reader.

    Parameters
    ----------
    name : str
        Its name in messages.
    suffixes : tuple of str
        Lower-case endings, with the dot.
    signatures : tuple of bytes
        Bytes with which such a file begins; empty if only its name tells the format.
    module : str
        Its module in this package, imported when a file of this kind is met, so that ``nucleate --help`` stays quick.
        The module has ``read(path, max_bytes)``, which gives an `Image`, or ``open_lazy(path, picture)``, which gives a
        `LazyImage`, or both. Their parameters are as for `read_image`, and any error they raise becomes an
        `InputError` here.
    whole, windows : bool
        Whether the module has ``read``, and whether it has ``open_lazy``.
    several : bool
        Whether a file may hold several pictures; the module then has ``pictures(path)``, which lists their names, and
        `picture` is a number in that list.
    by_name : bool
        Whether the ending of the name decides, before the content of the file is looked at.
    pyramids : bool
        Whether a file may hold a picture in several sizes; ``open_lazy`` then takes ``level`` too.
    sets : bool
        Whether the planes of a picture may lie in several files; ``open_lazy`` and ``pictures`` then take ``alone``
        too, and the module has ``layout(path, named)`` for `layout_of`.
    """

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]
    module: str
    whole: bool = False
    windows: bool = False
    several: bool = False
    by_name: bool = False
    pyramids: bool = False
    sets: bool = False

    def reader(self) -> Any:  # noqa: ANN401 - a module
        """Import the module of the reader."""
        return importlib.import_module(f"nucleate.io.{self.module}")


_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"  # the first ND2 files are JPEG 2000 inside

FORMATS = (
    Format("PNG", (".png", ".apng"), (b"\x89PNG\r\n\x1a\n",), "pillow", whole=True),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), (b"\xff\xd8\xff",), "pillow", whole=True),
    Format("GIF", (".gif",), (b"GIF87a", b"GIF89a"), "pillow", whole=True),
    Format("BMP", (".bmp", ".dib"), (b"BM", b"(\0\0\0"), "pillow", whole=True),
    Format("WebP", (".webp",), (b"RIFF",), "pillow", whole=True),
    Format(
        "TIFF",
        (".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".scn", ".qptiff"),
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "tiff",
        whole=True,
        windows=True,
        several=True,
        pyramids=True,
        sets=True,
    ),
    Format("CZI", (".czi",), (b"ZISRAWFILE",), "czi", windows=True, several=True),
    Format("ND2", (".nd2",), (b"\xda\xce\xbe\x0a", _JP2), "nd2", windows=True),
    Format("LIF", (".lif", ".lof"), (b"\x70\0\0\0",), "lif", windows=True, several=True),
    Format("slide", (".mrxs", ".vms", ".vmu", ".bif"), (), "slides", windows=True, by_name=True, pyramids=True),
    Format("OME-Zarr", (".zarr",), (), "omezarr", windows=True, several=True, pyramids=True),
)
"""The registry: a new format is one more line and one more small module."""

IMAGE_SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes)
"""Lower-case endings of all files that `read_image` takes, by which folders are searched."""

_ZARR_MARKS = (".zattrs", ".zgroup", ".zarray", "zarr.json")


def read_image(path: AnyPath, *, max_bytes: int | None = None, picture: int | None = None) -> Image:
    """Read a file of any format in `FORMATS` whole, whatever its name ends in.

    Grey pictures give axes ``YX`` and colour pictures ``YXS``; alpha is dropped. Frames of animations and pages without
    a known meaning are axis ``I``. Values keep the file's dtype. A JPEG's pixel grid is the stored one: a rotation
    noted in EXIF is not carried out, so that masks lie on the file's own pixels.

    Parameters
    ----------
    path : path-like
        The file; for OME-Zarr the folder. A path such as ``mice.lif#3``, as on the command line, names one of several
        pictures.
    max_bytes : int, optional
        Most bytes the decoded picture may take, compared with the header before decoding; the memory of the
        machine when None.
    picture : int, optional
        Number of the picture, from 0, if a file holds several (scenes of a CZI, series of a LIF or an OME-TIFF, fields
        of a plate; see `LazyImage.pictures`); None takes the first picture, or the largest one of a TIFF file.

    Returns
    -------
    Image
        Pixels, axes, and pixel size and channel names if the file has them; `name` is the file's name, followed by that
        of the picture if `picture` was given: ``mice.lif#Series_2``.

    Raises
    ------
    InputError
        If it is missing, not a file, not readable, not of a known format, damaged or cut short, or has no such picture.
    TooLargeError
        If it needs more than `max_bytes`.
    UsageError
        If the path or an option has a value that cannot be.
    MissingExtraError
        If the library for this format is not installed.

    Examples
    --------
    >>> read_image("nowhere.png")
    Traceback (most recent call last):
        ...
    nucleate.errors.InputError: nowhere.png: no such file; check the name
    """
    path, picture = _split_number(path, picture)
    _check_numbers(max_bytes, picture)
    known = format_of(path)
    if not known.whole or (picture is not None and known.windows):
        with open_image(path, picture=picture) as source:
            itemsize, beside = source.dtype.itemsize, source.reading_bytes
            check_size(path, source.shape, itemsize=itemsize, max_bytes=max_bytes, beside=beside)
            with guarded(path, known.name):
                return source.load()
    _check_only(path, picture)
    with guarded(path, known.name):
        image: Image = known.reader().read(path, max_bytes)
        return image


def open_image(
    path: AnyPath, *, max_bytes: int | None = None, picture: int | None = None, level: int = 0, alone: bool = False
) -> LazyImage:
    """Open a file of any format in `FORMATS`, to read it window by window.

    PNG, JPEG, GIF, BMP and WebP are decoded as a whole at once, since they cannot be read in parts.

    Parameters
    ----------
    path : path-like
        The file; for OME-Zarr the folder.
    max_bytes : int, optional
        As for `read_image`, if the file is decoded as a whole.
    picture : int, optional
        As for `read_image`.
    level : int
        Number of the level of a pyramid in `LazyImage.levels`: 0 is the full size.
    alone : bool
        Whether only the planes in this file are taken if it belongs to a set of OME-TIFF files.

    Returns
    -------
    LazyImage
        Close it, or use it in a ``with`` statement. Reading from it raises `InputError` if the file is damaged.

    Raises
    ------
    InputError, TooLargeError, UsageError, MissingExtraError
        As `read_image` does.
    """
    path, picture = _split_number(path, picture)
    _check_numbers(max_bytes, picture, level=level)
    known = format_of(path)
    if level and not known.pyramids:
        raise fault(path, f"no level {level}: it holds one size", cure="leave the number out")
    if not known.windows:
        return lazy(read_image(path, max_bytes=max_bytes, picture=picture))
    opened = _opened(path, known, picture=picture, level=level, alone=alone)
    source = replace(opened.source, window=opened.window, release=opened.release)
    if picture is not None and source.pictures and not path.is_dir():  # a folder's name has the path of the picture
        part = _part_name(source.pictures, picture or 0)
        return replace(source, name=f"{path.name}#{part}", part=part)
    return source


def pictures_of(path: Path | str, *, alone: bool = False) -> list[str]:
    """List the pictures that a file holds, by name; nothing is decoded.

    Parameters
    ----------
    path : Path or str
        The file; for OME-Zarr the folder.
    alone : bool
        As for `open_image`.

    Returns
    -------
    list of str
        One name, mostly an empty one, for a file with one picture. For a plate, the paths of its fields.

    Raises
    ------
    InputError, MissingExtraError
        As `read_image`.
    """
    path = Path(path)
    known = format_of(path)
    if not known.several:
        return [""]
    with guarded(path, known.name):
        names: list[str] = known.reader().pictures(path, **_alone(known, wanted=alone))
        return names


def layout_of(
    path: Path | str, named: Callable[[set[Path]], None] = lambda _: None
) -> tuple[list[str], dict[Path, bool]]:
    """List `pictures_of` a file, and the other files in which planes of theirs lie if it is one of an OME-TIFF set.

    Parameters
    ----------
    path : Path or str
    named : callable
        Called with all other files on which the answer depends, whether they exist or not, before they are opened.

    Returns
    -------
    (list of str, dict of Path to bool)
        The names, and the other files as long as all of them exist, each with whether pictures begin in it; a file in
        which none begins is read as a part of others. Links are followed.

    Raises
    ------
    InputError, MissingExtraError
        As `read_image`.
    """
    path = Path(path)
    known = format_of(path)
    if not known.sets:
        return pictures_of(path), {}
    with guarded(path, known.name):
        found: tuple[list[str], dict[Path, bool]] = known.reader().layout(path, named)
        return found


def is_zarr(folder: Path) -> bool:
    """Tell whether a folder is a Zarr group or array, whatever it is called."""
    return any((folder / mark).is_file() for mark in _ZARR_MARKS)


def format_of(path: Path) -> Format:
    """Tell the format of a file by its first bytes, and that of a folder by its content.

    Raises
    ------
    InputError
        If it is missing, empty, cannot be opened or is of no known format.
    """
    ending = path.suffix.lower()
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            if is_zarr(path):
                return _named("OME-Zarr")
            raise fault(path, "a folder, not a file, with no metadata of Zarr", cure="give a file in it")
        if not is_regular(path):
            raise fault(path, "not a regular file", cure="give an image file")
        with path.open("rb") as stream:
            head = stream.read(16)
    except FileNotFoundError as error:
        raise fault(path, "no such file", cure="check the name") from error
    except PermissionError as error:
        raise fault(path, "not allowed to read it", cure="change its permissions") from error
    except (OSError, ValueError) as error:  # ValueError if the name has a zero byte
        raise fault(path, f"cannot be opened ({error})", cure="check the name and the disk") from error
    if not head:
        raise fault(path, "empty, 0 bytes", cure="copy or export it again")
    named = [known for known in FORMATS if known.by_name and ending in known.suffixes]
    found = [*named, *(known for known in FORMATS if head.startswith(known.signatures))]
    if found and (ending == ".nd2" or not head.startswith(_JP2)):
        return found[0]
    claimed = next((known.name for known in FORMATS if ending in known.suffixes), None)
    what = f"its content is not {claimed}" if claimed else "not an image format that is known"
    names = ", ".join(known.name for known in FORMATS)
    raise fault(path, f"{what} (begins with {head[:8]!r})", cure=f"give {names}")


def _named(name: str) -> Format:
    return next(known for known in FORMATS if known.name == name)


def _alone(known: Format, *, wanted: bool) -> dict[str, bool]:
    return {"alone": True} if wanted and known.sets else {}


def _part_name(names: tuple[str, ...], number: int) -> str:
    """Name one of several pictures as its results are named; no two get the same name."""
    return distinct_names(in_file_name(name) or str(at) for at, name in enumerate(names))[number]


def _split_number(given: AnyPath, picture: int | None) -> tuple[Path, int | None]:
    """Split ``mice.lif#3`` into path and number, unless there is a file of that name."""
    path = as_path(given)
    file, _, number = str(path).rpartition("#")
    there = os.path.lexists(file) and not file.endswith(os.sep)
    named = picture is None and number.isdecimal() and there and not os.path.lexists(path)
    return (Path(file), int(number)) if named else (path, picture)


def _check_numbers(max_bytes: float | None, picture: int | None, *, level: int = 0) -> None:
    check_number("max_bytes", max_bytes, least=0, optional=True)
    check_number("picture", picture, least=0, whole=True, optional=True)
    check_number("level", level, least=0, whole=True)


def _check_only(path: Path, picture: int | None) -> None:
    if picture not in {None, 0}:
        raise fault(path, f"no picture {picture}: it holds one", cure="leave the number out")


@dataclass(frozen=True, eq=False)
class _Opened:
    """An open file, which is opened again when it is unpickled."""

    source: LazyImage
    path: Path
    known: Format
    chosen: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_again, (Path(absolute(self.path)), self.chosen)

    def window(self, place: tuple[int, ...], *window: slice) -> NDArray[Any]:
        with guarded(self.path, self.known.name):
            return self.source.window(place, *window)

    def release(self) -> None:
        self.source.release()


def _opened(path: Path, known: Format, **chosen: Any) -> _Opened:  # noqa: ANN401 - see `open_image`
    options = {name: chosen[name] for name, is_taken in (("level", known.pyramids), ("alone", known.sets)) if is_taken}
    with guarded(path, known.name):
        return _Opened(known.reader().open_lazy(path, chosen["picture"], **options), path, known, chosen)


def _opened_again(path: Path, chosen: dict[str, Any]) -> _Opened:
    return _opened(path, format_of(path), **chosen)
