"""Describes what a file holds, without decoding its pixels if the format allows that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleate.core.image import DNA_NAMES, find_channel
from nucleate.errors import InputError
from nucleate.io.images import format_of, open_image, pictures_of

if TYPE_CHECKING:
    from nucleate.core.lazy import LazyImage

__all__ = ["describe"]

_MOST_PICTURES = 100
"""Most pictures of one file that are opened; of further pictures only the names are given."""


def describe(path: Path | str) -> dict[str, Any]:
    """Tell format, size and the pictures of a file.

    Parameters
    ----------
    path : Path or str
        Any file that `nucleate.io.images.read_image` takes.

    Returns
    -------
    dict
        ``path``, ``format``, ``bytes``, and ``pictures``: for each ``name``, ``axes``, ``shape``, ``dtype``,
        ``channels``, ``channel_colours`` (red, green and blue in two hexadecimal digits each, or an empty text),
        ``nuclear_channel`` (index of the channel whose name marks a nuclear stain, or None), ``pixel_size_um`` (height
        and width, or None), ``z_step_um`` (distance of planes in depth, or None), ``t_step_s`` (time between planes, or
        None) and ``levels`` (rows and columns of each level of a pyramid); if one of several pictures cannot be opened,
        its entry has ``name`` and ``error``. All values can be written as JSON.

    Raises
    ------
    InputError, MissingExtraError
        As `nucleate.io.images.open_image`.
    """
    path = Path(path)
    names = pictures_of(path)
    if len(names) > 1:
        pictures = [_one_of(path, number, name=name) for number, name in enumerate(names)]
    else:
        with open_image(path) as image:
            pictures = [_picture(image, "")]
    return {"path": str(path), "format": format_of(path).name, "bytes": _bytes(path), "pictures": pictures}


def _one_of(path: Path, number: int, *, name: str) -> dict[str, Any]:
    if number >= _MOST_PICTURES:
        return {"name": name}
    # If fields of a plate were opened by number, each would read the metadata of all wells.
    place, picture = (path / name, None) if (path / name).is_dir() else (path, number)
    try:
        with open_image(place, picture=picture) as image:
            return _picture(image, name)
    except InputError as error:
        return {"name": name, "error": str(error)}


def _picture(image: LazyImage, name: str) -> dict[str, Any]:
    names = image.channel_names
    chosen = find_channel(None, names, count=image.channel_count, name=image.name)
    known = bool(names) and any(dna in names[chosen].lower() for dna in DNA_NAMES)
    return {
        "name": name,
        "axes": image.axes,
        "shape": list(image.shape),
        "dtype": str(image.dtype),
        "channels": list(names),
        "channel_colours": [look.colour for look in image.channel_looks],
        "nuclear_channel": chosen if known else None,
        "pixel_size_um": None if image.pixel_size_um is None else list(image.pixel_size_um),
        "z_step_um": image.z_step_um if "Z" in image.axes else None,
        "t_step_s": image.t_step_s if "T" in image.axes else None,
        "levels": [list(level) for level in image.levels or (image.shape_HW,)],
    }


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
