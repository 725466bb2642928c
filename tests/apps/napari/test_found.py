"""Nuclei that are hidden, painted and corrected."""

from __future__ import annotations

import numpy as np
import pytest

from nucleate.apps.napari.found import Found

pytestmark = pytest.mark.base

LABELS = np.array([[1, 1, 0, 2, 2], [1, 0, 0, 0, 2], [0, 3, 3, 0, 0]], np.int32)


def _found(least: float = 0.0) -> Found:
    features = {"index": np.array([1, 2, 3]), "confidence": np.array([0.9, 0.5, np.nan])}
    features["neighbors_near"] = np.array([1, 2, 1])
    return Found(LABELS, features, least=least)


def test_the_doubtful_are_hidden_and_ids_stay() -> None:
    found = _found(0.6)
    assert found.hidden.tolist() == [2]
    assert found.shown().tolist() == np.where(LABELS == 2, 0, LABELS).tolist()
    assert found.shown_features()["index"].tolist() == [1, 3]
    assert "neighbors_near" not in found.shown_features()
    back = found.at_least(0.5)
    assert back.shown_features()["neighbors_near"].tolist() == [1, 2, 1]
    assert np.array_equal(back.shown(), LABELS)
    assert back.shown_features()["index"].tolist() == [1, 2, 3]


def test_what_is_not_touched_is_not_copied() -> None:
    found = _found(0.6)
    assert found.with_edits(found.shown()) is found


def test_painting_stays_when_the_limit_moves() -> None:
    found = _found(0.6)
    painted = found.shown()
    painted[0, 0] = 0  # taken from nucleus 1
    painted[2, 4] = 3  # given to nucleus 3
    painted[0, 3] = 4  # something new, over a hidden nucleus
    merged = found.with_edits(painted)
    assert (found.corrected, merged.corrected, merged.at_least(0.1).corrected) == (False, True, True)
    assert merged.shown().tolist() == painted.tolist()
    expected = LABELS.copy()
    expected[0, 0], expected[2, 4], expected[0, 3] = 0, 3, 4
    assert merged.at_least(0.0).shown().tolist() == expected.tolist()
    assert LABELS[0, 0] == 1


def test_a_new_nucleus_does_not_join_a_hidden_one() -> None:
    found = _found(0.6)
    painted = found.shown()
    painted[2, 4] = 2
    merged = found.with_edits(painted).at_least(0.0).shown()
    assert merged[0, 3] == 2
    assert merged[2, 4] > 3


def test_confidence_is_that_of_what_was_not_changed() -> None:
    new = np.array([[3, 3, 0, 1, 1], [3, 0, 0, 0, 1], [0, 2, 0, 0, 4]], np.int32)
    found = Found(LABELS, {"index": np.array([1, 2, 3]), "confidence": np.array([0.9, 0.5, 0.7])})
    confidence = found.confidence_of(new)
    assert confidence.dtype == np.float32
    assert confidence.tolist() == pytest.approx([0.5, np.nan, 0.9, np.nan], nan_ok=True)
    joined = np.where(LABELS == 2, 1, LABELS)
    assert np.isnan(found.confidence_of(np.where(joined == 3, 2, joined))[0])
    assert found.confidence_of(np.zeros_like(LABELS)).shape == (0,)
