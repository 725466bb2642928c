"""THE intensity scaling and polarity rule: the same object prepares pictures for training and for running.

The statistics come from the whole plane (`Normalizer.measure`) and are applied to any part of it (`Scaling.apply`),
so a tile is prepared exactly as the same pixels of the whole picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nucleate.core.dyes import (
    Light,
    brightest,
    few_pixels,
    is_counterstained,
    is_cut_off,
    is_dyed,
    is_false_colour,
    is_hardly_coloured,
    is_light_on_black,
    one_hue,
    red_tissue_in,
    to_haematoxylin,
    unlit_below,
)
from nucleate.core.glass_and_ink import glass_in, ink_below, ink_in, is_ink
from nucleate.core.noise import above_noise
from nucleate.core.plane import as_plane, grid_sample, grid_step, in_float32

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.blanks import Blanks
    from nucleate.core.dyes import RedTissue
    from nucleate.core.plane import Plane

__all__ = ["BLUE", "LUMA", "SAMPLE", "Normalizer", "Scaling", "sample_step", "to_grey"]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""
BLUE = 2
"""The channel of the dyes of nuclei, such as DAPI or Hoechst."""

_ONE_DYE = 0.9  # of the colours' spread lies along one line: there may be one dye only, unless that is blue
_DARK = 0.125  # of the range: the ground of a dark picture does not lie higher than this
_ONE_HUE = 0.99  # of the colours' spread lies along one line: there is one hue only
_EDGE = 0.002  # of the pixels: if no light came through more than this, they lie beyond the slide
_DOUBT = 0.2  # of the range: a mean closer than this to the middle does not tell whether the ground is dark or light
_HALF = 0.5  # of what the dtype can hold: coloured planes that are lighter than this everywhere show transmitted light
# Of the white, or density: a plane dimmed less than the first is glass; the second is dirt or noise.
_FAINT, _DIRT = 0.25, 0.015
_MAINLY = 0.5  # how surely a pixel is red tissue from which on it has no say in what becomes 0 and 1
_EMPTY = 0.1  # of the whole span: channels that span less than this show nothing
SAMPLE = 4_000_000
"""Pixels looked at for percentiles, at most about: larger planes are sampled on a regular grid."""


def sample_step(shape_HW: tuple[int, ...]) -> int:
    """Tell how far apart the rows and columns of a plane are that are measured."""
    return grid_step(shape_HW, SAMPLE)


def to_grey(plane: NDArray[Any]) -> NDArray[np.float32]:
    """Turn a plane (H, W) or (H, W, 3) into grey float32 (H, W), values kept in the input's range."""
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values, and float64 ones beyond float32
        grey = plane.astype(np.float32)
        if plane.ndim == 2:
            return grey
        # A matrix product rounds differently from shape to shape: a tile would not equal the same pixels of the whole.
        mixed: NDArray[np.float32] = grey[..., 0] * LUMA[0] + grey[..., 1] * LUMA[1] + grey[..., 2] * LUMA[2]
        return mixed


