"""Zeiss CZI with pylibCZIrw: mosaics are joined, scenes are pictures, a window decodes the tiles that it touches."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.extras import library
from nucleate.io.faults import fault
from nucleate.io.windows import choose_picture, kept_open, place_in_pages, windowed, with_steps

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage

__all__ = ["open_lazy", "pictures"]

_DTYPES = {
    "Gray8": (np.uint8, False), "Gray16": (np.uint16, False), "Gray32Float": (np.float32, False),
    "Bgr24": (np.uint8, True), "Bgr48": (np.uint16, True), "Bgr96Float": (np.float32, True),
}  # fmt: skip
_PAGE_AXES = "VHIRB"
"""Views, phases, illuminations, rotations, blocks: pages that have no meaning of their own in an image."""

_LEAST_BYTES_A_PLANE = 32  # the entry of a plane in the file's directory

_MOST_PIXELS_A_READ = 1 << 26
_KEPT_BYTES = 1 << 26


def open_lazy(path: Path, picture: int | None) -> LazyImage:
    """Open a scene, or the whole file if it has no scenes.

    Parameters
    ----------
    path : Path
        A CZI file.
    picture : int, optional
        The number of the scene, in the order of the file.

    Returns
    -------
    LazyImage
        Axes T, Z, C; views, phases and illuminations are ``I``. Pixels that the microscope did not cover are 0.

    Raises
    ------
    InputError
        If there is no such scene, or pixels are not real numbers.
    MissingExtraError
        If pylibCZIrw is not installed.
    RuntimeError, ...
        As libCZI raises them for damaged files.
    """

    def made(file: Any) -> tuple[LazyImage, list[str]]:  # noqa: ANN401 - the library's own class
        scenes = _scenes(file)
        names = _names(scenes)
        number = choose_picture(path, names, wanted=picture)
        return _opened(path, file, scene=scenes[number] if scenes else None), names

    return kept_open(path, _file(path), make=made)


def pictures(path: Path) -> list[str]:
    """List the names of the scenes; a file without scenes has one picture without a name.

    Raises
    ------
    MissingExtraError
        If pylibCZIrw is not installed.
    RuntimeError, ...
        As libCZI raises them for damaged files.
    """
    with _file(path) as file:
        return _names(_scenes(file))


def _file(path: Path) -> Any:  # noqa: ANN401 - as above
    """Open a file so that the last decoded tiles are kept, since windows that overlap ask for the same tiles again."""
    czi = library("pylibCZIrw.czi", "formats")
    return czi.open_czi(str(path), cache_options=czi.CacheOptions(max_memory_usage=_KEPT_BYTES))


def _scenes(file: Any) -> list[int]:  # noqa: ANN401 - as above
    return sorted(file.scenes_bounding_rectangle_no_pyramid)


def _names(scenes: list[int]) -> list[str]:
    return [f"scene {scene}" for scene in scenes] if scenes else [""]


def _opened(path: Path, file: Any, *, scene: int | None) -> LazyImage:  # noqa: ANN401 - the library's own class
    box = file.total_bounding_box_no_pyramid
    rectangles = file.scenes_bounding_rectangle_no_pyramid
    area = file.total_bounding_rectangle_no_pyramid if scene is None else rectangles[scene]
    pages = {letter: box[letter][1] for letter in _PAGE_AXES if box.get(letter, (0, 1))[1] > 1}
    planes = math.prod(box[letter][1] for letter in "TZC") * math.prod(pages.values())
    if planes * _LEAST_BYTES_A_PLANE > path.stat().st_size:
        raise fault(path, f"{planes} planes are said to be there, the file has {path.stat().st_size} bytes")
    kinds = sorted({file.get_channel_pixel_type(c) for c in range(box["C"][1])}, key=list(_DTYPES).index)
    if not kinds or len({_DTYPES[kind][1] for kind in kinds}) > 1:
        raise fault(path, f"grey and colour channels in one file: {', '.join(kinds)}", cure="split the channels")
    dtype, colours = _DTYPES[kinds[-1]]
    sizes = {letter: box[letter][1] for letter in "TZC"} | {"Y": area.h, "X": area.w, "I": math.prod(pages.values())}
    if area.w < 1 or area.h < 1:
        raise fault(path, f"a scene of {area.h} x {area.w} pixels")

    def read(at: dict[str, int], rows: slice, cols: slice) -> NDArray[Any]:
        plane = {letter: at[letter] for letter in "TZC"} | place_in_pages(at, pages)
        width = cols.stop - cols.start
        step = max(_MOST_PIXELS_A_READ // width, 1)
        parts = []
        for top in range(rows.start, rows.stop, step):
            roi = (area.x + cols.start, area.y + top, width, min(step, rows.stop - top))
            part = np.array(file.read(roi=roi, plane=plane, scene=scene, pixel_type=kinds[-1]))
            parts.append(part[..., ::-1] if colours else part[..., 0])
        return np.concatenate(parts)

    names, steps = _metadata(file)
    image = windowed(sizes | ({"S": 3} if colours else {}), np.dtype(dtype), read=read, names=names)
    return with_steps(image, steps)


def _metadata(file: Any) -> tuple[tuple[str, ...], dict[str, float]]:  # noqa: ANN401 - the library's own class
    """Find the names of the channels, and the steps along X, Y and Z in micrometres and along T in seconds.

    CZI gives lengths in metres.
    """
    metadata = _inner(file.metadata, "ImageDocument", "Metadata")
    dimensions = _inner(metadata, "Information", "Image", "Dimensions")
    channels = _listed(_inner(dimensions, "Channels").get("Channel"))
    names = tuple(str(one.get("@Name") or one.get("Fluor") or "") for one in channels)
    distances = _listed(_inner(metadata, "Scaling", "Items").get("Distance"))
    told = [(str(one.get("@Id")), one.get("Value"), 1e6) for one in distances]
    told.append(("T", _inner(dimensions, "T", "Positions", "Interval").get("Increment"), 1.0))
    steps = {}
    for axis, value, factor in told:
        with contextlib.suppress(ValueError):
            steps[axis] = float(str(value)) * factor
    return names, steps


def _inner(table: Any, *path: str) -> dict[str, Any]:  # noqa: ANN401 - XML turned into tables and lists
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else {}


def _listed(found: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - one element of XML, or a list of them
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]
