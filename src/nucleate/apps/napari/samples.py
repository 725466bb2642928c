"""Sample images: what comes with the install, and one that is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nucleate.data import shown
from nucleate.data.synth import Scene, draw

if TYPE_CHECKING:
    from nucleate.apps.napari.pixels import LayerData

__all__ = ["drawn", "tissue"]

_SEED = 20  # any will do; a fixed one draws the same picture each time


def tissue() -> list[LayerData]:
    """Give a stained section of tissue.

    Returns
    -------
    list of LayerData
        One image layer, in colour.
    """
    return [(shown.tissue(), {"name": "tissue", "rgb": True}, "image")]


def drawn() -> list[LayerData]:
    """Draw a fluorescent field of nuclei whose truth is known.

    Returns
    -------
    list of LayerData
        The image, and a hidden Labels layer with the truth.
    """
    pixels, truth = draw(Scene(size=(512, 512), nuclei=150, bits=16), np.random.default_rng(_SEED))
    return [
        (pixels, {"name": "drawn", "colormap": "gray"}, "image"),
        (truth, {"name": "drawn truth", "visible": False}, "labels"),
    ]
