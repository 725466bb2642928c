"""What is known of a plane before its nuclei are sought: how intensities are scaled, and the scale of the network.

Both depend on the network, too, which takes first looks at parts of the plane. If it saw the whole plane, that is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.blanks import Blanks, content, drawn_in
from nucleate.core.labels import areas
from nucleate.core.normalize import BLUE, sample_step
from nucleate.core.plane import ArrayPlane, GreyPlane, PartOfPlane, as_grey, as_plane
from nucleate.core.specks import Cleared, cleared, specks
from nucleate.run.contrast import (
    above_cells,
    dimmer,
    flatter,
    halved,
    is_doubtful,
    is_surer,
    shows_better,
    shows_more,
)
from nucleate.run.scale import ScaleRule, find_scale, near_part, sampled, shows_large, wide_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.normalize import Normalizer, Scaling
    from nucleate.core.plane import Plane
    from nucleate.run.scale import Sized
    from nucleate.run.segmenter import Segmenter

__all__ = ["Found", "Survey", "look_at", "readable"]

# Pixels of a plane that may have been drawn in or filled up, at most: a larger one was never a figure.
_PICTURE = 1 << 24
_STEPS = 2  # how often the contrast may be raised
_CLOSE = 256  # pixels a side of the part that tells whether grains or cells are looked at in place of nuclei
_TIMES = 3  # how often lone bright pixels may be found and left out, since the brightest hide the others
_SPECK = 0.25  # of the range: how much brighter than its neighbours a lone bright pixel is
# Share of pixels from which on lone bright ones are many: three times as many as in any picture of the set.
_LONE = 3e-4
_SMALLER = 0.4  # scale of the second look at a channel
_FEW = 2.0  # nuclei, each counted as far as it is sure, from which on the network may be called sure
_SURER = 0.06  # how much surer the network must be of another scaling than of the one that colours speak for
# How sure the network must be of nuclei in what may be noise: of noise it was 0.25 to 0.55, of nuclei 0.7 and more.
_CERTAIN = 0.6


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
        What the network found while the scale was chosen, if it looked at all that lies `inside` at this scale.
    inside : (slice, slice), optional
        Rows and columns of the plane between its margins, which all else here is about. None if it has no margins.
    """

    scale: float
    scaling: Scaling
    seen: Found | None = None
    inside: tuple[slice, slice] | None = None


def readable(segmenter: Segmenter, plane: NDArray[Any] | Plane) -> Plane:
    """Give a plane as it is to be looked at, wrapped so that one pass is enough for all that is measured on it."""
    return segmenter.card.normalizer.readable(sampled(as_plane(plane)))


def look_at(segmenter: Segmenter, plane: Plane) -> Survey:
    """Measure the intensities of a plane, and choose contrast and scale by first looks.

    Parameters
    ----------
    segmenter : Segmenter
        Its scale is used unless that is ``auto``; if its card has no rule of scales, it takes no looks.
    plane : Plane
        From `readable`.
    """
    wanted, card = segmenter.settings.scale, segmenter.card
    if card.scale_rule is None or card.input_size is not None or 0 in plane.shape:
        return Survey(1.0 if wanted == "auto" else wanted, card.normalizer.measure(plane))
    # Grey pictures are often kept in three equal channels: looking at one of them takes half of the time.
    if grey := as_grey(plane, sample_step(plane.shape)):
        scaling = card.normalizer.measure(grey)
        if not scaling.invert:  # else black pixels may lie beyond a slide, which only a colour plane can tell
            known = _look(segmenter, grey, scaling=scaling, rule=card.scale_rule)
            return replace(known, scaling=replace(known.scaling, only=0))
    return _look(segmenter, plane, scaling=card.normalizer.measure(plane), rule=card.scale_rule)


def _look(segmenter: Segmenter, plane: Plane, *, scaling: Scaling, rule: ScaleRule) -> Survey:
    wanted, card = segmenter.settings.scale, segmenter.card
    inside, scaling = _without_blanks(plane, normalizer=card.normalizer, scaling=scaling)
    plane = plane if inside is None else PartOfPlane(plane, *inside)
    if blanks := scaling.blanks:
        plane, scaling = blanks.on(plane), _not_turned_over(replace(scaling, blanks=None))
    wide = wide_part(plane)
    near, pixels = near_part(wide), wide.read(slice(None), slice(None))
    scaling = _without_specks(plane, pixels, normalizer=card.normalizer, scaling=scaling)
    glance = _of_what_is_surest(_Glance(segmenter, plane, scaling=scaling), near)
    glance = _of_best_dye(glance, near, pixels=pixels)
    glance = _with_contrast(glance, near, wide=wide, pixels=cleared(pixels, glance.scaling.specks))
    light = glance.scaling.invert
    scale = find_scale(wide, glance, rule=rule, light=light) if wanted == "auto" else wanted
    # Looks do without the turns of tta, so with tta they cannot stand for the result.
    seen = glance.seen if scale == glance.scale and not segmenter.settings.tta else None
    return Survey(scale, replace(glance.scaling, blanks=blanks), seen, inside)


