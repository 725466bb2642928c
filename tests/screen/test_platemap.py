"""What is in each well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from nucleate.errors import UsageError
from nucleate.screen.platemap import Content, read_map

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _map(folder: Path, text: str) -> Path:
    path = folder / "map.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_map_as_spreadsheets_write_it(tmp_path: Path) -> None:
    rows = [
        "Well;Compound;Concentration;Role;Note",
        "a1;;;DMSO;x",
        "A2;Taxol;0,5;;",
        "P24;Taxol;1e-3;pos control;",
    ]
    text = "\ufeff" + "\n".join([*rows, ";;;;", ""])
    found = read_map(_map(tmp_path, text))
    assert list(found) == ["A01", "A02", "P24"]
    assert found["A02"] == Content("A02", "Taxol", 0.5, "sample")
    assert (found["A01"].role, found["P24"].role, found["P24"].concentration) == ("negative", "positive", 0.001)
    assert math.isnan(found["A01"].concentration)


def test_wells_alone_are_enough_with_roles(tmp_path: Path) -> None:
    found = read_map(_map(tmp_path, "well\trole\nA1\tnegative\nA2\tempty\n"))
    assert [(content.compound, content.role) for content in found.values()] == [("", "negative"), ("", "empty")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column well"),
        ("a,b\n1,2\n", r"no column well in its first line \('a,b'\)"),
        ("well,role\nA1,negative\nA01,sample\n", "line 3: A01 is there twice"),
        ("well,role\nA1,negative\nX,sample\n", "line 3: 'X' is no well"),
        ("well,role\nA1,negative\nA2,best\n", "line 3: no role 'best'; use sample, negative, positive, empty"),
        ("well,role,concentration\nA1,negative,\nA2,,1 uM\n", "line 3: concentration '1 uM' is no number"),
        ("well,role,concentration\nA1,negative,-1\n", "line 2: concentration -1 cannot be"),
        ("well,role\nA1,sample\n", "no negative control"),
        ("well,role,concentration\nA1,negative,\nA2,,0,5\n", "line 3: more cells than the first line names"),
        ('well,role,concentration\nA1,negative,\nA2,,"1,000"\n', "line 3: concentration '1,000' can be two numbers"),
        ("well,role,concentration\nA1,negative,\nA2,,1_0\n", "line 3: concentration '1_0' is no number"),
        ("well,role,concentration\nA1,negative,\nA2,,nan\n", "line 3: concentration 'nan' is no number"),
        ("well,role\nA1,negative\nZ99,\n", "line 3: no plate has a well Z99"),
        ("well,role,role\nA1,negative,\n", "column role is there twice"),
        (
            "well,role,concetration\nA1,negative,\n",
            "no column concentration, got 'concetration'; call it concentration",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_map(_map(tmp_path, text))


@pytest.mark.parametrize("heading", ["Concentration (µM)", "concentration [uM]", "Dose", "conc", "conc_(nM)"])
def test_concentrations_under_other_headings_are_taken(tmp_path: Path, heading: str) -> None:
    found = read_map(_map(tmp_path, f"well,role,{heading}\nA1,negative,\nA2,,2.5\n"))
    assert found["A02"].concentration == 2.5


def test_files_that_are_no_maps(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_map(tmp_path / "no.csv")
    (tmp_path / "map.csv").write_bytes(b"\xff\xfe\x00well")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        read_map(tmp_path / "map.csv")


def test_commas_that_can_only_be_decimal_signs(tmp_path: Path) -> None:
    quoted = read_map(_map(tmp_path, 'well,role,concentration\nA1,negative,,\nA2,,"0,015",\n'))
    assert quoted["A02"].concentration == 0.015
    parted = read_map(_map(tmp_path, "well;role;concentration\nA1;negative;\nA2;;1,250\n"))
    assert parted["A02"].concentration == 1.25
