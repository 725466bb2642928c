"""The picture with an outline around each nucleus, for people to look at: dark or bright ground, any dtype."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from nucleate.core.bands import bands_of
from nucleate.core.files import atomic_path
from nucleate.core.labels import areas
from nucleate.core.noise import above_noise, is_noise
from nucleate.core.plane import as_plane, few_windows, grid_step

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.core.plane import Plane

__all__ = [
    "CASING",
    "MOST_PIXELS",
    "ON_BRIGHT",
    "ON_DARK",
    "Stretch",
    "grown",
    "outline_pixels",
    "render_overlay",
    "stretch_of",
    "write_overlay",
]

MOST_PIXELS = 4096**2
"""Larger planes are shrunk to this many pixels; long and narrow ones keep more of their length."""

_LONGEST_SIDE = 30_000  # some viewers take no more than 32,767

ON_DARK: NDArray[np.uint8] = np.array(
    [(255, 225, 0), (0, 240, 255), (255, 90, 90), (110, 255, 0), (255, 120, 255), (255, 150, 0), (120, 145, 255)],
    np.uint8,
)
"""Colours of outlines on dark ground, (7, 3) uint8."""

ON_BRIGHT: NDArray[np.uint8] = np.array(
    [(255, 235, 0), (0, 240, 255), (110, 255, 0), (255, 255, 255), (255, 170, 255), (170, 200, 255), (0, 255, 170)],
    np.uint8,
)
"""Colours of outlines on bright ground, (7, 3) uint8, without reds, since tissue is brown, pink and violet."""

CASING = 0.35
"""Share of its light that a pixel just outside of an outline keeps."""

_GREYS = 256 - len(ON_DARK)  # a grey picture has a palette: this many greys, then the colours of outlines
_GAMMA = 0.7  # brings up dim nuclei beside bright ones on dark ground
_LOW, _HIGH = 0.5, 99.8  # percentiles shown as black and white
_SAMPLE = 1_000_000  # pixels looked at for these percentiles


@dataclass(frozen=True)
class Stretch:
    """How the values of a plane are shown: the range between two of them is spread over 0..top.

    Parameters
    ----------
    low, span : float
        The value shown as 0, and how far above it the value shown as `top` lies.
    gamma : float
        Below 1 brings up dim nuclei beside bright ones.
    top : int
        At most 255.
    bright : bool
        Whether most of the plane is bright, so that outlines need other colours.
    """

    low: float = 0.0
    span: float = 1.0
    gamma: float = 1.0
    top: int = 255
    bright: bool = False

    @property
    def palette(self) -> NDArray[np.uint8]:
        """Colours of outlines that stand out, (7, 3)."""
        return ON_BRIGHT if self.bright else ON_DARK

    def shown(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Bring values to 0..top; values that are not finite become 0, positive infinity `top`."""
        if values.dtype.kind != "u" or values.dtype.itemsize > 2:
            return self._computed(values)
        table = self._computed(np.arange(np.iinfo(values.dtype).max + 1, dtype=values.dtype))
        looked_up: NDArray[np.uint8] = table[values]
        return looked_up

    def _computed(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        with np.errstate(invalid="ignore", over="ignore"):
            plain: NDArray[Any] = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
            scaled = np.nan_to_num((plain - self.low) / self.span, nan=0.0, posinf=1.0, neginf=0.0)
        levels: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 1) ** self.gamma * self.top).astype(np.uint8)
        return levels


def stretch_of(plane: NDArray[Any], *, top: int = 255) -> Stretch:
    """Choose how a plane is shown: from about a million of its pixels, between two percentiles.

    If a grey plane holds hardly anything but noise, the few things in it are shown white.

    Parameters
    ----------
    plane : (H, W) or (H, W, 3) real ndarray
    top : int
        The brightest level, at most 255.

    Returns
    -------
    Stretch

    Examples
    --------
    >>> stretch_of(np.array([[7, 7], [7, 9]], np.uint8)).shown(np.array([7, 9], np.uint8))
    array([  0, 255], dtype=uint8)
    """
    step = grid_step(plane.shape, _SAMPLE)
    sample = plane[::step, ::step]
    known = sample[np.isfinite(sample)]
    if known.dtype.kind == "b" or known.dtype.itemsize > 2:
        known = known.astype(np.float64)
    low, middle, high = map(float, np.percentile(known, [_LOW, 50, _HIGH])) if known.size else (0.0, 0.0, 1.0)
    if sample.ndim == 2 and known.size:
        white = above_noise(sample, ends=(low, middle, high), step=step)
        high = white if white > high and is_noise(few_windows(as_plane(plane))) else high
    if high <= low and known.size:
        low, high = float(known.min()), float(known.max())
    found = Stretch(low, high - low if high > low else 1.0, top=top)
    if plane.ndim == 2 and 2 * np.median(found.shown(sample)) < top:
        found = replace(found, gamma=_GAMMA)
    return replace(found, bright=bool(2 * np.median(found.shown(sample)) > top))


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
        As large as the plane, or smaller if that has over `MOST_PIXELS`, or over 30,000 on a side.
    """
    picture, palette = _drawn(plane, labels)
    return picture if palette is None else palette[picture]


def write_overlay(path: Path | str, plane: NDArray[Any] | Plane, *, labels: Labels) -> None:
    """Write the picture of `render_overlay` as PNG, with a palette if the plane is grey.

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
    drawn, palette = _drawn(plane, labels)
    picture = PIL.Image.fromarray(drawn)
    if palette is not None:
        picture.putpalette(palette.tobytes())
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=1)


