"""Which nuclei look condensed or mitotic, by stated rules on their measurements.

All rules compare a nucleus with the nuclei of the negative controls of its plate: with their median, and for the
texture with their spread (median absolute deviation times 1.4826, see `nucleate.screen.hits.robust_sd`). So they hold
at any magnification, exposure and camera. Brightness is the mean intensity over the ground; the ground is the 1st
percentile of the lowest pixel of the control nuclei.

=====================  =====================================================================================
``condensed``          area <= 0.6 x median, brightness >= 1.5 x median, and not mitotic
``mitotic``, plate     area <= 0.7 x median, brightness >= 1.5 x median, eccentricity >= 0.85 (a metaphase plate or
                       an anaphase set seen from the side)
``mitotic``, cluster   area >= 0.125 x median, texture >= median + 3 spreads and solidity <= 0.93 (chromosomes of
                       prophase and arrested prometaphase: uneven and with a ragged outline)
``mitotic``, grains    area >= 0.25 x median and texture >= 2 x median (the same, where the outline was drawn
                       smoothly around the chromosomes)
=====================  =====================================================================================

A nucleus that the edge of the field cuts is neither, since its area and outline are those of a piece.

Texture is the standard deviation of the intensity over the brightness. Small and irregular nuclei are told apart by
area and shape in the manner of nuclear morphometric analysis (Filippi-Chiela et al. 2012, PLoS ONE 7:e42522, DOI
10.1371/journal.pone.0042522); that condensed nuclei are small and bright is the usual rule for apoptosis in image-based
screens. The thresholds are ours, set with an eye on one pair of real fields (control and PLK1 inhibition). They find
candidates, hence "looking": a fraction well over that of the controls calls for a look at the pictures.

In each other channel a nucleus is positive if its mean intensity is over the 95th percentile of the nuclei of the
negative controls, of which one in twenty is positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.screen.hits import robust_sd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "LEAST_NUCLEI",
    "LOOKED_AT",
    "POSITIVE_PERCENTILE",
    "Reference",
    "Rules",
    "classify",
    "positive_threshold",
    "reference_of",
    "seen_whole",
]

LOOKED_AT = (
    "area_px", "touches_border", "eccentricity", "solidity", "mean_intensity", "min_intensity", "std_intensity"
)  # fmt: skip
"""Measurements of the nuclei that the rules ask for."""
POSITIVE_PERCENTILE = 95
"""Percentile of the negative controls' nuclei over which a nucleus is positive in a channel."""
LEAST_NUCLEI = 20
"""Nuclei of the negative controls below which no nucleus is called positive or negative."""


@dataclass(frozen=True)
class Rules:
    """The thresholds; see the head of this module.

    Parameters
    ----------
    condensed_area : float
        Largest area of a condensed nucleus, in units of the controls' median, as are the areas below.
    bright : float
        Least brightness of a condensed nucleus or a metaphase plate, in units of the controls' median.
    plate_area : float
        Largest area of a metaphase plate.
    plate_eccentricity : float
        Least eccentricity of a metaphase plate.
    cluster_area : float
        Least area of a cluster of chromosomes; smaller things are debris.
    cluster_texture : float
        Least texture of a cluster, in spreads over the controls' median.
    cluster_solidity : float
        Greatest solidity of a cluster.
    grains_area : float
        Least area of a cluster of any outline.
    grains_texture : float
        Least texture of such a cluster, in units of the controls' median.
    """

    condensed_area: float = 0.6
    bright: float = 1.5
    plate_area: float = 0.7
    plate_eccentricity: float = 0.85
    cluster_area: float = 0.125
    cluster_texture: float = 3.0
    cluster_solidity: float = 0.93
    grains_area: float = 0.25
    grains_texture: float = 2.0


@dataclass(frozen=True)
class Reference:
    """An ordinary nucleus of a plate: medians over the uncut nuclei of the negative controls.

    Parameters
    ----------
    nuclei : int
        How many nuclei there were.
    ground : float
        Intensity that is taken as the ground.
    area_px, brightness, texture, texture_sd : float
        Medians, and the robust standard deviation of the texture.
    """

    nuclei: int
    ground: float
    area_px: float
    brightness: float
    texture: float
    texture_sd: float


