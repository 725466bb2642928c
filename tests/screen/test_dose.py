"""Dose-response fits: the truth is found, scipy agrees, and what cannot be told is not told."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from tests.screen.plates import names_of, nuclei_of, tables_of

from nucleate.screen.analysis import Curve, analyse
from nucleate.screen.dose import DoseFit, _Profile, fit_dose, logistic
from nucleate.screen.platemap import Content
from nucleate.screen.results import FIELDS_FOLDER, ScreenRecord, write_tables
from nucleate.screen.scatter import Scatter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

DOSES = np.repeat(10.0 ** np.arange(-2, 2.01, 0.5), 3)
KILLING = np.concatenate([np.zeros(16), np.repeat(10.0 ** np.arange(-3, 1.1, 0.5), 2)])
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
    constant = fit_dose(DOSES, np.full(len(DOSES), 3.0))
    assert (constant.status, constant.p_effect, constant.points) == ("no effect", 1.0, len(DOSES))


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
    assert fit_dose([1, 2, 3, 4, 4], [9, 7, 3, 1, 1]).status == "too few"


def test_wells_without_a_response_are_left_out() -> None:
    responses = _noisy(0)
    spoiled = np.append(responses, [np.nan, 50.0])
    assert fit_dose(np.append(DOSES_AND_NONE, [1.0, np.nan]), spoiled) == fit_dose(DOSES_AND_NONE, responses)


def _claimed(seed: int, *, weighted: bool) -> tuple[bool, bool]:
    """Draw a measure that does not follow the dose while nuclei fall from 100 to 8; tell which have a curve."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(8, np.round(100 / (1 + (KILLING / 0.1) ** 1.5))).astype(int)
    shares, medians = rng.binomial(counts, 0.05) / counts, rng.normal(1000, 376 / np.sqrt(counts))
    scatters = Scatter.of_shares(shares, counts), Scatter.of_medians(medians, counts, controls=(1000, 300))
    share, median = (
        fit_dose(KILLING, values, scatter=scatter if weighted else None)
        for values, scatter in zip((shares, medians), scatters, strict=True)
    )
    return share.status != "no effect", median.status != "no effect"


def test_wells_of_few_nuclei_make_no_curve() -> None:
    alike = np.sum([_claimed(seed, weighted=False) for seed in range(100)], axis=0)
    assert (alike > 10).all()
    assert (np.sum([_claimed(seed, weighted=True) for seed in range(100)], axis=0) <= 3).all()


def _drawn_shares(most: int, fewest: int, *, top: float, bottom: float) -> int:
    """Draw shares of 60 compounds that kill; tell how many have a curve."""
    rng = np.random.default_rng(7)
    doses = np.r_[np.zeros(32), np.repeat(np.geomspace(0.01, 100, 8), 3)]
    nuclei = np.maximum(np.rint(most / (1 + (doses / 0.5) ** 2)), fewest).astype(int)
    drawn = rng.binomial(nuclei, logistic(doses, 0.5, hill=2, top=top, bottom=bottom), (60, nuclei.size)) / nuclei
    fits = [fit_dose(doses, shares, scatter=Scatter.of_shares(shares, nuclei)) for shares in drawn]
    return sum(fit.status != "no effect" for fit in fits)


def test_a_rare_kind_in_wells_of_few_nuclei_makes_no_curve() -> None:
    assert _drawn_shares(800, 6, top=0.001, bottom=0.001) <= 2


def test_a_rare_kind_that_rises_where_nuclei_die_makes_a_curve() -> None:
    assert _drawn_shares(200, 8, top=0.005, bottom=0.05) >= 42