@dataclass(frozen=True)
class Scaling:
    """What was measured on one plane, ready to be applied to any part of it.

    Parameters
    ----------
    low, high : float
        Grey values, or densities of haematoxylin, that become 0 and 1; values outside are clipped.
    invert : bool
        Whether nuclei are darker than their surroundings, so that 1 - x is used, or a density.
    channels : int
        1 (grey) or 3 (colour; grey input is repeated).
    only : int or None
        The one channel of a colour plane that is used and repeated; None uses all.
    light : Light or None
        The light by which the density of haematoxylin is measured; None where grey or colours are looked at.
    otherwise : Scaling or None
        A second scaling, for callers that can ask a network which of the two shows nuclei better: grey instead of
        haematoxylin, or the reverse, where colours leave that open; inverted or not, where brightness does too.
    unlit : float or None
        Pixels of which no channel is above this are shown as ground: they lie beyond the slide, or in a margin.
    ink : float or None
        Limit of black ink on a section (`nucleate.core.glass_and_ink.is_ink`), which is shown as ground too.
    red : RedTissue or None
        Blood and tissue in red dyes, which grey shows as light as other tissue.
    specks : float or None
        Height of lone bright pixels (`nucleate.core.specks`) that were left out of the measurement. The reader of the
        plane takes them out too, since `apply` sees each pixel without its neighbours. None where there are hardly any.
    blanks : Blanks or None
        What was drawn into the plane, such as scale bars; the reader of the plane blanks it (`Blanks.on`).
    sparse : bool
        Whether `high` is the value of a few bright things, while all else may be noise.
    """

    low: float
    high: float
    invert: bool
    channels: int
    only: int | None = None
    light: Light | None = None
    otherwise: Scaling | None = None
    unlit: float | None = None
    ink: float | None = None
    red: RedTissue | None = None
    specks: float | None = None
    blanks: Blanks | None = None
    sparse: bool = False

    @property
    def ground(self) -> float | tuple[float, float, float]:
        """What is shown as 0, in the plane's values; of a colour plane a colour."""
        if self.light is not None:
            return self.light.white
        return self.high if self.invert else self.low

    def apply(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """Scale (H, W) or (H, W, 3) of any real dtype to float32 (channels, H, W) in 0..1."""
        if self.only is not None and plane.ndim == 3:
            plane = plane[..., self.only]
        if self.light is not None:
            pixels = to_haematoxylin(plane, self.light)[None]
        else:
            pixels = to_grey(plane)[None] if self.channels == 1 or plane.ndim == 2 else np.moveaxis(plane, -1, 0)
            if self.red is not None and plane.ndim == 3:
                pixels = self.red.lighten(pixels, plane)
        span = self.high - self.low
        with np.errstate(over="ignore", invalid="ignore"):  # infinite values are put right in the next line
            factor = np.float32(1.0 / span if span > 0 else 0.0)
            scaled = (pixels.astype(np.float32) - np.float32(self.low)) * factor
        scaled = np.clip(np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
        if self.invert and self.light is None:
            scaled = 1.0 - scaled
        if self.unlit is not None and plane.ndim == 3:
            scaled[:, brightest(plane) <= self.unlit] = 0.0
        if self.ink is not None and plane.ndim == 3:
            scaled[:, is_ink(plane, self.ink)] = 0.0
        if scaled.shape[0] < self.channels:
            scaled = np.repeat(scaled, self.channels, axis=0)
        return np.ascontiguousarray(scaled, np.float32)


class _Ends(NamedTuple):
    """Values that become 0 and 1, the one that becomes 0 on dark ground, and whether 1 was `raised` above noise."""

    low: float
    high: float
    ground: float
    raised: bool = False


@dataclass(frozen=True)
class Normalizer:
    """How pictures are prepared for a network; stored in the model's card.

    Parameters
    ----------
    channels : int
        1 for grey, 3 for colour. Of a colour plane on dark ground that has one hue only, as a single fluorescent dye
        gives, and of any plane with one channel that is not empty, the strongest channel is used, repeated: the hue is
        the lamp's or the display's, not the cell's.
    scaling : {"range", "percentile"}
        ``range``: the dtype's range becomes 0..1 (floats: 0 to max(1, maximum)); ``percentile``: the two percentiles
        of the plane do.
    low_percentile, high_percentile : float
        Used by ``percentile``.
    ground : float or None
        Percentile that becomes 0 in place of `low_percentile` where the ground is dark, unless ``keep`` or ``range``:
        noise and uneven light of the ground below it are gone. Where more than an eighth of the range lies below this
        percentile, it is not the ground, and `low_percentile` is used, as it is with None.
    polarity : {"keep", "dark-background", "transmitted"}
        ``dark-background`` inverts planes whose mean lies above the middle of the range (the paper's rule); empty
        channels of a colour plane do not count. ``transmitted`` does too, and inverts coloured planes whose colours
        are those of dyes in white light, however dark: some channel lets light through nearly everywhere. What is black
        in a light coloured plane lies beyond the slide, or is ink on it, and is shown as ground. Neither that nor the
        glass beside a section has a say in what becomes 0 and 1.
    stain : {"grey", "haematoxylin", "nuclear"}
        What a network of one channel sees of coloured planes. ``grey``; ``haematoxylin``: its density, of planes that
        were inverted; ``nuclear``: its density only where most dyed tissue holds little of it, as in sections full of
        eosin (on white ground grey has less noise), and the blue channel, such as DAPI or Hoechst, of planes on dark
        ground that show several dyes in colours that are not false (`nucleate.core.dyes`). With ``nuclear``, planes are
        measured ``otherwise``, too, where colours or brightness leave open what is on them.
    """

    channels: int = 1
    scaling: Literal["range", "percentile"] = "percentile"
    low_percentile: float = 0.5
    high_percentile: float = 99.8
    ground: float | None = None
    polarity: Literal["keep", "dark-background", "transmitted"] = "dark-background"
    stain: Literal["grey", "haematoxylin", "nuclear"] = "grey"

    def readable(self, plane: NDArray[Any] | Plane) -> Plane:
        """Give a plane as it is to be measured and looked at: with values that float32 can tell apart."""
        return as_plane(plane) if self.scaling == "range" else in_float32(plane, sample_step(plane.shape))

    def measure(self, plane: NDArray[Any] | Plane) -> Scaling:
        """Find the scaling of a whole plane, (H, W) or (H, W, 3); pixels that are not finite are left out."""
        sample = grid_sample(as_plane(plane), sample_step(plane.shape))
        found = self._measured(sample, plane.dtype, sparse=True)
        if not found.sparse:
            return found
        plain = self._measured(sample, plane.dtype, sparse=False)
        if found.invert:  # of a light plane bright things are no nuclei
            return plain
        return replace(found, otherwise=plain) if self.stain == "nuclear" else found

    def _measured(self, sample: NDArray[Any], dtype: np.dtype[Any], *, sparse: bool) -> Scaling:
        """Measure a plane by a sample (h, w[, 3]) of it, which may be a few things on noise if it may be `sparse`."""
        colours = [sample] if self.channels == 1 or sample.ndim == 2 else [sample[..., index] for index in range(3)]
        shown = list(map(to_grey, colours))
        bands = list(map(_finite, shown))
        if any(band.size == 0 for band in bands):
            return Scaling(0.0, 0.0, invert=False, channels=self.channels)
        with np.errstate(over="ignore", invalid="ignore"):  # values near the end of float32
            # All channels share the widest span, so that no stain is cut off or changes its colour.
            ends = [
                self._ends(band, dtype, shown_HW=one if sparse else None)
                for band, one in zip(bands, shown, strict=True)
            ]
            del shown  # four bytes a pixel
            low, high = min(one.low for one in ends), max(one.high for one in ends)
            wide = [index for index, one in enumerate(ends) if one.high - one.low >= _EMPTY * (high - low)]
            used = wide or list(range(len(ends)))
            turned = self.polarity != "keep"
            only = used[0] if turned and len(used) == 1 < len(ends) else None
            if only is not None:
                low, high, *_ = ends[only]
            mean = float(np.mean([np.clip(bands[index], low, high).mean() for index in used]))
            bright = high > low and mean > (low + high) / 2
            in_doubt = abs(mean - (low + high) / 2) < _DOUBT * (high - low)
            if self.polarity == "transmitted" and sample.ndim == 3 and high > low and not bright:
                few = few_pixels(sample)
                bright = is_dyed(few) or is_light_on_black(few) or low > _HALF * _range_top(bands[0], dtype)
            if len(used) > 1 and turned and not bright:
                share, strongest = one_hue(sample.reshape(-1, 3), np.array([one.low for one in ends]))
                only = strongest if share >= _ONE_HUE else None
        if only is not None:
            low, high, *_ = ends[only]
        used = used if only is None else [only]
        ground = min(ends[index].ground for index in used) if turned else low
        dark = Scaling(ground, high, False, self.channels, only, sparse=any(ends[index].raised for index in used))
        light = replace(dark, low=low, invert=True)
        seen = self._seen(sample, dtype, plain=light if turned and bright else dark, sparse=sparse)
        if not in_doubt or self.polarity != "transmitted" or self.stain != "nuclear" or seen.otherwise is not None:
            return seen
        few = few_pixels(sample)
        if not few.size or not is_hardly_coloured(few):
            return seen
        dense = self._as_density(sample, self._light(few), grey=light)
        return replace(seen, otherwise=replace(dense, otherwise=dark) if seen.invert else dense)

    def _seen(self, sample: NDArray[Any], dtype: np.dtype[Any], *, plain: Scaling, sparse: bool) -> Scaling:
        """Change the scaling of a coloured plane, sampled as (h, w, 3), to the scaling of tissue or nuclei alone."""
        if self.channels == 3 or sample.ndim == 2:
            return plain
        if self.polarity == "transmitted" and plain.invert:
            sample, plain = self._of_tissue(sample, dtype, grey=plain)
        return plain if self.stain == "grey" else self._of_nuclei(sample, dtype, grey=plain, sparse=sparse)

    def _light(self, few: NDArray[np.float32]) -> Light:
        return Light.of(few, percentiles=(self.low_percentile, self.high_percentile))

    def _of_tissue(self, sample: NDArray[Any], dtype: np.dtype[Any], *, grey: Scaling) -> tuple[NDArray[Any], Scaling]:
        """Measure only the tissue of a light plane, sampled as (h, w, 3); give the pixels of the tissue, too."""
        low, high = grey.low, grey.high
        tissue, unlit, ink = _tissue_of(sample)
        few, red = few_pixels(tissue), None
        if few.size:
            light = self._light(few)
            few = few_pixels(sample)  # glass included: without it, nuclei may be all that is left
            red = red_tissue_in(few, to_grey(few[None])[0], light=light)
        measured = tissue if red is None else tissue[red.share(tissue) < _MAINLY][:, None]
        if not measured.size:
            measured, red = tissue, None
        if measured is not sample and (values := _finite(to_grey(measured))).size:
            low, high, *_ = self._ends(values, dtype)
        if high - low < _FAINT * high:
            low, high = (1 - _FAINT) * high, (1 - _DIRT) * high
        return tissue, replace(grey, low=low, high=high, unlit=unlit, ink=ink, red=red)

    def _of_nuclei(self, sample: NDArray[Any], dtype: np.dtype[Any], *, grey: Scaling, sparse: bool) -> Scaling:
        """Change the scaling of a coloured plane, sampled as (h, w, 3), to the scaling of a dye of nuclei, if any."""
        few = few_pixels(sample)
        if not few.size:
            return grey
        if grey.invert:
            light = self._light(few)
            nuclear = self.stain == "nuclear"
            seen_alone = is_counterstained(few, light) if nuclear else True
            if seen_alone is False:
                return grey
            dye = self._as_density(sample, light, grey=grey)
            if seen_alone is None:
                return replace(grey, otherwise=dye)
            return replace(dye, otherwise=grey) if nuclear else dye
        if self.stain != "nuclear":
            return grey
        dyes, one = self._dyes(few, dtype)
        if one or BLUE not in dyes:
            return grey
        blue_HW = to_grey(sample[..., BLUE])
        ends = self._ends(_finite(blue_HW), dtype, shown_HW=blue_HW if sparse else None)
        return replace(grey, low=ends.ground, high=ends.high, only=BLUE, sparse=ends.raised)

    def _as_density(self, sample: NDArray[Any], light: Light, *, grey: Scaling) -> Scaling:
        """Change the scaling of a light plane, sampled as (h, w[, 3]), to the density of haematoxylin."""
        low, high, *_ = self._ends(_finite(to_haematoxylin(sample, light)), np.dtype(np.float32))
        if high - low < _FAINT:
            low, high = low + _DIRT, low + _FAINT
        return replace(grey, low=low, high=high, light=light)

    def dyes(self, pixels: NDArray[Any]) -> tuple[int, ...]:
        """Name the channels of pixels (h, w, 3) on dark ground that may each show a dye of their own, blue first.

        There are none where the pixels have one hue or false colours, and where the network does not see nuclei alone.
        """
        few = few_pixels(pixels)
        asked = self.stain == "nuclear" and self.channels == 1 and few.size > 0
        return self._dyes(few, pixels.dtype)[0] if asked else ()

    def _dyes(self, few: NDArray[np.float32], dtype: np.dtype[Any]) -> tuple[tuple[int, ...], bool]:
        """Name the channels by pixels (n, 3), and tell whether there may still be one dye only, and not a blue one."""
        ends = np.array([self._ends(few[:, index], dtype)[:2] for index in range(3)])
        share, strongest = one_hue(few, ends[:, 0])
        if share >= _ONE_HUE or is_false_colour(few, to_grey(few[None])[0]):
            return (), True
        spans = ends[:, 1] - ends[:, 0]
        shown = tuple(index for index in (BLUE, 0, 1) if spans[index] >= _EMPTY * spans.max())
        return shown, share >= _ONE_DYE and strongest != BLUE

    def _ends(
        self, values: NDArray[np.float32], dtype: np.dtype[Any], *, shown_HW: NDArray[Any] | None = None
    ) -> _Ends:
        """Find what becomes 0 and 1; the picture `shown_HW`, if given, tells a few bright things from noise."""
        if self.scaling == "range":
            return _Ends(0.0, _range_top(values, dtype), 0.0)
        ends = [self.low_percentile, self.high_percentile]
        lowest = self.low_percentile if self.ground is None or self.polarity == "keep" else self.ground
        low, high, ground, middle = (float(value) for value in np.percentile(values, [*ends, lowest, 50]))
        top = high if shown_HW is None else above_noise(shown_HW, ends=(low, middle, high))
        if top <= low:  # nearly empty picture: a few bright pixels on a constant ground
            return _Ends(float(values.min()), float(values.max()), float(values.min()))
        return _Ends(low, top, ground if low < ground < low + _DARK * (top - low) else low, raised=top > high)

    def __call__(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """Prepare a whole plane: float32 (channels, H, W) in 0..1."""
        return self.measure(plane).apply(plane)


def _tissue_of(sample: NDArray[Any]) -> tuple[NDArray[Any], float | None, float | None]:
    """Leave out of a sample (h, w, 3) the glass, the ink, and pixels through which no light came, if there are any.

    Gives the sample itself, or the pixels (n, 1, 3) that are left, and the limits of pixels without light and of ink.
    """
    few = few_pixels(sample)
    cut_off = is_cut_off(few)  # then black pixels are nuclei
    unlit: float | None = unlit_below(few)
    kept_HW = brightest(sample) > unlit
    if cut_off or not unlit or not 0 < np.count_nonzero(kept_HW) <= (1 - _EDGE) * kept_HW.size:
        kept_HW, unlit = np.ones_like(kept_HW), None
    ink = ink_below(few)
    ink_HW = None if cut_off else ink_in(sample, ink)
    for blank_HW in (glass_in(sample), ink_HW):
        if blank_HW is not None and (tissue_HW := kept_HW & ~blank_HW).any():
            kept_HW = tissue_HW
    return sample if kept_HW.all() else sample[kept_HW][:, None], unlit, None if ink_HW is None else ink


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    kept: NDArray[Any] = values[np.isfinite(values)]
    return kept


def _range_top(values: NDArray[np.float32], dtype: np.dtype[Any]) -> float:
    if dtype.kind == "b":
        return 1.0
    if dtype.kind in "ui":
        return float(np.iinfo(dtype).max)
    return max(1.0, float(values.max()))
