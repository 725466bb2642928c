"""Lone bright pixels: hot pixels of a camera, cosmic rays, noise that turns single pixels white.

They are no part of the picture, but if more than a few pixels in a thousand are specks, these are the brightest of the
plane, and only a small part of the range is left for the nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.plane import ChangedPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.plane import Plane

__all__ = ["Cleared", "cleared", "specks"]

_AROUND = [(down, across) for down, across in product((-1, 0, 1), repeat=2) if (down, across) != (0, 0)]


def specks(pixels: NDArray[Any], height: float) -> tuple[NDArray[np.intp], ...]:
    """Find the pixels that are brighter by `height` than all of their eight neighbours but one.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) real ndarray
        Colours are looked at each by itself.
    height : float
        Above 0.

    Returns
    -------
    tuple of int ndarrays
        Indices, one array an axis; no pixel at the edge is among them.
    """
    if min(pixels.shape[:2]) < 3:
        return tuple(np.zeros(0, np.intp) for _ in pixels.shape)
    inner = pixels[1:-1, 1:-1].astype(np.float32)
    with np.errstate(invalid="ignore"):  # infinite values
        # A quick look leaves few pixels: of the two beside a speck, and of the two above and below, one must be darker.
        likely = inner - np.minimum(pixels[1:-1, :-2], pixels[1:-1, 2:]) > height
        likely &= inner - np.minimum(pixels[:-2, 1:-1], pixels[2:, 1:-1]) > height
        rows, cols, *rest = np.unravel_index(np.flatnonzero(likely), likely.shape)  # a faster np.nonzero
        at = rows + 1, cols + 1, *rest
        alone = pixels[at].astype(np.float32) - _neighbours(pixels, at)[-2] > height
    return tuple(axis[alone] for axis in at)


def cleared(pixels: NDArray[Any], height: float | None) -> NDArray[Any]:
    """Give the pixels with the median of their neighbours in place of specks, see `specks`.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) real ndarray
        Left as it is.
    height : float or None
        None clears nothing.
    """
    if height is None or min(pixels.shape[:2]) < 2:
        return pixels
    # Mirrored, so that pixels at the edge have neighbours all around.
    wide = np.pad(pixels, ((1, 1), (1, 1), (0, 0))[: pixels.ndim], "reflect")
    at = specks(wide, height)
    wide[at] = _neighbours(wide, at)[3:5].mean(axis=0)
    clear: NDArray[Any] = wide[1:-1, 1:-1]
    return clear


def _neighbours(pixels: NDArray[Any], at: tuple[NDArray[np.intp], ...]) -> NDArray[np.float32]:
    """Give the eight neighbours, (8, n), in ascending order, of some pixels that do not lie at the edge."""
    rows, cols, *rest = at
    around = np.stack([pixels[(rows + down, cols + across, *rest)] for down, across in _AROUND]).astype(np.float32)
    around.sort(axis=0)
    return around


@dataclass(frozen=True)
class Cleared(ChangedPlane):
    """A plane without its specks; a pixel has the same value in every part that holds it.

    Parameters
    ----------
    plane : Plane
    height : float
        See `specks`.
    """

    plane: Plane
    height: float

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Give a part, cleared."""
        (top, bottom, _), (left, right, _) = rows.indices(self.shape[0]), cols.indices(self.shape[1])
        above, before = min(top, 1), min(left, 1)
        around = self.plane.read(slice(top - above, bottom + 1), slice(left - before, right + 1))
        clear = cleared(around, self.height)
        return clear[above : above + bottom - top, before : before + right - left]
