"""``nucleate screen`` and ``nucleate report`` from files to pages, with Otsu's threshold in place of a model."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from tests.screen.otsu import leave
from tests.tables import rows_of

from nucleate.data.plates import DrawnPlate, write_plate
from nucleate.screen.hits import robust_sd
from nucleate.screen.results import FILES, RECORD_NAME, load_screen, read_record

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

PLATE = DrawnPlate(rows=4, columns=10, fields=1, size=160, nuclei=30, diameter=13)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def _check_page(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    page = _Page(text)
    assert (page.open, page.wrong) == ([], [])
    assert all(address.startswith("data:") or address == "plate.html" for address in page.addresses)
    assert "nan" not in re.sub(r"data:[^\"]*", "", text).lower().replace("nanometre", "")
    return text


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_plate(folder, PLATE, seed=5)
    return folder


@pytest.fixture(scope="module")
def screened(drawn: Path) -> Path:
    leave("screen", drawn / "plate", "--map", drawn / "map.csv", "-o", drawn / "out", "--unit", "µM", "--quiet")
    return drawn / "out"


def test_the_effect_is_recovered(drawn: Path, screened: Path) -> None:
    fits = {row["feature"]: row for row in rows_of(screened / "fits.csv") if row["compound"] == "drug"}
    for feature, effect in (("nuclei_per_field", PLATE.loss), ("median_area_px", PLATE.shrinkage)):
        fit = fits[feature]
        assert fit["status"] == "ok"
        assert float(fit["ic50_low"]) <= effect.ic50 <= float(fit["ic50_high"])
        assert float(fit["ic50_high"]) / float(fit["ic50_low"]) < 5
        assert float(fit["bottom"]) / float(fit["top"]) == pytest.approx(effect.floor, abs=0.15)
        assert fit["unit"] == "µM"
    truth = json.loads((drawn / "truth.json").read_text(encoding="utf-8"))["wells"]
    wells = {row["well"]: row for row in rows_of(screened / "wells.csv")}
    true, found = (
        np.array(column) for column in zip(*((truth[w]["nuclei"], int(wells[w]["nuclei"])) for w in truth), strict=True)
    )
    assert abs(int(true.sum()) - int(found.sum())) / true.sum() < 0.05


def test_all_that_a_screen_writes_is_known(screened: Path) -> None:
    assert {path.name for path in screened.iterdir() if path.is_file()} <= {*FILES, RECORD_NAME}


def test_tables_agree_with_each_other(screened: Path) -> None:
    nuclei, fields, wells = (rows_of(screened / f"{name}.csv") for name in ("nuclei", "fields", "wells"))
    assert (len(fields), len(wells)) == (40, 40)
    for well in wells[:5]:
        own = [row for row in nuclei if row["well"] == well["well"]]
        assert len(own) == int(well["nuclei"])
        whole = [float(row["area_px"]) for row in own if row["touches_border"] == "0"]
        assert np.median(whole) == pytest.approx(float(well["median_area_px"]), rel=1e-5)
        assert sum(int(row["nuclei"]) for row in fields if row["well"] == well["well"]) == len(own)
        assert {row["role"] for row in own} == {well["role"]}
    statistics = json.loads((screened / "statistics.json").read_text(encoding="utf-8"))
    assert statistics["controls"][0]["nuclei_per_field"]["ssmd"] < -2
    roots = {row["well"]: 2 * np.sqrt(float(row["nuclei_per_field"]) + 0.375 / int(row["fields"])) for row in wells}
    controls = [roots[row["well"]] for row in wells if row["role"] == "negative"]
    middle = np.median(controls)
    # Four negative controls are too few to call anything a hit.
    assert len(controls) == 4
    assert statistics["hit_threshold"]["nuclei_per_field"] is None
    assert statistics["hits"]["nuclei_per_field"] is None
    assert "4 negative controls with a value of each measure: no well is called a hit" in (
        screened / "plate.html"
    ).read_text("utf-8")
    for well in wells:
        spread = max(robust_sd(controls), 1 / np.sqrt(int(well["fields"])))
        assert float(well["z_nuclei_per_field"]) == pytest.approx((roots[well["well"]] - middle) / spread, rel=1e-4)


def test_files_of_others_are_not_overwritten(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = tmp_path / "wells.csv"
    ours.write_bytes((drawn / "map.csv").read_bytes())
    calls: list[list[str | Path]] = [[drawn / "map.csv", "-o", tmp_path], [ours, "-o", tmp_path, "--resume"]]
    for words in calls:
        leave("screen", drawn / "plate", "--map", *words, "--quiet", code=2)
        assert "wells.csv" in (said := capsys.readouterr().err)
        assert "overwritten" in said
    assert ours.read_bytes() == (drawn / "map.csv").read_bytes()
    (tmp_path / "screen.json").write_text("{}")
    leave("screen", drawn / "plate", "--map", ours, "-o", tmp_path, "--resume", "--quiet", code=2)
    assert "--map" in capsys.readouterr().err


def test_tables_for_millions_of_nuclei(drawn: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra tables)")
    anndata = pytest.importorskip("anndata", reason="anndata is not installed (extra tables)")
    words: list[str | Path] = ["screen", drawn / "plate", "--map", drawn / "map.csv", "-o", tmp_path / "out"]
    leave(*words, "--export", "parquet,anndata", "--quiet")
    rows = rows_of(tmp_path / "out" / "nuclei.csv")
    table = parquet.read_table(tmp_path / "out" / "nuclei.parquet")
    assert set(table.column_names) == set(rows[0])
    assert table.column_names[:5] == ["well", "field", "compound", "concentration", "role"]
    assert table["well"].to_pylist() == [row["well"] for row in rows]
    assert table["mitotic"].to_pylist() == [row["mitotic"] == "1" for row in rows]
    assert table["concentration"].to_pylist() == [float(row["concentration"]) for row in rows]
    assert table["area_px"].to_pylist() == [float(row["area_px"]) for row in rows]
    observed = anndata.read_h5ad(tmp_path / "out" / "nuclei.h5ad").obs
    assert observed["well"].tolist() == [row["well"] for row in rows]
    assert observed["condensed"].tolist() == [row["condensed"] == "1" for row in rows]
    assert observed["label"].tolist() == [int(row["label"]) for row in rows]


def test_pages_stand_on_their_own_and_are_made_again(screened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plate, report = _check_page(screened / "plate.html"), _check_page(screened / "report.html")
    assert plate.count("<svg") == 5 * 2 + 5 - plate.count("have no spread")
    assert "IC50" in plate
    assert report.count("<img") == 9
    (screened / "plate.html").unlink()
    leave("report", screened)
    assert (screened / "plate.html").read_text(encoding="utf-8") == plate
    assert "plate.html" in capsys.readouterr().err


def test_report_of_a_run(screened: Path) -> None:
    leave("report", screened / "fields", "--quiet")
    text = _check_page(screened / "fields" / "report.html")
    assert "40 images" in text
    assert "otsu" in text


def test_resume_and_refusal(drawn: Path, screened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (screened / "wells.csv").read_bytes()
    words: list[str | Path] = ["screen", drawn / "plate", "--map", drawn / "map.csv", "-o", screened]
    leave(*words, code=2)
    assert "--resume" in capsys.readouterr().err
    leave(*words, "--unit", "µM", "--resume", "--quiet")
    assert (screened / "wells.csv").read_bytes() == before


def _small(folder: Path, *names: str) -> Path:
    (folder / "p").mkdir()
    rows, cols = np.mgrid[:40, :50]
    for number, name in enumerate(names):
        picture = (
            100 + 3000 * ((rows - 12) ** 2 + (cols - 12) ** 2 < 36) + 3000 * ((rows - 30) ** 2 + (cols - 35) ** 2 < 25)
        )
        tifffile.imwrite(folder / "p" / name, (picture + number).astype(np.uint16))
    (folder / "map.csv").write_text("well,compound,role\nA1,,negative\nA2,X,\nA3,Y,\n", encoding="utf-8")
    return folder


def test_what_does_not_fit_is_said_and_the_rest_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _small(
        tmp_path,
        "A01_1_actin.tif",
        "A01_1_DAPI.tif",
        "A02_1_DAPI.tif",
        "B09_1_DAPI.tif",
        "overview.tif",
        "A02_2_actin.tif",
    )
    leave("screen", tmp_path / "p", "--map", tmp_path / "map.csv", "-o", tmp_path / "out", code=1)
    said = capsys.readouterr().err
    assert "overview.tif: its name does not fit the style free" in said
    assert "1 well in the map without a picture: A03" in said
    assert "1 well not in the map: B09" in said
    assert "A02_f02 (A02_2_actin.tif): no channel 'DAPI'" in said
    assert "3 fields without all channels: A02_f01 (no actin), A02_f02 (no DAPI), B09_f01 (no actin)" in said
    wells = {row["well"]: row for row in rows_of(tmp_path / "out" / "wells.csv")}
    assert [wells[well]["nuclei_per_field"] for well in ("A01", "A02", "A03", "B09")] == ["2", "2", "", "2"]
    nuclei = rows_of(tmp_path / "out" / "nuclei.csv")
    assert all(row["mean_intensity_DAPI"] for row in nuclei)
    assert [row["well"] for row in nuclei if row["mean_intensity_actin"]] == ["A01", "A01"]
    assert "mean_intensity" not in nuclei[0]
    page = _check_page(tmp_path / "out" / "plate.html")
    assert "overview.tif" in page
    assert "No well can be judged" in page
    assert "no channel" in _check_page(tmp_path / "out" / "report.html")


def test_one_stain_in_several_channels_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _small(tmp_path, "A01_1_z1_DAPI.tif", "A01_1_z2_DAPI.tif")
    words = ["--pattern", "{well}_{field}_{channel}", "--quiet"]
    leave("screen", tmp_path / "p", "--map", tmp_path / "map.csv", "-o", tmp_path / "out", *words)
    assert "several channels are called dapi: z1_DAPI, z2_DAPI; if they are" in capsys.readouterr().err


def test_an_ome_zarr_plate_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("zarr")
    from tests.io.zarr_files import write_plate as write_zarr

    _small(tmp_path, "A01_1_DAPI.tif", "A01_2_DAPI.tif")
    disks = [tifffile.imread(path) for path in sorted((tmp_path / "p").iterdir())]
    # DAPI is the first channel of the plate; the second is brighter and empty.
    fields = {f"A/{i + 1}/0": np.stack([disk, np.full_like(disk, 9000)]) for i, disk in enumerate(disks)}
    plate = write_zarr(tmp_path / "plate.zarr", fields)
    leave("screen", plate, "--map", tmp_path / "map.csv", "-o", tmp_path / "out", "--quiet")
    wells = {row["well"]: row for row in rows_of(tmp_path / "out" / "wells.csv")}
    assert [wells[well]["nuclei"] for well in ("A01", "A02", "A03")] == ["2", "2", ""]
    assert [wells[well]["median_intensity_actin"] for well in ("A01", "A02")] == ["", ""]  # of two nuclei each
    assert "Nuclei positive for actin (share)" in (tmp_path / "out" / "plate.html").read_text(encoding="utf-8")
    nuclei = rows_of(tmp_path / "out" / "nuclei.csv")
    assert [row["mean_intensity_DAPI"] for row in nuclei] == ["3100", "3100", "3101", "3101"]
    assert json.loads((tmp_path / "out" / "screen.json").read_text(encoding="utf-8"))["channel"] == "DAPI"
    leave("screen", plate, "--map", tmp_path / "map.csv", "-o", tmp_path / "b", "--channel", "GFP", "--quiet", code=2)
    record = tmp_path / "out" / "screen.json"
    record.write_text(record.read_text("utf-8").replace('"acquisition": null', '"acquisition": 0'), "utf-8")
    resume = ("screen", plate, "--map", tmp_path / "map.csv", "-o", tmp_path / "out", "--resume", "--quiet")
    leave(*resume, code=2)
    assert "made with --acquisition 0, got None; give that" in capsys.readouterr().err
    leave(*resume, "--acquisition", "0")


def test_a_plate_of_which_a_part_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _small(tmp_path, "A01_1_DAPI.tif", "D06_1_DAPI.tif")
    call = ("screen", tmp_path / "p", "--map", tmp_path / "map.csv", "-o", tmp_path / "out")
    leave(*call, "--wells", "12", code=2)
    assert "--wells 12: such a plate has no well D06; leave the option out or correct it" in capsys.readouterr().err
    leave(*call, "--wells", "24", "--quiet")
    assert load_screen(tmp_path / "out", read_record(tmp_path / "out" / RECORD_NAME)).shape == (4, 6)


def test_channels_by_number_get_names(tmp_path: Path) -> None:
    _small(tmp_path, "r01c01f01p01-ch1sk1fk1fl1.tiff", "r01c01f01p01-ch2sk1fk1fl1.tiff")
    words = ["--channels", "1=actin,2=DAPI", "--quiet"]
    leave("screen", tmp_path / "p", "--map", tmp_path / "map.csv", "-o", tmp_path / "out", *words)
    (first, _) = rows_of(tmp_path / "out" / "nuclei.csv")
    assert float(first["mean_intensity_DAPI"]) == float(first["mean_intensity_actin"]) + 1
    assert json.loads((tmp_path / "out" / "screen.json").read_text(encoding="utf-8"))["channel"] == "DAPI"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--channels", "1"], "--channels 1: not understood"),
        (["--channels", "1=a,1=b"], "--channels 1=a,1=b: names a channel twice"),
        (["--channel", "GFP"], "no channel 'GFP'; it has DAPI"),
        (["--pattern", "{field}"], "needs {well}"),
        (["--export", "nothing"], "no export nothing"),
        (["--wells", "25"], "--wells 25: no plate has so many; choose one of 6, 12, 24, 48, 96, 384, 1536"),
        (["--wells", "1"], "--wells 1: no plate has so many"),
    ],
)
def test_wrong_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    _small(tmp_path, "A01_1_DAPI.tif")
    leave("screen", tmp_path / "p", "--map", tmp_path / "map.csv", "-o", tmp_path / "out", *words, code=2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("export", "said"),
    [
        ("labels,foo", "--export: no export foo; available: labels, "),
        ("parquet", "pyarrow is not installed; run: pip install 'nucleate[tables]'"),
    ],
)
def test_exports_are_looked_at_before_the_plate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], export: str, said: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise AssertionError("the plate was looked at")

    _small(tmp_path, "A01_1_DAPI.tif")
    monkeypatch.setattr("nucleate.screen.layout.read_plate", stop)
    monkeypatch.setattr("nucleate.screen.scale.plate_scale", stop)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    words = ("screen", tmp_path / "p", "--map", tmp_path / "map.csv", "-o", tmp_path / "out", "--export", export)
    leave(*words, code=2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_exports_of_an_option_that_is_given_twice_add_up(tmp_path: Path) -> None:
    _small(tmp_path, "A01_1_DAPI.tif")
    words = ("--export", "labels", "--export", "rle", "--quiet")
    leave("screen", tmp_path / "p", "--map", tmp_path / "map.csv", "-o", tmp_path / "out", *words)
    names = {path.name for path in (tmp_path / "out" / "fields").iterdir()}
    assert {"measurements.csv", "submission.csv"} <= names
    assert [any(name.endswith(ending) for name in names) for ending in (".labels.tif", ".overlay.png")] == [True, False]


def test_the_map_of_another_plate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _small(tmp_path, "H12_1_DAPI.tif")
    leave("screen", tmp_path / "p", "--map", tmp_path / "map.csv", "-o", tmp_path / "out", code=2)
    assert "check that the map belongs to this plate" in capsys.readouterr().err


def test_report_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave("report", tmp_path, code=2)
    assert "no summary.csv in it; name a folder that nucleate segment or screen wrote" in capsys.readouterr().err
    leave("report", tmp_path / "gone", code=2)
    assert f"{tmp_path / 'gone'}: no such file or folder; check the path" in capsys.readouterr().err
