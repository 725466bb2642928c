"""Other channels of a plate: which nuclei are positive, and how wells without an effect come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.screen.plates import names_of, nuclei_of, tables_of

from nucleate.screen.analysis import analyse
from nucleate.screen.phenotypes import positive_threshold
from nucleate.screen.platemap import Content

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.screen.tables import Tables

pytestmark = pytest.mark.base


def _tables(marker: dict[str, NDArray[np.float64]], controls: int, **more: NDArray[Any]) -> Tables:
    """Make the tables of wells whose nuclei have these intensities in the channel EdU; the first are the controls."""
    bright = np.concatenate(list(marker.values()))
    names = names_of({well: len(values) for well, values in marker.items()})
    nuclei = nuclei_of(names, mean_intensity_EdU=bright, integrated_intensity_EdU=100 * bright, **more)
    contents = {
        well: Content(well, role="negative") if place < controls else Content(well, "X", 1.0)
        for place, well in enumerate(marker)
    }
    return tables_of(nuclei, marker, contents=contents, markers=["EdU"])


def test_positive_nuclei_by_hand() -> None:
    # The 95th percentile of 0 to 100 is 95: six of them are not over it but five are.
    wells = {"A01": np.arange(101.0), "B01": np.array([95.0] * 6 + [96.0] * 4 + [np.nan] * 10)}
    tables = _tables(wells, 1)
    assert tables.thresholds == {"EdU": 95.0}
    assert tables.wells["nuclei_EdU"].tolist() == [101, 10]
    assert tables.wells["nuclei"].tolist() == [101, 20]
    assert tables.wells["positive_fraction_EdU"].tolist() == [5 / 101, 0.4]
    assert tables.wells["median_intensity_EdU"].tolist() == [50, 95]
    assert np.isnan(tables.nuclei["positive_EdU"][-10:]).all()
    assert tables.features[-2:] == ("median_intensity_EdU", "positive_fraction_EdU")


def test_what_the_edge_cuts_has_a_mean_and_no_sum() -> None:
    cut = np.array([0.0] * 30 + [1.0] * 10)
    wells = {"A01": np.arange(30.0), "B01": np.arange(10.0)}
    found = _tables(wells, 1, touches_border=cut).wells
    assert found["median_intensity_EdU"][1] == 4.5
    assert np.isnan(found["median_integrated_intensity_EdU"][1])


def test_few_nuclei_say_nothing() -> None:
    few = _tables({"A01": np.arange(19.0), "B01": np.arange(90.0)}, 1)
    assert np.isnan(few.wells["positive_fraction_EdU"]).all()
    enough = _tables({"A01": np.arange(40.0), "B01": np.append(np.arange(5.0), [np.nan] * 9)}, 1)
    assert np.isnan(enough.wells["positive_fraction_EdU"][1])
    assert np.isnan(enough.wells["median_intensity_EdU"][1])
    assert np.isnan(positive_threshold(np.zeros(0)))


@pytest.mark.parametrize("between", [0.0, 0.1])
def test_wells_without_an_effect_are_hits_as_seldom_as_is_said(between: float) -> None:
    rng = np.random.default_rng(4)
    found, expected = 0, 0.0
    names = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
    for _ in range(20):
        middles = np.exp(rng.normal(0, between, len(names)))
        wells = {name: m * np.exp(rng.normal(0, 0.4, 80)) for name, m in zip(names, middles, strict=True)}
        screen = analyse(_tables(wells, 16))
        found += sum(int(screen.hits[f"{name}_EdU"].sum()) for name in ("median_intensity", "positive_fraction"))
        # Measures without any spread are not judged and not counted: those of a channel are.
        judged = sum(np.isfinite(z[16:]).any() for z in screen.z.values())
        assert screen.expected_by_chance == pytest.approx(0.0027 * 80 * judged)
        assert judged >= 2
        expected += 0.0027 * 80 * 2
    assert found < 2 * expected


def test_a_brighter_plate_gives_the_same_scores() -> None:
    rng = np.random.default_rng(5)
    wells = {f"A{n:02d}": np.exp(rng.normal(0, 0.4, 50)) for n in range(1, 13)} | {
        "B01": np.exp(rng.normal(1, 0.4, 50))
    }
    dim, bright = (
        analyse(_tables({name: light * one + 7 * light for name, one in wells.items()}, 12)) for light in (1, 30)
    )
    for name in ("median_intensity_EdU", "positive_fraction_EdU"):
        assert dim.hits[name][-1]
        np.testing.assert_allclose(dim.z[name], bright.z[name], rtol=1e-9)
