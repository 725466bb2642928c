"""What the page of a plate says about the nuclei that its measures are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate.report.plate_page import plate_page
from nucleate.screen.analysis import analyse
from nucleate.screen.platemap import Content
from nucleate.screen.tables import FieldRow, build_tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.base

CONTROLS = [f"A{column:02d}" for column in range(1, 13)]


def _page(*, controls: int) -> str:
    """Lay out twelve controls of so many nuclei and a bright well of 40, 5 of them whole."""
    counts = dict.fromkeys(CONTROLS, controls) | {"B01": 40}
    names = [well for well, count in counts.items() for _ in range(count)]
    rng = np.random.default_rng(1)
    nuclei: dict[str, NDArray[Any]] = {
        name: rng.normal(middle, middle / 20, len(names))
        for name, middle in {
            "area_px": 100, "eccentricity": 0.4, "solidity": 0.9, "confidence": 0.9, "mean_intensity": 110,
            "min_intensity": 10, "std_intensity": 20, "integrated_intensity": 1e4, "mean_intensity_EdU": 50,
        }.items()
    }  # fmt: skip
    nuclei["mean_intensity_EdU"][-40:] += 100
    nuclei["touches_border"] = np.array([0.0] * (len(names) - 35) + [1.0] * 35)
    nuclei |= {"area_um2": np.full(len(names), np.nan), "image": np.array(names, dtype=object)}
    contents = {well: Content(well, role="negative") for well in CONTROLS} | {"B01": Content("B01", "X", 1.0)}
    fields = [FieldRow(well, well, 1) for well in counts]
    return plate_page(analyse(build_tables(nuclei, fields, contents=contents, markers=["EdU"])), title="x")


def test_a_hit_shows_the_nuclei_that_its_measures_are_over() -> None:
    page = _page(controls=40)
    hits = page[page.index("<h2>Hits</h2>") : page.index("<h2>Rules</h2>")]
    assert "Nuclei positive for EdU (share) +" in hits
    assert '<td class="num">40</td><td class="num">5</td>' in hits
    assert (
        "A median or share of fewer than 6 nuclei is not judged. Nuclei that the edge of a field cuts do not count "
        "for: Median nuclear area (px), Condensed nuclei (share), Mitotic-looking nuclei (share)."
    ) in hits
    assert "Positive for EdU: mean intensity in that channel over" in page


def test_positive_nuclei_are_not_judged_by_a_handful() -> None:
    assert "Positive for EdU: not judged, with under 20 nuclei of the negative controls in that channel." in _page(
        controls=1
    )
