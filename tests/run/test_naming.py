"""Names of results: distinct, and the same again in a later run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nucleate.run.inputs import Source
from nucleate.run.naming import unique_names
from nucleate.run.outputs import check_name

pytestmark = pytest.mark.base


def test_one_stem_gives_distinct_names_that_stay() -> None:
    first = [Source(Path("a/x.png")), Source(Path("b/x.png")), Source(Path("b/X.tif")), Source(Path("x-2.png"))]
    names = unique_names(first)
    assert list(names.values()) == ["x", "x-2", "X-3", "x-2-2"]
    again = unique_names([Source(Path("0/x.png")), *reversed(first)], names)
    assert {key: again[key] for key in names} == names
    assert again[Source(Path("0/x.png")).key] == "x-4"


def test_many_of_one_stem_are_not_counted_anew_each(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[str] = []

    def noted(name: str) -> str:
        folded.append(name)
        return name.casefold()

    monkeypatch.setattr("nucleate.core.files._folded", noted)
    names = unique_names(Source(Path(f"w{number}/dapi.tif")) for number in range(500))
    assert list(names.values())[-2:] == ["dapi-499", "dapi-500"]
    assert len(folded) < 10 * len(names)


def test_accents_written_two_ways_are_one_name() -> None:
    names = unique_names([Source(Path("a/z\u00fcge.png")), Source(Path("b/zu\u0308ge.png"))])
    assert list(names.values()) == ["z\u00fcge", "zu\u0308ge-2"]


@pytest.mark.parametrize("stem", [".writing-a", ".", "..", ".hidden", "a\\b", "a"])
def test_every_name_is_one_under_which_results_can_be_written(stem: str) -> None:
    names = list(unique_names([Source(Path("a.png")), Source(Path("b.zip"), "b.png", name=stem)]).values())
    check_name(names[1])
    assert names[0] == "a" != names[1]


def test_long_names_leave_room_for_endings() -> None:
    first, second = unique_names([Source(Path("n" * 250 + ".png")), Source(Path("n" * 249 + "m.png"))]).values()
    assert first != second
    assert len(os.fsencode(f"{second}.overlay.png")) <= 255


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "X", "x-2", "x-2-2", "y"])), max_size=12))
def test_names_are_distinct_and_pinned(paths: list[tuple[str, str]]) -> None:
    sources = [Source(Path(folder) / f"{stem}.png") for folder, stem in paths]
    names = unique_names(sources)
    assert len({name.casefold() for name in names.values()}) == len({source.key for source in sources})
    half = unique_names(sources[: len(sources) // 2])
    assert unique_names(sources, half).items() >= half.items()
