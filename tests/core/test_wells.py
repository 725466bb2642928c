"""Names of wells and sizes of plates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.core.wells import plate_shape, well_at, well_name, well_place
from nucleate.errors import DataError, UsageError

pytestmark = pytest.mark.base


@given(st.integers(0, 701), st.integers(0, 98))
def test_wells_there_and_back(row: int, column: int) -> None:
    assert well_place(well_at(row, column)) == (row, column)


@pytest.mark.parametrize(
    ("written", "meant"), [("a1", "A01"), ("P24", "P24"), ("AF48", "AF48"), (" b-003", "B03"), ("z09", "Z09")]
)
def test_wells_are_written_one_way(written: str, meant: str) -> None:
    assert well_name(written) == meant


@pytest.mark.parametrize("written", ["", "A", "A0", "1A", "ABC1", "A1B", "A1234"])
def test_what_is_no_well(written: str) -> None:
    with pytest.raises(DataError, match="is no well"):
        well_place(written)


def test_plates_are_of_the_usual_sizes() -> None:
    assert plate_shape(["A01", "H12"]) == (8, 12)
    assert plate_shape(["A01", "H13"]) == (16, 24)
    assert plate_shape(["Q01"]) == (32, 48)
    assert plate_shape(["A60"]) == (1, 60)
    of_24 = [well_at(row, column) for row in range(4) for column in range(6)]
    assert plate_shape(of_24) == (4, 6)
    assert plate_shape(of_24[1:]) == (8, 12)
    assert plate_shape(of_24[1:], 24) == (4, 6)
    assert plate_shape([], 6) == (2, 3)
    assert plate_shape([]) == (8, 12)
    made = {12: (3, 4), 24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}
    assert {count: plate_shape(["C04"], count) for count in made} == made
    with pytest.raises(UsageError, match="choose one of 6, 12, 24, 48, 96, 384, 1536"):
        plate_shape(["A01"], 100)
    for well in ("D04", "C05"):
        with pytest.raises(UsageError, match=f"has no well {well}"):
            plate_shape([well], 12)
