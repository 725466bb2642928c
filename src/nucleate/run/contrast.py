"""Up to which brightness a network looks at a plane that a few far brighter things darken.

The brightest pixels are what becomes 1, and a fibre, a handful of dead cells or crumbs of dye, eight times as bright as
the nuclei, leave these an eighth of the range, in which they are missed. How bright most things are tells a look at
single ones: each counts once, however bright or large it is. Whether these are nuclei only the network can tell, so
what is proposed here is taken where it finds more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.run.scale import expected, rise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.normalize import Scaling
    from nucleate.run.scale import Sized

__all__ = ["dimmer", "shows_more"]

_DARK = 0.04  # of the range: what is not brighter is ground, ...
_CLEAR = 7.0  # ... nor is what rises by less than so many standard deviations of the noise above the dark end of it
_SMALLEST = 5  # blocks of 2 x 2 pixels of a thing that counts
_FEWEST = 3  # things that say anything
_BRIGHT = 0.5  # of the range: where most things are brighter, they can be seen
_REACHED = 0.9  # of the new range, by the median thing
_MORE, _AT_LEAST = 1.1, 4  # times as many nuclei, as far as they are sure, and so many more
_CERTAIN = 0.6  # their mean confidence, ...
_LESS = 0.2  # ... and how much lower than before it may be: few sure nuclei are not given up for many doubtful ones


def dimmer(pixels: NDArray[Any], scaling: Scaling) -> Scaling | None:
    """Propose a scaling in which most things on the dark ground of a plane are bright.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) ndarray
        A part of the plane.
    scaling : Scaling
        As measured on the whole plane.

    Returns
    -------
    Scaling or None
        With a lower `high`; None where most things are bright already, there are hardly any, or the ground is light.
    """
    if scaling.invert or min(pixels.shape[:2]) < 4:
        return None
    seen_HW = scaling.apply(_halved(pixels))[0]
    # Of white noise half of the differences between neighbours are under 0.95 standard deviations.
    noise = float(np.median(np.abs(np.diff(seen_HW, axis=1)))) / 0.95
    things_HW, count = ndimage.label(seen_HW > max(_DARK, _CLEAR * noise))
    levels = np.zeros(count + 1, np.float32)
    np.maximum.at(levels, things_HW.ravel(), seen_HW.ravel())
    levels = levels[1:][np.bincount(things_HW.ravel(), minlength=count + 1)[1:] >= _SMALLEST]
    if len(levels) < _FEWEST or (level := float(np.median(levels))) >= _BRIGHT:
        return None
    return replace(scaling, high=scaling.low + (scaling.high - scaling.low) * level / _REACHED)


def _halved(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Average blocks of 2 x 2 pixels."""
    rows, cols = (length // 2 * 2 for length in pixels.shape[:2])
    with np.errstate(over="ignore", invalid="ignore"):  # values near the end of float32, beyond it, or infinite
        even = pixels[:rows, :cols].astype(np.float32)
        total: NDArray[np.float32] = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return total * np.float32(0.25)


def shows_more(new: Sized, old: Sized) -> bool:
    """Tell whether a look finds clearly more nuclei, each as far as it is sure, and about as sure."""
    if not len(new[1]):
        return False
    sure = float(new[1].mean()) >= _CERTAIN and rise(new, old) >= -_LESS
    before = expected(old)
    return sure and expected(new) >= max(_MORE * before, before + _AT_LEAST)
