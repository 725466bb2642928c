"""Labels on disk behave as an array does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nucleate.errors import OutputError
from nucleate.run.stored import StoredLabels

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


@pytest.mark.parametrize("held", [0, 1 << 28])
def test_random_parts_are_those_of_an_array(tmp_path: Path, held: int) -> None:
    shape = (2, 1100, 1700)
    want = np.zeros(shape, np.int32)
    stored = StoredLabels(tmp_path / "labels", shape, held_bytes=held)
    rng = np.random.default_rng(0)
    for number in range(1, 60):
        plane = int(rng.integers(2))
        (top, bottom), (left, right) = (np.sort(rng.integers(0, n + 1, 2)) for n in shape[1:])
        rows, cols = slice(int(top), int(bottom)), slice(int(left), int(right))
        np.testing.assert_array_equal(stored[plane, rows, cols], want[plane, rows, cols])
        value = rng.integers(0, 2, want[plane, rows, cols].shape) * number
        want[plane, rows, cols] = value
        stored[plane, rows, cols] = value
    for plane in (0, 1):
        np.testing.assert_array_equal(stored[plane, :, :], want[plane])
    assert stored[0, 0:5, 1690:9999].shape == (5, 10)
    assert (len(list(stored.folder.iterdir())) > 4) == (held == 0)


def test_background_takes_no_room(tmp_path: Path) -> None:
    stored = StoredLabels(tmp_path / "labels", (5000, 5000), held_bytes=0)
    for top in range(0, 5000, 500):
        stored[top : top + 500, 0:5000] = np.zeros((500, 5000), np.int32)
    assert not stored[:, 0:600].any()
    assert list(stored.folder.iterdir()) == []


def test_a_disk_that_fails_is_one_line(tmp_path: Path) -> None:
    stored = StoredLabels(tmp_path / "labels", (4000, 4000), held_bytes=0)
    stored.folder.rmdir()
    with pytest.raises(OutputError, match=r"labels cannot be written in .*; free space, then add --resume"):
        stored[:, :] = np.ones((4000, 4000), np.int32)
