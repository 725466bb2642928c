"""Dose-response fits: the truth is found, scipy agrees, and what cannot be told is not told."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import optimize, stats

from nucleate.screen.dose import fit_dose, logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

DOSES = np.repeat(10.0 ** np.arange(-2, 2.01, 0.5), 3)
DOSES_AND_NONE = np.concatenate([np.zeros(6), DOSES])


def _noisy(seed: int, *, ic50: float = 0.7, bottom: float = 20, noise: float = 6) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return logistic(DOSES_AND_NONE, ic50, hill=1.3, top=100, bottom=bottom) + rng.normal(0, noise, len(DOSES_AND_NONE))


def test_the_curve_by_hand() -> None:
    # Twice the IC50 with hill 2: 1 / (1 + 4) of the way is left.
    assert logistic([0, 3, 6], 3.0, hill=2.0, top=110, bottom=10) == pytest.approx([110, 60, 30])


def test_without_noise_the_truth_comes_back() -> None:
    fit = fit_dose(DOSES_AND_NONE, logistic(DOSES_AND_NONE, 0.7, hill=1.3, top=100, bottom=20))
    assert fit.status == "ok"
    assert (fit.ic50, fit.hill, fit.top, fit.bottom) == pytest.approx((0.7, 1.3, 100, 20), rel=1e-3)
    assert fit.r_squared == pytest.approx(1)
    assert (fit.doses, fit.points) == (9, 33)


@pytest.mark.parametrize("seed", range(4))
def test_scipy_finds_the_same_curve_and_nearly_the_same_interval(seed: int) -> None:
    responses = _noisy(seed)
    fit = fit_dose(DOSES_AND_NONE, responses)

    def curve(
        dose: NDArray[np.float64], log_ic50: float, hill: float, top: float, bottom: float
    ) -> NDArray[np.float64]:
        return logistic(dose, math.exp(log_ic50), hill=hill, top=top, bottom=bottom)

    found, covariance = optimize.curve_fit(curve, DOSES_AND_NONE, responses, p0=[0.0, 1.0, 90.0, 10.0])
    assert (math.log(fit.ic50), fit.hill, fit.top, fit.bottom) == pytest.approx(tuple(found), rel=2e-3, abs=2e-3)
    # Where the curve is well determined the interval from the curvature is close to the profile's.
    half = 2.045 * math.sqrt(covariance[0, 0])
    assert math.log(fit.ic50_high / fit.ic50_low) == pytest.approx(2 * half, rel=0.15)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    fits = [fit_dose(DOSES_AND_NONE, _noisy(seed, noise=10)) for seed in range(100, 180)]
    held = sum(fit.ic50_low <= 0.7 <= fit.ic50_high for fit in fits)
    # 95 % of 80; the binomial's 99.9 % range.
    assert 68 <= held <= 80


def test_the_test_of_an_effect_by_hand() -> None:
    responses = _noisy(11, noise=30)
    fit = fit_dose(DOSES_AND_NONE, responses)
    left = float(((responses - fit.response(DOSES_AND_NONE)) ** 2).sum())
    total = float(((responses - responses.mean()) ** 2).sum())
    assert fit.p_effect == pytest.approx(stats.f.sf((total - left) / 3 / (left / 29), 3, 29), rel=1e-4)


def test_a_rising_response() -> None:
    fit = fit_dose(DOSES_AND_NONE, 100 - _noisy(1))
    assert fit.status == "ok"
    assert fit.bottom > fit.top
    assert fit.ic50_low <= 0.7 <= fit.ic50_high


def test_no_effect_gives_no_number() -> None:
    fits = [
        fit_dose(DOSES_AND_NONE, np.random.default_rng(seed).normal(50, 5, len(DOSES_AND_NONE))) for seed in range(20)
    ]
    assert sum(fit.status == "no effect" for fit in fits) >= 19
    fit = next(fit for fit in fits if fit.status == "no effect")
    assert math.isnan(fit.ic50)
    assert not fit.drawn
    assert fit_dose(DOSES, np.full(len(DOSES), 3.0)).status == "no effect"


def test_an_effect_that_only_begins_has_an_open_interval() -> None:
    responses = logistic(DOSES_AND_NONE, 300.0, hill=1.0, top=100, bottom=0)
    fit = fit_dose(DOSES_AND_NONE, responses + np.random.default_rng(3).normal(0, 2, len(responses)))
    assert fit.status in {"outside", "unbounded"}
    assert fit.ic50_high == math.inf


def test_a_plateau_before_the_first_dose_has_no_lower_end() -> None:
    responses = np.where(DOSES_AND_NONE > 0, 20.0, 100.0) + np.random.default_rng(4).normal(0, 2, len(DOSES_AND_NONE))
    fit = fit_dose(DOSES_AND_NONE, responses)
    assert fit.status in {"outside", "unbounded"}
    assert fit.ic50_low == 0


def test_too_few_doses() -> None:
    assert fit_dose([0, 1, 1, 2, 2, 3, 3], [9, 7, 7, 5, 5, 1, 1]).status == "too few"
    assert fit_dose([], []).status == "too few"
    assert fit_dose([1, 2, 3, 4, 5, np.nan], [1, 2, 3, 4, 5, 6]).points == 5
