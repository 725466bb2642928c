"""What the page of a plate says about the nuclei that its measures are over."""

from __future__ import annotations

import numpy as np
import pytest
from tests.screen.plates import names_of, nuclei_of, tables_of

from nucleate.report.plate_page import plate_page
from nucleate.screen.analysis import analyse
from nucleate.screen.platemap import Content

pytestmark = pytest.mark.base

CONTROLS = [f"A{column:02d}" for column in range(1, 13)]


def _page(*, controls: int) -> str:
    """Lay out twelve controls of so many nuclei and a bright well of 40, 5 of them whole."""
    counts = dict.fromkeys(CONTROLS, controls) | {"B01": 40}
    names = names_of(counts)
    rng = np.random.default_rng(1)
    middles = {"area_px": 100, "mean_intensity": 110, "std_intensity": 20, "mean_intensity_EdU": 50}
    drawn = {name: rng.normal(middle, middle / 20, len(names)) for name, middle in middles.items()}
    drawn["mean_intensity_EdU"][-40:] += 100
    nuclei = nuclei_of(names, **drawn, touches_border=[0.0] * (len(names) - 35) + [1.0] * 35)
    contents = {well: Content(well, role="negative") for well in CONTROLS} | {"B01": Content("B01", "X", 1.0)}
    return plate_page(analyse(tables_of(nuclei, counts, contents=contents, markers=["EdU"])), title="x")


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
