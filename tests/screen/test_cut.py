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
    # The smallest is 40, so up to 50 counts: 20 of 200 at dose 2, 8 of 200 without, and fewer than five do not tell.
    control = np.array([45.0] * 8 + [200.0] * 192)
    first, second = np.array([40.0] * 10 + [90.0] * 90), np.array([50.0] * 10 + [51.0] * 90)
    few, dying = np.array([40.0] * 4 + [90.0] * 4), np.array([45.0] * 6 + [90.0] * 4)
    doses = [math.nan, 2.0, 2.0, 1.0, 3.0]
    tables = _tables([control, first, second, few, dying], ["", "X", "X", "Y", "X"], doses)
    assert cut_off(tables) == [Cut("X 3", 0.6, 40.0), Cut("X 2", 0.1, 40.0)]
    warning = cut_warning(tables)
    assert warning.startswith("2 treatments may lack the smallest nuclei, as so many are hardly larger than the")
    assert "smallest found (40 px): X 3 (60%), X 2 (10%); counts" in warning


def test_wells_that_are_left_out_have_no_say() -> None:
    tables = _tables([np.array([10.0] * 9), np.array([40.0] * 12 + [90.0] * 228)], ["", "X"], [math.nan, 1.0])
    tables.wells["role"][0] = "empty"
    assert cut_off(tables) == [Cut("X 1", 0.05, 40.0)]


def test_drawn_sizes_with_and_without_a_cut() -> None:
    rng = np.random.default_rng(0)
    sizes = [np.exp(rng.normal(np.log(middle), 0.4, 400)) for middle in (150.0, 68.0)]
    assert cut_warning(_tables(sizes, ["", "X"], [math.nan, 1.0])) == ""
    kept = [one[one >= 40] for one in sizes]
    assert [cut.treatment for cut in cut_off(_tables(kept, ["", "X"], [math.nan, 1.0]))] == ["X 1"]


@pytest.mark.parametrize("spread", [0.2, 0.3, 0.4])
@pytest.mark.parametrize(("wells", "nuclei"), [(2, 25), (2, 100), (4, 45), (8, 100), (24, 25), (24, 100)])
def test_small_plates_without_a_cut_are_hardly_ever_told(spread: float, wells: int, nuclei: int) -> None:
    rng = np.random.default_rng(0)
    names, doses = ["", *(f"X{well}" for well in range(1, wells))], [math.nan] + [1.0] * (wells - 1)
    plates = np.rint(np.exp(rng.normal(np.log(300), spread, (100, wells, nuclei))))
    assert sum(bool(cut_off(_tables(list(plate), names, doses))) for plate in plates) <= 2


@pytest.mark.parametrize("spread", [0.2, 0.3, 0.4])
def test_a_few_hundred_nuclei_that_are_cut_are_told(spread: float) -> None:
    rng = np.random.default_rng(0)
    sizes = [np.rint(np.exp(rng.normal(np.log(40) + far, spread, 400))) for far in (0.8, spread)]
    found = cut_off(_tables([one[one >= 40] for one in sizes], ["", "X"], [math.nan, 1.0]))
    assert [cut.treatment for cut in found][:1] == ["X 1"]


def test_without_nuclei_nothing_is_said() -> None:
    assert cut_warning(_tables([np.zeros(0)], [""], [math.nan])) == ""
