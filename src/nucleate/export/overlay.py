"""The picture with an outline around each nucleus, for looking at: dark or bright ground, any dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from scipy import ndimage

from nucleate.core.bands import bands_of
from nucleate.core.files import atomic_path
from nucleate.core.labels import areas
from nucleate.core.plane import as_plane

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.core.plane import Plane

__all__ = ["LONGEST_SIDE", "render_overlay", "write_overlay"]

LONGEST_SIDE = 4096
"""Larger planes are made smaller, to this many pixels a side."""

_ON_DARK = np.array(
    [(255, 225, 0), (0, 240, 255), (255, 90, 90), (110, 255, 0), (255, 120, 255), (255, 150, 0), (120, 145, 255)],
    np.uint8,
)
# Tissue is brown, pink and violet: no reds among its colours.
_ON_BRIGHT = np.array(
    [(255, 235, 0), (0, 240, 255), (110, 255, 0), (255, 255, 255), (255, 170, 255), (170, 200, 255), (0, 255, 170)],
    np.uint8,
)
_CASING = 0.35  # how much of its light a pixel just outside of an outline keeps
_GAMMA = 0.7  # brings up dim nuclei beside bright ones on dark ground
_LOW, _HIGH = 0.5, 99.8  # percentiles shown as black and white
_SAMPLE = 4_000_000  # pixels looked at for them


def render_overlay(plane: NDArray[Any] | Plane, labels: Labels) -> NDArray[np.uint8]:
    """Draw outlines of the nuclei on a picture.

    Parameters
    ----------
    plane : (H, W) or (H, W, 3) real ndarray or Plane
        Stretched between two percentiles; pixels that are not finite are black. Read part by part.
    labels : (H, W) Labels
        0 background. Nuclei that touch or nearly touch get different colours.

    Returns
    -------
    (h, w, 3) uint8 ndarray
        As large as the plane, or smaller when a side is over `LONGEST_SIDE`.
    """
    pixels, nuclei = _smaller(plane, labels)
    picture = _stretched(pixels)
    bright = bool(np.median(picture) > 127)
    thickness = _thickness(nuclei)
    outline = _outlines(nuclei, thickness)
    # Light lines stand out from dark ground and from stained nuclei; the dark rim around them parts them from white.
    rim = ndimage.binary_dilation(outline, iterations=(thickness + 1) // 2) & (nuclei == 0)
    picture[rim] = np.rint(picture[rim] * _CASING).astype(np.uint8)
    colours = _colours(nuclei, _ON_BRIGHT if bright else _ON_DARK, reach=2 + 2 * thickness)
    picture[outline] = colours[nuclei[outline]]
    return picture


def write_overlay(path: Path | str, plane: NDArray[Any] | Plane, *, labels: Labels) -> None:
    """Write `render_overlay` as PNG.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    plane : (H, W) or (H, W, 3) real ndarray or Plane
        The picture.
    labels : (H, W) Labels
        The nuclei.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    picture = PIL.Image.fromarray(render_overlay(plane, labels))
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=4)


def _smaller(plane: NDArray[Any] | Plane, labels: Labels) -> tuple[NDArray[Any], NDArray[Any]]:
    source, (height, width) = as_plane(plane), labels.shape
    factor, across = max(height, width) / LONGEST_SIDE, slice(0, width)
    if factor <= 1:
        return source.read(slice(0, height), across), np.asarray(labels[slice(0, height), across])
    rows = np.minimum(((np.arange(max(1, round(height / factor))) + 0.5) * factor).astype(int), height - 1)
    cols = np.minimum(((np.arange(max(1, round(width / factor))) + 0.5) * factor).astype(int), width - 1)
    pixels, nuclei = [], []
    for band in bands_of((height, width)):
        inside = rows[(rows >= band.start) & (rows < band.stop)]
        if len(inside):
            seen, taken = slice(int(inside[0]), int(inside[-1]) + 1), np.ix_(inside - inside[0], cols)
            pixels.append(source.read(seen, across)[taken])
            nuclei.append(np.asarray(labels[seen, across])[taken])
    return np.concatenate(pixels), np.concatenate(nuclei)


def _stretched(plane: NDArray[Any]) -> NDArray[np.uint8]:
    step = max(1, int(np.ceil(np.sqrt(plane.shape[0] * plane.shape[1] / _SAMPLE))))
    sample = plane[::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, [_LOW, _HIGH]) if sample.size else (0.0, 1.0)
    if high <= low and sample.size:
        low, high = sample.min(), sample.max()
    span = high - low if high > low else 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        values: NDArray[Any] = plane.astype(np.float64 if plane.dtype.itemsize > 2 else np.float32)
        scaled = (values - low) / span
    scaled = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    if plane.ndim == 2 and np.median(scaled) < 0.5:
        scaled = scaled**_GAMMA
    shown = np.rint(scaled * 255).astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=-1) if shown.ndim == 2 else shown


def _thickness(labels: NDArray[Any]) -> int:
    """Choose a line that is seen when the whole picture is, and that leaves most of a middling nucleus free."""
    sizes = areas(labels)
    sizes = sizes[sizes > 0]
    diameter = float(np.sqrt(4 * np.median(sizes) / np.pi)) if sizes.size else 0.0
    longest: int = max(labels.shape)
    return max(1, min(round(longest / 450), round(diameter / 12)))


def _outlines(labels: NDArray[Any], thickness: int) -> NDArray[np.bool_]:
    """Mark the outermost `thickness` pixels of each nucleus."""
    padded = np.pad(labels, 1)
    inside = labels != 0
    for row, col in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inside &= padded[row : row + labels.shape[0], col : col + labels.shape[1]] == labels
    if thickness > 1:
        inside = np.asarray(ndimage.binary_erosion(inside, iterations=thickness - 1))
    border: NDArray[np.bool_] = (labels != 0) & ~inside
    return border


def _colours(labels: NDArray[Any], palette: NDArray[np.uint8], *, reach: int) -> NDArray[np.uint8]:
    """Give each id a colour, another one than its neighbours have; the table is (highest id + 1, 3)."""
    highest = int(labels.max(initial=0))
    neighbours = _neighbours(labels, reach)
    chosen = np.zeros(highest + 1, np.int64)
    order = range(len(palette))
    starts = np.searchsorted(neighbours[:, 0], np.arange(highest + 2))
    others = neighbours[:, 1]
    for one in range(1, highest + 1):
        taken = set(chosen[others[starts[one] : starts[one + 1]]].tolist())
        # Beginning at a different colour each time spreads the colours over the picture.
        chosen[one] = next((k for i in order if (k := (one + i) % len(palette)) not in taken), one % len(palette))
    return palette[chosen]


def _neighbours(labels: NDArray[Any], reach: int) -> NDArray[np.int64]:
    """Give pairs (id, smaller id) of nuclei that lie within `reach` pixels along a row, a column or a diagonal."""
    height, width = labels.shape
    found = [np.zeros((0, 2), np.int64)]
    for step in range(1, reach + 1):
        for row, col in ((0, step), (step, 0), (step, step), (step, -step)):
            first = labels[: max(height - row, 0), max(-col, 0) : width - max(col, 0)]
            second = labels[row:, max(col, 0) : width + min(col, 0)]
            if first.size == 0:
                continue
            meet = (first != second) & (first != 0) & (second != 0)
            pairs = np.stack([first[meet], second[meet]], axis=1).astype(np.int64)
            found.append(np.unique(np.sort(pairs, axis=1)[:, ::-1], axis=0))
    return np.unique(np.concatenate(found), axis=0)
