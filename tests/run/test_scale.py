"""The scale chosen for a plane: by looks at it whose answers are known."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from nucleate.api import load_segmenter
from nucleate.core.plane import ArrayPlane, PartOfPlane
from nucleate.run.scale import ScaleRule, busiest_part, find_scale, wide_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleate.core.plane import Plane
    from nucleate.run.scale import Sized

pytestmark = pytest.mark.base

RULE = ScaleRule()


class Network:
    """Finds disks of one diameter, surely where they are 12 to 60 pixels wide on its grid and not at all elsewhere."""

    def __init__(self, diameter: float = 0, count: int = 20) -> None:
        self.diameter, self.count = diameter, count
        self.asked: list[tuple[tuple[int, ...], float]] = []

    def __call__(self, part: Plane, scale: float, /, *, rough: bool = False) -> Sized:
        assert rough == (scale == 0.25)  # the first look at a wide part
        self.asked.append((part.shape, scale))
        return self.look(scale)

    def look(self, scale: float) -> Sized:
        seen = self.diameter * scale
        sure = 0.9 if 12 <= seen <= 60 else 0.55 if 6 <= seen <= 100 else 0.1
        return _alike(self.count, round(np.pi * self.diameter**2 / 4), sure)


class Alike(Network):
    """Finds nuclei that are all alike: so many, so large (pixels) and so sure as `found` says of a scale."""

    def __init__(self, found: Callable[[float], tuple[int, int, float]]) -> None:
        super().__init__()
        self.found = found

    def look(self, scale: float) -> Sized:
        return _alike(*self.found(scale))


def _alike(count: int, area: int, sure: float) -> Sized:
    return np.full(count, area), np.full(count, sure, np.float32)


def _plane(side: int = 2000) -> ArrayPlane:
    return ArrayPlane(np.random.default_rng(0).integers(0, 255, (side, side), np.uint8))


@functools.cache
def _wide() -> PartOfPlane:
    return wide_part(_plane())


@pytest.mark.parametrize("diameter", [16, 20, 35, 59])
def test_nuclei_of_known_sizes_are_taken_as_they_are(diameter: float) -> None:
    network = Network(diameter)
    assert find_scale(_wide(), network, rule=RULE) == 1.0
    assert network.asked == [((256, 256), 1.0), ((1536, 1536), 0.25)]


def test_a_plane_of_little_more_than_a_megapixel_is_not_looked_at_as_a_whole() -> None:
    network = Network(20)
    find_scale(wide_part(_plane(1200)), network, rule=RULE)
    assert network.asked == [((256, 256), 1.0), ((1200, 1200), 0.25)]


@pytest.mark.parametrize(
    ("diameter", "asked"),
    [
        (20, [((900, 1000), 1.0), ((900, 1000), 0.25)]),
        (8, [((900, 1000), 1.0), ((900, 1000), 0.25), ((256, 256), 1.0), ((256, 256), 2 ** (31 / 16))]),
        (70, [((900, 1000), 1.0), ((900, 1000), 0.25), ((900, 1000), 2 ** (-20 / 16))]),
    ],
)
def test_a_plane_of_a_megapixel_is_judged_as_a_whole_but_when_it_is_enlarged(
    diameter: float, asked: list[tuple[tuple[int, int], float]]
) -> None:
    network = Network(diameter)
    find_scale(wide_part(ArrayPlane(_plane(1000).pixels[:900])), network, rule=RULE)
    assert network.asked == asked


@pytest.mark.parametrize(("diameter", "seen"), [(70, 30), (100, 30), (200, 30), (11, 30), (10, 30), (8, 30)])
def test_small_and_large_nuclei_are_brought_to_a_known_size(diameter: float, seen: float) -> None:
    scale = find_scale(_wide(), Network(diameter), rule=RULE)
    assert scale * diameter == pytest.approx(seen, rel=0.03)
    sixteenths = np.log2(scale) * 16
    assert sixteenths == pytest.approx(round(sixteenths), abs=1e-9)


@pytest.mark.parametrize(
    ("diameter", "light", "seen"),
    [(48, False, 48), (48, True, 25), (59, True, 25), (44, True, 44), (100, True, 30), (11, True, 25), (16, True, 16)],
)
def test_nuclei_on_a_light_ground_are_brought_to_the_size_of_the_best_outlines(
    diameter: float, light: bool, seen: float
) -> None:
    scale = find_scale(_wide(), Network(diameter), rule=RULE, light=light)
    assert scale * diameter == pytest.approx(seen, rel=0.03)


@pytest.mark.parametrize(
    ("count", "area", "sure", "taken"),
    [
        (20, 1800, 0.6, True),
        (16, 1800, 0.75, True),
        (20, 1400, 0.7, False),
        (20, 1800, 0.5, False),
        (14, 2400, 0.7, False),
    ],
)
def test_a_smaller_look_on_a_light_ground_keeps_nuclei_and_area(
    count: int, area: int, sure: float, taken: bool
) -> None:
    looks = {1.0: (20, 1800, 0.7), 0.25: (0, 0, 0.0)}
    network = Alike(lambda scale: looks.get(scale, (count, area, sure)))
    assert (find_scale(_wide(), network, rule=RULE, light=True) < 1) == taken


def test_limits_hold() -> None:
    rule = ScaleRule(most=1.5, least=0.5)
    assert find_scale(_wide(), Network(9), rule=rule) == pytest.approx(1.5, rel=0.03)
    assert find_scale(_wide(), Network(110), rule=rule) == pytest.approx(0.5, rel=0.03)


def test_few_nuclei_or_unsure_ones_change_nothing() -> None:
    assert find_scale(_wide(), Network(100, count=2), rule=RULE) == 1.0
    assert find_scale(_wide(), Alike(lambda scale: (20, 12, 0.1)), rule=RULE) == 1.0


@pytest.mark.parametrize(("diameter", "seen"), [(4, 16), (5, 20), (7, 14)])
def test_nuclei_too_small_to_be_seen_are_sought_twice_as_large(diameter: float, seen: float) -> None:
    class Blind(Network):
        """Finds nothing at full size."""

        def look(self, scale: float) -> Sized:
            areas, confidence = super().look(scale)
            return (areas, confidence) if scale > 1 else (areas[:2], confidence[:2])

    network = Blind(diameter)
    assert find_scale(_wide(), network, rule=RULE) * diameter == pytest.approx(seen, rel=0.03)
    assert [scale for _, scale in network.asked][:3] == [1.0, 0.25, 2.0]


@pytest.mark.parametrize(
    ("full", "larger"),
    [
        pytest.param((2, 500, 0.9), (6, 150, 0.9), id="pieces cover less than the two nuclei"),
        pytest.param((2, 500, 0.9), (6, 400, 0.9), id="none is small"),
        pytest.param((1, 20, 0.5), (2, 60, 0.9), id="still few"),
    ],
)
def test_few_nuclei_and_what_they_become_twice_as_large_change_nothing(
    full: tuple[int, int, float], larger: tuple[int, int, float]
) -> None:
    assert find_scale(_wide(), Alike(lambda scale: larger if scale > 1 else full), rule=RULE) == 1.0


def test_two_nuclei_that_fill_a_part_are_enough() -> None:
    scale = find_scale(wide_part(_plane(500)), Network(160, count=2), rule=RULE)
    assert scale * 160 == pytest.approx(30, rel=0.03)


@pytest.mark.parametrize(("sure", "scale"), [(0.65, 4.0), (0.55, 2.0)])
def test_what_is_enlarged_is_enlarged_further_where_it_gets_surer_not_where_specks_come_up(
    sure: float, scale: float
) -> None:
    looks = {1.0: (20, 70, 0.5), 2.0: (60, 18, 0.6), 4.0: (200, 18, sure)}
    looking = Alike(lambda scale: looks.get(scale, (0, 0, 0.0)))
    assert find_scale(_wide(), looking, rule=ScaleRule(enlarge_to=18.9)) == scale


def test_an_embryo_full_of_nuclei_is_not_taken_for_one() -> None:
    class Embryo(Network):
        """Many nuclei, sure at full size, in a body that is surer to be one when it is seen small."""

        def look(self, scale: float) -> Sized:
            return _alike(280, 100, 0.7) if scale > 0.5 else _alike(1, 120_000, 0.9)

    assert find_scale(wide_part(_plane(850)), Embryo(11), rule=RULE) >= 1.0


@pytest.mark.parametrize(("sure", "seen"), [(0.42, 30), (0.6, None)])
def test_one_nucleus_that_fills_a_picture_is_no_few_doubtful_pieces(sure: float, seen: float | None) -> None:
    looking = Alike(lambda scale: (5, 1700, sure) if scale >= 1 else (1, 33_000, 0.9))
    scale = find_scale(wide_part(_plane(256)), looking, rule=RULE)
    assert scale == (1.0 if seen is None else pytest.approx(seen / np.sqrt(33_000 * 4 / np.pi), rel=0.03))


def test_one_thing_that_fills_a_section_is_tissue() -> None:
    looking = Alike(lambda scale: (5, 1700, 0.42) if scale >= 1 else (1, 33_000, 0.9))
    assert find_scale(wide_part(_plane(256)), looking, rule=RULE, light=True) == 1.0


@pytest.mark.parametrize(
    ("light", "pieces", "nuclei", "sure", "taken"),
    [
        pytest.param(True, 0.3, 9, 0.65, True, id="texture at full size"),
        pytest.param(False, 0.3, 9, 0.65, False, id="on a dark ground"),
        pytest.param(True, 0.48, 9, 0.65, False, id="surer than texture"),
        pytest.param(True, 0.42, 60, 0.65, True, id="much surer, and many more"),
        pytest.param(True, 0.42, 30, 0.65, False, id="much surer, hardly more"),
        pytest.param(True, 0.48, 60, 0.56, False, id="many more, hardly surer"),
        pytest.param(True, 0.3, 9, 0.45, False, id="doubtful"),
        pytest.param(True, 0.3, 2, 0.9, False, id="two blotches of tissue"),
    ],
)
def test_huge_nuclei_of_a_section_are_believed_however_much_they_cover(
    light: bool, pieces: float, nuclei: int, sure: float, taken: bool
) -> None:
    huge = Alike(lambda scale: (nuclei, 24_000, sure) if scale < 1 else (60, 250, pieces))
    assert (find_scale(_wide(), huge, rule=RULE, light=light) < 1) is taken


@pytest.mark.parametrize(("sure", "seen"), [(0.4, 30), (0.95, None)])
def test_specks_in_a_large_nucleus_are_not_taken_for_small_nuclei(sure: float, seen: float | None) -> None:
    class Speckled(Network):
        """Specks of 8 pixels in nuclei 200 pixels wide, which show at no scale above a half."""

        def look(self, scale: float) -> Sized:
            return super().look(scale) if scale < 0.5 else _alike(40, 50, sure if scale > 1 else 0.35)

    scale = find_scale(_wide(), Speckled(200), rule=RULE)
    assert scale > 2 if seen is None else scale * 200 == pytest.approx(seen, rel=0.03)


def test_cells_that_look_like_large_nuclei_are_not_taken_for_them() -> None:
    class Smear(Network):
        """Small nuclei, sure at full size, in cells that seem to be nuclei at a quarter."""

        def look(self, scale: float) -> Sized:
            return super().look(scale) if scale == 1 else _alike(9, 10000, 0.5)

    assert find_scale(_wide(), Smear(20), rule=RULE) == 1.0


@pytest.mark.parametrize(
    ("small", "clumps", "sure", "enlarged", "scale"),
    [
        pytest.param(8, 6, 0.7, 40, 4, id="most are small, clumps make up the area"),
        pytest.param(0, 6, 0.4, 40, 2, id="all are clumps, and doubtful"),
        pytest.param(0, 6, 0.7, 40, 1, id="all are large, and sure"),
        pytest.param(8, 6, 0.7, 400, 1, id="looked at closely, most are large"),
        pytest.param(8, 60, 0.7, 40, 1, id="few are small"),
    ],
)
def test_small_nuclei_are_found_among_clumps_that_look_like_large_ones(
    small: int, clumps: int, sure: float, enlarged: int, scale: float
) -> None:
    class Clumped(Network):
        """At full size some nuclei of 40 pixels and clumps of 900; enlarged, twenty nuclei of `enlarged` pixels."""

        def look(self, scale: float) -> Sized:
            if scale > 1:
                return _alike(20, enlarged, 0.8)
            areas = np.append(np.full(small, 40), np.full(clumps, 900))
            return areas, np.full(len(areas), sure if scale == 1 else 0.1, np.float32)

    assert find_scale(_wide(), Clumped(0), rule=RULE) == pytest.approx(scale, rel=0.03)


def test_nuclei_are_sought_where_a_small_picture_looks_like_one_large_thing() -> None:
    looks = {1.0: (1, 18, 0.5), 0.25: (1, 2000, 0.4)}
    assert find_scale(wide_part(_plane(64)), Alike(lambda scale: looks.get(scale, (50, 20, 0.7))), rule=RULE) == 2.0


@pytest.mark.filterwarnings("error")
def test_a_smaller_look_that_finds_nothing_is_not_taken() -> None:
    nothing = Alike(lambda scale: (9, 15000, 0.8) if scale == 0.25 else (0 if scale < 1 else 9, 300, 0.6))
    assert find_scale(_wide(), nothing, rule=RULE) == 1.0


@pytest.mark.parametrize(("pieces", "sure", "taken"), [(0.4, 0.6, False), (0.4, 0.8, True), (0.57, 0.85, False)])
def test_a_gland_full_of_pale_nuclei_is_not_taken_for_one(pieces: float, sure: float, taken: bool) -> None:
    # Sixty nuclei that cover a twentieth of what seem to be nine large ones; more than half sure, they are no pieces.
    gland = Alike(lambda scale: (9, 15000, sure) if scale < 1 else (60, 120, pieces))
    assert (find_scale(_wide(), gland, rule=RULE) < 1) is taken


@pytest.mark.parametrize(
    ("before", "count", "sure", "taken"),
    [
        (0.8, 20, 0.85, True),
        (0.8, 25, 0.7, True),  # more, if less sure
        (0.7, 30, 0.56, True),
        (0.3, 90, 0.53, False),  # as specks of noise are
        (0.8, 20, 0.75, False),  # as many, less sure
        (0.8, 15, 0.9, False),  # fewer
        (0.8, 90, 0.2, False),  # what is not sure does not count
    ],
)
def test_small_nuclei_are_enlarged_where_more_are_found_as_far_as_they_are_sure(
    before: float, count: int, sure: float, taken: bool
) -> None:
    # Twenty small nuclei at full size, and no large ones.
    faint = Alike(lambda scale: (count, 50, sure) if scale > 1 else (20 * (scale == 1), 50, before))
    assert (find_scale(_wide(), faint, rule=RULE) > 1) is taken


def test_a_scale_that_finds_less_is_not_taken() -> None:
    class Misled(Network):
        def look(self, scale: float) -> Sized:
            areas, sure = super().look(scale)
            return (areas * 16, sure + np.float32(0.5)) if scale == 0.25 else (areas, sure)  # clumps taken for nuclei

    assert find_scale(_wide(), Misled(20), rule=RULE) == 1.0


_PIECES = (3, 3800, 0.7)  # three nuclei of 70 pixels that come to pieces at full size, with what lies around them
_CUT_OFF = (20, 3800, 0.7)  # twenty that are cut off at full size
_BLOTCHES = (3, 24000, 0.84)  # three that are as large as a hundred nuclei, and certain
_HUGE = (12, 6400, 0.8)  # twelve that both looks find to be far too large


@pytest.mark.parametrize(
    ("smaller", "full", "taken"),
    [
        pytest.param(_PIECES, (30, 900, 0.4), True, id="much surer than pieces"),
        pytest.param(_PIECES, (20, 2200, 0.4), False, id="less than half of the pieces is covered"),
        pytest.param(_PIECES, (30, 600, 0.65), False, id="hardly surer than pieces, and less is covered"),
        pytest.param(_PIECES, (200, 60, 0.6), False, id="a clump of small ones"),
        pytest.param(_BLOTCHES, (30, 700, 0.48), False, id="blotches of tissue"),
        pytest.param(_BLOTCHES, (9, 1800, 0.48), True, id="far more than pieces, of which there are few"),
        pytest.param(_CUT_OFF, (20, 3400, 0.7), True, id="as many, as sure, more is covered"),
        pytest.param(_CUT_OFF, (20, 3700, 0.7), False, id="hardly more is covered"),
        pytest.param(_CUT_OFF, (20, 3400, 0.73), False, id="more is covered, less sure"),
        pytest.param(_CUT_OFF, (30, 2000, 0.7), False, id="fewer"),
        pytest.param(_HUGE, (12, 6400, 0.84), True, id="far too large, a little less sure"),
        pytest.param(_HUGE, (12, 6400, 0.9), False, id="far too large, much less sure"),
        pytest.param(_HUGE, (12, 7400, 0.84), False, id="far too large, less is covered"),
        pytest.param(_HUGE, (30, 2600, 0.84), False, id="not as large in both"),
    ],
)
def test_large_nuclei_are_looked_at_smaller(
    smaller: tuple[int, int, float], full: tuple[int, int, float], taken: bool
) -> None:
    network = Alike(lambda scale: smaller if scale < 1 else full)
    assert (find_scale(_wide(), network, rule=RULE) < 1) is taken


def test_noise_is_not_enlarged_until_specks_pass_for_nuclei() -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(400, 400)), 2)
    shown = np.rint(255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    assert load_segmenter("nucleate", threads=1).survey(255 - shown).scale == 1.0


def test_the_busiest_part_is_where_the_picture_is() -> None:
    pixels = np.zeros((3000, 2000), np.uint16)
    pixels[2400:2600, 300:500] = np.random.default_rng(0).integers(0, 4000, (200, 200))
    part = busiest_part(ArrayPlane(pixels), 400)
    assert part.shape == (400, 400)
    assert np.count_nonzero(part.read(slice(None), slice(None))) > 0.9 * np.count_nonzero(pixels)
    inner = busiest_part(part, 200)
    assert np.array_equal(
        inner.read(slice(3, 5), slice(7, 20)),
        part.read(
            slice(inner.rows.start + 3, inner.rows.start + 5), slice(inner.cols.start + 7, inner.cols.start + 20)
        ),
    )


def test_planes_smaller_than_the_part_are_taken_whole() -> None:
    plane = ArrayPlane(np.zeros((30, 900, 3), np.float32))
    assert busiest_part(plane, 1536).shape == (30, 900, 3)
    assert isinstance(busiest_part(plane, 100), PartOfPlane)


@pytest.mark.parametrize(
    "wrong",
    [
        {"smallest": 0.0},
        {"enlarge_to": 60.0},
        {"least": 2.0},
        {"most": 0.5},
        {"largest_on_light": 24.0},
        {"best_on_light": 14.0},
        {"best_on_light": 31.0},
    ],
)
def test_rules_check_themselves(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="scale rule"):
        ScaleRule(**wrong)