class _Glance:
    """Looks at parts of a plane with one scaling; keeps what it saw of the whole plane at the likeliest scale."""

    def __init__(self, segmenter: Segmenter, plane: Plane, *, scaling: Scaling) -> None:
        self.segmenter, self.plane, self.scaling = segmenter, plane, scaling
        wanted = segmenter.settings.scale
        self.scale = 1.0 if wanted == "auto" else float(wanted)
        self.seen: Found | None = None

    def __call__(self, part: Plane, scale: float, *, rough: bool = False) -> Sized:
        """Give sizes and confidence of nuclei, see `nucleate.run.scale.Probe`."""
        whole = scale == self.scale and not rough and part.shape == self.plane.shape
        if whole and self.seen is not None:
            return areas(self.seen.labels_HW), self.seen.confidence
        settings = replace(self.segmenter.settings, scale=scale, tta=False, min_area=None)
        looking = self.segmenter.with_settings(settings)
        # Sizes can be measured on the network's grid, which has fewer pixels.
        maps_CHW = (
            looking.mapper().on_own_grid(part, self.scaling)
            if rough
            else looking.maps(part, Survey(scale, self.scaling))
        )
        reading = looking.at_scale(1.0 if rough else scale).reading(light=self.scaling.invert)
        labels_HW = reading.recipe.apply(maps_CHW, self.segmenter.card.maps)
        confidence = reading.rate(labels_HW, maps_CHW)
        if whole:
            self.seen = Found(maps_CHW, labels_HW, confidence)
        sizes = areas(labels_HW)
        return np.rint(sizes / scale**2).astype(np.int64) if rough else sizes, confidence


def _without_blanks(
    plane: Plane, *, normalizer: Normalizer, scaling: Scaling
) -> tuple[tuple[slice, slice] | None, Scaling]:
    """Find what lies between the margins of a plane, if it has any, and measure that anew, without what is drawn in."""
    height, width = plane.shape[:2]
    if height * width > _PICTURE:
        return None, scaling
    whole = plane.read(slice(0, height), slice(0, width))
    inside = content(whole)
    pixels = whole[inside]
    drawn, cut = drawn_in(pixels), pixels.shape != whole.shape
    if drawn:
        # The first guess of the ground is the most common colour; beside a few bright things it is kept.
        guess = Blanks(drawn, np.median(pixels, axis=(0, 1)).tolist())
        scaling = normalizer.measure(guess.on(ArrayPlane(pixels)))
        scaling = replace(scaling, blanks=guess if scaling.sparse else Blanks(drawn, scaling.ground))
    elif cut:
        scaling = normalizer.measure(pixels)
    return inside if cut else None, scaling


def _without_specks(plane: Plane, pixels: NDArray[Any], *, normalizer: Normalizer, scaling: Scaling) -> Scaling:
    """Measure a dark plane anew without its lone bright pixels, if there are many among the `pixels` of a part."""
    for _ in range(_TIMES):
        height = _SPECK * (scaling.high - scaling.low)
        if scaling.invert or height <= 0:
            break
        lone = len(specks(cleared(pixels, scaling.specks), height)[0])
        if lone <= _LONE * pixels.size:
            break
        measured = normalizer.measure(Cleared(plane, height))
        if measured.invert:  # hardly more than noise is left, and the ground is known to be dark already
            break
        scaling = _without_lone(measured, height)
    return scaling


def _without_lone(scaling: Scaling, specks: float) -> Scaling:
    """Set the height of lone bright pixels in a scaling and in those `otherwise`, if their ground is dark."""
    otherwise = None if scaling.otherwise is None else _without_lone(scaling.otherwise, specks)
    return replace(scaling, specks=None if scaling.invert else specks, otherwise=otherwise)


