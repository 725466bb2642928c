"""What is known of a plane before its nuclei are sought: its intensities, and the scale at which it is looked at.

The network has its say in both: it takes first looks at parts of the plane. What it saw of a whole plane is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.labels import areas
from nucleate.run.contrast import dimmer, shows_more
from nucleate.run.scale import find_scale, first_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.normalize import Scaling
    from nucleate.core.plane import Plane
    from nucleate.run.segmenter import Segmenter

__all__ = ["Found", "Survey", "look_at"]

_STEPS = 2  # times that the contrast may be raised


@dataclass(frozen=True)
class Found:
    """The maps of a plane, the nuclei that the card's recipe finds there, and how sure they are.

    Parameters
    ----------
    maps_CHW : (C, H, W) float32 ndarray
    labels_HW : (H, W) int32 ndarray
    confidence : (n,) float32 ndarray
    """

    maps_CHW: NDArray[np.float32]
    labels_HW: NDArray[np.int32]
    confidence: NDArray[np.float32]


@dataclass(frozen=True)
class Survey:
    """What is known of a plane before its nuclei are sought.

    Parameters
    ----------
    scale : float
        Of the network's grid to the plane's.
    scaling : Scaling
        Of the intensities.
    seen : Found, optional
        What the choice of the scale brought along, where it looked at the whole plane at this scale.
    """

    scale: float
    scaling: Scaling
    seen: Found | None = None


def look_at(segmenter: Segmenter, plane: Plane) -> Survey:
    """Measure the intensities of a plane, and choose contrast and scale by first looks.

    Parameters
    ----------
    segmenter : Segmenter
        Its scale holds unless it is ``auto``; a card without a rule of scales is not asked for looks.
    plane : Plane
    """
    wanted, card = segmenter.settings.scale, segmenter.card
    scaling = card.normalizer.measure(plane)
    if card.scale_rule is None or card.input_size is not None or 0 in plane.shape:
        return Survey(1.0 if wanted == "auto" else wanted, scaling)
    glance = _with_contrast(_Glance(segmenter, plane, scaling=scaling))
    if wanted != "auto":
        return Survey(wanted, glance.scaling, glance.seen if wanted == 1 else None)
    scale = find_scale(plane, glance, rule=card.scale_rule)
    return Survey(scale, glance.scaling, glance.seen if scale == 1 else None)


class _Glance:
    """Looks at parts of a plane with one scaling; keeps what it saw of the whole at full size."""

    def __init__(self, segmenter: Segmenter, plane: Plane, *, scaling: Scaling) -> None:
        self.segmenter, self.plane, self.scaling = segmenter, plane, scaling
        self.seen: Found | None = None

    def __call__(
        self, part: Plane, scale: float, *, rough: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Give sizes and confidence, see `nucleate.run.scale.Probe`."""
        whole = scale == 1 and part.shape == self.plane.shape
        if whole and self.seen is not None:
            return areas(self.seen.labels_HW), self.seen.confidence
        settings = replace(self.segmenter.settings, scale=scale, tta=False, min_area=None)
        looking = self.segmenter.with_settings(settings)
        # Sizes can be told on the network's grid, where there are fewer pixels.
        maps_CHW = (
            looking.mapper().on_own_grid(part, self.scaling)
            if rough
            else looking.maps(part, Survey(scale, self.scaling))
        )
        reading = looking.at_scale(1.0 if rough else scale).reading(light=self.scaling.invert)
        labels_HW = reading.recipe.apply(maps_CHW, self.segmenter.card.maps)
        confidence = reading.rate(labels_HW, maps_CHW)
        if whole and not self.segmenter.settings.tta:
            self.seen = Found(maps_CHW, labels_HW, confidence)
        sizes = areas(labels_HW)
        return np.rint(sizes / scale**2).astype(np.int64) if rough else sizes, confidence


def _with_contrast(glance: _Glance) -> _Glance:
    """Give the looks with the contrast in which the network finds most."""
    wide, part = first_parts(glance.plane)
    pixels = wide.read(slice(None), slice(None))
    for _ in range(_STEPS):
        proposed = dimmer(pixels, glance.scaling)
        if proposed is None:
            break
        other = _Glance(glance.segmenter, glance.plane, scaling=proposed)
        if not shows_more(other(part, 1.0), glance(part, 1.0)):
            break
        glance = other
    return glance
