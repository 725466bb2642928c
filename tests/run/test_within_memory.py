"""Smaller batches, then another engine, where memory runs out: shown with engines that fail on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nucleate.run.engine import WithinMemory

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


class Doubling:
    """Doubles; fails on more than `most` tiles at once."""

    def __init__(self, most: int, error: Exception | None = None) -> None:
        self.most, self.seen = most, list[int]()
        self.error = error or RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(len(batch_NCHW))
        if len(batch_NCHW) > self.most:
            raise self.error
        return 2 * batch_NCHW


def batch(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((count, 3, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("most", "seen"),
    [(8, [7, 3]), (4, [7, 3, 3, 1, 3]), (2, [7, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), (1, [7, 3] + [1] * 10)],
)
def test_batches_shrink_until_they_fit_and_stay_so(
    most: int, seen: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    card = Doubling(most)
    engine = WithinMemory(card, lambda: pytest.fail("one tile fits"))
    for count in (7, 3):
        np.testing.assert_array_equal(engine(batch(count)), 2 * batch(count))
    assert card.seen == seen
    assert len(caplog.records) == len({record.message for record in caplog.records}) == (most < 7) + (most < 3)


def test_when_no_tile_fits_the_other_engine_does_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    card, processor = Doubling(0, MemoryError()), Doubling(99)
    made = []

    def spare() -> Doubling:
        made.append(processor)
        return processor

    engine = WithinMemory(card, spare)
    for _ in range(2):
        np.testing.assert_array_equal(engine(batch(5)), 2 * batch(5))
    assert card.seen == [5, 2, 1]
    assert processor.seen == [1] * 10
    assert made == [processor]
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "going on with tiles by 2",
        "going on with tiles by 1",
        "going on on the processor",
    ]


def test_what_was_done_before_memory_ran_out_is_kept() -> None:
    class Later(Doubling):
        def __call__(self, batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
            if len(self.seen) == 2:
                self.most = 0
            return super().__call__(batch_NCHW)

    engine = WithinMemory(Later(4), lambda: Doubling(9))
    np.testing.assert_array_equal(engine(batch(8)), 2 * batch(8))


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), KeyError("x")])
def test_other_errors_are_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        WithinMemory(Doubling(0, error), lambda: Doubling(9))(batch(2))


def test_the_other_engines_own_end_of_memory_is_an_error() -> None:
    engine = WithinMemory(Doubling(0), lambda: Doubling(0))
    with pytest.raises(RuntimeError, match="out of memory"):
        engine(batch(2))
