"""Polygons of nuclei: exact, valid, whole-numbered, holes and pieces told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from tests.export.painting import HOLED, paint
from tests.strategies import label_images

from nucleate.export.shapes import Position, positions, shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _assert_same(labels: NDArray[np.int32]) -> None:
    found = list(shapes(labels))
    assert [shape.label for shape in found] == np.unique(labels[labels > 0]).tolist()
    for shape in found:
        rings = [ring for piece in shape.pieces for ring in piece]
        np.testing.assert_array_equal(paint(rings, labels.shape), labels == shape.label)


def test_every_kind_of_nucleus() -> None:
    _assert_same(HOLED)
    first, second, third, fourth, fifth, seventh = shapes(HOLED)
    assert [len(piece) for piece in first.pieces] == [3]  # two holes
    assert [len(piece) for piece in second.pieces] == [1, 1, 1]
    assert [len(piece) for piece in third.pieces] == [1, 1]
    assert [len(piece) for piece in fourth.pieces] == [2]  # open at a corner only: a hole that touches the outside
    assert fifth.pieces[0][0].tolist() == [[5, 4], [6, 4], [6, 5], [5, 5]]
    assert seventh.label == 7
    assert seventh.pieces[0][0].dtype == np.int64


@given(label_images())
@settings(max_examples=40)
def test_painted_again_they_are_the_labels(labels: NDArray[np.int32]) -> None:
    _assert_same(labels)


def test_bands_of_a_large_picture_are_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.kron(np.arange(1, 13, dtype=np.int32).reshape(6, 2), np.pad(np.ones((5, 6), np.int32), 1))
    monkeypatch.setattr("nucleate.core.bands.BAND_PIXELS", 160)
    _assert_same(labels)
    last = list(shapes(labels))[-1]
    assert (last.label, last.pieces[0][0].tolist()) == (12, [[9, 36], [15, 36], [15, 41], [9, 41]])


def test_no_nucleus() -> None:
    assert list(shapes(np.zeros((4, 5), np.int32))) == []


def test_positions_of_planes() -> None:
    assert positions("", ()) == [Position()] == [Position(t=0, z=0, c=-1)]
    assert positions("Z", (2,)) == [Position(z=0), Position(z=1)]
    assert positions("I", (2,)) == [Position(t=0), Position(t=1)]
    assert positions("TI", (2, 2))[-1] == Position(t=1, c=1)
    assert positions("TZ", (2, 3))[4] == Position(t=1, z=1)
