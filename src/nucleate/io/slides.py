"""Slides that are no TIFF files, or whose tiles overlap, with OpenSlide: MIRAX, Hamamatsu VMS, Ventana."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.extras import library
from nucleate.io.units import sane_size
from nucleate.io.windows import at_level, choose_level, choose_picture, kept_open, windowed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage

__all__ = ["open_lazy"]

_MOST_PIXELS_A_READ = 1 << 24


def open_lazy(path: Path, picture: int | None, *, level: int = 0) -> LazyImage:
    """Open a slide in red, green and blue; regions that were not scanned are white.

    Parameters
    ----------
    path : Path
        The file that OpenSlide opens; the other files of the slide lie beside it.
    picture : int, optional
        Must be 0 or None, since there is one picture.
    level : int
        Number of the level in the pyramid; 0 is the full size.

    Returns
    -------
    LazyImage

    Raises
    ------
    InputError
        If there is no such picture or level.
    MissingExtraError
        If OpenSlide is not installed.
    OpenSlideError
        If it is damaged, or no slide that OpenSlide knows.
    """
    choose_picture(path, [""], wanted=picture)
    slide = library("openslide", "formats", package="openslide-python").OpenSlide(str(path))
    return kept_open(path, slide, make=lambda slide: (_opened(path, slide, level=level), [""]))


def _opened(path: Path, slide: Any, *, level: int) -> LazyImage:  # noqa: ANN401 - the library's own class
    levels = tuple((down, across) for across, down in slide.level_dimensions)
    height, width = levels[choose_level(path, len(levels), wanted=level)]
    step_down, step_across = levels[0][0] / height, levels[0][1] / width

    def read(at: dict[str, int], rows: slice, cols: slice) -> NDArray[Any]:
        across = cols.stop - cols.start
        step = max(_MOST_PIXELS_A_READ // across, 1)
        parts = []
        for top in range(rows.start, rows.stop, step):
            size = (across, min(step, rows.stop - top))
            # For every level, the corner is given in pixels of the full size.
            corner = round(cols.start * step_across), round(top * step_down)
            part = np.asarray(slide.read_region(corner, level, size))
            parts.append(np.where(part[..., 3:] > 0, part[..., :3], np.uint8(255)))
        return np.concatenate(parts)

    image = windowed({"Y": height, "X": width, "S": 3}, np.dtype(np.uint8), read=read)
    return at_level(replace(image, pixel_size_um=_pixel_size(slide.properties)), levels, level=level)


def _pixel_size(properties: Any) -> tuple[float, float] | None:  # noqa: ANN401 - the library's own class
    try:
        return sane_size(float(properties["openslide.mpp-y"]), float(properties["openslide.mpp-x"]))
    except (KeyError, ValueError):
        return None
