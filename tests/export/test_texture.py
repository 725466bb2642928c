"""Texture against scikit-image's co-occurrence matrices of one nucleus at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from tests.strategies import label_images

from nucleate.export.measurements import measure
from nucleate.export.texture import DISTANCE, LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

THEIRS = {"contrast": "contrast", "homogeneity": "homogeneity", "correlation": "correlation", "ASM": "asm"}
ANGLES = [0, math.pi / 4, math.pi / 2, 3 * math.pi / 4]

_matrix: Any = graycomatrix  # these have no annotations
_property: Any = graycoprops


def _oracle(mask: NDArray[np.bool_], plane: NDArray[Any]) -> dict[str, float]:
    """Take one nucleus by itself: level 0 is its surroundings, whose row and column are then left out."""
    values = plane[mask].astype(np.float64)
    low, high = values.min(), values.max()
    level = np.minimum((plane - low) * (LEVELS / (high - low) if high > low else 0), LEVELS - 1)
    image = np.where(mask, np.floor(level) + 1, 0).astype(np.uint8)
    four = _matrix(image, [DISTANCE], ANGLES, levels=LEVELS + 1, symmetric=True)
    counts = four[1:, 1:].sum(axis=(2, 3), keepdims=True).astype(np.float64)
    if counts.sum() == 0:
        return dict.fromkeys([*THEIRS.values(), "entropy"], math.nan)
    share = counts / counts.sum()
    found = {ours: float(_property(share, theirs)[0, 0]) for theirs, ours in THEIRS.items()}
    return found | {"entropy": float(-(share[share > 0] * np.log(share[share > 0])).sum())}


def _compare(labels: NDArray[np.int32], plane: NDArray[Any]) -> None:
    table = measure(labels, {"x": plane})
    for row, label in enumerate(table["label"].tolist()):
        for name, expected in _oracle(labels == label, plane).items():
            got = table[f"texture_{name}_x"][row]
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), (label, name)


def test_equal_to_scikit_image_on_blobs() -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(90, 110)), 4)
    labels = np.asarray(ndimage.label(noise > 0.4 * noise.std())[0], np.int32)
    assert labels.max() > 8
    _compare(labels, np.random.default_rng(1).integers(0, 60_000, labels.shape, np.uint16))
    _compare(labels, noise)


@given(label_images())
@settings(max_examples=25)
def test_equal_to_scikit_image_on_anything(labels: NDArray[np.int32]) -> None:
    _compare(labels, np.random.default_rng(2).integers(0, 9, labels.shape).astype(np.float32))


def test_exposure_does_not_matter() -> None:
    labels = np.ones((9, 9), np.int32)
    plane = np.random.default_rng(3).integers(0, 255, labels.shape)
    first, second = (measure(labels, {"": one}) for one in (plane, plane * 8 + 100))
    for name in ("contrast", "homogeneity", "correlation", "asm", "entropy"):
        np.testing.assert_array_equal(first[f"texture_{name}"], second[f"texture_{name}"])


def test_of_one_grey_value_and_of_unknown_ones() -> None:
    labels = np.repeat(np.array([[1, 2, 3]], np.int32), 8, axis=0).repeat(4, axis=1)
    plane = np.full(labels.shape, 5.0)
    plane[:, 4:8] = np.nan
    plane[0, 8] = np.inf
    table = measure(labels, {"": plane})
    assert table["texture_entropy"].tolist() == pytest.approx([0, math.nan, 0], nan_ok=True)
    assert not np.signbit(table["texture_entropy"][[0, 2]]).any()  # a table would show -0
    assert table["texture_correlation"].tolist() == pytest.approx([1, math.nan, 1], nan_ok=True)


def test_many_nuclei_are_taken_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(1, 31, dtype=np.int32).reshape(5, 6).repeat(8, axis=0).repeat(8, axis=1)
    plane = np.random.default_rng(4).normal(size=labels.shape)
    before = measure(labels, {"": plane})
    monkeypatch.setattr("nucleate.export.texture._TOGETHER", 7)
    after = measure(labels, {"": plane})
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])