@pytest.mark.parametrize(("n", "hits"), [(20, 1), (20, 19), (200, 3), (1000, 49), (1000, 51), (1000, 949), (10**8, 2)])
def test_shares_are_told_from_what_chance_makes_of_them(n: int, hits: int) -> None:
    drawn = np.arange(n + 1) if n < 10**8 else np.arange(100)
    weights, on_scale = stats.binom.pmf(drawn, n, hits / n), np.arcsin(np.sqrt((drawn + 0.375) / (n + 0.75)))
    mean = weights @ on_scale
    deviation = np.sqrt(weights @ (on_scale - mean) ** 2)
    steady = Scatter.of_shares(np.full(3, hits / n), np.full(3, n)).steady
    assert steady.values == pytest.approx(on_scale[drawn == hits].repeat(3) - mean, abs=1e-4 * deviation)
    assert steady.chance == pytest.approx(deviation, rel=1e-4)


def test_one_nucleus_of_ten_makes_no_curve() -> None:
    shares = np.where(KILLING > 5, 0.1, 0.0)
    assert fit_dose(KILLING, shares).status == "outside"
    assert fit_dose(KILLING, shares, scatter=Scatter.of_shares(shares, np.full(34, 10))).status == "no effect"
    many = np.where(KILLING > 5, 0.9, 0.0)
    assert fit_dose(KILLING, many, scatter=Scatter.of_shares(many, np.full(34, 10))).drawn


def test_large_responses_that_differ_by_rounding_have_no_effect() -> None:
    responses = 1e9 + 1e-6 * np.random.default_rng(0).normal(size=len(KILLING))
    assert fit_dose(KILLING, responses).status == "no effect"


def _drawn(kind: str, seed: int, *, ic50: float = 0.15) -> DoseFit:
    rng = np.random.default_rng(seed)
    many = np.full(len(KILLING), 100)
    if kind == "share":
        shares = rng.binomial(many, logistic(KILLING, ic50, hill=1.3, top=0.02, bottom=1)) / 100
        return fit_dose(KILLING, shares, scatter=Scatter.of_shares(shares, many))
    if kind == "count":
        counts = rng.poisson(logistic(KILLING, ic50, hill=1.3, top=100, bottom=0)) / 2
        return fit_dose(KILLING, counts, scatter=Scatter.of_counts(counts, np.full(len(KILLING), 2)))
    medians = logistic(KILLING, ic50, hill=1.3, top=100, bottom=1000)
    medians *= rng.normal(1, 0.05, len(medians)) if kind == "in proportion" else 1
    medians += rng.normal(0, 30, len(medians)) if kind == "alike" else 0
    return fit_dose(KILLING, medians, scatter=Scatter.of_medians(medians, many, controls=(100, 20)))


@pytest.mark.parametrize("kind", ["share", "count", "in proportion", "alike"])
def test_intervals_of_each_kind_of_measure_hold_the_truth(kind: str) -> None:
    fits = [_drawn(kind, seed) for seed in range(60)]
    # 95 % of 60; the binomial's 99.9 % range. Without the scatter of each kind shares had 70 %.
    assert sum(fit.ic50_low <= 0.15 <= fit.ic50_high for fit in fits) >= 51


def test_ends_are_not_beyond_what_can_be() -> None:
    for seed in range(20):
        share, count = (_drawn(kind, seed, ic50=3.0) for kind in ("share", "count"))
        assert 0 <= share.top <= share.bottom <= 1
        assert count.top > count.bottom >= 0


@given(
    st.lists(st.floats(0, 1), min_size=9, max_size=9), st.floats(-3, 4), st.floats(0.3, 8), st.integers(0, 2**32 - 1)
)
def test_ends_within_limits_are_the_best_ones(shares: list[float], log_ic50: float, hill: float, seed: int) -> None:
    dose, response = 10.0 ** np.arange(-2, 2.01, 0.5), np.array(shares)
    weights = np.random.default_rng(seed).uniform(0.2, 5, 9)
    profile = _Profile(dose, response, weights=weights, limits=(0.0, 1.0))
    left, _, _ = profile.curves(np.array([log_ic50]), np.array([hill]))
    ends = profile.ends(log_ic50, hill)
    rest = logistic(dose, math.exp(log_ic50), hill=hill, top=1, bottom=0)
    design = np.sqrt(weights)[:, None] * np.stack([rest, 1 - rest], axis=1)
    best = optimize.lsq_linear(design, np.sqrt(weights) * response, (0, 1), method="bvls")
    assert 0 <= min(ends) <= max(ends) <= 1
    assert left[0] == pytest.approx(2 * best.cost, rel=1e-4, abs=1e-6)
    assert ((design @ ends - np.sqrt(weights) * response) ** 2).sum() == pytest.approx(left[0], rel=1e-4, abs=1e-6)


