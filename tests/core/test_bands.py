"""Going through label images in bands: each nucleus once, whole, wherever the bands end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nucleate.core import bands
from nucleate.core.bands import ClearedLabels, PlaneOf, nuclei_in_bands, pixel_counts, places_of
from nucleate.core.labels import areas
from nucleate.core.rle import encode_each, encode_labels
from nucleate.errors import OutputError, UsageError

pytestmark = pytest.mark.base

PICTURES = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4))


@given(PICTURES, st.integers(1, 60), st.integers(0, 2))
@example(np.array([[0, 0], [0, 1], [1, 0]], np.int32), 1, 0)  # from the last row to the first of the last band
def test_each_nucleus_is_whole_in_one_band(labels: np.ndarray, pixels: int, beside: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "BAND_PIXELS", pixels)
        painted = np.zeros_like(labels)
        owners = []
        for band in nuclei_in_bands(labels, beside=beside):
            np.testing.assert_array_equal(band.labels, labels[band.rows])
            painted[band.rows] += band.own()
            owners += band.ids.tolist()
        codes = dict(encode_each(labels))
        counts = pixel_counts(labels)
    np.testing.assert_array_equal(painted, labels)
    assert sorted(owners) == sorted(set(labels[labels > 0].tolist()))
    assert codes == {n: code for n, code in enumerate(encode_labels(labels), 1) if code}
    np.testing.assert_array_equal(counts, areas(labels))


def test_planes_of_a_stack_are_views() -> None:
    stack = np.zeros((2, 3, 4, 5), np.int32)
    assert places_of(stack) == [(t, z) for t in range(2) for z in range(3)]
    plane = PlaneOf(stack, (1, 2))
    plane[0:2, 1:3] = np.ones((2, 2), np.int32)
    assert plane.shape == (4, 5)
    assert stack.sum() == stack[1, 2, :2, 1:3].sum() == 4


def test_a_place_for_labels_is_checked_and_cleared_and_takes_no_number_it_has_no_room_for() -> None:
    store = np.full((2, 3), 9, np.uint8)
    labels = ClearedLabels.of(store, (2, 3))
    assert not store.any()
    everything = slice(0, 2), slice(0, 3)
    labels[everything] = np.full((2, 3), 255, np.int32)
    with pytest.raises(OutputError, match="room for numbers to 255: got 256"):
        labels[everything] = np.full((2, 3), 256, np.int32)
    assert (labels[everything] == 255).all()
    for wrong in (np.zeros((3, 3), np.int32), np.zeros((2, 3), np.float32), [[0, 0, 0]] * 2):
        with pytest.raises(UsageError, match=r"no place for .*: got .*; give an array \(2, 3\) of int32"):
            ClearedLabels.of(wrong, (2, 3))  # type: ignore[arg-type]
