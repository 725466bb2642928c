"""The scale at which a network looks at a plane, found from the plane itself.

A network knows nuclei of the sizes it was trained on. Two looks tell how large those of a plane are: one at full size
over a small part, one at a quarter of the size over a wide part, where large nuclei show and small ones vanish. A plane
of about a megapixel or less is looked at as a whole, so that the look at full size is mostly the wanted result already
and need not be computed again. Then

1. larger scales are tried, where nuclei are small, doubtful or not seen at all (`_enlarging`), and taken as long as
   they find more (`_finds_more`) and do not get less sure;
2. a smaller scale is tried, where the nuclei of the wide look are larger than the network knows, and taken if these
   nuclei are surer in a close look and cover enough (`shows_large`);
3. on a light ground, where outlines are best at one size, nuclei that are still larger are brought to that size if
   about as much is found there (`_is_kept`): how sure the network is tells little there.

The first two may be asked for at once: specks in a nucleus that is too large look like small nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nucleate.core.normalize import sample_step, to_grey
from nucleate.core.plane import PartOfPlane, SampledPlane, grid_sample, grid_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nucleate.core.plane import Plane

    Sized = tuple[NDArray[np.int64], NDArray[np.float32]]

__all__ = [
    "Probe",
    "ScaleRule",
    "busiest_part",
    "covered",
    "expected",
    "find_scale",
    "near_part",
    "rise",
    "sampled",
    "shows_large",
    "wide_part",
]

_WIDE, _MIDDLE, _NARROW = 1536, 768, 256  # sides of the parts that are looked at, pixels of the plane
_SMALL = 1 << 20  # pixels of a plane that is looked at as a whole
_COARSE = 0.25  # scale of the look at the wide part
_FEWEST = 3  # fewer nuclei than this say nothing about their kind
_BLIND = 2.0  # scale at which nuclei are sought where too few, or only doubtful ones, were found
# If the median nucleus is this many times as large by area as by number, most nuclei are small and some clumps look
# like large ones.
_CLUMPED = 2.0
_FURTHER = 1.25  # a still larger scale is worth a look only if it is at least this many times the one that was taken
_FILLED = 0.05  # share of the wide part that fewer than `_FEWEST` large nuclei must cover to be believed
# The share that such nuclei cover must also be this many times the share found at full size, or `_PIECES` times if that
# is doubtful: an embryo is no nucleus.
_MANY_TIMES = 16
_SURE = 0.3  # confidence from which a nucleus counts
_SAMPLE = 250_000  # pixels by which the busiest part is chosen, at most about
_CELLS = 16  # places tried for the busiest part, along each side
_SURER = 0.02  # a smaller look is taken if the mean confidence rises by this
# Nuclei are missed or cut off at full size if a smaller look covers this many times the area, hardly fewer nuclei are
# found, and the mean confidence falls by less than `_SURER`.
_MORE = 1.05
_ENOUGH = 0.9  # of the nuclei, or of the area, found at full size: a smaller look must find this much
_HUGE = 4 / 3  # times the `largest` of a rule: nuclei are huge where in both looks the median one is larger than this
# The mean confidence of huge nuclei may fall by less than this, since a smaller look sees their outline best.
_HARDLY_LESS = 0.05
_MUCH_SURER = 0.1  # rise of the mean confidence from which on `_HALF` of the area is enough
_HALF = 0.5  # of the area found at full size: pieces of a large nucleus take in some of what lies around it
# Share of the nuclei found at full size that a smaller look must find: a large nucleus falls into some pieces, not into
# dozens; a clump may.
_FEWER = 0.1
# A smaller look may cover at most this many times the area found at full size: pieces of a large nucleus cover much of
# it, nuclei in a gland little.
_PIECES = 4
# Mean confidence from which a smaller look may cover more than `_PIECES` allows, if the look at full size was doubtful.
_CERTAIN = 0.75
# Mean confidence below which what is found at full size on a light ground is texture, of chromatin and tissue, which
# covers little: there, nuclei that are not doubtful are believed however much they cover.
_TEXTURE = 0.4
_MANY_MORE = 1.5  # the same where a much surer look expects this many times as many nuclei
# A look is doubtful below this mean confidence: nuclei of tissue are surer than pieces of a nucleus.
_DOUBTFUL = 0.5
_NO_NOISE = 0.55  # the same of an enlarged look: small nuclei are surer than specks of noise
_BLOTCH = 3  # the same of fewer than `_FEWEST` nuclei on a light ground: a blotch of tissue covers more
# Share of the nuclei found at full size that must be left for `_CERTAIN` to hold: blotches of tissue cover dozens.
_NOT_FEWER = 0.25
# A smaller look at large nuclei on light ground must find these shares of their area, and of their number as far as it
# is sure of them; where less was left, scores fell.
_MOST = 0.8
_NEARLY = 0.75
_STEPS = 16  # scales are rounded to this many steps an octave, so that planes of one kind get the same scale


@dataclass(frozen=True)
class ScaleRule:
    """Between which diameters of nuclei a network is at its best, in pixels of the network's grid.

    Parameters
    ----------
    smallest, largest : float
        Planes whose median nucleus lies between are taken as they are, but for large ones on a light ground.
    enlarge_to, shrink_to : float
        Diameter to which smaller and larger nuclei are brought.
    largest_on_light, best_on_light : float
        On a light ground, small nuclei, and those larger than the first, are brought to the second.
    most, least : float
        Limits of the scale.
    """

    smallest: float = 15.0
    largest: float = 60.0
    enlarge_to: float = 30.0
    shrink_to: float = 30.0
    largest_on_light: float = 45.0
    best_on_light: float = 25.0
    most: float = 4.0
    least: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.enlarge_to <= self.shrink_to <= self.largest:
            raise ValueError("scale rule: need 0 < smallest <= enlarge_to <= shrink_to <= largest")
        if not self.smallest <= self.best_on_light <= min(self.shrink_to, self.largest_on_light) < np.inf:
            raise ValueError("scale rule: need smallest <= best_on_light <= shrink_to and largest_on_light")
        if not 0 < self.least <= 1 <= self.most:
            raise ValueError("scale rule: need 0 < least <= 1 <= most")

    def enlarging(self, diameter: float) -> float:
        """Give the scale that a median nucleus of a diameter in pixels asks for, at least 1; 1 for a diameter of 0."""
        return min(self.enlarge_to / diameter, self.most) if 0 < diameter < self.smallest else 1.0


class Probe(Protocol):
    """A first look at a part of a plane."""

    def __call__(self, part: Plane, scale: float, /, *, rough: bool = False) -> Sized:
        """Give area (n,), in pixels of the plane, and confidence (n,) of the nuclei found at a scale.

        Where it is `rough`, the confidence need not be comparable with that at other scales.
        """


def find_scale(wide: PartOfPlane, probe: Probe, *, rule: ScaleRule, light: bool = False) -> float:
    """Choose the scale for a plane.

    Parameters
    ----------
    wide : PartOfPlane
        See `wide_part`.
    probe : Probe
        Called twice, and once more for each scale that is tried.
    rule : ScaleRule
    light : bool
        Whether the ground is light.

    Returns
    -------
    float
        1 where nothing speaks for another scale.
    """
    rule = replace(rule, enlarge_to=rule.best_on_light) if light else rule
    first = near_part(wide, _NARROW)
    plain, coarse = probe(first, 1.0), probe(wide, _COARSE, rough=True)
    scale = _of_known_size(wide, probe, first=first, plain=plain, coarse=coarse, rule=rule, light=light)
    if scale != 1 or not light or max(_diameter(plain), _diameter(coarse)) <= rule.largest_on_light:
        return scale
    return _on_light(near_part(wide), probe, rule=rule)


def _of_known_size(
    wide: PartOfPlane, probe: Probe, *, first: PartOfPlane, plain: Sized, coarse: Sized, rule: ScaleRule, light: bool
) -> float:
    """Give the scale at which nuclei are of a size that the network knows, by the two first looks and by more."""
    far = _diameter(coarse)
    blind = not far and not _diameter(plain)
    enlarge = _rounded(min(_BLIND, rule.most) if blind else _enlarging(plain, rule=rule))
    times = _PIECES if _is_doubtful(plain) else _MANY_TIMES
    if not far and _share(coarse, wide) >= max(_FILLED, times * _share(plain, first)):
        far = _diameter(coarse, fewest=1)
    shrink = _rounded(max(rule.shrink_to / far, rule.least)) if far > rule.largest else None
    if enlarge == 1 and not shrink:
        return 1.0
    judged = near_part(wide) if enlarge == 1 else busiest_part(wide, _MIDDLE if shrink else _NARROW)
    found = plain if judged.shape == first.shape else probe(judged, 1.0)
    hidden = _diameter(plain) >= rule.smallest
    scale, found = _enlarged(lambda at: probe(judged, at), found, first=enlarge, hidden=hidden, rule=rule)
    return shrink if shrink and shows_large(probe(judged, shrink), found, rule=rule, light=light) else scale


def _on_light(part: Plane, probe: Probe, *, rule: ScaleRule) -> float:
    """Give the scale that brings large nuclei to the size at which outlines are best, or 1."""
    seen = probe(part, 1.0)
    median = _diameter(seen, by_area=False)
    if median <= rule.largest_on_light:
        return 1.0
    smaller = _rounded(max(rule.best_on_light / median, rule.least))
    return smaller if _is_kept(probe(part, smaller), seen) else 1.0


def sampled(plane: Plane) -> SampledPlane:
    """Wrap a plane so that one pass is enough both to measure it and to find its `wide_part`."""
    return SampledPlane(plane, (sample_step(plane.shape), grid_step(plane.shape, _SAMPLE)))


def wide_part(plane: Plane) -> PartOfPlane:
    """Give the part by which a plane is known: all of a small plane; in a larger one, finding it takes a pass."""
    return _whole(plane) if _is_small(plane) else busiest_part(plane, _WIDE)


def near_part(wide: PartOfPlane, side: int = _MIDDLE) -> PartOfPlane:
    """Give the part for a close look: `side` x `side` pixels of a wide part, or all of a small plane."""
    return wide if _is_small(wide.whole) else busiest_part(wide, side)


def busiest_part(plane: Plane, side: int) -> PartOfPlane:
    """Give the window of at most `side` x `side` pixels in which grey values vary most.

    Parameters
    ----------
    plane : Plane
    side : int
        Pixels.
    """
    height, width = plane.shape[:2]
    size = min(side, height), min(side, width)
    if size == (height, width):
        return _whole(plane)
    step = grid_step((height, width), _SAMPLE)
    grey = to_grey(grid_sample(plane, step)).astype(np.float64)
    grey = np.nan_to_num(grey, nan=0.0, posinf=0.0, neginf=0.0)
    # A few burnt-out pixels must not decide.
    grey = np.clip(grey, *np.percentile(grey, [0.1, 99.9])) if grey.size else grey
    tops, lefts = (
        {round(at) for at in np.linspace(0, n - s, _CELLS)} for n, s in zip((height, width), size, strict=True)
    )

    def variance(at: tuple[int, int]) -> float:
        return float(
            grey[at[0] // step : (at[0] + size[0]) // step + 1, at[1] // step : (at[1] + size[1]) // step + 1].var()
        )

    top, left = max(((top, left) for top in sorted(tops) for left in sorted(lefts)), key=variance)
    return PartOfPlane(plane, slice(top, top + size[0]), slice(left, left + size[1]))


def _is_small(plane: Plane) -> bool:
    return plane.shape[0] * plane.shape[1] <= _SMALL


def _whole(plane: Plane) -> PartOfPlane:
    return PartOfPlane(plane, slice(0, plane.shape[0]), slice(0, plane.shape[1]))


def _rounded(scale: float) -> float:
    return float(2 ** (round(np.log2(scale) * _STEPS) / _STEPS))


def _enlarging(plain: Sized, *, rule: ScaleRule) -> float:
    """Give the scale that nuclei seen at full size ask for.

    Most may be small while a few things, clumps or cells full of nuclei, make up the area; and where nuclei are
    doubtful, they may be too small to be seen.
    """
    near, small = _diameter(plain), _diameter(plain, by_area=False)
    if near < rule.smallest:
        return rule.enlarging(near)
    if small < rule.smallest and near >= _CLUMPED * small:
        return rule.enlarging(small)
    return min(_BLIND, rule.most) if _is_doubtful(plain) else 1.0


def _enlarged(
    look: Callable[[float], Sized], found: Sized, *, first: float, hidden: bool, rule: ScaleRule
) -> tuple[float, Sized]:
    """Look at larger scales than full size, from the `first` one on, as long as more nuclei are found.

    If small nuclei are said to be `hidden` among large things, a larger scale must show them. After the first larger
    scale, the next is taken only if the nuclei get surer by it: else it is specks that come up.
    """
    scale, wanted = 1.0, first
    while wanted > scale:
        seen = look(wanted)
        if hidden and _diameter(seen) >= rule.smallest:
            break
        if not _finds_more(seen, found, smallest=rule.smallest) or (scale > 1 and rise(seen, found) < 0):
            break
        scale, found = wanted, seen
        further = rule.enlarging(_diameter(seen))
        wanted = _rounded(further) if further >= _FURTHER * scale else scale
    return scale, found


def _finds_more(new: Sized, old: Sized, *, smallest: float) -> bool:
    """Tell whether an enlarged look finds more nuclei, each counted as far as it is sure.

    The nuclei must not be doubtful: noise that is not white shows specks as soon as it is enlarged, of a confidence of
    0.2 to 0.52, while that of small nuclei was 0.63 and more. Where too few nuclei were found before to say anything,
    the new ones must be small nuclei, and no pieces of larger ones.
    """
    if not len(new[1]) or float(new[1].mean()) < _NO_NOISE:
        return False
    if _diameter(old) == 0 and not (0 < _diameter(new) < smallest and covered(new) > covered(old)):
        return False
    return expected(new) > expected(old)


def shows_large(new: Sized, old: Sized, *, rule: ScaleRule, light: bool) -> bool:
    """Tell whether a smaller look shows nuclei that are too large for the network at full size.

    They are surer there, not far fewer, and cover neither too little nor too much. Enough is about as much as at full
    size, or half of it if the nuclei are much surer. Several times as much is no large nucleus, but nuclei crowded in a
    gland, or an embryo, of whose nuclei hardly one in ten is left; unless the nuclei are certain, and those at full
    size were doubtful and not many times as many. On a `light` ground one or two may be tissue, however certain; more
    are nuclei, however much they cover, where what is found at full size is mere texture. Where about as many nuclei
    are about as sure and cover more, nuclei were missed or cut off at full size. Where nuclei are far larger than the
    `rule` knows in both looks and cover about as much, they may be a little less sure.
    """
    surer = rise(new, old) if len(new[1]) else 0.0
    cover, before = covered(new), covered(old)
    missed = surer > -_SURER and expected(new) >= _ENOUGH * expected(old) and cover >= _MORE * before > 0
    huge = min(_diameter(new), _diameter(old)) > _HUGE * rule.largest
    alike = huge and surer > -_HARDLY_LESS and cover >= _ENOUGH * before
    if surer < _SURER and not missed and not alike:
        return False
    few, alone = (int(np.count_nonzero(sure >= _SURE)) < _FEWEST for sure in (old[1], new[1]))
    blotch = light and alone
    if not few and expected(new) < _FEWER * expected(old):
        return False
    enough = _ENOUGH if surer < _MUCH_SURER else _HALF
    is_certain = float(new[1].mean()) >= _CERTAIN and not blotch
    texture = light and not few and not alone and not _is_doubtful(new) and _shows_texture(new, old)
    certain = few or texture or (is_certain and _is_doubtful(old) and expected(new) >= _NOT_FEWER * expected(old))
    return enough * before <= cover and (certain or cover <= (_BLOTCH if blotch else _PIECES) * before)


def _shows_texture(new: Sized, old: Sized) -> bool:
    """Tell whether what full size shows on a light ground is texture, of chromatin and tissue, by a smaller look."""
    if float(old[1].mean()) < _TEXTURE:
        return True
    return rise(new, old) >= _MUCH_SURER and expected(new) >= _MANY_MORE * expected(old)


def _is_kept(new: Sized, old: Sized) -> bool:
    """Tell whether a smaller look finds most of the area, and not far fewer nuclei: pieces may grow together."""
    areas = [float(found[sure >= _SURE].sum()) for found, sure in (new, old)]
    return areas[0] >= _MOST * areas[1] and expected(new) >= _NEARLY * expected(old)


def _is_doubtful(seen: Sized) -> bool:
    return len(seen[1]) > 0 and float(seen[1].mean()) < _DOUBTFUL


def expected(seen: Sized) -> float:
    """Add up the expected IoU of the nuclei found, so that each counts as far as it is sure."""
    return float(seen[1][seen[1] >= _SURE].sum())


def rise(new: Sized, old: Sized) -> float:
    """Give by how much the mean confidence is higher; without nuclei, it counts as 0."""
    return float(new[1].mean()) - (float(old[1].mean()) if len(old[1]) else 0.0)


def covered(seen: Sized) -> float:
    """Sum the areas of the nuclei, each as far as it is sure."""
    areas, confidence = seen
    return float((areas * confidence)[confidence >= _SURE].sum())


def _share(seen: Sized, part: Plane) -> float:
    """Give which share of a part nuclei cover."""
    return covered(seen) / max(part.shape[0] * part.shape[1], 1)


def _diameter(seen: Sized, *, fewest: int = _FEWEST, by_area: bool = True) -> float:
    """Give the diameter of the median nucleus, each weighted by confidence, and area; 0 where there are too few."""
    areas, confidence = seen
    sure = confidence >= _SURE
    if np.count_nonzero(sure) < fewest:
        return 0.0
    sizes, weights = areas[sure], ((areas if by_area else 1) * confidence)[sure]
    order = np.argsort(sizes)
    total = np.cumsum(weights[order])
    return float(2 * np.sqrt(sizes[order][np.searchsorted(total, total[-1] / 2)] / np.pi))
