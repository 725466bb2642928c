"""Slides that are no TIFF, or whose tiles overlap, with OpenSlide: MIRAX, Hamamatsu VMS, Ventana."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.io.units import sane_size
from nucleate.io.windows import choose_picture, kept_open, library, windowed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage

__all__ = ["open_lazy"]

_MOST_PIXELS_A_READ = 1 << 24


def open_lazy(path: Path, picture: int | None) -> LazyImage:
    """Open a slide, in red, green and blue; what was not scanned is white.

    Parameters
    ----------
    path : Path
        The file that OpenSlide wants, beside the others of the slide.
    picture : int, optional
        0; there is one.

    Returns
    -------
    LazyImage
        Of the full size.

    Raises
    ------
    InputError
        If there is no such picture.
    MissingExtraError
        If OpenSlide is not installed.
    OpenSlideError
        If it is damaged, or no slide that OpenSlide knows.
    """
    choose_picture(path, [""], wanted=picture)
    slide = library("openslide", package="openslide-python").OpenSlide(str(path))
    return kept_open(path, slide, make=lambda slide: (_opened(slide), [""]))


def _opened(slide: Any) -> LazyImage:  # noqa: ANN401 - the library's own class
    width, height = slide.dimensions

    def read(at: dict[str, int], rows: slice, cols: slice) -> NDArray[Any]:
        across = cols.stop - cols.start
        step = max(_MOST_PIXELS_A_READ // across, 1)
        parts = []
        for top in range(rows.start, rows.stop, step):
            size = (across, min(step, rows.stop - top))
            part = np.asarray(slide.read_region((cols.start, top), 0, size))
            parts.append(np.where(part[..., 3:] > 0, part[..., :3], np.uint8(255)))
        return np.concatenate(parts)

    return replace(
        windowed({"Y": height, "X": width, "S": 3}, np.dtype(np.uint8), read=read),
        pixel_size_um=_pixel_size(slide.properties),
        levels=tuple((down, across) for across, down in slide.level_dimensions),
    )


def _pixel_size(properties: Any) -> tuple[float, float] | None:  # noqa: ANN401 - the library's own class
    try:
        return sane_size(float(properties["openslide.mpp-y"]), float(properties["openslide.mpp-x"]))
    except (KeyError, ValueError):
        return None