def _not_turned_over(scaling: Scaling) -> Scaling:
    """Drop scalings of the opposite polarity: blanks were already filled with the colour of this one's ground."""
    if scaling.sparse:  # its blanks have the most common colour, whichever polarity
        return scaling
    other = scaling.otherwise
    if other is None or other.invert != scaling.invert:
        return replace(scaling, otherwise=None)
    return replace(scaling, otherwise=_not_turned_over(other))


def _of_what_is_surest(glance: _Glance, part: Plane) -> _Glance:
    """Keep the scaling that colours and brightness speak for, unless the network is clearly surer of another one.

    Other dyes have colours like that of haematoxylin, as the green and blue ones of collagen, and haematoxylin may be
    weak. If all below a few bright things may be noise, the network must be certain that it is not.
    """
    if (scaling := glance.scaling.otherwise) is None:
        return glance
    surest, sure = glance, -1.0
    while scaling is not None:
        other = _Glance(glance.segmenter, glance.plane, scaling=scaling)
        if (found := _sureness(other, part)) > sure:
            surest, sure = other, found
        scaling = scaling.otherwise
    may_be_noise = glance.scaling.sparse and not surest.scaling.sparse
    least = _CERTAIN if may_be_noise else _sureness(glance, part) + _SURER
    return surest if sure > least else glance


def _sureness(look: _Glance, part: Plane) -> float:
    """Tell how sure the network is of the nuclei in a part, 0..1; 0 where it finds next to nothing.

    Of large nuclei it is surer in a smaller look, of tissue around small ones too.
    """
    plain, small = look(part, 1.0), look(part, _SMALLER, rough=True)
    rule = look.segmenter.card.scale_rule or ScaleRule()
    found = [plain, small] if shows_large(small, plain, rule=rule, light=look.scaling.invert) else [plain]
    return max(float(sure.mean()) if sure.sum() >= _FEW else 0.0 for _, sure in found)


def _of_best_dye(glance: _Glance, part: Plane, *, pixels: NDArray[Any]) -> _Glance:
    """Look at the channel in which the network is surest of its nuclei, if dyes of several colours shine.

    Pixels (h, w, 3) tell which dyes there are. Blue is taken as the dye of nuclei unless the network is clearly surer
    of another one: cells that are dyed all over look much like nuclei, while grains, of which there are more, do not.
    """
    segmenter, normalizer = glance.segmenter, glance.segmenter.card.normalizer
    dyes = () if pixels.ndim == 2 or glance.scaling.invert else normalizer.dyes(pixels)

    def of_channel(channel: int, plane: Plane) -> _Glance:
        scaling = normalizer.measure(plane)
        scaling = _without_specks(plane, pixels[..., channel], normalizer=normalizer, scaling=scaling)
        return _Glance(segmenter, glance.plane, scaling=replace(scaling, only=channel))

    others = [channel for channel in dyes if channel != glance.scaling.only]
    if not others:
        return glance
    looks = [glance, *(of_channel(channel, ArrayPlane(pixels[..., channel])) for channel in others)]
    best = max(
        (look for look in looks if not look.scaling.invert),
        key=lambda look: _sureness(look, part) + (_SURER if look.scaling.only == BLUE else 0.0),
    )
    if best is glance or best.scaling.only is None:
        return glance
    whole = of_channel(best.scaling.only, GreyPlane(glance.plane, best.scaling.only))  # only this one is read whole
    return best if whole.scaling == best.scaling else whole


def _with_contrast(glance: _Glance, near: Plane, *, wide: PartOfPlane, pixels: NDArray[Any]) -> _Glance:
    """Look with the contrast in which the network finds most nuclei in a part, or is clearly surer of them.

    Contrasts are proposed by pixels (h, w[, 3]) of the wide part.
    """
    if glance.scaling.invert:
        return glance
    small = halved(pixels)
    for _ in range(_STEPS):
        proposed = dimmer(small, glance.scaling)
        if proposed is None:
            break
        other = _Glance(glance.segmenter, glance.plane, scaling=proposed)
        if not shows_more(other(near, 1.0), glance(near, 1.0)):
            break
        glance = other
    close = near_part(wide, _CLOSE)
    seen = glance(close, glance.scale)
    for propose, is_better in ((flatter, is_surer), (above_cells, shows_better)) if is_doubtful(seen) else ():
        proposed = propose(small, glance.scaling)
        if proposed is None:
            continue
        other = _Glance(glance.segmenter, glance.plane, scaling=proposed)
        if is_better(other(close, other.scale), seen):
            return other
    return glance
