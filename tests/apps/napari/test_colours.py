"""Colours of channels."""

from __future__ import annotations

import pytest

from nucleate.apps.napari.colours import colormaps_of

pytestmark = pytest.mark.base


@pytest.mark.parametrize(
    ("names", "count", "expected"),
    [
        (("DAPI",), 1, ["blue"]),
        (("Hoechst 33342", "EGFP", "mCherry", "Cy5"), 4, ["blue", "green", "red", "magenta"]),
        (("Alexa Fluor 488", "Alexa Fluor 647", "405"), 3, ["green", "magenta", "blue"]),
        (("far-red", "brightfield"), 2, ["magenta", "gray"]),
        (("TagRFP", "tubulin"), 2, ["red", "green"]),
        ((), 3, ["green", "magenta", "cyan"]),
        ((), 1, ["gray"]),
        (("signal",), 1, ["gray"]),
        (("Red", "Green", "Blue"), 3, ["red", "green", "blue"]),
        (("Cyan", "Magenta", "Yellow"), 3, ["cyan", "magenta", "yellow"]),
        (("Infrared 750", "Red"), 2, ["magenta", "red"]),
    ],
)
def test_colormaps(names: tuple[str, ...], count: int, expected: list[str]) -> None:
    assert colormaps_of(names, count) == expected


def test_many_channels_without_names_end_in_grey() -> None:
    found = colormaps_of((), 9)
    assert len(set(found[:6])) == 6
    assert found[6:] == ["gray"] * 3