def _drawn(plane: NDArray[Any] | Plane, labels: Labels) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Draw on colours, giving (h, w, 3), or on a grey plane, giving indices (h, w) and their palette (256, 3)."""
    pixels, nuclei = _smaller(plane, labels)
    grey = pixels.ndim == 2
    stretch = stretch_of(pixels, top=_GREYS - 1 if grey else 255)
    picture, palette = stretch.shown(pixels), stretch.palette
    thickness = _thickness(nuclei)
    outline = outline_pixels(nuclei, thickness)
    # Light lines stand out from dark ground and from stained nuclei; a dark rim separates them from white.
    rim = grown(outline, (thickness + 1) // 2) & (nuclei == 0)
    picture[rim] = np.rint(picture[rim] * CASING).astype(np.uint8)
    inks = np.arange(_GREYS, 256, dtype=np.uint8) if grey else palette
    picture[outline] = inks[_colours(nuclei, outline, count=len(palette), reach=2 + 2 * thickness)]
    if not grey:
        return picture, None
    greys = np.rint(np.linspace(0, 255, _GREYS)).astype(np.uint8)
    return picture, np.concatenate([np.repeat(greys[:, None], 3, axis=1), palette])


def _smaller(plane: NDArray[Any] | Plane, labels: Labels) -> tuple[NDArray[Any], NDArray[Any]]:
    source, (height, width) = as_plane(plane), labels.shape
    factor = max(math.sqrt(height * width / MOST_PIXELS), max(height, width) / _LONGEST_SIDE)
    across = slice(0, width)
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


def _thickness(labels: NDArray[Any]) -> int:
    """Choose lines that are seen in a view of the whole picture, but leave most of a median nucleus free."""
    sizes = areas(labels)
    sizes = sizes[sizes > 0]
    diameter = float(np.sqrt(4 * np.median(sizes) / np.pi)) if sizes.size else 0.0
    longest: int = max(labels.shape)
    return max(1, min(round(longest / 450), round(diameter / 12)))


def outline_pixels(labels: NDArray[Any], thickness: int = 1) -> NDArray[np.bool_]:
    """Mark the pixels of nuclei that touch background, another nucleus or the edge of the picture (4 neighbours).

    Parameters
    ----------
    labels : (H, W) int ndarray
        0 is background.
    thickness : int
        How many pixels inwards from the border are marked.

    Returns
    -------
    (H, W) bool ndarray
    """
    padded = np.pad(labels, 1)
    inside = labels != 0
    for row, col in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inside &= padded[row : row + labels.shape[0], col : col + labels.shape[1]] == labels
    if thickness > 1:
        inside = ~grown(~inside, thickness - 1)
    border: NDArray[np.bool_] = (labels != 0) & ~inside
    return border


def grown(mask: NDArray[np.bool_], steps: int = 1) -> NDArray[np.bool_]:
    """Add the pixels beside a mask (4 neighbours), `steps` times.

    Parameters
    ----------
    mask : (H, W) bool ndarray
    steps : int

    Returns
    -------
    (H, W) bool ndarray
    """
    for _ in range(steps):
        larger = mask.copy()
        larger[1:] |= mask[:-1]
        larger[:-1] |= mask[1:]
        larger[:, 1:] |= mask[:, :-1]
        larger[:, :-1] |= mask[:, 1:]
        mask = larger
    return mask


def _colours(labels: NDArray[Any], outline: NDArray[np.bool_], *, count: int, reach: int) -> NDArray[np.int64]:
    """Give each pixel of the outlines one of that many colours, which differs from those of nuclei nearby."""
    highest = int(labels.max(initial=0))
    neighbours = _neighbours(labels, outline, reach=reach)
    starts = np.searchsorted(neighbours[:, 0], np.arange(highest + 2)).tolist()
    others, chosen = neighbours[:, 1].tolist(), [0] * (highest + 1)
    for one in range(1, highest + 1):
        taken = {chosen[other] for other in others[starts[one] : starts[one + 1]]}
        # Each nucleus begins at another colour, which spreads the colours over the picture.
        chosen[one] = next((k for i in range(count) if (k := (one + i) % count) not in taken), one % count)
    colours: NDArray[np.int64] = np.array(chosen)[labels[outline]]
    return colours


def _neighbours(labels: NDArray[Any], outline: NDArray[np.bool_], *, reach: int) -> NDArray[np.int64]:
    """Give pairs (id, smaller id) of nuclei within `reach` pixels of each other along a row, a column or a diagonal."""
    padded = np.pad(labels, ((0, reach), (reach, reach)))
    flat, width = padded.ravel(), padded.shape[1]
    row, col = np.nonzero(outline)
    at = row * width + col + reach
    own, keys = flat[at], np.zeros(0, np.int64)
    ids = int(flat.max(initial=0)) + 1
    for step in range(1, reach + 1):
        for away in (step, step * width, step * (width + 1), step * (width - 1)):
            other = flat[at + away]
            meet = (other != own) & (other != 0)
            first, second = own[meet].astype(np.int64), other[meet].astype(np.int64)
            found = np.maximum(first, second) * ids + np.minimum(first, second)
            keys = np.unique(np.concatenate([keys, found]))
    return np.stack(np.divmod(keys, ids), axis=1)