def seen_whole(table: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Tell which nuclei the edge of a field does not cut.

    Parameters
    ----------
    table : mapping of str to (n,) ndarray
        ``area_px``; ``touches_border``, 1 for nuclei that the edge cuts, if that is known.

    Returns
    -------
    (n,) bool ndarray
    """
    cut: NDArray[np.bool_] = np.asarray(table.get("touches_border", np.zeros(len(table["area_px"])))) == 1
    return ~cut


def reference_of(table: Mapping[str, NDArray[Any]]) -> Reference:
    """Describe the uncut nuclei of the negative controls.

    Parameters
    ----------
    table : mapping of str to (n,) ndarray
        ``area_px``, ``mean_intensity``, ``std_intensity``, ``min_intensity``; ``touches_border`` if it is known.

    Returns
    -------
    Reference
        All NaN without nuclei, so that no nucleus has a phenotype.
    """
    known = np.isfinite(table["mean_intensity"]) & seen_whole(table)
    table = {name: table[name][known] for name in ("area_px", "mean_intensity", "std_intensity", "min_intensity")}
    mean, spread = table["mean_intensity"], table["std_intensity"]
    if not len(mean):
        return Reference(0, *[math.nan] * 5)
    ground = float(np.percentile(table["min_intensity"], 1))
    brightness = mean - ground
    with np.errstate(divide="ignore", invalid="ignore"):
        texture = spread / brightness
    # A nucleus as dark as the ground has no texture.
    texture = texture[np.isfinite(texture)]
    middle = float(np.median(texture)) if texture.size else math.nan
    area, bright = float(np.median(table["area_px"])), float(np.median(brightness))
    return Reference(len(mean), ground, area, bright, middle, robust_sd(texture))


def classify(table: Mapping[str, NDArray[Any]], reference: Reference) -> dict[str, NDArray[np.bool_]]:
    """Tell which nuclei look condensed and which mitotic.

    Parameters
    ----------
    table : mapping of str to (n,) ndarray
        As for `reference_of`, with ``eccentricity`` and ``solidity``.
    reference : Reference
        From the controls of the same plate.

    Returns
    -------
    dict of str to (n,) bool ndarray
        ``condensed`` and ``mitotic``; no nucleus is both.
    """
    rules = Rules()
    area = np.asarray(table["area_px"], np.float64) / reference.area_px
    over = table["mean_intensity"] - reference.ground
    bright = over >= rules.bright * reference.brightness
    with np.errstate(divide="ignore", invalid="ignore"):
        texture = table["std_intensity"] / over
    plate = (area <= rules.plate_area) & bright & (table["eccentricity"] >= rules.plate_eccentricity)
    uneven = texture >= reference.texture + rules.cluster_texture * reference.texture_sd
    cluster = (area >= rules.cluster_area) & uneven & (table["solidity"] <= rules.cluster_solidity)
    grains = (area >= rules.grains_area) & (texture >= rules.grains_texture * reference.texture)
    whole = seen_whole(table)
    mitotic = (plate | cluster | grains) & whole
    return {"condensed": (area <= rules.condensed_area) & bright & whole & ~mitotic, "mitotic": mitotic}


def positive_threshold(intensities: NDArray[np.float64]) -> float:
    """Give the mean intensity over which a nucleus is positive in a channel.

    Parameters
    ----------
    intensities : (n,) float64 ndarray
        Of the nuclei of the negative controls; NaN is left out.

    Returns
    -------
    float
        Their 95th percentile; NaN if there are fewer than 20, none of which need lie over it.

    Examples
    --------
    >>> positive_threshold(np.arange(101.0)), positive_threshold(np.arange(19.0))
    (95.0, nan)
    """
    known = intensities[np.isfinite(intensities)]
    return float(np.percentile(known, POSITIVE_PERCENTILE)) if known.size >= LEAST_NUCLEI else math.nan
