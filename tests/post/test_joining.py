"""Pieces that touch: what describes the seams between them, and which are joined."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage
from tests.joins import join_model

from nucleate.errors import UsageError
from nucleate.post.joining import FEATURES, JoinModel, Pieces, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def tiles(shape: tuple[int, int] = (40, 60), seed: int = 0) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Cut a plane into random pieces, some of them background; a smooth map beside it."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape, np.int32)
    seeds.ravel()[rng.choice(seeds.size, 40, replace=False)] = np.arange(1, 41)
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    labels = seeds[tuple(nearest)]
    labels[np.isin(labels, [3, 9, 17, 30])] = 0
    energy = ndimage.gaussian_filter(rng.random(shape), 2)
    return labels, ((energy - energy.min()) / np.ptp(energy)).astype(np.float32)


def column(pieces: Pieces, name: str, **more: float) -> NDArray[np.float64]:
    return pieces.described(**more)[:, FEATURES.index(name)]


def test_two_pieces_are_described_by_what_can_be_counted() -> None:
    labels = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 2, 0], [0, 1, 1, 2, 0], [0, 0, 0, 0, 3]], np.int32)
    energy = np.array([[0, 0, 0, 0, 0], [0, 0.9, 0.5, 0.6, 0], [0, 0.8, 0.4, 0.7, 0], [0, 0, 0, 0, 1]], np.float32)
    pieces = Pieces.of(labels, energy, mask_map=energy / np.float32(2))
    assert pieces.ids.tolist() == [1, 2]  # the third touches neither with an edge
    assert pieces.pairs.tolist() == [[0, 1]]
    assert np.exp(column(pieces, "log_area_larger")).round(6) == 4
    assert np.exp(column(pieces, "log_area_smaller")).round(6) == 2
    assert column(pieces, "passage") == pytest.approx(0.5)
    assert column(pieces, "depth") == pytest.approx(0.7 - 0.5)
    assert column(pieces, "seam_mask") == pytest.approx((0.5 + 0.4) / 2 / 2)
    assert np.exp(column(pieces, "log_contact")).round(6) == 2
    assert column(pieces, "contact_share") == pytest.approx(2 / np.sqrt(2))
    assert np.exp(column(pieces, "log_apart")) == pytest.approx(1.5)
    assert column(pieces, "ellipse_larger") == pytest.approx(3 / np.pi)  # a square has a twelfth of its area as moment


def test_halves_of_a_disc_gain_and_discs_side_by_side_lose() -> None:
    rows, cols = np.mgrid[:40, :80]
    disc = np.hypot(rows - 20, cols - 40) <= 15
    halves = np.where(disc, 1 + (cols > 40), 0).astype(np.int32)
    two = np.where(np.hypot(rows - 20, cols - 25) <= 15, 1, np.where(np.hypot(rows - 20, cols - 55) <= 15, 2, 0))
    flat = np.ones(disc.shape, np.float32)
    one, apart = (Pieces.of(labels.astype(np.int32), flat, mask_map=flat) for labels in (halves, two))
    assert column(one, "ellipse_gain") > 0.03
    assert column(apart, "ellipse_gain") < -0.05
    assert column(one, "ellipse_ratio") > 1 > column(apart, "ellipse_ratio")


def test_ellipses_are_those_of_the_covariance_of_squares() -> None:
    labels, energy = tiles()
    pieces = Pieces.of(labels, energy, mask_map=energy)
    filled = []
    for number in pieces.ids:
        place = np.argwhere(labels == number)
        spread = np.cov(place.T, bias=True) + np.eye(2) / 12  # a pixel is a square of its own
        filled.append(len(place) / (4 * np.pi * np.sqrt(np.linalg.det(spread))))
    sides = np.array(filled)[pieces.pairs]
    sizes = np.bincount(labels.ravel())[pieces.ids][pieces.pairs]
    larger = np.where(sizes[:, 0] < sizes[:, 1], sides[:, 1], sides[:, 0])
    np.testing.assert_allclose(column(pieces, "ellipse_larger"), larger, rtol=1e-9)
    np.testing.assert_allclose(column(pieces, "ellipse_smaller"), sides.sum(axis=1) - larger, rtol=1e-9)


def test_the_same_on_a_finer_grid_is_described_alike() -> None:
    labels, energy = tiles()
    finer = energy.repeat(3, axis=0).repeat(3, axis=1)
    fine = Pieces.of(labels.repeat(3, axis=0).repeat(3, axis=1), finer, mask_map=finer).described(grid=3.0)
    np.testing.assert_allclose(fine, Pieces.of(labels, energy, mask_map=energy).described(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_where_a_piece_lies_makes_no_difference_to_the_last_bit(seed: int) -> None:
    labels, energy = tiles(seed=seed)
    here = Pieces.of(labels, energy, mask_map=energy)
    renamed = np.where(labels > 0, 2 * labels + 7, 0).astype(np.int32)
    around = ((1003, 2), (777, 5))
    far, wide = np.pad(renamed, around), np.pad(energy, around)
    there = Pieces.of(far, wide, mask_map=wide)
    np.testing.assert_array_equal(there.described(), here.described())
    np.testing.assert_array_equal(there.ids, 2 * here.ids + 7)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_joined_is_described_as_if_it_had_been_one_piece_from_the_start(seed: int) -> None:
    labels, energy = tiles(seed=seed)
    pieces = Pieces.of(labels, energy, mask_map=energy)
    seams = np.array([0, len(pieces.pairs) - 1])
    kept, gone = pieces.ids[pieces.pairs[seams]].T
    assert len({*kept, *gone}) == 4
    together, place = pieces.joined(seams)
    merged = labels.copy()
    for one, other in zip(kept, gone, strict=True):
        merged[merged == other] = one
    fresh = Pieces.of(merged, energy, mask_map=energy)
    np.testing.assert_array_equal(together.ids, fresh.ids)
    np.testing.assert_array_equal(together.pairs, fresh.pairs)
    np.testing.assert_allclose(together.described(), fresh.described(), rtol=1e-6, atol=1e-9)
    assert (pieces.ids[place != np.arange(len(place))] > 0).any()
    assert together.ids[place[pieces.pairs[0]]].tolist() == [kept[0], kept[0]]


@pytest.mark.parametrize(("level", "left"), [(1.0, 36), (0.0, 1)])
def test_all_or_nothing_is_joined_at_the_ends_of_the_range(level: float, left: int) -> None:
    labels, energy = tiles()
    joined = join(labels, energy, mask_map=energy, model=join_model(), level=level)
    np.testing.assert_array_equal(joined > 0, labels > 0)
    regions = ndimage.label(labels > 0)[1]
    assert len(np.unique(joined)) - 1 == (left if level else regions)


def test_the_likeliest_are_joined_first_and_what_is_left_is_described_anew() -> None:
    # A row of three squares: the middle one fits both sides, but once it is taken the third is too far away.
    labels = np.repeat(np.array([[1, 2, 3]], np.int32), 8, axis=0).repeat(8, axis=1)
    energy = np.where(labels == 3, 0.5, 0.6).astype(np.float32)
    model = join_model(passage=20.0, log_apart=-10.0, bias=10.0 * np.log(9.0) - 20.0 * 0.49)
    joined = join(labels, energy, mask_map=energy, model=model, level=0.5)
    assert joined[0, ::8].tolist() == [1, 1, 3]


def test_on_a_finer_grid_the_same_is_joined() -> None:
    labels, energy = tiles()
    model = join_model(passage=3.0, log_apart=-1.0, log_area_smaller=0.2, log_contact=0.3, bias=-0.2)
    coarse = join(labels, energy, mask_map=energy, model=model, level=0.5)
    larger = labels.repeat(3, axis=0).repeat(3, axis=1), energy.repeat(3, axis=0).repeat(3, axis=1)
    fine = join(*larger, mask_map=larger[1], model=model.at_scale(3.0), level=0.5)
    assert 1 < len(np.unique(coarse)) < len(np.unique(labels))
    np.testing.assert_array_equal(fine[::3, ::3], coarse)


def test_planes_without_seams_stay_as_they_are() -> None:
    for labels in (np.zeros((5, 6), np.int32), np.diag([1, 2, 3]).astype(np.int32), np.zeros((0, 4), np.int32)):
        energy = np.zeros(labels.shape, np.float32)
        np.testing.assert_array_equal(join(labels, energy, mask_map=energy, model=join_model(), level=0.0), labels)


@pytest.mark.parametrize(
    "values",
    [
        {"mean": (0.0,)},
        {"spread": (0.0,) * len(FEATURES)},
        {"weights": (float("nan"),) * len(FEATURES)},
        {"grid": 0.0},
        {"bias": "much"},
        {"slope": 1.0},
    ],
)
def test_numbers_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="recipe: join"):
        JoinModel.from_dict({**vars(join_model()), **values})
    assert JoinModel.from_dict(vars(join_model(bias=2.0))) == replace(join_model(), bias=2.0)
