"""Random label images and pictures for hypothesis; small ones, since a failing example is to be read by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nucleate.core.labels import relabel

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES = (np.uint8, np.uint16, np.int16, np.float32)
"""What cameras and programs write."""


def shapes(max_side: int = 24) -> st.SearchStrategy[tuple[int, int]]:
    """Draw (H, W), one row or one column included."""
    side = st.integers(1, max_side)
    return st.tuples(side, side)


@st.composite
def label_images(
    draw: st.DrawFn, shape: tuple[int, int] | None = None, *, max_nuclei: int = 6, in_one_piece: bool = False
) -> NDArray[np.int32]:
    """Draw a label image, int32 (H, W), ids 1..n without gaps: ellipses that touch, cover each other and meet the rim.

    A nucleus may be in several pieces where a later one cut it, unless `in_one_piece`: then what was cut off is erased.
    Empty images and nuclei of a single pixel occur.
    """
    height, width = shape or draw(shapes())
    rows, cols = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int32)
    for number in range(1, draw(st.integers(0, max_nuclei)) + 1):
        row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        tall, wide = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        labels[((rows - row) / tall) ** 2 + ((cols - col) / wide) ** 2 < 1] = number
    return relabel(_largest_pieces(labels) if in_one_piece else labels)


@st.composite
def label_pairs(draw: st.DrawFn, *, max_nuclei: int = 6) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Draw two label images of one shape; half of the time the second is the first, changed a little."""
    first = draw(label_images(max_nuclei=max_nuclei))
    if draw(st.booleans()):
        return first, draw(label_images(first.shape, max_nuclei=max_nuclei))
    step, axis = draw(st.integers(-2, 2)), draw(st.integers(0, 1))
    return first, relabel(np.roll(first, step, axis))


def masks(max_side: int = 24) -> st.SearchStrategy[NDArray[np.bool_]]:
    """Draw a mask, bool (H, W), pixel by pixel."""
    return hnp.arrays(np.bool_, shapes(max_side))


@st.composite
def planes(draw: st.DrawFn, shape: tuple[int, int] | None = None, *, colour: bool | None = None) -> NDArray[Any]:
    """Draw a picture, (H, W) or (H, W, 3), of any dtype that cameras write; constant ones occur, floats are finite."""
    height, width = shape or draw(shapes())
    samples = draw(st.booleans()) if colour is None else colour
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    values = st.floats(-1e6, 1e6, width=32) if dtype.kind == "f" else hnp.from_dtype(dtype)
    return draw(hnp.arrays(dtype, (height, width, 3) if samples else (height, width), elements=values))


def _largest_pieces(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    from scipy import ndimage

    kept = np.zeros_like(labels)
    for number in range(1, int(labels.max(initial=0)) + 1):
        pieces, count = ndimage.label(labels == number)
        if count:
            kept[pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()] = number
    return kept
