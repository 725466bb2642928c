"""Fitting the confidence: it learns what decides the IoU, and its calibration is measured by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nucleate.errors import DataError
from nucleate.post.confidence import FEATURES
from nucleate.train.confidence import Nuclei, calibration_error, fit_confidence, true_iou


def test_iou_of_each_found_nucleus_by_hand() -> None:
    truth = np.array([[1, 1, 1, 0, 2, 2]], np.int32)
    found = np.array([[1, 1, 2, 3, 4, 4]], np.int32)
    assert true_iou(truth, found).tolist() == pytest.approx([2 / 3, 1 / 3, 0, 1])


def test_the_model_learns_a_curve_and_is_calibrated_on_new_nuclei() -> None:
    rng = np.random.default_rng(0)
    described = rng.normal(3.0, 2.0, (4000, len(FEATURES)))
    z = (described - 3.0) / 2.0
    expected = 1 / (1 + np.exp(-(1.5 * z[:, 2] - 0.7 * z[:, 0] ** 2 + 0.5)))
    iou = np.clip(expected + rng.normal(0, 0.05, 4000), 0, 1)
    model = fit_confidence(Nuclei(described[:2000], iou[:2000]))
    predicted = model.predict(described[2000:])
    assert np.corrcoef(predicted, iou[2000:])[0, 1] > 0.95
    assert calibration_error(predicted, iou[2000:]) < 0.03


def test_too_few_nuclei_are_refused() -> None:
    with pytest.raises(DataError, match="50 at least"):
        fit_confidence(Nuclei(np.zeros((3, len(FEATURES))), np.zeros(3)))


def test_calibration_error_by_hand() -> None:
    predicted = np.array([0.92, 0.98, 0.31, 0.33], np.float32)
    iou = np.array([0.9, 0.8, 0.3, 0.5])
    assert calibration_error(predicted, iou) == pytest.approx((abs(1.9 - 1.7) + abs(0.64 - 0.8)) / 4, abs=1e-6)
    assert calibration_error(iou.astype(np.float32), iou) == pytest.approx(0, abs=1e-6)
