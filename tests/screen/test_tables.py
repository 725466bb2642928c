"""Nuclei to fields to wells, phenotypes, and the statistics over wells: all small enough to be done by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.screen.plates import names_of, nuclei_of, tables_of

from nucleate.screen.analysis import analyse
from nucleate.screen.hits import hit_limit, robust_sd
from nucleate.screen.phenotypes import Reference, classify, reference_of
from nucleate.screen.platemap import Content
from nucleate.screen.results import ScreenRecord, load_screen
from nucleate.screen.tables import FieldRow, Summary, build_tables, nuclear_columns, summaries

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.screen.analysis import Screen

pytestmark = pytest.mark.base


def test_counts_and_medians_by_hand() -> None:
    nuclei = nuclei_of(["a", "b", "b", "b", "c"], area_px=[50, 10, 20, 60, 80], confidence=[0.5, 0.2, 0.4, 0.9, 1])
    fields = [FieldRow("a", "A01", 1), FieldRow("b", "A01", 2), FieldRow("c", "B02", 1), FieldRow("d", "B02", 2)]
    fields += [FieldRow("e", "B02", 3, "failed"), FieldRow("f", "C01", 1)]
    contents = {
        "A01": Content("A01", role="negative"),
        "B02": Content("B02", "X", 2.0),
        "D04": Content("D04", "X", 1.0),
    }
    tables = build_tables(nuclei, fields, contents=contents, least=1)
    assert tables.fields["nuclei"].tolist() == [1, 3, 1, 0, 0]
    assert tables.fields["median_area_px"].tolist()[:3] == [50, 20, 80]
    wells = tables.wells
    assert wells["well"].tolist() == ["A01", "B02", "C01", "D04"]
    assert wells["fields"].tolist() == [2, 2, 1, 0]
    # A field that failed does not count; one without nuclei counts as none; a well without a field is not known.
    np.testing.assert_array_equal(wells["nuclei_per_field"], [2, 0.5, 0, np.nan])
    np.testing.assert_array_equal(wells["median_area_px"], [35, 80, np.nan, np.nan])
    np.testing.assert_allclose(wells["mean_confidence"], [0.5, 1, np.nan, np.nan])
    assert wells["compound"].tolist() == ["", "X", "", "X"]
    assert wells["role"].tolist() == ["negative", "sample", "sample", "sample"]
    assert "median_area_px" in tables.features
    assert "median_area_um2" not in tables.features


def test_sizes_are_those_of_nuclei_that_are_seen_whole() -> None:
    nuclei = nuclei_of(
        ["a", "a", "a", "b"], area_px=[10, 40, 60, 5], touches_border=[1, 0, 0, 1], mean_intensity=[1, 2, 9, 4]
    )
    contents = {"A01": Content("A01", role="negative"), "A02": Content("A02")}
    fields = [FieldRow("a", "A01", 1), FieldRow("b", "A02", 1)]
    wells = build_tables(nuclei, fields, contents=contents, least=1).wells
    assert wells["nuclei"].tolist() == [3, 1]
    np.testing.assert_array_equal(wells["median_area_px"], [50, np.nan])
    assert wells["median_intensity"].tolist() == [2, 4]


def test_shares_are_of_nuclei_that_are_seen_whole() -> None:
    ordinary = {"area_px": 100.0, "mean_intensity": 110.0}
    small = {"area_px": 30.0, "mean_intensity": 310.0}
    of_wells = [*[ordinary] * 9, small, small, ordinary, small]
    nuclei = nuclei_of(
        ["a"] * 9 + ["b"] * 3 + ["c"],
        **{name: [one[name] for one in of_wells] for name in ordinary},
        touches_border=[0.0] * 10 + [1.0, 0.0, 1.0],
    )
    contents = {"A01": Content("A01", role="negative"), "A02": Content("A02"), "A03": Content("A03")}
    fields = [FieldRow("a", "A01", 1), FieldRow("b", "A02", 1), FieldRow("c", "A03", 1)]
    wells = build_tables(nuclei, fields, contents=contents, least=1).wells
    np.testing.assert_array_equal(wells["condensed_fraction"], [0, 0.5, np.nan])


def test_the_nuclear_channel_is_taken() -> None:
    columns = {f"mean_intensity_{name}": np.array([value]) for name, value in (("actin", 3.0), ("DAPI", 7.0))}
    assert nuclear_columns(columns, "DAPI")["mean_intensity"].tolist() == [7.0]
    assert nuclear_columns({"mean_intensity": np.array([1.0])}, "DAPI")["mean_intensity"].tolist() == [1.0]
    # Some fields with one channel, others with several.
    mixed = {"mean_intensity": np.array([1.0, np.nan]), "mean_intensity_DAPI": np.array([np.nan, 2.0])}
    assert nuclear_columns(mixed, "DAPI")["mean_intensity"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("behind", ["", "_DAPI"])
def test_a_summary_over_another_column_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: str) -> None:
    more = {"median_max_intensity": Summary("max_intensity", "nuclei"), "median_hull": Summary("hull_px", "nuclei")}
    monkeypatch.setattr("nucleate.screen.tables._SUMMARIES", summaries() | more)
    record = ScreenRecord("plate", "free", "DAPI", "", [FieldRow("a", "A01", 1)], {"A01": Content("A01")}, [])
    nuclei = nuclei_of(["a"] * 8, max_intensity=range(8), hull_px=range(8, 16))
    named = {f"{name}{behind}" if "intensity" in name else name: values for name, values in nuclei.items()}
    rows = ["image,status\na,ok\n", ",".join(named) + "\n"]
    rows += [",".join(map(str, row)) + "\n" for row in zip(*named.values(), strict=True)]
    (tmp_path / "fields").mkdir()
    (tmp_path / "fields" / "summary.csv").write_text(rows[0])
    (tmp_path / "fields" / "measurements.csv").write_text("".join(rows[1:]))
    wells = load_screen(tmp_path, record).tables.wells
    assert (wells["median_max_intensity"].tolist(), wells["median_hull"].tolist()) == ([3.5], [11.5])


def test_the_ordinary_nucleus_by_hand() -> None:
    table = nuclei_of(["a"] * 5, area_px=[80, 90, 100, 110, 500], std_intensity=[10, 20, 20, 30, 40])
    reference = reference_of(table)
    # Brightness 110 - 10; textures .1 .2 .2 .3 .4, median .2, distances .1 0 0 .1 .2.
    assert (reference.nuclei, reference.ground, reference.area_px, reference.brightness) == (5, 10, 100, 100)
    assert (reference.texture, reference.texture_sd) == pytest.approx((0.2, 1.206 * 0.14826))


def test_nuclei_that_an_edge_cuts_say_nothing_of_the_ordinary_one() -> None:
    whole: dict[str, list[float]] = {"area_px": [80, 90, 100], "std_intensity": [10, 20, 30], "touches_border": [0] * 3}
    cut: dict[str, list[float]] = {"area_px": [5, 500], "std_intensity": [1, 90], "touches_border": [1, 1]}
    together = nuclei_of(["a"] * 5, **{name: [*values, *cut[name]] for name, values in whole.items()})
    assert reference_of(together) == reference_of(nuclei_of(["a"] * 3, **whole))
    assert reference_of(nuclei_of(["a"] * 2, **cut)).nuclei == 0


@pytest.mark.parametrize(
    ("nucleus", "found"),
    [
        ({}, ""),
        ({"area_px": 60, "mean_intensity": 160}, "condensed"),
        ({"area_px": 61, "mean_intensity": 160}, ""),
        ({"area_px": 60, "mean_intensity": 159}, ""),
        ({"area_px": 60, "mean_intensity": 160, "eccentricity": 0.85}, "mitotic"),
        ({"area_px": 70, "mean_intensity": 160, "eccentricity": 0.85}, "mitotic"),
        ({"area_px": 71, "mean_intensity": 160, "eccentricity": 0.85}, ""),
        ({"std_intensity": 36, "solidity": 0.93}, "mitotic"),
        ({"std_intensity": 34, "solidity": 0.93}, ""),
        ({"std_intensity": 36, "solidity": 0.94}, ""),
        ({"std_intensity": 36, "solidity": 0.93, "area_px": 12}, ""),
        ({"std_intensity": 41, "area_px": 25}, "mitotic"),
        ({"std_intensity": 39, "area_px": 25}, ""),
        ({"std_intensity": 41, "area_px": 24}, ""),
        # What the edge of the field cuts is a piece.
        ({"area_px": 60, "mean_intensity": 160, "touches_border": 1}, ""),
        ({"std_intensity": 36, "solidity": 0.93, "touches_border": 1}, ""),
    ],
)
def test_rules_at_their_thresholds(nucleus: dict[str, float], found: str) -> None:
    reference = Reference(100, 10.0, 100.0, 100.0, 0.2, 0.05)
    table = nuclei_of(["a"], **{name: [value] for name, value in nucleus.items()})
    flags = classify(table, reference)
    assert [name for name, values in flags.items() if values[0]] == [found] * bool(found)


def test_phenotypes_hold_at_any_exposure() -> None:
    rng = np.random.default_rng(0)
    table = nuclei_of(["a"] * 200, area_px=rng.uniform(20, 140, 200), mean_intensity=rng.uniform(80, 400, 200))
    brighter = dict(table)
    for name in ("mean_intensity", "min_intensity"):
        brighter[name] = 3 * table[name] + 500
    brighter["std_intensity"] = 3 * table["std_intensity"]
    first, second = (classify(one, reference_of(one)) for one in (table, brighter))
    assert first["condensed"].sum() >= 3
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_without_controls_nothing_has_a_phenotype() -> None:
    tables = tables_of(nuclei_of(["A01"]), ["A01"], contents={"A01": Content("A01", "X")}, least=1)
    assert tables.reference.nuclei == 0
    assert tables.wells["condensed_fraction"].tolist() == [0]
    assert np.isnan(analyse(tables).z["nuclei_per_field"]).all()


def test_a_plate_by_hand() -> None:
    # Counts of the controls 8 10 12: median 10, robust deviation 2.9652. Two wells of X at 1.0 have 4 and 2 nuclei.
    counts = {"A01": 8, "A02": 10, "A03": 12, "B01": 4, "B02": 2, "C01": 1, "C02": 1}
    contents = {well: Content(well, role="negative") for well in ("A01", "A02", "A03")}
    contents |= {well: Content(well, "X", 1.0) for well in ("B01", "B02")}
    contents |= {well: Content(well, "P", 9.0, "positive") for well in ("C01", "C02")}
    contents["H12"] = Content("H12", role="empty")
    screen = analyse(tables_of(nuclei_of(names_of(counts)), counts, contents=contents, least=1))
    # Controls of 8, 10 and 12 and a well of 4, on the scale of roots.
    four, ten, twelve = 2 * np.sqrt(np.array([4, 10, 12]) + 0.375)
    assert screen.z["nuclei_per_field"][[1, 3]] == pytest.approx(
        [0, (four - ten) / (1.495 * 1.4826 * (twelve - ten))], rel=1e-4
    )
    assert np.isnan(screen.z["nuclei_per_field"][-1])
    # Positive 1 and 1, negative 10 with standard deviation 2: Z' = 1 - 3 x 2 / 9.
    assert screen.controls[0].by_feature["nuclei_per_field"].z_prime == pytest.approx(1 / 3)
    (p, x) = screen.doses
    assert (x.compound, x.concentration, x.wells, x.medians["nuclei_per_field"]) == ("X", 1.0, ("B01", "B02"), 3)
    assert x.ssmd["nuclei_per_field"] == pytest.approx((3 - 10) / np.sqrt(2 + 4))
    assert p.compound == "P"
    assert screen.curves == ()
    assert (screen.shape, screen.edge_of) == ((8, 12), "sample")


def test_counts_are_judged_where_most_controls_have_the_same() -> None:
    roles = NEGATIVES | {"B01": ("sample", "kill"), "B02": ("sample", "none")}
    contents = {well: Content(well, compound, 1.0, role) for well, (role, compound) in roles.items()}
    nuclei = dict.fromkeys(roles, 36) | {"A01": 35, "A02": 38, "B01": 0, "B02": 26}
    # Of B02 one of two fields failed.
    fields = [FieldRow(f"{well}{more}", well, len(more)) for well in roles for more in ("", "b")]
    fields[-1] = FieldRow("B02b", "B02", 1, "failed")
    found = analyse(build_tables(nuclei_of(names_of(nuclei)), fields, contents=contents))
    z = dict(zip(found.tables.wells["well"], found.z["nuclei_per_field"], strict=True))
    # On the scale of roots chance is 1 for one field; the controls, of two fields, are at 18 nuclei a field.
    middle = 2 * np.sqrt(18 + 0.375 / 2)
    apart = [2 * np.sqrt(0.375 / 2) - middle, 2 * np.sqrt(26 + 0.375) - middle]
    assert [z["B01"], z["B02"]] == pytest.approx([apart[0] * np.sqrt(2), apart[1]])
    assert dict(zip(found.tables.wells["well"], found.hits["nuclei_per_field"], strict=True))["B01"]


def test_doses_without_a_number_stand_together() -> None:
    contents = {"A01": Content("A01", role="negative"), "A02": Content("A02", "X"), "A03": Content("A03", "X")}
    screen = analyse(tables_of(nuclei_of(["A01"]), ["A01"], contents=contents, least=1))
    assert [row.wells for row in screen.doses] == [("A02", "A03")]


def test_the_edge_is_judged_by_controls_that_were_seen() -> None:
    rim, inside = ("A01", "A06", "A12"), ("D04", "D05", "D06")
    contents = {well: Content(well, role="negative") for well in (*rim, *inside)}
    contents |= {well: Content(well, "X", 1.0) for well in ("A02", "B02", "C02", "C03", "A05", "H07")}
    for seen, expected in ((inside, "negative"), (inside[:1], "sample")):
        wells = [well for well in contents if well not in inside or well in seen]
        screen = analyse(tables_of(nuclei_of(wells), wells, contents=contents, least=1))
        assert screen.edge_of == expected
        assert screen.edges["nuclei_per_field"].inside == 3


def _drawn(roles: dict[str, tuple[str, str]], nuclei: dict[str, int], *, condensed: dict[str, int]) -> Screen:
    """Analyse wells of a role and compound, with so many nuclei (60) of which so many are condensed."""
    rng = np.random.default_rng(3)
    names = names_of(dict.fromkeys(roles, 60) | nuclei)
    first = {well: names.index(well) for well in roles}
    area = rng.normal(100, 12, len(names))
    bright = rng.normal(110, 5, len(names))
    for well, count in condensed.items():
        area[first[well] : first[well] + count], bright[first[well] : first[well] + count] = 40, 400
    contents = {well: Content(well, compound, 1.0, role) for well, (role, compound) in roles.items()}
    return analyse(tables_of(nuclei_of(names, area_px=area, mean_intensity=bright), roles, contents=contents))


NEGATIVES = {f"A{i:02d}": ("negative", "") for i in range(1, 13)}


def test_wells_of_a_handful_of_nuclei_have_no_medians_and_few_nuclei_little_weight() -> None:
    roles = NEGATIVES | {f"B{i:02d}": ("sample", f"c{i}") for i in range(1, 9)}
    found = _drawn(roles, {"B01": 5, "B02": 6, "B03": 8, "B04": 10}, condensed={"B01": 2})
    wells = dict(zip(found.tables.wells["well"], range(len(roles)), strict=True))
    one = wells["B01"]
    assert np.isnan([found.tables.wells[name][one] for name in ("median_area_px", "condensed_fraction")]).all()
    assert found.tables.wells["nuclei"][one] == 5
    for name in ("median_area_px", "median_intensity", "condensed_fraction", "mitotic_fraction"):
        assert not found.hits[name].any()


def test_a_share_is_judged_where_the_controls_have_none() -> None:
    roles = NEGATIVES | {
        "B01": ("sample", "x"),
        "B02": ("sample", "y"),
        "C01": ("positive", "p"),
        "C02": ("positive", "p"),
    }
    found = _drawn(roles, {}, condensed={"B01": 30, "A03": 1, "C01": 40, "C02": 40})
    place = list(found.tables.wells["well"]).index("B01")
    assert found.z["condensed_fraction"][place] > found.limits["condensed_fraction"]
    assert found.hits["condensed_fraction"].sum() == 1
    assert 0.5 < found.controls[0].by_feature["condensed_fraction"].robust_z_prime < 1


def test_each_positive_control_is_held_to_the_negative_ones() -> None:
    roles = NEGATIVES | {f"B{i:02d}": ("positive", "kill" if i < 4 else "arrest") for i in range(1, 7)}
    found = _drawn(roles, {"B01": 10, "B02": 11, "B03": 12, "A02": 61, "A03": 59, "B04": 61}, condensed={})
    assert [(one.compound, one.concentration) for one in found.controls] == [("arrest", 1.0), ("kill", 1.0)]
    arrest, kill = (one.by_feature["nuclei_per_field"].z_prime for one in found.controls)
    assert kill > 0.5 > 0 > arrest


@pytest.mark.parametrize(
    ("controls", "said"), [(3, "no well is called a hit"), (8, "hits start at a z-score of 7.7"), (12, "5.6")]
)
def test_few_controls_are_warned_about(controls: int, said: str) -> None:
    some = dict(list(NEGATIVES.items())[:controls]) | {"H01": ("sample", "x")}
    found = _drawn(some, {"H01": 30} | {"A02": 62, "A03": 58, "A01": 61}, condensed={})
    assert said in found.warning
    assert (found.expected_by_chance > 0) == (controls >= 6)
    if controls == 3:
        assert not any(values.any() for values in found.hits.values())


def test_controls_without_medians_are_warned_about() -> None:
    some = NEGATIVES | {"H01": ("sample", "x")}
    found = _drawn(some, {f"A{i:02d}": 4 for i in range(1, 9)}, condensed={})
    assert np.isfinite(found.limits["nuclei_per_field"])
    few, enough = found.warning.split("; 12 ")
    assert few.startswith("4 negative controls with a value of median_area_px, ")
    assert few.endswith("no well is called a hit by that; it takes 6, better 16")
    # The limit of the other measures is told beside it.
    assert enough == (
        "negative controls with a value of nuclei_per_field: their spread is hardly known, so hits start at a z-score "
        "of 5.6, not 3"
    )


def test_measures_with_enough_controls_are_not_warned_about() -> None:
    wells = [f"{row}{column:02d}" for row in "AB" for column in range(1, 9)]
    roles = dict.fromkeys(wells, ("negative", "")) | {"H01": ("sample", "x")}
    found = _drawn(roles, dict.fromkeys(wells[8:], 4), condensed={})
    assert found.limits["nuclei_per_field"] == hit_limit(16)
    assert "8 negative controls with a value of median_area_px, " in found.warning
    assert "7.7" in found.warning
    assert "nuclei_per_field" not in found.warning


def test_a_median_is_as_sure_as_the_nuclei_that_it_is_over() -> None:
    wells = [*NEGATIVES, "H01"]
    rng = np.random.default_rng(5)
    names = names_of(dict.fromkeys(wells, 100))
    bright = rng.normal(110, 5, len(names))
    bright[-100:] += 10
    contents = {well: Content(well, role="negative") for well in NEGATIVES} | {"H01": Content("H01", "x", 1.0)}
    scores = []
    for cut in (0, 96):  # of the nuclei of H01; their brightness is as good as that of others
        edge = [0.0] * (len(names) - cut) + [1.0] * cut
        table = nuclei_of(names, mean_intensity=bright, touches_border=edge)
        scores.append(analyse(tables_of(table, wells, contents=contents)).z["median_intensity"][-1])
    assert summaries()["median_intensity"].over == "nuclei"
    assert scores[0] == pytest.approx(scores[1])


def test_the_chance_of_few_nuclei_is_added_to_what_wells_differ_by() -> None:
    rng = np.random.default_rng(8)
    counts = dict.fromkeys(NEGATIVES, 100) | {"H01": 8}
    names = names_of(counts)
    bright = rng.normal(110, 5, len(names)) + np.repeat(rng.normal(0, 4, len(counts)), list(counts.values()))
    contents = {well: Content(well, role="negative") for well in NEGATIVES} | {"H01": Content("H01", "x", 1.0)}
    found = analyse(tables_of(nuclei_of(names, mean_intensity=bright), counts, contents=contents))
    medians, one = found.tables.wells["median_intensity"], robust_sd(bright[:-8])
    between = robust_sd(medians[:-1]) ** 2 - (1.2533 * one) ** 2 / 100
    spread = np.sqrt(between + (1.2533 * one) ** 2 / 8)
    expected = (medians[-1] - np.median(medians[:-1])) / spread
    assert found.z["median_intensity"][-1] == pytest.approx(expected)


def test_pieces_that_an_edge_leaves_do_not_widen_the_spread_of_areas() -> None:
    roles = NEGATIVES | {"H01": ("sample", "x")}
    rng = np.random.default_rng(6)
    names = names_of(dict.fromkeys(roles, 30))
    area = rng.normal(100, 12, len(names))
    area[-30:] += 20
    contents = {well: Content(well, compound, 1.0, role) for well, (role, compound) in roles.items()}
    scores = []
    for pieces in (0, 20):  # of nuclei, beside the 30 whole ones of each well
        more = names_of(dict.fromkeys(roles, pieces))
        every = [*area, *rng.uniform(5, 95, len(more))]
        table = nuclei_of(names + more, area_px=every, touches_border=[0.0] * len(names) + [1.0] * len(more))
        scores.append(analyse(tables_of(table, roles, contents=contents)).z["median_area_px"][-1])
    assert scores[0] == scores[1] > 4
