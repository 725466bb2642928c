"""What the colours of a plane tell: dyes in white light or dyes that shine, which of them, and how much of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.plane import grid_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Light",
    "RedTissue",
    "brightest",
    "darkest",
    "few_pixels",
    "is_counterstained",
    "is_cut_off",
    "is_dyed",
    "is_false_colour",
    "is_grey",
    "is_hardly_coloured",
    "is_light_on_black",
    "light_of",
    "of_three",
    "one_hue",
    "red_tissue_in",
    "to_haematoxylin",
    "unlit_below",
    "white_of",
]

_STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])
_HAEMATOXYLIN = np.linalg.inv(_STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True))[:, 0].astype(np.float32)
_BLACK = 1 / 255  # of the white: no density is told apart below this
_CLIPPED = 0.06  # of the white: the same limit for planes in which everything darker than black was cut off
_DYED = 1 / 3  # of the white: a coloured plane whose median lightness is above this shows dyes in white light
_COLOURED = 0.1  # of the white: a plane is coloured if in half of its pixels the channels lie further apart than this
_COLOURS = 250_000  # pixels by which the colours of a plane are measured, at most about
_DENSE = 0.7  # of the white: a pixel is dyed if any of its channels is darker than this
_POOR = 0.5  # of the haematoxylin in the bluest nuclei: a pixel that has less than this has little of it
# Of the dyed pixels: a section is counterstained, or perhaps so, if more hold little haematoxylin.
_MOSTLY, _OFTEN = 0.55, 0.4
# Limits of the share that haematoxylin has of all density: other dyes give less, or far more than is possible.
_PRESENT = (0.2, 1.15)
_PERHAPS = (0.1, 1.4)  # the same limits where haematoxylin may be weak, or bluer than usual
_UNLIT = 0.04  # of the brightest: where all channels are darker than this, no light came through
_DARKEST = 0.3  # of the brightest: hardly any lit pixel of a section on black is darker than this
_THROUGH = 0.2  # of the brightest: in most of a section on black, all channels are lighter than this
_TINGED = 0.02  # of the brightest: in most of a section on black, the channels lie further apart than this
# Steps of brightness, and how many of them must be filled for false colours: a drawing fills few.
_SHADES, _SEEN = 256, 16
# Of the colours' spread: false colours spread less than this within one shade, two dyes more, because of their noise.
_LEFT = 0.002
_LEAP = 0.1  # of the way between the colours farthest apart: false colours change by less than this from shade to shade
# The dark values were cut off if more than the first share of the pixels is black, and if the pixels up to the second
# number times as light as black are more than the third number times as many.
_CUT, _NEARLY, _WITH = 0.002, 6.0, 1.5
# Pixels darker than the first number tell their colour. The plane is grey if the channels of most of them lie less than
# the second number apart, as a share of that darkness.
_DIM, _GREY = 0.1, 0.15
# Share of a pixel's density in red light: red dyes and blood lie below the first, nuclei above the second.
_RED = (0.10, 0.14)
# Density of all channels together: red cannot be told below the first, and counts in full from the second on.
_TOLD = (0.06, 0.12)
_DYE = 0.3  # density of all channels together from which on a pixel is dyed
# Share of the density of haematoxylin in red light: other tissue has less, other blue dyes have more.
_BLUE = (0.2, 0.5)
# Share of a section that red tissue and nuclei must each exceed, and how many times as dense as the nuclei red tissue
# may be.
_SPOTS, _AS_DENSE = 0.01, 2.0
# Share of the white in the darkest pixels: a veil lies over the plane from the first number on, in full from the second
# on; from the third on the plane is merely pale.
_LIFTED, _PALE = (0.1, 0.15), 0.6
_CLEAR = 0.05  # share of the white that the darkest pixels let through without a veil
# Of the strongest channel: no lamp gives less in another one; what is darker is tissue that fills the plane.
_TINT = 0.6


def brightest(pixels: NDArray[Any]) -> NDArray[Any]:
    """Give the highest of the three channels (..., 3) of each pixel; twenty times as fast as numpy's own maximum."""
    return of_three(np.maximum, pixels)


