"""The one prediction path, with engines written in numpy whose reach is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate.core.image import Image
from nucleate.core.lazy import lazy
from nucleate.core.normalize import Normalizer
from nucleate.errors import InputError, ModelError, OutputError, UsageError
from nucleate.post.recipe import PAPER_RECIPE, PostRecipe
from nucleate.run.scale import ScaleRule
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import ModelCard

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nucleate.core.normalize import Scaling
    from nucleate.core.plane import Plane

pytestmark = pytest.mark.base

AS_IT_IS = Normalizer(scaling="range", polarity="keep")


class BoxEngine:
    """Halve and double the grid (as a network with strides does), then average over a square: reach is known.

    Sums run in one order for every pixel, so the same neighbourhood gives the same bits wherever the tile begins.
    """

    def __init__(self, radius: int, pool: int = 4) -> None:
        self.radius, self.pool, self.reach = radius, pool, radius + pool
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(batch_NCHW.shape)
        n, _, rows, cols = batch_NCHW.shape
        assert rows % self.pool == cols % self.pool == 0
        grey = batch_NCHW.mean(axis=1)
        blocks = grey.reshape(n, rows // self.pool, self.pool, cols // self.pool, self.pool).max(axis=(2, 4))
        fine = blocks.repeat(self.pool, axis=1).repeat(self.pool, axis=2)
        side = 2 * self.radius + 1
        padded = np.pad(fine, ((0, 0), (self.radius,) * 2, (self.radius,) * 2))
        total = np.zeros_like(fine)
        for r in range(side):
            for c in range(side):
                total += padded[:, r : r + rows, c : c + cols]
        return np.stack([total / np.float32(side**2), 1 - grey], axis=1)


class SameEngine:
    """The picture itself is the mask."""

    def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return batch_NCHW[:, :1]


def card(**fields: Any) -> ModelCard:  # noqa: ANN401 - fields of a card
    given = {
        "name": "fake",
        "sha256": "0" * 64,
        "normalizer": AS_IT_IS,
        "multiple": 4,
        "tile": 64,
        "margin": 8,
        "blend": 4,
    }
    return ModelCard(**(given | fields))


def boxed(**fields: Any) -> ModelCard:  # noqa: ANN401 - as above
    return card(maps=("mask", "border"), **fields)


def discs(shape: tuple[int, int] = (60, 80)) -> NDArray[np.uint8]:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    picture = np.zeros(shape, np.uint8)
    for row, col, radius, value in ((15, 15, 8, 250), (40, 50, 12, 200), (20, 60, 5, 255)):
        picture[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = value
    return picture


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 150)), st.integers(0, 2**32 - 1), st.integers(0, 8), st.integers(1, 3)
)
def test_tiled_maps_equal_whole_plane_maps(shape: tuple[int, int], seed: int, blend: int, at_once: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
    engine = BoxEngine(2)
    whole = Segmenter(engine, boxed(tile=4096, margin=engine.reach, blend=blend)).maps(plane)
    tiled = Segmenter(engine, boxed(tile=32, margin=engine.reach, blend=blend), tiles_at_once=at_once).maps(plane)
    assert tiled.shape == (2, *shape)
    np.testing.assert_array_equal(tiled, whole)


def test_a_margin_short_of_the_reach_shows_that_the_parity_test_can_fail() -> None:
    plane = np.random.default_rng(0).integers(0, 255, (100, 100), np.uint8)
    engine = BoxEngine(6)
    whole = Segmenter(engine, boxed(tile=4096)).maps(plane)
    tiled = Segmenter(engine, boxed(tile=32, margin=2)).maps(plane)
    assert np.abs(whole - tiled).max() > 0.01


def test_tiles_have_the_size_asked_for_rounded_to_the_multiple_and_margins_around() -> None:
    engine = BoxEngine(1)
    Segmenter(engine, boxed(), settings=SegmentSettings(tile=35)).maps(np.zeros((84, 116), np.uint8))
    assert set(engine.seen) == {(1, 1, 32 + 20, 32 + 20)}  # twice the margin of 8, and the blend of 4


def test_scaling_is_measured_on_the_whole_plane() -> None:
    # Bright on the left, dim on the right: scaled tile by tile the right half would come out bright too.
    plane = np.tile(np.linspace(1, 0, 120), (40, 1))
    normalizer = Normalizer(scaling="percentile", polarity="dark-background")
    maps = Segmenter(SameEngine(), card(tile=40, normalizer=normalizer)).maps(plane)
    np.testing.assert_array_equal(maps, normalizer(plane))


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture.astype(np.uint32) + np.uint32(2**31),
        lambda picture: picture.astype(np.int64) - 10**12,
        lambda picture: picture + 1e9,
        lambda picture: picture * 1e300,
        lambda picture: picture * 1e-310,
    ],
)
def test_values_that_float32_cannot_tell_apart_are_told_apart(
    change: Callable[[NDArray[np.uint8]], NDArray[Any]],
) -> None:
    finder = Segmenter(SameEngine(), card(normalizer=Normalizer(polarity="keep", high_percentile=100.0)))
    expected, _ = finder.segment_plane(discs())
    found, _ = finder.segment_plane(change(discs()))
    assert expected.max() == 3
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 5), (4, 4)])
@pytest.mark.parametrize("multiple", [1, 4, 32])
def test_tiny_planes_keep_their_grid(shape: tuple[int, int], multiple: int) -> None:
    plane = np.full(shape, 255, np.uint8)
    labels, confidence = Segmenter(SameEngine(), card(multiple=multiple)).segment_plane(plane)
    assert labels.shape == shape
    assert (labels == 1).all()
    assert confidence.tolist() == [1.0]


def test_labels_and_confidence_by_hand() -> None:
    labels, confidence = Segmenter(SameEngine(), card()).segment_plane(discs())
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels > 0, discs() > 127)
    np.testing.assert_allclose(confidence, np.array([250, 255, 200]) / 255, rtol=1e-6)


def test_min_confidence_and_min_area_leave_no_gaps() -> None:
    sure, confidence = Segmenter(SameEngine(), card(), settings=SegmentSettings(min_confidence=0.9)).segment_plane(
        discs()
    )
    assert np.unique(sure).tolist() == [0, 1, 2]
    assert len(confidence) == 2
    large, confidence = Segmenter(SameEngine(), card(), settings=SegmentSettings(min_area=100)).segment_plane(discs())
    assert np.unique(large).tolist() == [0, 1, 2]
    np.testing.assert_allclose(confidence, np.array([250, 200]) / 255, rtol=1e-6)


def test_colour_planes_reach_the_engine_as_three_channels() -> None:
    engine = BoxEngine(1)
    rgb = np.stack([discs()] * 3, axis=-1)
    wide = boxed(normalizer=replace(AS_IT_IS, channels=3), tile=128)
    Segmenter(engine, wide).maps(rgb)
    Segmenter(engine, wide).maps(discs())
    assert engine.seen == [(1, 3, 60, 80)] * 2


@pytest.mark.parametrize("scale", [0.5, 1.7, 2.0])
def test_a_scale_comes_back_to_the_planes_grid(scale: float) -> None:
    smooth = (np.add.outer(np.sin(np.arange(60) / 8), np.cos(np.arange(80) / 9)) + 2) / 4
    maps = Segmenter(SameEngine(), card(tile=256), settings=SegmentSettings(scale=scale)).maps(smooth)
    assert maps.shape == (1, 60, 80)
    np.testing.assert_allclose(maps[0], smooth, atol=0.05)


def test_scale_changes_what_the_engine_sees_and_the_recipes_numbers() -> None:
    engine = BoxEngine(1)
    model = boxed(tile=512, recipe=PostRecipe(min_area=40, smoothing=2.0))
    segmenter = Segmenter(engine, model, settings=SegmentSettings(scale=2.0))
    segmenter.maps(discs())
    assert engine.seen == [(1, 1, 120, 160)]
    assert segmenter._recipe(light=False) == PostRecipe(min_area=10, smoothing=1.0, min_distance=2)
    assert Segmenter(engine, model).survey(discs()).scale == 1.0


def test_a_recipe_has_its_own_level_for_light_planes() -> None:
    model = boxed(
        tile=512, normalizer=Normalizer(), recipe=PostRecipe(split="components", level=0.9, light_level=0.1, min_area=4)
    )
    segmenter = Segmenter(BoxEngine(1), model)
    dark, light = segmenter.segment_plane(discs())[0], segmenter.segment_plane(255 - discs())[0]
    assert np.count_nonzero(light) > 1.3 * np.count_nonzero(dark) > 0
    in_blocks = segmenter.segment_plane(255 - discs(), max_bytes=0)[0]
    np.testing.assert_array_equal(in_blocks, light)


def _large_discs() -> NDArray[np.float64]:
    """Nine discs 80 pixels wide, brightest in their middle."""
    rows, cols = np.ogrid[:600, :600]
    away = np.hypot((rows + 20) % 200 - 100, (cols + 20) % 200 - 100)
    discs: NDArray[np.float64] = np.clip(1.3 - away / 50, 0, 1)
    return discs


class NearEngine(BoxEngine):
    """Is less sure of what it sees on a large grid."""

    def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return super().__call__(batch_NCHW) * np.float32(0.8 if min(batch_NCHW.shape[2:]) > 500 else 1)


def test_large_nuclei_are_seen_smaller_by_the_cards_rule_and_come_back_at_their_place() -> None:
    model = boxed(tile=1024, scale_rule=ScaleRule(), recipe=PostRecipe(split="components", level=0.5))
    segmenter = Segmenter(NearEngine(1), model)
    scale = segmenter.survey(_large_discs()).scale
    assert 0.3 < scale < 0.5
    labels, confidence = segmenter.segment_plane(_large_discs())
    fixed, same = segmenter.at_scale(scale).segment_plane(_large_discs())
    np.testing.assert_array_equal(labels, fixed)
    np.testing.assert_array_equal(confidence, same)
    assert labels.max() == 9
    in_blocks, rated = segmenter.segment_plane(_large_discs(), max_bytes=1)
    np.testing.assert_array_equal(in_blocks, labels)
    np.testing.assert_array_equal(rated, confidence)


@pytest.mark.parametrize("side", [200, 600, 1100])
def test_what_the_choice_of_the_scale_has_seen_is_not_computed_again(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = np.tile(np.pad(np.tile(discs(), (3, 2)), 5), (6, 7))[:side, :side]
    measured: list[tuple[int, ...]] = []
    measure = Normalizer.measure

    def counted(self: Normalizer, whole: Plane) -> Scaling:
        measured.append(whole.shape)
        return measure(self, whole)

    engine = BoxEngine(1)
    model = boxed(
        tile=2048, scale_rule=ScaleRule(smallest=1.0, largest=999.0), recipe=PostRecipe(split="components", level=0.3)
    )
    want, sure = Segmenter(BoxEngine(1), model, settings=SegmentSettings(scale=1.0)).segment_plane(plane)
    monkeypatch.setattr(Normalizer, "measure", counted)
    labels, confidence = Segmenter(engine, model).segment_plane(plane)
    np.testing.assert_array_equal(labels, want)
    np.testing.assert_array_equal(confidence, sure)
    assert labels.max() > 3
    assert measured == [(side, side)]
    shapes = [shape[2:] for shape in engine.seen]
    padded = -(-side // model.multiple) * model.multiple
    assert shapes.count((padded, padded)) == 1
    assert sum(rows * cols for rows, cols in shapes) < 1.2 * padded**2


def test_fixed_input_size_resizes_the_whole_plane() -> None:
    engine = BoxEngine(1)
    paper = boxed(input_size=32, tile=32, recipe=PAPER_RECIPE)
    labels, _ = Segmenter(engine, paper, settings=SegmentSettings(scale=3.0)).segment_plane(discs())
    assert engine.seen == [(1, 1, 32, 32)]
    assert labels.shape == (60, 80)
    assert labels.max() >= 2


def test_looking_twice_changes_nothing_where_nothing_changes() -> None:
    plane = np.full((64, 48), 90, np.uint8)
    plain = Segmenter(SameEngine(), card()).maps(plane)
    twice = Segmenter(SameEngine(), card(), settings=SegmentSettings(tta=True)).maps(plane)
    np.testing.assert_allclose(twice, plain, atol=1e-6)


def test_looking_twice_averages_the_maps_of_both_sizes() -> None:
    class FirstRows:
        """Say 1 in the first six rows: four of the picture in the enlarged look."""

        seen: ClassVar[list[tuple[int, ...]]] = []

        def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
            self.seen.append(batch_NCHW.shape)
            maps_NCHW = np.zeros_like(batch_NCHW)
            maps_NCHW[:, :, :6] = 1
            return maps_NCHW

    maps_CHW = Segmenter(FirstRows(), card(), settings=SegmentSettings(tta=True)).maps(np.zeros((16, 7), np.uint8))
    assert [shape[2:] for shape in FirstRows.seen] == [(16, 8), (24, 12)]
    # Brought back, the edge of the enlarged map is a ninth soft on both sides.
    expected = [1, 1, 1, 1 - 1 / 18, 0.5 + 1 / 18, 0.5, *[0.0] * 10]
    np.testing.assert_allclose(maps_CHW[0, :, 5], expected, atol=1e-6)


def test_stack_ids_are_unique_over_the_planes() -> None:
    stack = np.stack([discs(), np.zeros((60, 80), np.uint8), discs()])
    found = Segmenter(SameEngine(), card()).segment(Image(stack, "ZYX"))
    assert found.labels.shape == stack.shape
    assert np.unique(found.labels).tolist() == list(range(7))
    np.testing.assert_array_equal(found.labels[2][found.labels[2] > 0] - 3, found.labels[0][found.labels[0] > 0])
    assert len(found) == len(found.confidence) == 6


def test_planes_come_one_after_the_other() -> None:
    stack = Image(np.stack([discs(), discs()]), "ZYX")
    labels, segmenter = np.zeros(stack.pixels.shape, np.int32), Segmenter(SameEngine(), card())
    steps = segmenter.each_plane(lazy(stack), labels)
    first = next(steps)
    assert (len(first), labels[0].max(), labels[1].max()) == (3, 3, 0)
    confidence = np.concatenate([first, *steps])
    whole = segmenter.segment(stack)
    np.testing.assert_array_equal(labels, whole.labels)
    np.testing.assert_array_equal(confidence, whole.confidence)


def test_the_nuclear_channel_is_taken_unless_another_is_named() -> None:
    pixels = np.stack([np.zeros((60, 80), np.uint8), discs()])
    image = Image(pixels, "CYX", channel_names=("actin", "DAPI"))
    segmenter = Segmenter(SameEngine(), card())
    assert len(segmenter.segment(image)) == 3
    assert len(segmenter.segment(image, "actin")) == 0
    with pytest.raises(InputError, match="no channel"):
        segmenter.segment(image, 5)


def test_a_wrong_number_of_maps_is_the_cards_fault() -> None:
    with pytest.raises(ModelError, match="gives 1 maps, its card names mask, border"):
        Segmenter(SameEngine(), boxed()).maps(discs())


@pytest.mark.parametrize(
    "fields",
    [
        {"scale": 0.0}, {"scale": "big"}, {"scale": float("nan")}, {"tile": 0}, {"min_area": -1},
        {"min_confidence": 2.0},
    ],
)  # fmt: skip
def test_bad_settings_are_refused_in_one_line(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(fields))):
        SegmentSettings(**fields)


def test_a_tile_may_be_smaller_than_its_margins() -> None:
    engine = BoxEngine(2)
    plane = np.random.default_rng(0).integers(0, 255, (50, 61), np.uint8)
    whole = Segmenter(engine, boxed(tile=4096)).maps(plane)
    engine.seen.clear()
    tiled = Segmenter(engine, boxed(), settings=SegmentSettings(tile=4)).maps(plane)
    assert len(engine.seen) > 50
    np.testing.assert_array_equal(tiled, whole)


def test_memory_grows_with_the_plane_but_the_network_only_with_the_tile() -> None:
    def needed(shape: tuple[int, int], **fields: Any) -> int:  # noqa: ANN401 - fields of a card
        return Segmenter(SameEngine(), card(**fields)).estimate_bytes(shape)

    small, large = (needed((n, n), tile=512, bytes_per_pixel=50) for n in (2048, 8192))
    assert large / small == pytest.approx(16, rel=0.05)
    heavy = [needed((n, n), tile=512, bytes_per_pixel=10**5) for n in (600, 1024)]
    assert heavy[1] / heavy[0] < 1.1
    short = Segmenter(SameEngine(), card(tile=2048, bytes_per_pixel=500))
    assert short.within((5000, 5000), 10**10).settings.tile is None
    assert short.within((5000, 5000), 10**9).settings.tile == 1024
    assert short.within((5000, 5000), 0).settings.tile == 256
    assert short.within((900, 900), 10**9).settings.tile is None
    chosen = Segmenter(SameEngine(), short.card, settings=SegmentSettings(tile=2048))
    assert chosen.within((5000, 5000), 0).settings.tile == 2048
    assert chosen.estimate_bytes((5000, 5000), max_bytes=0) > 2 * short.estimate_bytes((5000, 5000), max_bytes=0)
    assert needed((512, 512), input_size=64) < needed((512, 512), tile=512, bytes_per_pixel=10**3)


def test_labels_of_a_stack_have_a_plane_for_each_and_room_for_the_numbers_of_all() -> None:
    stack = lazy(Image(np.stack([discs()] * 50), "TYX"))
    for planes, dtype, told in ((51, np.int32, "give one for each"), (50, np.int8, "room for numbers to 127: got 129")):
        with pytest.raises((UsageError, OutputError), match=told):
            list(Segmenter(SameEngine(), card()).each_plane(stack, np.zeros((planes, 60, 80), dtype)))
