"""Leica LIF and LOF with liffile: series are pictures, pixels are mapped into memory, colours read frame by frame."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.extras import library
from nucleate.core.image import AXES
from nucleate.io.faults import fault
from nucleate.io.units import micrometres, seconds
from nucleate.io.windows import choose_picture, kept_open, place_in_pages, windowed, with_steps

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage

__all__ = ["open_lazy", "pictures"]

_DESCRIPTION = "./Data/Image/ImageDescription"
_DIMENSIONS = {"1": "X", "2": "Y", "3": "Z", "4": "T"}
"""Axes by the numbers that Leica gives them; others, such as 10 for the tiles of a mosaic, have no steps."""


def open_lazy(path: Path, picture: int | None) -> LazyImage:
    """Open a series.

    Parameters
    ----------
    path : Path
        A LIF or LOF file.
    picture : int, optional
        Number of the series in `pictures`.

    Returns
    -------
    LazyImage
        Axes T, Z, C; tiles of a mosaic and other dimensions are ``I``.

    Raises
    ------
    InputError
        If there is no such series, or it has no rows and columns.
    MissingExtraError
        If liffile is not installed.
    ValueError, KeyError, ...
        As liffile raises them for damaged files.
    """

    def made(file: Any) -> tuple[LazyImage, list[str]]:  # noqa: ANN401 - the library's own class
        series = _series(file)
        names = [one.path for one in series]
        return _opened(path, series[choose_picture(path, names, wanted=picture)]), names

    return kept_open(path, _file(path), make=made)


def pictures(path: Path) -> list[str]:
    """List the series by name.

    Raises
    ------
    MissingExtraError
        If liffile is not installed.
    ValueError, KeyError, ...
        As liffile raises them for damaged files.
    """
    with _file(path) as file:
        return [one.path for one in _series(file)]


def _file(path: Path) -> Any:  # noqa: ANN401 - as above
    return library("liffile", "formats").LifFile(str(path))


def _series(file: Any) -> list[Any]:  # noqa: ANN401 - the library's own class
    # A lifetime recording holds photons; the pictures made from the photons are separate series.
    return [image for image in file.images if not image.is_flim]


def _opened(path: Path, series: Any) -> LazyImage:  # noqa: ANN401 - the library's own class
    stored = {str(label): int(n) for label, n in series.sizes.items()}
    if not {"Y", "X"} <= set(stored):
        raise fault(path, f"series {series.path!r} has no rows and columns: got {stored}", cure="give another series")
    letters = {label: label if label in AXES else "I" for label in stored}
    sizes: dict[str, int] = {}
    for label, n in stored.items():
        sizes[letters[label]] = sizes.get(letters[label], 1) * n
    pages = {label: n for label, n in stored.items() if letters[label] == "I"}
    # The library puts blue, green and red in order frame by frame; other pixels are read where they are mapped.
    mapped = series.asarray(out="memmap") if "S" not in stored else None
    frame = lru_cache(maxsize=1)(series.frame)  # successive windows are mostly of one frame

    def read(at: dict[str, int], rows: slice, cols: slice) -> NDArray[Any]:
        index = {label: at[label] for label in stored if letters[label] not in "YXSI"} | place_in_pages(at, pages)
        if mapped is not None:
            place: tuple[Any, ...] = tuple({"Y": rows, "X": cols}.get(label) or index[label] for label in stored)
            part = np.array(mapped[place])
            return part.T if list(stored).index("X") < list(stored).index("Y") else part
        return np.array(frame(**index)[rows, cols])

    image = windowed(sizes, np.dtype(series.dtype).newbyteorder("="), read=read, names=_channel_names(series))
    return with_steps(image, _steps(series))


def _channel_names(series: Any) -> tuple[str, ...]:  # noqa: ANN401 - the library's own class
    """Find the dyes of the channels; without dyes, the colours in which channels are shown, if the colours differ."""
    channels = series.xml_element.findall(f"{_DESCRIPTION}/Channels/ChannelDescription")
    channels.sort(key=lambda one: int(one.get("BytesInc", 0)))
    dyes = [
        next((p.findtext("Value") or "" for p in one.findall("ChannelProperty") if p.findtext("Key") == "DyeName"), "")
        for one in channels
    ]
    colours = [one.get("LUTName", "") for one in channels]
    if any(dyes):
        return tuple(dye or colour for dye, colour in zip(dyes, colours, strict=True))
    return tuple(colours) if len(set(colours)) == len(colours) > 1 else ()


def _steps(series: Any) -> dict[str, float]:  # noqa: ANN401 - the library's own class
    """Give the known steps along X, Y and Z in micrometres and along T in seconds."""
    steps = {}
    for one in series.xml_element.findall(f"{_DESCRIPTION}/Dimensions/DimensionDescription"):
        axis, name = _DIMENSIONS.get(str(one.get("DimID")), ""), one.get("Unit", "")
        count, unit = int(one.get("NumberOfElements", 0)), seconds(name) if axis == "T" else micrometres(name)
        if count > 1 and unit is not None:  # the stored length reaches from the first to the last element
            steps[axis] = math.fabs(float(one.get("Length", 0))) / (count - 1) * unit
    return steps
