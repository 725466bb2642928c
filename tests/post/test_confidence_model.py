"""What describes a nucleus, by hand and by slow ways of saying the same; and the model that reads it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray  # noqa: TC002 - hypothesis reads the annotations
from scipy import ndimage
from tests.strategies import label_images

from nucleate.post.confidence import FEATURES, ConfidenceModel, describe, mean_probability, rate

pytestmark = pytest.mark.base

NAMES = ("mask", "border", "distance")


def _column(described: NDArray[np.float64], name: str) -> list[float]:
    return [float(value) for value in described[:, FEATURES.index(name)]]


def test_two_nuclei_side_by_side_by_hand() -> None:
    labels = np.array([[0, 0, 0, 0, 0, 0], [0, 1, 1, 2, 2, 0], [0, 1, 1, 2, 2, 0], [0, 0, 0, 0, 0, 0]], np.int32)
    mask = np.where(labels == 1, 0.9, np.where(labels == 2, 0.5, 0.1))
    maps = np.stack([mask, (labels == 2) * 0.25, labels * 0.3])
    found = describe(labels, maps, names=NAMES)
    assert found.shape == (2, len(FEATURES))
    assert _column(found, "log_area") == pytest.approx([np.log(4), np.log(4)])
    assert _column(found, "compactness") == [2, 2]  # 4 pi 4 / 4**2 is above the limit
    assert _column(found, "mask_inside") == pytest.approx([0.9, 0.5])
    assert _column(found, "mask_spread") == pytest.approx([0, 0], abs=1e-7)
    assert _column(found, "mask_unsure") == [0, 1]
    assert _column(found, "mask_at_edge") == pytest.approx([0.9, 0.5])
    assert _column(found, "mask_outside") == pytest.approx([0.1, 0.1])
    assert _column(found, "contact") == pytest.approx([0.5, 0.5])
    assert _column(found, "at_picture_edge") == [0, 0]
    assert _column(found, "border_inside") == pytest.approx([0, 0.25])
    assert _column(found, "distance_mean") == pytest.approx([0.3, 0.6])
    assert _column(found, "distance_top") == pytest.approx([0.3, 0.6])


@given(label_images(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rims_and_rings_are_those_of_dilation_and_erosion(labels: NDArray[np.int32], seed: int) -> None:
    mask = np.random.default_rng(seed).random(labels.shape)
    found = describe(labels, mask[None], names=("mask",))
    around = ndimage.grey_dilation(labels, size=(3, 3), mode="constant")  # of two ids as near the larger
    for number, row in enumerate(found, start=1):
        own, ring = labels == number, (labels == 0) & (around == number)
        edge = own & ~ndimage.binary_erosion(own, border_value=1)
        beside = edge & ndimage.binary_dilation((labels > 0) & ~own)
        expected = {
            "compactness": min(4 * np.pi * own.sum() / max(edge.sum(), 1) ** 2, 2),
            "mask_at_edge": mask[edge].mean() if edge.any() else 0,
            "mask_outside": mask[ring].mean() if ring.any() else 0,
            "contact": beside.sum() / max(edge.sum(), 1),
        }
        assert {name: row[FEATURES.index(name)] for name in expected} == pytest.approx(expected)


def test_nuclei_at_the_edge_of_the_picture_are_known() -> None:
    labels = np.zeros((5, 5), np.int32)
    labels[0, 2], labels[2, 2], labels[4, 4] = 1, 2, 3
    assert _column(describe(labels, np.ones((1, 5, 5)), names=("mask",)), "at_picture_edge") == [1, 0, 1]


@given(label_images(), st.integers(0, 99))
@settings(max_examples=50)
def test_numbers_do_not_depend_on_the_rest_of_the_picture(labels: NDArray[np.int32], seed: int) -> None:
    maps = np.random.default_rng(seed).random((3, *labels.shape))
    alone = describe(labels, maps, names=NAMES)
    wide = describe(np.pad(labels, 3), np.pad(maps, ((0, 0), (3, 3), (3, 3))), names=NAMES)
    local = [index for index, name in enumerate(FEATURES) if name not in {"at_picture_edge", "mask_outside"}]
    inner = np.array(_column(alone, "at_picture_edge")) == 0
    np.testing.assert_allclose(alone[inner][:, local], wide[inner][:, local])
    assert np.isfinite(alone).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (4, 4)])
def test_small_and_empty_pictures(shape: tuple[int, int]) -> None:
    maps = np.full((1, *shape), 0.7)
    assert describe(np.zeros(shape, np.int32), maps, names=("mask",)).shape == (0, len(FEATURES))
    assert describe(np.ones(shape, np.int32), maps, names=("mask",)).shape == (1, len(FEATURES))
    assert mean_probability(np.ones(shape, np.int32), maps[0]).tolist() == pytest.approx([0.7])


def _model(**changes: object) -> ConfidenceModel:
    size = len(FEATURES)
    values: dict[str, object] = {
        "mean": (0.0,) * size,
        "spread": (1.0,) * size,
        "weights": (0.0,) * 2 * size,
        "bias": 0.0,
    }
    return ConfidenceModel(**(values | changes))  # type: ignore[arg-type]


def test_a_prediction_by_hand() -> None:
    weights = [0.0] * 2 * len(FEATURES)
    weights[0], weights[len(FEATURES) + 1] = 2.0, -1.0
    model = _model(weights=tuple(weights), bias=0.5)
    described = np.zeros((2, len(FEATURES)))
    described[1, :2] = 1.0, 3.0
    expected = [1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-(0.5 + 2 - 9)))]
    assert model.predict(described).tolist() == pytest.approx(expected)


def test_far_out_numbers_are_held_back() -> None:
    model = _model(weights=(1.0,) + (0.0,) * (2 * len(FEATURES) - 1))
    described = np.zeros((1, len(FEATURES)))
    described[0, 0] = 1e9
    assert model.predict(described).tolist() == pytest.approx([1 / (1 + np.exp(-4))])


@pytest.mark.parametrize("wrong", [{"mean": (0.0,)}, {"spread": (0.0,) * len(FEATURES)}, {"weights": (1.0,)}])
def test_a_model_of_the_wrong_size_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="confidence"):
        _model(**wrong)


def _any_model() -> ConfidenceModel:
    many = len(FEATURES)
    return ConfidenceModel((1.0,) * many, (2.0,) * many, tuple(np.linspace(-0.5, 0.5, 2 * many).tolist()), 0.1)


@pytest.mark.parametrize("step", [2, 3, 5])
def test_nuclei_shown_larger_than_the_network_saw_them_are_as_sure(step: int) -> None:
    labels = np.zeros((40, 30), np.int32)
    labels[4:15, 5:14], labels[15:24, 6:20], labels[30:, 20:] = 1, 2, 3
    maps = np.random.default_rng(0).random((3, 40, 30))
    seen = rate(labels, maps, names=NAMES, model=_any_model())
    shown = labels.repeat(step, axis=0).repeat(step, axis=1), maps.repeat(step, axis=1).repeat(step, axis=2)
    np.testing.assert_allclose(rate(*shown, names=NAMES, model=_any_model(), scale=1 / step), seen, rtol=1e-6)
    # A window of it, begun anywhere, is looked at in the same pixels.
    part = shown[0][step + 1 : 26 * step, 2:].copy(), shown[1][:, step + 1 : 26 * step, 2:]
    inside = rate(*part, names=NAMES, model=_any_model(), scale=1 / step, origin=(step + 1, 2))
    np.testing.assert_allclose(inside[:2], seen[:2], rtol=1e-6)


def test_a_nucleus_between_the_steps_is_still_rated() -> None:
    labels = np.zeros((12, 12), np.int32)
    labels[1:3, 1:3], labels[4:11, 4:11] = 1, 2
    assert rate(labels, np.full((3, 12, 12), 0.5), names=NAMES, model=_any_model(), scale=0.25).shape == (2,)