def darkest(pixels: NDArray[Any]) -> NDArray[Any]:
    """Give the lowest of the three channels (..., 3) of each pixel."""
    return of_three(np.minimum, pixels)


def of_three(join: np.ufunc, pixels: NDArray[Any]) -> NDArray[Any]:
    """Join the three channels of pixels (..., 3) by a function of two."""
    joined: NDArray[Any] = join(join(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    return joined


def white_of(pixels: NDArray[np.float32], percentile: float) -> tuple[float, float, float]:
    """Give the colour of light that passed no dye, by pixels (n, 3), since lamps tint it; 1 if all is dark."""
    found = np.percentile(pixels, percentile, axis=0)
    red, green, blue = np.maximum(found, _TINT * found.max()).tolist() if found.max() > 0 else (1.0, 1.0, 1.0)
    return red, green, blue


@dataclass(frozen=True)
class Light:
    """The light that falls through a section, by which its dyes are measured.

    Parameters
    ----------
    white : (float, float, float)
        Red, green and blue where no dye is, above 0.
    veil : (float, float, float)
        Light, below `white`, that is added to every pixel: stray light, or a black that was raised.
    black : float
        Share of the white below which no density is told apart.
    """

    white: tuple[float, float, float]
    veil: tuple[float, float, float] = (0.0, 0.0, 0.0)
    black: float = _BLACK

    @classmethod
    def of(cls, pixels: NDArray[np.float32], *, percentiles: tuple[float, float]) -> Light:
        """Measure the light on pixels (n, 3), one and more, between two percentiles.

        Dense nuclei let hardly anything through in one of the channels: if more comes through the darkest pixels, that
        is a veil, and not light that dyes have dimmed. Brown and pink dyes let much red through: if many pixels have
        no red at all, everything darker was cut off. In grey pixels, no veil can be told.
        """
        low, high = percentiles
        white = white_of(pixels, high)
        shares = pixels / np.array(white, np.float32)
        if is_cut_off(pixels) or float(np.percentile(shares[:, 0], low)) <= _BLACK:
            return cls(white, black=_CLIPPED)
        floor = float(np.percentile(darkest(shares), low))
        if not _LIFTED[0] < floor < _PALE or is_grey(pixels):
            return cls(white)
        share = (floor - _CLEAR) / (1 - _CLEAR) * float(_ramp(np.array(floor, np.float32), _LIFTED))
        return cls(white, veil=(share * white[0], share * white[1], share * white[2]))

    def through(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Give the share of the light that passed the dyes of pixels (..., 3), in each channel; 0 to about 1."""
        white, veil = np.array(self.white, np.float32), np.array(self.veil, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # values near the end of float32, beyond it, or infinite
            passed: NDArray[np.float32] = (pixels.astype(np.float32) - veil) / (white - veil)
        return passed

    def density(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Give the optical density of pixels (..., 3) in each channel, 0 where there is no dye."""
        density: NDArray[np.float32] = -np.log10(np.clip(self.through(pixels), np.float32(self.black), 1))
        return density


def to_haematoxylin(plane: NDArray[Any], light: Light) -> NDArray[np.float32]:
    """Measure how much haematoxylin each pixel of a stained section holds, eosin and a brown dye set apart.

    Parameters
    ----------
    plane : (H, W, 3) or (H, W) ndarray
        Red, green and blue, or grey, of any real dtype.
    light : Light
        The light that falls through the section.

    Returns
    -------
    (H, W) float32 ndarray
        Optical density, 0 where there is none.

    References
    ----------
    A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color deconvolution", Analytical and
    Quantitative Cytology and Histology 23 (2001): the colours of the three dyes.
    """
    return _haematoxylin_in(light.density(_in_colours(plane)))


def _haematoxylin_in(density: NDArray[np.float32]) -> NDArray[np.float32]:
    # As in `nucleate.core.normalize.to_grey`: no matrix product.
    amount: NDArray[np.float32] = (
        density[..., 0] * _HAEMATOXYLIN[0] + density[..., 1] * _HAEMATOXYLIN[1] + density[..., 2] * _HAEMATOXYLIN[2]
    )
    return np.maximum(amount, np.float32(0))


def few_pixels(sample: NDArray[Any]) -> NDArray[np.float32]:
    """Give enough pixels (n, 3) of (h, w[, 3]) to know colours by; those that are not finite are left out."""
    step = grid_step(sample.shape, _COLOURS)
    with np.errstate(over="ignore"):  # float64 values beyond float32
        pixels = _in_colours(sample[::step, ::step]).reshape(-1, 3).astype(np.float32)
    kept: NDArray[np.float32] = pixels[of_three(np.logical_and, np.isfinite(pixels))]
    return kept


def _in_colours(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels if pixels.ndim == 3 else np.broadcast_to(pixels[..., None], (*pixels.shape, 3))


def is_counterstained(pixels: NDArray[np.float32], light: Light) -> bool | None:
    """Tell whether a section has haematoxylin, but little in most of its dyed pixels (n, 3); None if perhaps so."""
    density = light.density(pixels)
    amount = _haematoxylin_in(density)
    much = float(np.percentile(amount, 95))
    share = much / max(float(np.percentile(np.linalg.norm(density, axis=-1), 95)), 1e-12)
    dyed = of_three(np.logical_or, light.through(pixels) < _DENSE)
    poor = np.count_nonzero(dyed & (amount < _POOR * much)) / max(int(np.count_nonzero(dyed)), 1)
    if _PRESENT[0] < share < _PRESENT[1] and poor > _MOSTLY:
        return True
    return None if _PERHAPS[0] < share < _PERHAPS[1] and poor > _OFTEN else False


@dataclass(frozen=True)
class RedTissue:
    """Blood and tissue in a red dye, which a grey look shows as dark as nuclei.

    Parameters
    ----------
    light : Light
        That falls through the section.
    shade : float
        Grey value of other tissue; red tissue is to be no darker.
    """

    light: Light
    shade: float

    def share(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Tell how surely each of the pixels (..., 3) is red tissue, 0..1."""
        whole, share = _red_share(self.light.density(pixels))
        red: NDArray[np.float32] = (1 - _ramp(share, _RED)) * _ramp(whole, _TOLD)
        return red

    def lighten(self, grey: NDArray[np.float32], pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Make red tissue as light as other tissue in the grey values (...) of pixels (..., 3)."""
        with np.errstate(over="ignore", invalid="ignore"):  # values near the end of float32, beyond it, or infinite
            lighter: NDArray[np.float32] = grey + self.share(pixels) * np.maximum(np.float32(self.shade) - grey, 0)
        return lighter


def red_tissue_in(pixels: NDArray[np.float32], grey: NDArray[np.float32], *, light: Light) -> RedTissue | None:
    """Find red tissue in a section, by pixels (n, 3) and their grey values (n,).

    Gives None where there is hardly any, or where it may be the nuclei that are red.
    """
    whole, share = _red_share(light.density(pixels))
    dyed = whole > _DYE
    red_N, blue_N = dyed & (share < _RED[0]), dyed & (share > _BLUE[0]) & (share < _BLUE[1])
    if min(np.count_nonzero(red_N), np.count_nonzero(blue_N)) <= _SPOTS * len(pixels):
        return None
    if np.percentile(whole[red_N], 95) >= _AS_DENSE * np.percentile(whole[blue_N], 95):
        return None
    return RedTissue(light, float(np.median(grey[~red_N])))


def _red_share(density: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the density of all three channels together, and how much of it is in the red one, 0..1."""
    whole = density[..., 0] + density[..., 1] + density[..., 2]
    return whole, density[..., 0] / np.maximum(whole, np.float32(1e-6))


def _ramp(values: NDArray[np.float32], ends: tuple[float, float]) -> NDArray[np.float32]:
    """Give 0 up to the first end and 1 from the second on, rising evenly between them."""
    low, high = ends
    ramp: NDArray[np.float32] = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return ramp


def is_dyed(pixels: NDArray[np.float32]) -> bool:
    """Tell dyes in white light from dyes that shine: in white light half the pixels (n, 3) are light and coloured."""
    if not pixels.size:
        return False
    most, least = brightest(pixels), darkest(pixels)
    lightness = (float(np.median(most)) + float(np.median(least))) / 2
    return lightness > _DYED * light_of(pixels) and not is_hardly_coloured(pixels)


def is_hardly_coloured(pixels: NDArray[np.float32]) -> bool:
    """Tell whether half of the pixels (n, 3) of a plane, or more, are grey or nearly so."""
    apart = brightest(pixels).astype(np.float64) - darkest(pixels)
    return not pixels.size or bool(np.median(apart) <= _COLOURED * light_of(pixels))


def unlit_below(pixels: NDArray[Any]) -> float:
    """Give the value that some channel exceeds wherever any light came through, by pixels (n, 3)."""
    return _UNLIT * light_of(pixels)


def is_cut_off(pixels: NDArray[Any]) -> bool:
    """Tell by pixels (n, 3) whether everything darker than black was cut off.

    Then a few pixels are black, and there are more and more of them the lighter they are. Ink beside a black margin has
    one shade only.
    """
    most, unlit = brightest(pixels), unlit_below(pixels)
    black, dark, nearly = (np.count_nonzero(most <= times * unlit) for times in (1.0, (1 + _NEARLY) / 2, _NEARLY))
    return bool(black > _CUT * len(pixels) and nearly > _WITH * black and nearly - dark > dark - black)


def light_of(pixels: NDArray[Any]) -> float:
    """Give the value that the brightest channel of hardly any pixel (n, 3) exceeds; 0 if there are no pixels."""
    return float(np.percentile(brightest(pixels), 99.8)) if pixels.size else 0.0


def is_grey(pixels: NDArray[np.float32]) -> bool:
    """Tell by pixels (n, 3) whether everything on the white has the colour of the white, however dark it is."""
    if not pixels.size:
        return True
    through = pixels / np.maximum(white_of(pixels, 99.8), 1e-12)
    darkness = 1 - through.mean(axis=-1)
    told = darkness > _DIM
    apart = (brightest(through) - darkest(through))[told]
    return not apart.size or bool(np.percentile(apart / darkness[told], 75) < _GREY)


def is_light_on_black(pixels: NDArray[np.float32]) -> bool:
    """Tell by pixels (n, 3) a section on black, coloured and light, from things that shine and have dim rims."""
    lit = pixels[brightest(pixels) > unlit_below(pixels)]
    if not 0 < len(lit) < len(pixels):
        return False
    most, least = brightest(lit), darkest(lit)
    top = float(np.percentile(most, 99.8))
    light = np.percentile(most, 5) > _DARKEST * top and np.median(least) > _THROUGH * top
    return bool(light and np.median(most - least) > _TINGED * top)


def is_false_colour(pixels: NDArray[np.float32], grey: NDArray[np.float32]) -> bool:
    """Tell whether each grey value (n,) has one colour (n, 3), as in tables of colours such as inferno or viridis."""
    low, top = float(grey.min()), float(grey.max())
    shade = ((grey - low) * np.float32((_SHADES - 1) / max(top - low, 1e-12))).astype(np.intp)
    number = np.bincount(shade, minlength=_SHADES)
    seen = np.flatnonzero(number)
    sums = np.stack([np.bincount(shade, channel, _SHADES)[seen] for channel in pixels.T], axis=1)
    colours = sums / number[seen, None]
    left = float(((pixels - colours[np.searchsorted(seen, shade)]) ** 2).sum())
    leaps = np.linalg.norm(np.diff(colours, axis=0), axis=1) / np.diff(seen)
    steady = bool(leaps.max(initial=0.0) < _LEAP * np.linalg.norm(np.ptp(colours, axis=0)))
    return steady and len(seen) >= _SEEN and left < _LEFT * float(((pixels - pixels.mean(axis=0)) ** 2).sum())


def one_hue(pixels: NDArray[Any], lows: NDArray[np.float64]) -> tuple[float, int]:
    """Give how nearly pixels (n, 3) are all shades of one colour, 0..1, and the strongest channel of that colour."""
    above = pixels.astype(np.float64) - lows
    above = above[of_three(np.logical_and, np.isfinite(above))]
    spread = above.T @ above
    shares = np.linalg.eigvalsh(spread)
    return float(shares[-1] / max(shares.sum(), 1e-12)), int(np.argmax(np.diag(spread)))
