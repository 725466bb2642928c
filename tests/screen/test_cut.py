"""Whether the least area cuts into the nuclei of a treatment: found where it does, quiet where it does not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nucleate.screen.cut import Cut, cut_off, cut_warning
from nucleate.screen.phenotypes import Reference
from nucleate.screen.tables import Tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def _tables(areas: list[NDArray[np.float64]], compounds: list[str], doses: list[float]) -> Tables:
    """Make the tables of wells with these areas, as far as they are looked at."""
    wells = {
        "well": np.array([f"A{n + 1:02d}" for n in range(len(areas))], dtype=object),
        "compound": np.array(compounds, dtype=object),
        "concentration": np.array(doses),
        "role": np.array(["sample" if compound else "negative" for compound in compounds], dtype=object),
    }
    owner = np.repeat(np.arange(len(areas)), [len(one) for one in areas])
    nuclei = {"area_px": np.concatenate(areas), "well_index": owner}
    return Tables(nuclei, {}, wells, Reference(0, *[math.nan] * 5))


def test_shares_by_hand() -> None:
    # The smallest is 40, so up to 50 counts: 10 of 100 at dose 2, 4 of 100 without, and fewer than five do not tell.
    control = np.array([45.0] * 4 + [200.0] * 96)
    first, second = np.array([40.0] * 3 + [90.0] * 47), np.array([50.0] * 7 + [51.0] * 43)
    few, dying = np.array([40.0] * 4 + [90.0] * 4), np.array([45.0] * 6 + [90.0] * 4)
    doses = [math.nan, 2.0, 2.0, 1.0, 3.0]
    tables = _tables([control, first, second, few, dying], ["", "X", "X", "Y", "X"], doses)
    assert cut_off(tables) == [Cut("X 3", 0.6, 40.0), Cut("X 2", 0.1, 40.0)]
    warning = cut_warning(tables)
    assert warning.startswith("2 treatments may lack the smallest nuclei, as so many are hardly larger than the")
    assert "smallest found (40 px): X 3 (60%), X 2 (10%); counts" in warning


def test_wells_that_are_left_out_have_no_say() -> None:
    tables = _tables([np.array([10.0] * 9), np.array([40.0] * 5 + [90.0] * 95)], ["", "X"], [math.nan, 1.0])
    tables.wells["role"][0] = "empty"
    assert cut_off(tables) == [Cut("X 1", 0.05, 40.0)]


def test_drawn_sizes_with_and_without_a_cut() -> None:
    rng = np.random.default_rng(0)
    sizes = [np.exp(rng.normal(np.log(middle), 0.4, 400)) for middle in (150.0, 68.0)]
    assert cut_warning(_tables(sizes, ["", "X"], [math.nan, 1.0])) == ""
    kept = [one[one >= 40] for one in sizes]
    assert [cut.treatment for cut in cut_off(_tables(kept, ["", "X"], [math.nan, 1.0]))] == ["X 1"]


def test_without_nuclei_nothing_is_said() -> None:
    assert cut_warning(_tables([np.zeros(0)], [""], [math.nan])) == ""
