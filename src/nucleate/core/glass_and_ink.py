"""Glass and ink beside the tissue of a section, which say nothing of its nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.dyes import brightest, darkest, few_pixels, is_grey, light_of, of_three

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["glass_in", "ink_below", "ink_in", "is_ink"]

_WHITE = (0.85, 0.93)  # of the strongest channel, that a neutral white has; of that white, where glass begins
_PANE, _RIM = 9, 5  # pixels a side of the smallest piece of glass: lumens and gaps are smaller; tissue ends softly
_GLASS = (0.02, 0.9)  # share of a section that glass covers
_INK, _NEUTRAL = 0.25, 0.4  # of the white: ink is darker in all channels; share of that by which they differ; ...
_STAIN, _SOFT = (0.002, 1.0), 2  # ... share of a section that it covers, and pixels in which it ends
_TISSUE = 0.6  # of the white is the least that tissue without nuclei lets through, where it does most


def ink_below(pixels: NDArray[Any]) -> float:
    """Give the value that some channel exceeds wherever there is no black ink, by pixels (n, 3)."""
    return _INK * light_of(pixels)


def is_ink(pixels: NDArray[Any], below: float) -> NDArray[np.bool_]:
    """Tell which pixels (..., 3) are black, as ink is, and not dyed: `ink_below` gives the limit."""
    most = brightest(pixels)
    black: NDArray[np.bool_] = (most < below) & (darkest(pixels) > most - np.float32(_NEUTRAL * below))
    return black


def glass_in(sample: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Find the glass beside the tissue of a section, with a rim of the tissue.

    Parameters
    ----------
    sample : (h, w, 3) real ndarray
        Red, green and blue, light where there is no dye.

    Returns
    -------
    (h, w) bool ndarray or None
        None where there is hardly any, or hardly anything else but nuclei. It is neutral white, in pieces larger than
        lumens.
    """
    few = few_pixels(sample)
    white = np.percentile(few, 99.8, axis=0) if few.size else np.zeros(3)
    neutral, near = _WHITE
    if white.max() <= 0 or white.min() < neutral * white.max():
        return None
    glass_HW = _in_pieces(of_three(np.logical_and, sample >= near * white), share=_GLASS, rim=_RIM)
    if glass_HW is None:
        return None
    tissue = few_pixels(sample[~glass_HW][:, None])
    light = np.percentile(tissue, 99.8, axis=0).mean() if tissue.size else 0.0
    return glass_HW if light >= _TISSUE * white.mean() else None


def ink_in(sample: NDArray[Any], below: float) -> NDArray[np.bool_] | None:
    """Find the black ink, dirt or pigment on a section, with the soft edge of it.

    Parameters
    ----------
    sample : (h, w, 3) real ndarray
        Red, green and blue, light where there is no dye.
    below : float
        From `ink_below`.

    Returns
    -------
    (h, w) bool ndarray or None
        None where there is hardly any. It lets next to nothing through in any channel, in pieces as large as those of
        `glass_in`; the darkest nuclei let through some light of the colour that their dye has. In a grey picture
        that is kept in three channels they do not, and nothing is known to be ink.
    """
    found_HW = _in_pieces(is_ink(sample, below), share=_STAIN, rim=_SOFT)
    return None if found_HW is None or is_grey(few_pixels(sample)) else found_HW


def _in_pieces(covered_HW: NDArray[np.bool_], *, share: tuple[float, float], rim: int) -> NDArray[np.bool_] | None:
    """Give the pieces of what is covered that hold a square, with a rim; None where they cover too little or much."""
    least, most = share
    if covered_HW.mean() < least:
        return None
    pieces_HW = ndimage.minimum_filter(covered_HW.view(np.uint8), _PANE)
    if not least <= ndimage.maximum_filter(pieces_HW, _PANE).mean() <= most:
        return None
    return ndimage.maximum_filter(pieces_HW, _PANE + 2 * rim).view(np.bool_)
