"""The real pair control / PLK1 inhibition: mitotic arrest is seen in one and not in the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.screen.otsu import OtsuSegmenter

from nucleate.api import load_segmenter
from nucleate.export.measurements import measure
from nucleate.io.images import read_image
from nucleate.screen.phenotypes import classify, reference_of

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.run.segmenter import Segmenter

pytestmark = [pytest.mark.base, pytest.mark.data]


def _screened(data: Path, segmenter: OtsuSegmenter | Segmenter) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """Count the nuclei of both fields and tell their phenotypes, each by the control's ordinary nucleus."""
    tables = {}
    for name in ("control", "inhibition"):
        image = read_image(data / "formats" / "tiff" / f"xy_8bit__nuclei_PLK1_{name}.tif")
        tables[name] = measure(segmenter.segment(image).labels, {"": image.pixels})
    reference = reference_of(tables["control"])
    counts = {name: len(table["label"]) for name, table in tables.items()}
    return counts, {name: classify(table, reference) for name, table in tables.items()}


@pytest.mark.parametrize(("blur", "factor"), [(2.0, 0.7), (3.0, 0.5), (4.0, 0.4)])
def test_arrested_cells_are_mitotic_looking(shared_data: Path, blur: float, factor: float) -> None:
    # Tight or generous outlines: the rules must not hang on one way of finding nuclei.
    segmenter = OtsuSegmenter(least=1000, blur=blur, factor=factor)
    counts, flags = _screened(shared_data, segmenter)
    assert int(flags["control"]["mitotic"].sum()) == 0
    assert int(flags["inhibition"]["mitotic"].sum()) == 4
    assert int(flags["control"]["condensed"].sum()) == 0
    assert 9 <= counts["inhibition"] <= 12


def test_the_shipped_model_shows_the_arrest(shared_data: Path, shipped_model: Path) -> None:
    assert shipped_model.is_file()
    # The nuclei are a hundred pixels across: the rule of scales has to see it.
    segmenter = load_segmenter(threads=1)
    counts, flags = _screened(shared_data, segmenter)
    assert int(flags["control"]["mitotic"].sum()) == 0
    assert int(flags["inhibition"]["mitotic"].sum()) == 4
    assert counts["inhibition"] == 10
