"""A picture with the outlines of true and predicted nuclei drawn over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.normalize import Normalizer
from nucleate.export.overlay import outline_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BOTH_COLOUR", "PRED_COLOUR", "TRUE_COLOUR", "draw_contours"]

# Blue and orange are told apart with any colour vision, and on dark and on bright grounds.
TRUE_COLOUR = (0, 170, 255)
"""Red, green, blue of outlines of the truth."""
PRED_COLOUR = (255, 140, 0)
"""Red, green, blue of outlines of the prediction."""
BOTH_COLOUR = (0, 200, 110)
"""Where both outlines lie on one pixel; white or black would vanish on one ground or the other."""


def draw_contours(plane: NDArray[Any], true: NDArray[Any], *, pred: NDArray[Any], side: int = 720) -> NDArray[np.uint8]:
    """Draw truth and prediction over a picture, with outlines two pixels wide inside the nuclei.

    Parameters
    ----------
    plane : (H, W) or (H, W, 3) ndarray
        The picture, any real dtype; stretched between its percentiles.
    true, pred : (H, W) int ndarray
        Label images.
    side : int
        The longer side of the result is close to this many pixels: small pictures are enlarged by a whole factor,
        large ones thinned out.

    Returns
    -------
    (h, w, 3) uint8 ndarray
    """
    longest = max(true.shape)
    thin, enlarge = max(1, -(-longest // side)), max(1, side // longest)
    scaled = Normalizer(channels=3, polarity="keep").measure(plane).apply(plane[::thin, ::thin])
    picture = np.moveaxis((scaled * 255).astype(np.uint8), 0, -1).repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    edges = [outline_pixels(n[::thin, ::thin].repeat(enlarge, axis=0).repeat(enlarge, axis=1), 2) for n in (true, pred)]
    picture[edges[0]] = TRUE_COLOUR
    picture[edges[1]] = PRED_COLOUR
    picture[edges[0] & edges[1]] = BOTH_COLOUR
    return picture
