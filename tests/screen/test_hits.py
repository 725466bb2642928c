"""z-scores, controls and edges against sums done by hand and against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nucleate.screen.hits import (
    edge_effect,
    fraction_floor,
    hit_limit,
    robust_sd,
    robust_z,
    separation,
    stabilised,
    stabilised_counts,
)

pytestmark = pytest.mark.base

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=30)


def test_robust_z_by_hand() -> None:
    # Median 10; distances 2 1 0 1 90, their median 1: one robust deviation is 1.4826, times 1.206 for five values.
    one = 1.206 * 1.4826
    assert robust_sd([8, 9, 10, 11, 100]) == pytest.approx(one)
    assert robust_z([10, 10 + 3 * one, 10 - 2 * one], [8, 9, 10, 11, 100]) == pytest.approx([0, 3, -2])
    assert robust_z([10, 20], [8, 9, 10, 11, 100], floors=np.array([1.0, 5.0])) == pytest.approx([0, 2])
    # Wells differ by the root of one^2 - 1^2, chance comes on top of it.
    both = math.sqrt(one**2 - 1 + 5**2)
    held = robust_z([10 + one, 10 + both], [8, 9, 10, 11, 100], floors=np.array([0.5, 5.0]), own=np.ones(5))
    assert held == pytest.approx([1, 1])
    # Controls that differ by less than chance: wells do not differ at all.
    alike = robust_z([10 + 3 * one, 25], [8, 9, 10, 11, 100], floors=np.array([0.5, 5.0]), own=np.full(5, 99.0))
    assert alike == pytest.approx([3, 3])


def test_shares_by_hand() -> None:
    values, spreads = stabilised(np.array([0.25, 0.0]), np.array([8, 3]))
    assert values.tolist() == pytest.approx([math.asin(math.sqrt(2.375 / 8.75)), math.asin(math.sqrt(0.375 / 3.75))])
    assert spreads.tolist() == pytest.approx([0.5 / math.sqrt(8.5), 0.5 / math.sqrt(3.5)])
    # Ten of forty nuclei; the wells have ten and thirty.
    p = 10.375 / 40.75
    floor = fraction_floor(np.array([0.1, np.nan, 0.3, 0.9]), np.array([10, 50, 30, 0]))
    assert floor == pytest.approx(math.sqrt(p * (1 - p) / 20))
    assert fraction_floor(np.array([np.nan]), np.array([0])) == 0


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 9, 12, 20])
def test_robust_sd_of_few_values_is_not_too_small(n: int) -> None:
    drawn = np.random.default_rng(n).normal(0, 1, (8_000, n))
    assert np.mean([robust_sd(row) for row in drawn]) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("controls", [6, 7, 8, 11, 16, 40, 200])
def test_wells_without_an_effect_are_hits_as_often_as_is_said(controls: int) -> None:
    rng = np.random.default_rng(controls)
    limit, found = hit_limit(controls), 0
    for _ in range(1500):
        found += int((np.abs(robust_z(rng.normal(5, 2, 80), rng.normal(5, 2, controls))) >= limit).sum())
    assert 0.0016 < found / (1500 * 80) < 0.0038
    assert math.isinf(hit_limit(5))


@pytest.mark.parametrize("share", [0.0, 0.005, 0.02, 0.2])
def test_shares_without_an_effect_are_seldom_hits_and_large_ones_always(share: float) -> None:
    rng = np.random.default_rng(7)
    counts, found = np.full(97, 200), 0
    for _ in range(300):
        values, floors = stabilised(
            np.append(rng.binomial(200, share, 96) / 200, share + (0.12 if share < 0.1 else 0.3)), counts
        )
        z = robust_z(values, values[:16], floors=floors)
        assert z[-1] > 3
        found += int((np.abs(z[16:-1]) >= hit_limit(16)).sum())
    assert found / (300 * 80) < 0.0033


@pytest.mark.parametrize(("nuclei", "controls"), [(3, 32), (5, 32), (5, 128), (30, 16)])
def test_counts_without_an_effect_are_seldom_hits(nuclei: int, controls: int) -> None:
    rng = np.random.default_rng(nuclei)
    found, fields = 0, np.full(controls + 80, 2)
    for _ in range(400):
        values, floors = stabilised_counts(rng.poisson(nuclei, controls + 80) / 2, fields)
        z = robust_z(values, values[:controls], floors=floors)
        found += int((np.abs(z[controls:]) >= hit_limit(controls)).sum())
    assert found / (400 * 80) < 0.0038


@pytest.mark.parametrize(("controls", "nuclei", "between"), [(64, 8, 0.4), (128, 8, 0.4), (128, 20, 0.2)])
def test_wells_of_few_nuclei_are_hits_no_more_often_than_is_said(controls: int, nuclei: int, between: float) -> None:
    rng = np.random.default_rng(controls)
    own, floor, found = np.full(controls, 1.2533 / math.sqrt(100)), 1.2533 / math.sqrt(nuclei), 0
    for _ in range(600):
        of_controls = rng.normal(0, np.hypot(between, own))
        z = robust_z(rng.normal(0, math.hypot(between, floor), 80), of_controls, floors=floor, own=own)
        found += int((np.abs(z) >= hit_limit(controls)).sum())
    assert found / (600 * 80) < 0.0027


def test_robust_z_without_spread_or_controls_is_not_known() -> None:
    assert np.isnan(robust_z([1, 2], [5, 5, 5])).all()
    assert np.isnan(robust_z([1, 2], [5])).all()
    assert np.isnan(robust_z([1, 2], [])).all()
    assert math.isnan(robust_sd([]))


@given(NUMBERS)
def test_robust_sd_is_scipys(values: list[float]) -> None:
    n = len(values)
    factor = {3: 1.495, 4: 1.363, 5: 1.206, 6: 1.2, 7: 1.14, 8: 1.129, 9: 1.107}.get(n, n / (n - 0.8))
    expected = factor * 1.4826 * stats.median_abs_deviation(values)
    assert robust_sd(values) == pytest.approx(expected)


def test_separation_by_hand() -> None:
    # Means 10 and 2, standard deviations 1 and 2; Z' = 1 - 3 (1 + 2) / 8, SSMD = 8 / sqrt(5).
    found = separation([9, 10, 11], [0, 2, 4])
    assert (found.z_prime, found.ssmd) == pytest.approx((1 - 9 / 8, 8 / math.sqrt(5)))
    # Medians 10 and 2, median distances 1 and 2, each times 1.4826, and 1.495 for three values.
    assert found.robust_z_prime == pytest.approx(1 - 3 * 1.495 * 1.4826 * 3 / 8)
    assert found.robust_ssmd == pytest.approx(8 / (1.495 * 1.4826 * math.sqrt(5)))
    held = separation([0.6, 0.6], [0, 0], floors=(0.03, 0.04))
    assert (held.z_prime, held.robust_ssmd) == pytest.approx((1 - 3 * 0.07 / 0.6, 0.6 / 0.05))
    assert (found.positives, found.negatives) == (3, 3)


def test_separation_has_the_sign_of_the_effect_and_leaves_out_nan() -> None:
    assert separation([0, 2, 4, np.nan], [9, 10, 11]).ssmd == pytest.approx(-8 / math.sqrt(5))
    assert separation([0, 2, 4, np.nan], [9, 10, 11]).positives == 3


def test_one_outlier_spoils_the_plain_forms_only() -> None:
    rng = np.random.default_rng(1)
    positives, negatives = rng.normal(20, 1, 16), np.append(rng.normal(100, 3, 16), 900)
    found = separation(positives, negatives)
    assert found.z_prime < -1
    assert found.robust_z_prime > 0.5


def test_separation_without_enough_wells_or_spread() -> None:
    assert math.isnan(separation([1], [1, 2]).z_prime)
    same = separation([1, 1], [1, 1])
    assert math.isnan(same.ssmd)
    assert math.isnan(same.z_prime)
    apart = separation([5, 5], [1, 1])
    assert np.isnan([apart.z_prime, apart.robust_z_prime, apart.ssmd, apart.robust_ssmd]).all()
    # Half of the wells and more are alike: the plain forms are known, the robust ones are not.
    mostly = separation([5, 5, 5, 6], [1, 1, 1, 1])
    assert np.isfinite([mostly.z_prime, mostly.ssmd]).all()
    assert np.isnan([mostly.robust_z_prime, mostly.robust_ssmd]).all()


def test_edge_effect_by_hand() -> None:
    values = [12, 13, 14, 10, 10, 11, 9]
    found = edge_effect(values, [True] * 3 + [False] * 4)
    assert (found.difference, found.relative, found.rim, found.inside) == (3, 0.3, 3, 4)
    # All three outside over all four inside: one of 35 ways on each side; the tied pair makes scipy approximate.
    assert found.p == stats.mannwhitneyu(values[:3], values[3:]).pvalue
    assert edge_effect([12, 13, 14, 8, 9, 10, 11], [True] * 3 + [False] * 4).p == pytest.approx(2 / 35)


def test_edge_effect_needs_three_wells_on_each_side() -> None:
    found = edge_effect([1, 2, 3, np.nan, 5], [True, True, False, True, False])
    assert (found.rim, found.inside) == (2, 2)
    assert math.isnan(found.p)
    for outside in (2, 4):
        assert math.isnan(edge_effect(range(6), [True] * outside + [False] * (6 - outside)).difference)


def test_an_edge_effect_on_nothing_has_no_share() -> None:
    found = edge_effect([3, 3, 3, 0, 0, 0], [True] * 3 + [False] * 3)
    assert found.difference == 3
    assert math.isnan(found.relative)
