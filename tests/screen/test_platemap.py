"""What is in each well."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from nucleate.errors import UsageError
from nucleate.screen.platemap import Content, read_map
from nucleate.screen.units import unit_name

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
    found = read_map(_map(tmp_path, text)).contents
    assert list(found) == ["A01", "A02", "P24"]
    assert found["A02"] == Content("A02", "Taxol", 0.5, "sample")
    assert (found["A01"].role, found["P24"].role, found["P24"].concentration) == ("negative", "positive", 0.001)
    assert math.isnan(found["A01"].concentration)


def test_wells_alone_are_enough_with_roles(tmp_path: Path) -> None:
    found = read_map(_map(tmp_path, "well\trole\nA1\tnegative\nA2\tempty\n")).contents
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
        ("well;role;dose\nA1;negative;\nA2;;0,5\nA3;;1.500\n", "line 4: .* two numbers; write 1500 or 1,500"),
        ("well,role,concentration\nA1,negative,\nA2,,1_0\n", "line 3: concentration '1_0' is no number"),
        ("well,role,compound\nA1,control,\nA2,Control,X\n", "line 3: role control with X: write negative, positive or"),
        ("well,role,dose\nA1,control,0\nA2,control,5\n", "line 3: role control with dose 5: write negative, "),
        ("well,role,concentration\nA1,negative,\nA2,,nan\n", "line 3: concentration 'nan' is no number"),
        ("well,role\nA1,negative\nZ99,\n", "line 3: no plate has a well Z99"),
        ("well,role,role\nA1,negative,\n", "column role is there twice"),
        ("well,role,drug,treatment\nA1,negative,,\n", "column compound is there twice: 'drug' and 'treatment'; keep"),
        ('well,role,note\nA1,negative,"x" y\nA2,,"z\nA3,,\n', "no table: a quote is open"),
        ("well,role,log concentration\nA1,negative,\n", "no column concentration, got 'log concentration'"),
        ("well,role,conc (log M)\nA1,negative,\nA2,,6\n", "concentrations are logarithms"),
        ("well,role,dose,note\nA1,negative,0,\nA2,,0,5,\n", "line 3: concentration 0,5 can be one number"),
        ('well,role,note\nA1,negative,"x\n', "no table: unexpected end of data; check its quotes"),
        ("well,type,treatment\nA1,negative,\n", "no negative control \\(passed over: type\\)"),
        ("well,role,dose,unit\nA1,negative,0,\nA2,,1,nM\nA3,,2,\n", "A03 has a concentration and no unit"),
        ("well,role,dose,unit\nA1,negative,0,\nA2,,1,nM\nA3,,2,mg/l\n", "A03 is in mg/l, others in nM"),
        (
            "well,role,concetration\nA1,negative,\n",
            "no column concentration, got 'concetration'; call it concentration",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_map(_map(tmp_path, text))


@pytest.mark.parametrize(
    "heading", ["Concentration (µM)", "dose_uM", "Conc uM", "Conc.", "Final conc (uM)", "Dose", "conc", "conc_(nM)"]
)
def test_concentrations_under_other_headings_are_taken(tmp_path: Path, heading: str) -> None:
    found = read_map(_map(tmp_path, f"well,role,{heading}\nA1,negative,\nA2,,2.5\n")).contents
    assert found["A02"].concentration == 2.5


def test_files_that_are_no_maps(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_map(tmp_path / "no.csv")
    (tmp_path / "map.csv").write_bytes(b"\xff\xfe\x00well")
    with pytest.raises(UsageError, match="not text in UTF-8, UTF-16 or"):
        read_map(tmp_path / "map.csv")
    for address in ("http://host/map.csv", Path("s3://bucket/map.csv")):
        with pytest.raises(UsageError, match=r"map\.csv: an address; .*: copy it here and name the copy"):
            read_map(address)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="shells give no pipes here")
def test_a_pipe_of_the_shell_is_read_and_one_in_a_folder_is_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "map.csv")
    with pytest.raises(UsageError, match="cannot be read: not a regular file; give a CSV"):
        read_map(tmp_path / "map.csv")
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        stream.write("well,compound,role\nA01,DMSO,negative\n")
    assert list(read_map(f"/dev/fd/{reading}").contents) == ["A01"]
    os.close(reading)


def test_commas_that_can_only_be_decimal_signs(tmp_path: Path) -> None:
    quoted = read_map(_map(tmp_path, 'well,role,concentration\nA1,negative,,\nA2,,"0,015",\n')).contents
    assert quoted["A02"].concentration == 0.015
    parted = read_map(_map(tmp_path, "well;role;concentration\nA1;negative;\nA2;;1,250\n")).contents
    assert parted["A02"].concentration == 1.25


@pytest.mark.parametrize(
    "text",
    [
        "well;role;dose\nA1;negative;\nA2;;3.333\nA3;;0.370\n",
        'well,role,dose\nA1,negative,\nA2,,"3,333"\nA3,,"0,370"\n',
    ],
)
def test_another_number_tells_which_sign_stands_before_decimals(tmp_path: Path, text: str) -> None:
    found = read_map(_map(tmp_path, text)).contents
    assert [found[well].concentration for well in ("A02", "A03")] == [3.333, 0.37]


@pytest.mark.parametrize("heading", ["Treatment", "Drug", "Cpd", "Compound Name", "compound_id"])
def test_compounds_under_other_headings_are_taken(tmp_path: Path, heading: str) -> None:
    found = read_map(_map(tmp_path, f"Well ID,Role,{heading}\nA1,negative,\nA2,,X\n")).contents
    assert found["A02"].compound == "X"


def test_what_is_passed_over_or_missing_is_told(tmp_path: Path) -> None:
    found = read_map(_map(tmp_path, "well,role,batch\nA1,negative,7\nA2,,7\n"))
    assert found.remarks == (
        "columns of the map that are passed over: batch",
        "the map has no column compound: no doses and no curves",
        "the map has no column concentration: no curves",
    )
    both = read_map(_map(tmp_path, "well,role,compound,treatment,dose\nA1,negative,,24 h,\nA2,,Y,24 h,1\nA3,,y,,1\n"))
    assert both.contents["A02"].compound == "Y"
    assert both.remarks == (
        "columns of the map that are passed over: treatment",
        "taken for different compounds, as capitals differ: Y, y",
    )


def test_other_words_for_roles_are_told(tmp_path: Path) -> None:
    text = "well,compound,dose,role\nA1,DMSO,0.1,control\nA2,-,0,Control\nA3,X,1,Negative\nA4,Y,1,pos\nA5,Z,1,\n"
    found = read_map(_map(tmp_path, text))
    assert [content.role for content in found.contents.values()] == [*["negative"] * 3, "positive", "sample"]
    assert found.remarks == ("role control is taken for negative", "role pos is taken for positive")


def test_control_is_negative_without_a_dose_or_with_a_solvent_alone(tmp_path: Path) -> None:
    text = "well,compound,dose,role\nA1,X,0,control\nA2,DMSO 0.1%,0,control\nA3,0.1% DMSO,,control\nA4,none,0,control\n"
    text += "A5,empty vector,0,control\nA6,DMSO blank,0,control\n"
    assert {content.role for content in read_map(_map(tmp_path, text)).contents.values()} == {"negative"}
    wrong = [(one, "") for one in ("X in DMSO", "positive control", "17")] + [("Pos. control", "0"), ("blank", "0")]
    for compound, dose in wrong:
        with pytest.raises(UsageError, match=f"role control with {compound}: write negative, positive or empty"):
            read_map(_map(tmp_path, f"well,compound,dose,role\nA1,{compound},{dose},control\nA2,,,negative\n"))


def test_units_of_a_column_become_one(tmp_path: Path) -> None:
    path = _map(tmp_path, "well,compound,dose,unit,role\nA1,,0,,negative\nA2,x,100,nM,\nA3,x,1,uM,\nA4,x,3,nmol/l,\n")
    found = read_map(path)
    assert ([found.contents[well].concentration for well in ("A02", "A03", "A04")], found.unit) == (
        [100, 1000, 3],
        "nM",
    )
    wanted = read_map(path, unit="µM")
    assert [wanted.contents[well].concentration for well in ("A01", "A02", "A03")] == [0, 0.1, 1]
    assert wanted.unit == "µM"


@pytest.mark.parametrize("columns", ["dose (nM)\nA1,negative,0\nA2,,5\n", "dose,unit\nA1,negative,0,\nA2,,5,nM\n"])
def test_a_unit_of_the_map_is_taken_and_no_other(tmp_path: Path, columns: str) -> None:
    path = _map(tmp_path, f"well,role,{columns}")
    assert (read_map(path).unit, read_map(path, unit="nmol/L").unit) == ("nM", "nmol/L")
    with pytest.raises(UsageError, match="the map says nM, --unit uM; leave --unit out"):
        read_map(path, unit="uM")


@pytest.mark.parametrize(
    "data",
    [
        "well,compound,dose (µM),role\nA1,,NA,negative\nA2,x,0.5,\n".encode("cp1252"),
        "well\tcompound\tdose (µM)\trole\nA1\t\t-\tnegative\nA2\tx\t0,5\t\n".encode("utf-16"),
        "sep=;\r\n;;;\r\nwell;compound;dose (µM);role\r\nA1;;;negative\r\nA2;x;0,5;\r\n".encode(),
        b'\nwell,compound,dose (uM),role\nA1,"DMSO\n0.1 %",n/a,negative\nA2, x\xc2\xa0,.5,\n',
    ],
)
def test_tables_of_every_spreadsheet(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "map.csv").write_bytes(data)
    found = read_map(tmp_path / "map.csv")
    assert (found.contents["A02"], found.unit) == (Content("A02", "x", 0.5), "µM")
    assert math.isnan(found.contents["A01"].concentration)


def test_whole_numbers_behind_a_concentration_are_no_decimals(tmp_path: Path) -> None:
    text = "well,compound,concentration,replicate,role\nA1,,,,negative\nA2,X,10,1,sample\n"
    found = read_map(_map(tmp_path, text))
    assert found.contents["A02"] == Content("A02", "X", 10)
    assert found.remarks == ("columns of the map that are passed over: replicate",)
    half = read_map(_map(tmp_path, "well,compound,dose,note,role\nA1,,,,negative\nA2,X,0,5,\n"))
    assert half.remarks[1:] == ("line 3 of the map has concentration 0; if 0,5 is meant, put it in quotes",)


@pytest.mark.parametrize("line", ["A2", "A2,", "A2,X", "A2,X,sample"])
def test_a_line_may_end_before_the_concentration(tmp_path: Path, line: str) -> None:
    found = read_map(_map(tmp_path, f"well,compound,role,concentration\nA1,,negative,\n{line}\nA3,X,sample,1\n"))
    assert [*found.contents] == ["A01", "A02", "A03"]
    assert math.isnan(found.contents["A02"].concentration)
    assert not found.remarks


def test_a_vehicle_has_a_unit_of_its_own(tmp_path: Path) -> None:
    text = "well,compound,dose,unit,role\nA1,DMSO,0.1,%,negative\nA2,x,100,nM,\nA3,y,7,Gy,empty\n"
    found = read_map(_map(tmp_path, text))
    assert (found.contents["A02"].concentration, found.unit) == (100, "nM")
    assert math.isnan(found.contents["A01"].concentration)


@pytest.mark.parametrize(
    ("heading", "wanted", "unit"),
    [
        ("final", "µM", "µM"), ("final", "", "final"), ("uM final", "µM", "µM"), ("uM final", "", "µM"),
        ("% v/v", "%", "%"), ("Gy", "", "Gy"), ("nanomolar", "nM", "nM"),
    ],
)  # fmt: skip
def test_what_stands_in_brackets_may_be_no_unit(tmp_path: Path, heading: str, wanted: str, unit: str) -> None:
    found = read_map(_map(tmp_path, f"well,role,conc ({heading})\nA1,negative,\nA2,,5\n"), unit=wanted)
    assert (found.contents["A02"].concentration, found.unit) == (5, unit)
    assert any(f"their heading says {heading}" in line for line in found.remarks) == (
        heading in {"final", "uM final", "% v/v"} and unit != heading
    )


def test_an_unknown_heading_gives_way_to_the_column_of_units(tmp_path: Path) -> None:
    found = read_map(_map(tmp_path, "well,role,conc (final),unit\nA1,negative,,\nA2,,5,nM\nA3,,5,uM\n"))
    assert ([found.contents[well].concentration for well in ("A02", "A03")], found.unit) == ([5, 5000], "nM")


def test_quotes_within_a_cell(tmp_path: Path) -> None:
    found = read_map(_map(tmp_path, 'well,compound,role\nA1,,negative\nA2,"X" salt,\n'))
    assert found.contents["A02"].compound == "X salt"


@pytest.mark.parametrize(
    ("written", "name"), [("millimolar", "mM"), ("micromolar", "µM"), ("mcg/ml", "µg/ml"), ("molar", "M")]
)
def test_units_written_out(written: str, name: str) -> None:
    assert unit_name(written) == name
