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
    assert found.hidden(LABELS).tolist() == [2]
    assert found.shown(LABELS).tolist() == np.where(LABELS == 2, 0, LABELS).tolist()
    assert found.features_without(found.hidden(LABELS))["index"].tolist() == [1, 3]
    assert "neighbors_near" not in found.features_without(found.hidden(LABELS))
    back = found.at_least(0.5)
    assert back.hidden(LABELS).tolist() == []
    assert back.features_without(back.hidden(LABELS))["neighbors_near"].tolist() == [1, 2, 1]
    assert np.array_equal(back.shown(LABELS), LABELS)


def test_what_is_painted_is_not_hidden_and_what_is_erased_stays_away() -> None:
    found = _found(0.6)
    painted = LABELS.copy()
    painted[0, 0] = 0  # taken from nucleus 1
    painted[0, 3] = 4  # something new, over a part of a hidden nucleus
    assert found.hidden(painted).tolist() == [2]
    assert found.shown(painted).tolist() == np.where(painted == 2, 0, painted).tolist()
    painted[2, 4] = 2  # given to the hidden nucleus: it was seen when this was done
    assert found.hidden(painted).tolist() == []
    assert found.shown(painted).tolist() == painted.tolist()
    painted[2, 4] = 0  # undone
    assert found.hidden(painted).tolist() == [2]


def test_what_stands_is_counted_from_what_changed() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, (4, 30, 40)).astype(np.int32) * 7
    ids = np.unique(labels)[1:]
    found = Found(labels.copy(), {"index": ids, "confidence": np.full(len(ids), 0.3)}, least=0.5)
    for one in (found, found.at_least(0.2)):
        for erased, painted in (([], []), ([7], []), ([7, 14], [9]), (ids, []), (ids, [2_000_000_000])):
            now = np.where(np.isin(labels, erased), 0, labels)
            for new in painted:
                now[1, :2, 3:5] = new
            standing, hidden = one.count(now)
            assert standing.tolist() == np.setdiff1d(np.unique(now), [0]).tolist()
            assert hidden.tolist() == one.hidden(now).tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.uint64])
def test_ids_of_any_size_are_hidden(dtype: type[np.integer]) -> None:
    high = int(np.iinfo(dtype).max) if dtype != np.uint64 else 2**62
    labels = LABELS.astype(dtype)
    labels[LABELS == 2] = high
    found = Found(labels, {"index": np.array([1, 3, high]), "confidence": np.array([0.9, 0.9, 0.1])}, least=0.6)
    shown = found.shown(labels)
    assert shown.dtype == labels.dtype
    assert np.unique(shown).tolist() == [0, 1, 3]
    assert found.confidence_of(np.where(LABELS == 2, 1, 0)).tolist() == pytest.approx([0.1])


def test_confidence_is_that_of_what_was_not_changed() -> None:
    new = np.array([[3, 3, 0, 1, 1], [3, 0, 0, 0, 1], [0, 2, 0, 0, 4]], np.int32)
    found = Found(LABELS, {"index": np.array([1, 2, 3]), "confidence": np.array([0.9, 0.5, 0.7])})
    confidence = found.confidence_of(new)
    assert confidence.dtype == np.float32
    assert confidence.tolist() == pytest.approx([0.5, np.nan, 0.9, np.nan], nan_ok=True)
    joined = np.where(LABELS == 2, 1, LABELS)
    assert np.isnan(found.confidence_of(np.where(joined == 3, 2, joined))[0])
    assert found.confidence_of(np.zeros_like(LABELS)).shape == (0,)
