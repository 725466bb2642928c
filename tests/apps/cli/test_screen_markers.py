"""``nucleate screen`` of a plate with a marker in a second channel, which alone follows the dose."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from tests.screen.otsu import leave
from tests.tables import rows_of

from nucleate.data.plates import DrawnPlate, Effect, draw_field, plan_wells, write_plate
from nucleate.screen.dose import logistic
from nucleate.screen.results import FILES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

NONE = Effect(1.0, 1.0, floor=1.0)
PLATE = DrawnPlate(rows=4, columns=14, fields=1, size=160, nuclei=30, diameter=13, loss=NONE, shrinkage=NONE)
EC50 = 1.4
MARKER = "p53 <nuclear>"


def _marker(folder: Path, seed: int) -> None:
    """Paint a second channel: each nucleus as bright as the dose of its well makes it, on an uneven ground."""
    for well in plan_wells(PLATE):
        rng = np.random.default_rng([seed, well.row, well.column, 0])
        _, labels = draw_field(PLATE, well.dose, rng=rng)
        middle = logistic([well.dose], EC50, hill=1.5, top=300, bottom=900)[0] * np.exp(rng.normal(0, 0.04))
        strength = np.append(0.0, middle * np.exp(rng.normal(0, 0.3, labels.max())))
        picture = 400 + strength[labels] + rng.normal(0, 20, labels.shape)
        tifffile.imwrite(folder / "plate" / f"{well.name}_1_m.tif", picture.astype(np.uint16))


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marker")
    write_plate(folder, PLATE, seed=2)
    _marker(folder, seed=2)
    words = ["--channels", f"m={MARKER}", "--unit", "µM", "--quiet"]
    leave("screen", folder / "plate", "--map", folder / "map.csv", "-o", folder / "out", *words)
    return folder / "out"


def test_the_marker_alone_has_a_curve(screened: Path) -> None:
    fits = {row["feature"]: row for row in rows_of(screened / "fits.csv") if row["compound"] == "drug"}
    assert {name for name, fit in fits.items() if fit["status"] == "ok"} == {
        f"median_intensity_{MARKER}",
        f"positive_fraction_{MARKER}",
    }
    assert {fit["status"] for name, fit in fits.items() if MARKER not in name} == {"no effect"}
    fit = fits[f"median_intensity_{MARKER}"]
    assert float(fit["ic50_low"]) < EC50 < float(fit["ic50_high"])
    assert float(fit["ic50"]) == pytest.approx(EC50, rel=0.3)
    assert float(fit["top"]) == pytest.approx(700, rel=0.08)
    assert float(fit["bottom"]) == pytest.approx(1300, rel=0.1)
    doses = {float(row["concentration"]): row for row in rows_of(screened / "doses.csv") if row["compound"] == "drug"}
    top = doses[max(doses)]
    assert float(top[f"ssmd_median_intensity_{MARKER}"]) > 3 > abs(float(top["ssmd_nuclei_per_field"]))
    assert float(top[f"median_positive_fraction_{MARKER}"]) > 0.6


def test_hits_are_those_of_the_marker(screened: Path) -> None:
    statistics = json.loads((screened / "statistics.json").read_text(encoding="utf-8"))
    of_marker = {name for name in statistics["hits"] if name.endswith(f"_{MARKER}")}
    assert of_marker == {f"median_intensity_{MARKER}", f"positive_fraction_{MARKER}"}
    assert all(statistics["hits"][name] >= 8 for name in of_marker)
    assert sum(count for name, count in statistics["hits"].items() if name not in of_marker) <= 2
    wells = rows_of(screened / "wells.csv")
    samples = sum(row["role"] == "sample" for row in wells)
    assert samples == 32
    judged = sum(bool(row[f"z_{name}"]) for name in statistics["hits"] for row in wells if row["role"] == "sample")
    assert statistics["hits_expected_by_chance"] == pytest.approx(0.0027 * judged)
    assert judged >= 4 * samples + 2 * samples


def test_wells_and_nuclei_agree(screened: Path) -> None:
    wells, nuclei = rows_of(screened / "wells.csv"), rows_of(screened / "nuclei.csv")
    controls = {row["well"] for row in wells if row["role"] == "negative"}
    bright = {well: [float(r[f"mean_intensity_{MARKER}"]) for r in nuclei if r["well"] == well] for well in controls}
    over = np.percentile([value for values in bright.values() for value in values], 95)
    statistics = json.loads((screened / "statistics.json").read_text(encoding="utf-8"))
    assert statistics["positive_over"] == {MARKER: pytest.approx(over, rel=1e-5)}
    for row in wells:
        if row["well"] in controls:
            own = np.array(bright[row["well"]])
            assert float(row[f"median_intensity_{MARKER}"]) == pytest.approx(np.median(own), rel=1e-5)
            assert float(row[f"positive_fraction_{MARKER}"]) == pytest.approx(float((own > over).mean()), abs=1e-5)
            assert row[f"nuclei_{MARKER}"] == row["nuclei"]
    assert sum(int(row[f"positive_{MARKER}"]) for row in nuclei if row["well"] in controls) == pytest.approx(
        0.05 * sum(map(len, bright.values())), abs=1
    )


def test_the_page_shows_the_marker(screened: Path) -> None:
    page = (screened / "plate.html").read_text(encoding="utf-8")
    shown = MARKER.replace("<", "&lt;").replace(">", "&gt;")
    assert MARKER not in page
    for heading in (f"Median intensity of {shown}", f"Nuclei positive for {shown} (share)"):
        assert f"<h3>{heading}</h3><svg" in page
        assert f"{heading} +" in page[page.index("<h2>Hits</h2>") :]
    assert f"Positive for {shown}: mean intensity in that channel over" in page


def test_an_output_of_before_gets_the_marker_on_resume(screened: Path) -> None:
    before = {name: (screened / name).read_bytes() for name in FILES if (screened / name).exists()}
    for name in ("wells", "fields", "doses", "nuclei"):
        # As versions wrote them that looked at the nuclear channel alone.
        rows = rows_of(screened / f"{name}.csv")
        with (screened / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            kept = [key for key in rows[0] if MARKER not in key]
            writer = csv.DictWriter(stream, kept, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    folder = screened.parent
    words = ["--channels", f"m={MARKER}", "--unit", "µM", "--quiet", "--resume"]
    leave("screen", folder / "plate", "--map", folder / "map.csv", "-o", screened, *words)
    after = {name: (screened / name).read_bytes() for name in before}
    del before["report.html"], after["report.html"]  # tells the time
    assert after == before


def test_another_name_of_the_marker_is_not_mixed_with_the_first(
    screened: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = screened.parent
    call = ("screen", folder / "plate", "--map", folder / "map.csv", "-o", screened, "--resume", "--quiet")
    leave(*call, "--channels", "m=other", code=2)
    assert f"made with --channels DAPI=DAPI,m={MARKER}, got DAPI=DAPI,m=other; give that" in capsys.readouterr().err


def test_positive_nuclei_in_tables_for_millions(screened: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra tables)")
    anndata = pytest.importorskip("anndata", reason="anndata is not installed (extra tables)")
    folder, out = screened.parent, tmp_path / "out"
    (folder / "plate" / "A02_1_m.tif").rename(tmp_path / "A02_1_m.tif")
    try:
        words = ["--channels", f"m={MARKER}", "--export", "parquet,anndata", "--quiet"]
        leave("screen", folder / "plate", "--map", folder / "map.csv", "-o", out, *words)
    finally:
        (tmp_path / "A02_1_m.tif").rename(folder / "plate" / "A02_1_m.tif")
    rows = rows_of(out / "nuclei.csv")
    # Of a well without the channel it is not known which nuclei are positive.
    assert {row["well"] for row in rows if row[f"positive_{MARKER}"] == ""} == {"A02"}
    expected = [float(row[f"positive_{MARKER}"] or "nan") for row in rows]
    assert set(expected[:5]) <= {0.0, 1.0}
    table = parquet.read_table(out / "nuclei.parquet")
    np.testing.assert_array_equal(np.array(table[f"positive_{MARKER}"].to_pylist(), float), expected)
    assert set(table.column_names) == set(rows[0])
    observed = anndata.read_h5ad(out / "nuclei.h5ad").obs
    np.testing.assert_array_equal(observed[f"positive_{MARKER}"].to_numpy(), expected)
    wells = {row["well"]: row for row in rows_of(out / "wells.csv")}
    assert (wells["A02"][f"positive_fraction_{MARKER}"], wells["A02"][f"nuclei_{MARKER}"]) == ("", "0")
