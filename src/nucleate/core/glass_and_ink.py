"""Glass and ink beside the tissue of a section, which say nothing of its nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.dyes import brightest, darkest, few_pixels, is_grey, light_of, of_three

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["glass_in", "ink_below", "ink_in", "is_ink"]

# A white is neutral if its weakest channel has this share of its strongest; glass is as light as this share of the
# white.
_WHITE = (0.85, 0.93)
# Pixels a side of the smallest piece of glass, since lumens and gaps are smaller; rim of tissue, which ends softly.
_PANE, _RIM = 9, 5
_GLASS = (0.02, 0.9)  # share of a section that glass covers, at least and at most
# Ink is darker than this share of the white; its channels differ by less than this share of that limit.
_INK, _NEUTRAL = 0.25, 0.4
# Share of a section that ink covers, at least and at most; pixels of the soft edge of ink.
_STAIN, _SOFT = (0.002, 1.0), 2
_TISSUE = 0.6  # of the white: tissue without nuclei lets at least this much through where it lets most through


def ink_below(pixels: NDArray[Any]) -> float:
    """Give the value that some channel exceeds wherever there is no black ink, by pixels (n, 3)."""
    return _INK * light_of(pixels)


def is_ink(pixels: NDArray[Any], below: float) -> NDArray[np.bool_]:
    """Tell which pixels (..., 3) are black, as ink is, and not dyed; `ink_below` gives the limit."""
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
        Neutral white, in pieces larger than lumens. None where there is hardly any glass, or hardly anything else but
        nuclei.
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
    """Find black ink, dirt or pigment on a section, with its soft edge.

    Parameters
    ----------
    sample : (h, w, 3) real ndarray
        Red, green and blue, light where there is no dye.
    below : float
        From `ink_below`.

    Returns
    -------
    (h, w) bool ndarray or None
        Pieces as large as those of `glass_in` that let next to nothing through in any channel, while the darkest nuclei
        let through some light of the colour of their dye. None where there is hardly any ink, and in a grey picture in
        three channels, in which nuclei have no colour and cannot be told from ink.
    """
    found_HW = _in_pieces(is_ink(sample, below), share=_STAIN, rim=_SOFT)
    return None if found_HW is None or is_grey(few_pixels(sample)) else found_HW


def _in_pieces(covered_HW: NDArray[np.bool_], *, share: tuple[float, float], rim: int) -> NDArray[np.bool_] | None:
    """Give the covered pieces that a square fits in, with a rim; None if they cover too little or too much."""
    least, most = share
    if covered_HW.mean() < least:
        return None
    pieces_HW = ndimage.minimum_filter(covered_HW.view(np.uint8), _PANE)
    if not least <= ndimage.maximum_filter(pieces_HW, _PANE).mean() <= most:
        return None
    return ndimage.maximum_filter(pieces_HW, _PANE + 2 * rim).view(np.bool_)
