"""Any supported file to an `Image`: the content of a file says which reader takes it, its name does not."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.errors import InputError
from nucleate.io.faults import fault, quiet

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleate.core.image import Image

__all__ = ["FORMATS", "IMAGE_SUFFIXES", "Format", "read_image"]


@dataclass(frozen=True)
class Format:
    """A kind of file and its reader.

    Parameters
    ----------
    name : str
        For messages.
    suffixes : tuple of str
        Lower-case endings, with the dot.
    signatures : tuple of bytes
        What such a file begins with.
    read : callable
        Takes the path and the limit in bytes (or None), gives an `Image`; may raise anything.
    """

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[bytes, ...]
    read: Callable[[Path, int | None], Image]


def _read_with_pillow(path: Path, max_bytes: int | None) -> Image:
    from nucleate.io.pillow import read_pillow  # a slow import, not wanted by `nucleate --help`

    return read_pillow(path, max_bytes)


def _read_with_tifffile(path: Path, max_bytes: int | None) -> Image:
    from nucleate.io.tiff import read_tiff  # a slow import

    return read_tiff(path, max_bytes)


FORMATS = (
    Format("PNG", (".png", ".apng"), (b"\x89PNG\r\n\x1a\n",), _read_with_pillow),
    Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), (b"\xff\xd8\xff",), _read_with_pillow),
    Format("GIF", (".gif",), (b"GIF87a", b"GIF89a"), _read_with_pillow),
    Format("BMP", (".bmp", ".dib"), (b"BM",), _read_with_pillow),
    Format(
        "TIFF",
        (".tif", ".tiff", ".btf", ".svs"),
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        _read_with_tifffile,
    ),
)
"""The registry: a new format is one more line and one more small module."""

IMAGE_SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes)
"""Lower-case endings of the files that `read_image` takes; for looking through folders."""


def read_image(path: Path | str, *, max_bytes: int | None = None) -> Image:
    """Read a PNG, JPEG, GIF, BMP or TIFF file, whatever its name ends in.

    Grey pictures give axes ``YX`` and colour pictures ``YXS``; alpha is dropped. Frames of animations and pages without
    a known meaning are axis ``I``. Values keep the file's dtype. A JPEG's pixel grid is the stored one: a rotation
    noted in EXIF is not carried out, so that masks lie on the file's own pixels.

    Parameters
    ----------
    path : Path or str
        The file.
    max_bytes : int, optional
        Most bytes the decoded picture may take, compared with the header before decoding; the memory of the
        machine when None.

    Returns
    -------
    Image
        Pixels, axes, pixel size and channel names where the file tells them; `name` is the file's name.

    Raises
    ------
    InputError
        If it is missing, not a file, not readable, not of a known format, damaged or cut short.
    TooLargeError
        If it needs more than `max_bytes`.

    Examples
    --------
    >>> read_image("nowhere.png")
    Traceback (most recent call last):
        ...
    nucleate.errors.InputError: nowhere.png: no such file; check the name
    """
    path = Path(path)
    known = _format_of(path, _first_bytes(path))
    try:
        with quiet():
            return known.read(path, max_bytes)
    except InputError:
        raise
    except MemoryError as error:
        raise fault(
            path, "memory ran out while reading it", cure="free memory or cut the picture into parts"
        ) from error
    except OSError as error:
        raise fault(path, f"damaged {known.name} file ({error.strerror or error or 'cannot be read'})") from error
    except Exception as error:  # a damaged file makes the decoders raise anything, struct.error and KeyError included
        raise fault(path, f"damaged {known.name} file ({type(error).__name__}: {error})") from error


def _first_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise fault(path, "a folder, not a file", cure="give a file in it")
        if not stat.S_ISREG(mode):  # reading from a pipe would wait for ever
            raise fault(path, "not a regular file", cure="give an image file")
        with path.open("rb") as stream:
            head = stream.read(16)
    except FileNotFoundError as error:
        raise fault(path, "no such file", cure="check the name") from error
    except PermissionError as error:
        raise fault(path, "not allowed to read it", cure="change its permissions") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise fault(path, f"cannot be opened ({error})", cure="check the name and the disk") from error
    if not head:
        raise fault(path, "empty, 0 bytes", cure="copy or export it again")
    return head


def _format_of(path: Path, head: bytes) -> Format:
    for known in FORMATS:
        if head.startswith(known.signatures):
            return known
    claimed = next((known.name for known in FORMATS if path.suffix.lower() in known.suffixes), None)
    what = f"its content is not {claimed}" if claimed else "not an image format that is known"
    names = ", ".join(known.name for known in FORMATS)
    raise fault(path, f"{what} (begins with {head[:8]!r})", cure=f"give {names}")
