"""Chains of tiles: every pixel owned once, reads inside the picture, weights that sum to one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.core.tiles import Rows, Span, chain, joined, mix, weights
from nucleate.errors import UsageError

pytestmark = pytest.mark.base


@st.composite
def chains(draw: st.DrawFn) -> tuple[int, int, int, int, int, list[Span]]:
    """Draw length, tile, margin, blend, multiple and the chain they give."""
    multiple = draw(st.sampled_from([1, 2, 8, 16]))
    margin = draw(st.integers(0, 20))
    width = draw(st.integers(0, 12))
    tile = multiple * (-(-(2 * margin + width) // multiple) + draw(st.integers(1, 6)))
    length = multiple * draw(st.integers(1, 60))
    return length, tile, margin, width, multiple, chain(length, tile, margin=margin, blend=width, multiple=multiple)


def test_two_tiles_by_hand() -> None:
    first, second = chain(18, 14, margin=2, blend=2)
    assert (first.read, first.write, first.own) == (slice(0, 12), slice(0, 10), slice(0, 9))
    assert (second.read, second.write, second.own) == (slice(6, 18), slice(8, 18), slice(9, 18))
    assert second.inner == slice(2, 12)
    np.testing.assert_array_equal(weights(first.write, second.write), [0.25, 0.75])


def test_short_axis_is_one_span() -> None:
    whole = slice(0, 5)
    assert chain(5, 8, margin=3, multiple=4) == [Span(whole, whole, whole)]


@pytest.mark.parametrize(
    ("length", "tile", "multiple", "message"),
    [
        (100, 16, 1, "too small .* use 17 px or more"),
        (100, 15, 5, "too small .* use 25 px or more"),
        (100, 40, 16, "multiples of 16"),
    ],
)
def test_impossible_tiles_are_refused(length: int, tile: int, multiple: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chain(length, tile, margin=8, multiple=multiple)


@given(chains())
def test_every_pixel_is_owned_once(drawn: tuple[int, int, int, int, int, list[Span]]) -> None:
    length, *_, spans = drawn
    owned = np.zeros(length, int)
    for span in spans:
        owned[span.own] += 1
    assert (owned == 1).all()


@given(chains())
def test_ranges_lie_inside_each_other_with_their_margins(
    drawn: tuple[int, int, int, int, int, list[Span]],
) -> None:
    length, tile, margin, _, multiple, spans = drawn
    for span in spans:
        assert 0 <= span.read.start <= span.write.start <= span.own.start < span.own.stop
        assert span.own.stop <= span.write.stop <= span.read.stop <= length
        assert span.read.start % multiple == 0
        assert span.read.stop - span.read.start == spans[0].read.stop <= tile
        assert span.read.start == 0 or span.write.start - span.read.start >= margin
        assert span.read.stop == length or span.read.stop - span.write.stop >= margin


@given(chains())
def test_no_more_is_read_than_it_takes(drawn: tuple[int, int, int, int, int, list[Span]]) -> None:
    length, _, margin, blend, multiple, spans = drawn
    shared = -(-(2 * margin + blend) // multiple) * multiple
    read = sum(span.read.stop - span.read.start for span in spans)
    assert read < length + (len(spans) - 1) * shared + len(spans) * multiple


@given(chains())
def test_at_most_two_write_a_pixel_and_their_weights_sum_to_one(
    drawn: tuple[int, int, int, int, int, list[Span]],
) -> None:
    length, *_, spans = drawn
    total = np.zeros(length, np.float32)
    writers = np.zeros(length, int)
    for before, span, after in zip([None, *spans], spans, [*spans[1:], None], strict=False):
        own = np.ones(length, np.float32)
        if before is not None:
            rise = weights(before.write, span.write)
            own[span.write.start : span.write.start + len(rise)] = rise
        if after is not None:
            fall = 1 - weights(span.write, after.write)
            own[span.write.stop - len(fall) : span.write.stop] = fall
        total[span.write] += own[span.write]
        writers[span.write] += 1
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert writers.max() <= 2


@given(chains(), chains(), st.integers(0, 2**32 - 1))
def test_a_picture_cut_apart_and_blended_comes_back_exactly(
    rows: tuple[int, int, int, int, int, list[Span]], cols: tuple[int, int, int, int, int, list[Span]], seed: int
) -> None:
    picture = np.random.default_rng(seed).random((2, rows[0], cols[0]), np.float32)
    out = np.full_like(picture, np.nan)
    strips = []
    for row in rows[-1]:
        strip = np.full_like(picture[:, row.write], np.nan)
        mix(strip, [(col, picture[:, row.write, col.read][:, :, col.inner]) for col in cols[-1]], axis=2)
        strips.append((row, strip))
    mix(out, strips, axis=1)
    np.testing.assert_array_equal(out, picture)


def test_disagreeing_neighbours_are_mixed_linearly() -> None:
    spans = chain(18, 12, margin=2, blend=2)
    out = np.zeros((1, 18), np.float32)
    mix(out, [(span, np.full((1, 10), value, np.float32)) for span, value in zip(spans, (0, 1), strict=True)], axis=1)
    np.testing.assert_array_equal(out[0], [0] * 8 + [0.25, 0.75] + [1] * 8)


def test_product_of_two_chains_shares_out_a_picture() -> None:
    owned = np.zeros((50, 70), int)
    for row, col in itertools.product(chain(50, 20, margin=4), chain(70, 20, margin=4)):
        owned[row.own, col.own] += 1
    assert (owned == 1).all()


@given(chains(), st.integers(0, 2**32 - 1))
def test_pieces_that_come_one_by_one_are_the_same(drawn: tuple[int, int, int, int, int, list[Span]], seed: int) -> None:
    length, *_, spans = drawn
    rng = np.random.default_rng(seed)
    parts = [(span, rng.random((2, span.write.stop - span.write.start, 3), np.float32)) for span in spans]
    out = np.full((2, length, 3), np.nan, np.float32)
    mix(out, parts, axis=1)
    rows = Rows()
    for piece in joined(parts, axis=1):
        rows.add(piece)
    assert (rows.start, rows.stop) == (0, length)
    np.testing.assert_array_equal(rows.window(slice(0, length), slice(1, 3)), out[:, :, 1:])
    top, bottom = length // 3, max(2 * length // 3, length // 3 + 1)
    np.testing.assert_array_equal(rows.window(slice(top, bottom), slice(0, 2)), out[:, top:bottom, :2])
    middle = length // 2
    rows.forget(middle)
    assert rows.start <= middle
    np.testing.assert_array_equal(rows.window(slice(middle, length), slice(0, 3)), out[:, middle:])
