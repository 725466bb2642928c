"""Between which brightnesses a network looks at a plane, where percentiles of all pixels do not tell.

The brightest pixels are what becomes 1, and a fibre, a handful of dead cells or crumbs of dye, eight times as bright as
the nuclei, leave these an eighth of the range, in which they are missed. How bright most things are tells a look at
single ones: each counts once, however bright or large it is. In the same way the grains in nuclei, as those of mice
are full of, leave the nuclei dim, and pass for nuclei; and cells that the dye of the nuclei shows dimly pass for nuclei
where these are small. Which of them are nuclei only the network can tell, so what is proposed here is taken where it
finds more, or is surer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.post.threshold import otsu_level
from nucleate.run.scale import covered, expected, rise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.normalize import Scaling
    from nucleate.run.scale import Sized

__all__ = ["above_cells", "dimmer", "flatter", "halved", "is_doubtful", "is_surer", "shows_better", "shows_more"]

_DARK = 0.04  # of the range: everything that is not brighter than this is ground
_CLEAR = 7.0  # standard deviations of the noise: everything that rises less above the dark end is ground, too
_SMALLEST = 5  # blocks of 2 x 2 pixels that a thing has at least to count
_FEWEST = 3  # fewer things than this say nothing
_BRIGHT = 0.5  # of the range: things can be seen well if most of them are brighter than this
_REACHED = 0.9  # of the new range: brightness that the median thing is given
_GRAINED = 2.5  # a thing has grains if its brightest value is more than this many times its middle value
_BODY = 0.95  # of the new range: brightness that the middle value of the median thing is given
_DOUBTFUL = 0.66  # mean confidence from which nuclei are seen well enough
# Rise of the mean confidence, and times as many nuclei, from which another contrast is better.
_BETTER, _CLEARLY_MORE = 0.08, 1.12
# Rise of it from which fewer nuclei are enough, if they cover this share of the area found before.
_SURER, _COVER = 0.15, 0.75
_LIT = 0.6  # of the plane: if more is brighter than the ground, the ground is uneven
_ALIKE = 1e-3  # things are equally bright if their brightness differs by less than this share
# Times as many nuclei, as far as they are sure, and how many more, that a raised contrast must find.
_MORE, _AT_LEAST = 1.1, 4
_CERTAIN = 0.6  # mean confidence that such nuclei must have
_LESS = 0.2  # how much lower than before it may be: few sure nuclei are not given up for many doubtful ones


def halved(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Average blocks of 2 x 2 pixels of a part of a plane, (h, w) or (h, w, 3), so that it has less noise."""
    rows, cols = (length // 2 * 2 for length in pixels.shape[:2])
    with np.errstate(over="ignore", invalid="ignore"):  # values near the end of float32, beyond it, or infinite
        even = pixels[:rows, :cols].astype(np.float32)
        total: NDArray[np.float32] = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return total * np.float32(0.25)


def dimmer(pixels: NDArray[Any], scaling: Scaling) -> Scaling | None:
    """Propose a scaling in which most things on the dark ground of a plane are bright.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) ndarray
        A part of the plane, `halved`.
    scaling : Scaling
        As measured on the whole plane.

    Returns
    -------
    Scaling or None
        With a lower `high`; None if most things are bright already, if there are hardly any, or if the ground is light.
    """
    found = _things(pixels, scaling)
    if found is None:
        return None
    tops = found[1]
    return _up_to(scaling, level / _REACHED) if (level := float(np.median(tops))) < _BRIGHT else None


def flatter(pixels: NDArray[Any], scaling: Scaling) -> Scaling | None:
    """Propose a scaling in which the bodies of most things on the dark ground of a plane are bright.

    Parameters
    ----------
    pixels, scaling
        As for `dimmer`.

    Returns
    -------
    Scaling or None
        With a lower `high`; None if the brightest pixels of most things are not far brighter than their bodies, or if
        there are hardly any things.
    """
    found = _things(pixels, scaling)
    if found is None:
        return None
    bodies, tops = found
    if np.median(tops / bodies) < _GRAINED:
        return None
    return _up_to(scaling, float(np.median(bodies)) / _BODY)


def above_cells(pixels: NDArray[Any], scaling: Scaling) -> Scaling | None:
    """Propose a scaling that turns dim things on the dark ground of a plane into ground, too, such as cells.

    Parameters
    ----------
    pixels, scaling
        As for `dimmer`.

    Returns
    -------
    Scaling or None
        With a higher `low`: Otsu's threshold of the logarithm of all that is brighter than the ground. None if there is
        hardly anything, or hardly any ground, or if all is equally bright, as in drawn pictures.
    """
    lit = _lit(pixels, scaling)
    if lit is None or not _FEWEST * _SMALLEST <= np.count_nonzero(lit[1]) <= _LIT * lit[1].size:
        return None
    seen_HW, lit_HW = lit
    levels = np.log(seen_HW[lit_HW])
    if np.ptp(levels) < _ALIKE:
        return None
    level = min(float(np.exp(otsu_level(levels))), _BRIGHT)
    return replace(scaling, low=scaling.low + (scaling.high - scaling.low) * level)


def _lit(pixels: NDArray[Any], scaling: Scaling) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Give a part, 0..1, and a mask of what is brighter than the ground; None if the ground is light."""
    if scaling.invert or min(pixels.shape[:2]) < 2:
        return None
    seen_HW = scaling.apply(pixels)[0]
    # In white noise, half of the differences between neighbours are under 0.95 standard deviations.
    noise = float(np.median(np.abs(np.diff(seen_HW, axis=1)))) / 0.95
    return seen_HW, seen_HW > max(_DARK, _CLEAR * noise)


def _things(pixels: NDArray[Any], scaling: Scaling) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Give the middle and the highest value of each thing on dark ground, 0..1; None if there are hardly any things."""
    lit = _lit(pixels, scaling)
    if lit is None:
        return None
    seen_HW, lit_HW = lit
    things_HW, count = ndimage.label(lit_HW)
    inside = np.flatnonzero(things_HW)
    thing, level = things_HW.ravel()[inside], seen_HW.ravel()[inside]
    order = np.lexsort((level, thing))
    sizes = np.bincount(thing, minlength=count + 1)[1:]
    ends = np.cumsum(sizes)
    large = sizes >= _SMALLEST
    if np.count_nonzero(large) < _FEWEST:
        return None
    levels = level[order]
    return levels[(ends - (sizes + 1) // 2)[large]], levels[(ends - 1)[large]]


def _up_to(scaling: Scaling, level: float) -> Scaling:
    """Give a scaling in which a level, 0..1 of the present range, becomes 1."""
    return replace(scaling, high=scaling.low + (scaling.high - scaling.low) * min(level, 1.0))


def shows_more(new: Sized, old: Sized) -> bool:
    """Tell whether a look finds clearly more nuclei, each counted as far as it is sure, and about as sure ones."""
    before, sure = expected(old), _is_certain(new) and rise(new, old) >= -_LESS
    return sure and expected(new) >= max(_MORE * before, before + _AT_LEAST)


def is_doubtful(seen: Sized) -> bool:
    """Tell whether a look is unsure of its nuclei, so that another contrast may be better."""
    return len(seen[1]) > 0 and float(seen[1].mean()) < _DOUBTFUL


def is_surer(new: Sized, old: Sized) -> bool:
    """Tell whether a look is clearly surer of its nuclei than another look, and covers most of the area of that."""
    return _is_certain(new) and rise(new, old) >= _SURER and covered(new) >= _COVER * covered(old)


def shows_better(new: Sized, old: Sized) -> bool:
    """Tell whether a look is surer of its nuclei and finds clearly more, each counted as far as it is sure."""
    return _is_certain(new) and rise(new, old) >= _BETTER and expected(new) >= _CLEARLY_MORE * expected(old)


def _is_certain(seen: Sized) -> bool:
    """Tell nuclei from specks of noise, which any contrast can show."""
    return len(seen[1]) > 0 and float(seen[1].mean()) >= _CERTAIN