def test_tables_tell_no_curve_whose_middle_was_not_tested(tmp_path: Path) -> None:
    (tmp_path / FIELDS_FOLDER).mkdir()
    (tmp_path / FIELDS_FOLDER / "measurements.csv").write_text("image\n", encoding="utf-8")
    fits = [
        DoseFit(status, 9.5, 7.5, math.inf, 8.0, 6.5, 4.0, 0.001, 0.6, 9, 30) for status in ("outside", "unbounded")
    ]
    curves = tuple(Curve("X", "nuclei_per_field", DOSES, DOSES, fit) for fit in fits)
    screen = replace(analyse(tables_of(nuclei_of([]), ["A01"], contents={})), curves=curves)
    write_tables(tmp_path, screen, record=ScreenRecord("", "", None, "nM", [], {}, []))
    outside, unbounded = (tmp_path / "fits.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert outside == "X,nuclei_per_field,nM,outside,,7.5,inf,,,,0.001,0.6,9,30"
    assert unbounded == "X,nuclei_per_field,nM,unbounded,9.5,7.5,inf,8,6.5,4,0.001,0.6,9,30"


def test_the_spread_between_wells_is_what_chance_leaves() -> None:
    # Squares of 3 and four degrees of freedom: 1 by chance, 2 between wells. Fewer than chance has: none between.
    scatter = Scatter.even(np.zeros(4), np.ones(4))
    assert scatter.variance(np.full(4, np.sqrt(3)), np.zeros(4), dof=4) == pytest.approx([3, 3, 3, 3])
    assert scatter.variance(np.full(4, 0.5), np.zeros(4), dof=4) == pytest.approx([1, 1, 1, 1])
    uneven = Scatter.even(np.zeros(4), np.array([1.0, 1.0, 3.0, 3.0]))
    around = np.array([2.0, -2.0, 3.0, -4.0])
    variance = uneven.variance(around, np.zeros(4), dof=4)
    assert np.diff(variance) == pytest.approx([0, 8, 0])
    assert (around**2 / variance).sum() == pytest.approx(4)


def test_compounds_that_only_kill_have_curves_of_counts_alone() -> None:
    counts = {f"A{column:02d}": 60 for column in range(1, 17)}
    contents = {well: Content(well, role="negative") for well in counts}
    for row in "BCDEFGHIJKLM":
        for column, dose in enumerate(10.0 ** np.arange(-3, 1, 0.5), 1):
            well = f"{row}{column:02d}"
            contents[well], counts[well] = Content(well, row, dose), round(9 + 51 / (1 + (dose / 0.1) ** 1.5))
    names, rng = names_of(counts), np.random.default_rng(11)
    drawn = {"area_px": rng.normal(150, 30, len(names)), "mean_intensity": rng.lognormal(7, 0.2, len(names))}
    curves = analyse(tables_of(nuclei_of(names, **drawn), counts, contents=contents)).curves
    found = {
        feature: sum(c.fit.drawn for c in curves if c.feature == feature) for feature in {c.feature for c in curves}
    }
    assert found.pop("nuclei_per_field") == 12
    assert sum(found.values()) == 0
    # Were all wells equally sure, there would be some.
    alike = [fit_dose(curve.doses, curve.responses) for curve in curves if curve.feature != "nuclei_per_field"]
    assert sum(fit.drawn for fit in alike) >= 3
