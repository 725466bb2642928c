"""A drawn plate does what it says it does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from tests.tables import rows_of

from nucleate.core.wells import well_place
from nucleate.data.plates import DrawnPlate, Effect, draw_field, plan_wells, whole_areas, write_plate
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def test_an_effect_by_hand() -> None:
    # At three times the IC50 with hill 1 a quarter of the way is left.
    assert Effect(2.0, 1.0, 0.2).left(6.0) == pytest.approx(0.2 + 0.8 / 4)
    assert Effect(2.0, 1.0, 0.2).left(0.0) == 1


def test_the_layout_has_controls_on_both_sides() -> None:
    wells = plan_wells(DrawnPlate(rows=4, columns=12, doses=8))
    roles = {(well.row, well.column): well.role for well in wells}
    assert [roles[row, 0] for row in range(4)] == ["negative", "positive"] * 2
    assert [roles[row, 11] for row in range(4)] == ["positive", "negative"] * 2
    assert [sum(well.role == role for well in wells) for role in ("sample", "positive", "negative")] == [32, 4, 12]
    doses = sorted({well.dose for well in wells if well.role == "sample"})
    assert np.diff(np.log10(doses)) == pytest.approx(np.full(7, 0.5), abs=2e-3)
    assert np.mean(np.log10(doses)) == pytest.approx(np.log10(0.5) / 2, abs=1e-3)


def test_rows_from_the_27th_on_have_two_letters() -> None:
    names = [well.name for well in plan_wells(DrawnPlate(rows=32, columns=48))]
    assert [names[48 * row] for row in (0, 25, 26, 31)] == ["A01", "Z01", "AA01", "AF01"]
    assert [well_place(name) for name in names] == [(row, column) for row in range(32) for column in range(48)]


def test_the_effect_is_in_the_truth() -> None:
    plate = DrawnPlate(nuclei=20.0)
    found = {}
    for dose in (0.0, 1e6):
        drawn = [draw_field(plate, dose, rng=np.random.default_rng([7, number])) for number in range(24)]
        areas = np.concatenate([np.bincount(labels.ravel())[1:] for _, labels in drawn])
        light = np.median([image[labels > 0].mean() for image, labels in drawn])
        found[dose] = (areas.size / 24, float(np.median(areas)), float(light))
    assert found[0.0][0] == pytest.approx(20, rel=0.15)
    assert found[1e6][0] == pytest.approx(4, rel=0.35)
    assert found[1e6][1] / found[0.0][1] == pytest.approx(0.45, rel=0.15)
    assert found[1e6][2] > 1.5 * found[0.0][2]


def test_nuclei_that_an_edge_cuts_are_not_measured() -> None:
    labels = np.zeros((6, 8), np.int32)
    labels[0, 2], labels[3, 0], labels[5, 5], labels[1:3, 7] = 1, 2, 3, 4
    labels[1, 1], labels[2:5, 2:5] = 5, 6
    assert whole_areas(labels).tolist() == [1, 9]
    assert whole_areas(np.zeros_like(labels)).tolist() == []


def test_a_plate_is_written_and_the_same_again(tmp_path: Path) -> None:
    plate = DrawnPlate(rows=2, columns=4, fields=1, size=64, nuclei=3, doses=2)
    truth = write_plate(tmp_path / "a", plate, seed=3)
    assert write_plate(tmp_path / "b", plate, seed=3) == truth
    names = sorted(path.name for path in (tmp_path / "a" / "plate").iterdir())
    assert (len(names), names[0]) == (8, "A01_1_DAPI.tif")
    for name in names:
        first, second = (tifffile.imread(tmp_path / folder / "plate" / name) for folder in "ab")
        np.testing.assert_array_equal(first, second)
    rows = rows_of(tmp_path / "a" / "map.csv")
    assert [row["role"] for row in rows[:4]] == ["negative", "sample", "sample", "positive"]
    assert json.loads((tmp_path / "a" / "truth.json").read_text(encoding="utf-8"))["wells"] == truth


def test_a_plate_without_room_is_refused() -> None:
    with pytest.raises(UsageError, match="two columns more than doses"):
        DrawnPlate(columns=9, doses=8)
