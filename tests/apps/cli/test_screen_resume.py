"""``nucleate screen --resume`` after the pictures have changed, with Otsu's threshold in place of a model."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pytest
import tifffile
from tests.apps.cli.plates import draw_field, draw_two_channels, moved_plate, screen_call, well_counts
from tests.screen.otsu import OtsuSegmenter, leave
from tests.tables import rows_of

from nucleate.errors import UsageError
from nucleate.run import content
from nucleate.screen import results
from nucleate.screen.results import RECORD_NAME, read_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nucleate.screen.results import ScreenRecord

pytestmark = pytest.mark.base


@pytest.fixture
def screened(tmp_path: Path) -> Path:
    for name, nuclei in (("A01_1_DAPI", 2), ("A01_2_DAPI", 3), ("A02_1_DAPI", 1)):
        draw_field(tmp_path / "p" / f"{name}.tif", nuclei)
    leave(*screen_call(tmp_path), "--quiet")
    assert well_counts(tmp_path) == {"A01": "5", "A02": "1"}
    return tmp_path


def test_a_field_that_moved_to_another_well(screened: Path) -> None:
    (screened / "p" / "A01_2_DAPI.tif").rename(screened / "p" / "A02_2_DAPI.tif")
    leave(*screen_call(screened), "--resume", "--quiet")
    assert well_counts(screened) == {"A01": "2", "A02": "4"}
    nuclei = rows_of(screened / "out" / "nuclei.csv")
    assert [(row["well"], row["field"], row["image"]) for row in nuclei] == [
        *[("A01", "1", "A01_f01")] * 2,
        ("A02", "1", "A02_f01"),
        *[("A02", "2", "A02_f02")] * 3,
    ]
    leave("report", screened / "out", "--quiet")
    assert well_counts(screened) == {"A01": "2", "A02": "4"}


def test_a_field_that_is_gone_is_gone_from_every_table(screened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (screened / "p" / "A01_2_DAPI.tif").unlink()
    leave(*screen_call(screened), "--resume", "--quiet")
    assert well_counts(screened) == {"A01": "2", "A02": "1"}
    assert {row["image"] for row in rows_of(screened / "out" / "nuclei.csv")} == {"A01_f01", "A02_f01"}
    for name in ("summary.csv", "measurements.csv"):
        assert {row["image"] for row in rows_of(screened / "out" / "fields" / name)} == {"A01_f01", "A02_f01"}
    left = ["A01_f02.labels.tif", "A01_f02.overlay.png"]
    assert all((screened / "out" / "fields" / name).exists() for name in left)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "A01_f02" in line]
    assert (
        line == f"nucleate: 2 files in {screened / 'out' / 'fields'} left from fields that are gone: {', '.join(left)}"
    )


def test_no_report_of_a_screen_that_is_not_finished(screened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (screened / "out" / "fields" / "summary.csv").unlink()
    leave("report", screened / "out", code=2)
    assert "fields: the run is not finished; wait for it, or go on with --resume" in capsys.readouterr().err


def test_wells_without_a_picture_have_no_counts(screened: Path) -> None:
    (screened / "p" / "A02_1_DAPI.tif").unlink()
    leave(*screen_call(screened), "--resume", "--quiet")
    first, second = rows_of(screened / "out" / "wells.csv")
    counts = ("fields", "nuclei", "whole_nuclei", "nuclei_per_field", "median_area_px")
    assert [first[name] for name in counts[:2]] == ["2", "5"]
    assert [second[name] for name in counts] == ["0", "", "", "", ""]


@pytest.mark.parametrize("left", [1, 0])
def test_copies_for_millions_of_nuclei_leave_it_out_too(tmp_path: Path, left: int) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra tables)")
    anndata = pytest.importorskip("anndata", reason="anndata is not installed (extra tables)")
    for name, nuclei in (("A01_1_DAPI", 2), ("A01_2_DAPI", left), ("A02_1_DAPI", left)):
        draw_field(tmp_path / "p" / f"{name}.tif", nuclei)
    words = (*screen_call(tmp_path), "--export", "parquet,anndata", "--quiet")
    leave(*words)
    (tmp_path / "p" / "A01_1_DAPI.tif").unlink()
    leave(*words, "--resume")
    images = [row["image"] for row in rows_of(tmp_path / "out" / "nuclei.csv")]
    assert images == ["A01_f02", "A02_f01"] * left
    table = parquet.read_table(tmp_path / "out" / "nuclei.parquet")
    assert (table["image"].to_pylist(), table["well"].to_pylist()) == (images, ["A01", "A02"] * left)
    observed = anndata.read_h5ad(tmp_path / "out" / "nuclei.h5ad").obs
    assert (observed["image"].tolist(), observed["well"].tolist()) == (images, ["A01", "A02"] * left)


def test_a_field_of_other_files_is_done_again(screened: Path) -> None:
    (screened / "p" / "A01_1_DAPI.tif").unlink()
    draw_field(screened / "p" / "A1_f1_DAPI.tif", 4)
    leave(*screen_call(screened), "--resume", "--quiet")
    assert well_counts(screened) == {"A01": "7", "A02": "1"}
    leave("report", screened / "out", "--quiet")
    assert well_counts(screened) == {"A01": "7", "A02": "1"}


def test_what_is_refused_leaves_the_record(screened: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(output: Path, record: ScreenRecord) -> None:
        raise UsageError(f"{output}: not with {record.plate}")

    monkeypatch.setattr(results, "load_screen", refuse)
    before = (screened / "out" / RECORD_NAME).read_bytes()
    (screened / "p" / "A01_2_DAPI.tif").unlink()
    leave(*screen_call(screened), "--resume", "--quiet", code=2)
    assert (screened / "out" / RECORD_NAME).read_bytes() == before


def test_another_time_point_or_pattern_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for time, nuclei in ((1, 2), (2, 3)):
        for well in ("A01", "A02"):
            draw_field(tmp_path / "p" / f"{well}_1_t{time}_DAPI.tif", nuclei)
    pattern = "{well}_{field}_t{time}_{channel}"
    call = screen_call(tmp_path, "--pattern", pattern, "--quiet")
    leave(*call, "--time", "1")
    record = tmp_path / "out" / RECORD_NAME
    assert (read_record(record).time, read_record(record).pattern) == (1, pattern)
    before, journal = record.read_bytes(), (tmp_path / "out" / "fields" / "run.json").read_bytes()
    leave(*call, "--time", "2", "--resume", code=2)
    assert "--resume: the folder was made with --time 1, got 2; " in capsys.readouterr().err
    leave(*screen_call(tmp_path), "--pattern", "{well}_{field}_t{time}_{any}", "--time", "1", "--resume", code=2)
    assert f"the folder was made with --pattern {pattern}, got " in capsys.readouterr().err
    assert record.read_bytes() == before
    assert (tmp_path / "out" / "fields" / "run.json").read_bytes() == journal
    leave(*call, "--time", "1", "--resume")
    assert well_counts(tmp_path) == {"A01": "2", "A02": "2"}


def test_a_record_of_an_older_version_is_taken(screened: Path) -> None:
    record = screened / "out" / RECORD_NAME
    older = json.loads(record.read_text(encoding="utf-8"))
    del older["time"], older["pattern"]
    record.write_text(json.dumps(older), encoding="utf-8")
    leave("report", screened / "out", "--quiet")
    leave(*screen_call(screened), "--resume", "--quiet")
    assert (read_record(record).time, read_record(record).pattern) == (0, "{well}_{field}_{channel}")


def test_new_fields_get_the_scale_of_those_before(
    screened: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def survey(self: OtsuSegmenter, plane: object) -> SimpleNamespace:
        del self, plane
        return SimpleNamespace(scale=3.2)

    monkeypatch.setattr(OtsuSegmenter, "survey", survey)
    draw_field(screened / "p" / "A02_2_DAPI.tif", 2)
    leave(*screen_call(screened), "--resume")
    assert "scale 1 for all fields, as in the earlier run" in capsys.readouterr().err
    assert well_counts(screened) == {"A01": "5", "A02": "3"}
    leave(*screen_call(screened), "--resume", "--scale", "2", code=2)
    assert "scale was 1.0, is now 2.0" in capsys.readouterr().err


def test_results_without_resume_are_refused_at_once(screened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(*screen_call(screened), code=2)
    said = capsys.readouterr().err
    assert f"{screened / 'out' / 'fields'} already holds results; add --resume" in said
    assert "for all fields" not in said


def test_a_nucleus_counts_once_in_a_stack(screened: Path) -> None:
    for path in sorted((screened / "p").iterdir()):
        plane = tifffile.imread(path)
        path.unlink()
        stack = np.stack([plane, plane, plane])
        tifffile.imwrite(path.with_name(path.name.replace("_DAPI", "")), stack, imagej=True, metadata={"axes": "ZYX"})
    words = [str(word).replace("out", "again") for word in screen_call(screened)]
    leave(*words, "--pattern", "{well}_{field}", "--quiet")
    wells = rows_of(screened / "again" / "wells.csv")
    assert [row["nuclei"] for row in wells] == ["5", "1"]


def test_another_plate_is_refused(screened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (screened / "out" / "wells.csv").read_bytes()
    (screened / "p").rename(screened / "first")
    for name, nuclei in (("A01_1_DAPI", 3), ("A01_2_DAPI", 4), ("A02_1_DAPI", 2)):
        draw_field(screened / "p" / f"{name}.tif", nuclei)
    tifffile.imwrite(screened / "p" / "A01_2_DAPI.tif", np.full((44, 50), 7, np.uint16))
    leave(*screen_call(screened), "--resume", "--quiet", code=2)
    assert "out holds the results of another plate" in capsys.readouterr().err
    (screened / "p").rename(screened / "second")
    words = [str(word).replace(f"{screened}/p", f"{screened}/second") for word in screen_call(screened)]
    leave(*words, "--resume", "--quiet", code=2)
    assert (screened / "out" / "wells.csv").read_bytes() == before


def test_channels_keep_their_names(screened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(*screen_call(screened), "--channels", "DAPI=Hoechst", "--resume", "--quiet", code=2)
    assert "made with --channels DAPI=DAPI, got DAPI=Hoechst; give that" in capsys.readouterr().err
    draw_field(screened / "p" / "A02_1_p53.tif", 1)
    leave(*screen_call(screened), "--resume", "--quiet")
    assert read_record(screened / "out" / RECORD_NAME).channel_names == {"DAPI": "DAPI", "p53": "p53"}
    (screened / "p" / "A02_1_p53.tif").unlink()
    leave(*screen_call(screened), "--resume", "--quiet")


def test_channels_of_one_file_keep_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("A01", "A02"):
        draw_two_channels(tmp_path / "p" / f"{name}.tif", 2)
    call = screen_call(tmp_path, "--pattern", "{well}", "--quiet")
    leave(*call, "--channels", "0=p53,1=DAPI")
    nuclei = rows_of(tmp_path / "out" / "nuclei.csv")
    assert len(nuclei) == 4
    assert all(float(row["mean_intensity_p53"]) < 500 < 2900 < float(row["mean_intensity_DAPI"]) for row in nuclei)
    assert "positive_fraction_p53" in rows_of(tmp_path / "out" / "wells.csv")[0]
    for words, got in ([], "0=0,1=1"), (["--channels", "0=DAPI,1=p53"], "0=DAPI,1=p53"):
        leave(*call, *words, "--resume", code=2)
        assert f"made with --channels 0=p53,1=DAPI, got {got}; give that" in capsys.readouterr().err
    leave(*call, "--channels", "0=p53,1=DAPI", "--resume")


def test_names_the_other_way_round_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("A01_1_1", "A01_1_2", "A02_1_1", "A02_1_2"):
        draw_field(tmp_path / "p" / f"{name}.tif", 2)
    leave(*screen_call(tmp_path, "--quiet"), "--channels", "1=DAPI,2=GFP")
    leave(*screen_call(tmp_path, "--quiet"), "--channels", "1=GFP,2=DAPI", "--resume", code=2)
    assert "made with --channels 1=DAPI,2=GFP, got 1=GFP,2=DAPI; give that" in capsys.readouterr().err


def test_a_damaged_first_file_does_not_end_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("A01_1", "A01_2", "A02_1"):
        draw_two_channels(tmp_path / "p" / f"{name}.tif", 2)
    first = tmp_path / "p" / "A01_1.tif"
    whole = first.read_bytes()
    first.write_bytes(whole[:100])
    call = screen_call(tmp_path, "--pattern", "{well}_{field}", "--channels", "0=p53,1=DAPI", "--quiet")
    leave(*call, code=1)
    assert "A01_1.tif: " in capsys.readouterr().err
    assert well_counts(tmp_path) == {"A01": "2", "A02": "2"}
    first.write_bytes(whole)
    leave(*call, "--resume")
    assert well_counts(tmp_path) == {"A01": "4", "A02": "2"}


@pytest.mark.parametrize("exports", ["measurements", "parquet,anndata"])
def test_a_measure_has_one_name_when_a_channel_has_joined(tmp_path: Path, exports: str) -> None:
    for name in ("A01_1_DAPI", "A02_1_DAPI"):
        draw_field(tmp_path / "p" / f"{name}.tif", 2)
    if exports != "measurements":
        for library, extra in (("pyarrow", "tables"), ("anndata", "tables")):
            pytest.importorskip(library, reason=f"{library} is not installed (extra {extra})")
    call = screen_call(tmp_path, "--export", exports, "--quiet")
    leave(*call)
    before = {row["well"]: row["mean_intensity_DAPI"] for row in rows_of(tmp_path / "out" / "nuclei.csv")}
    draw_field(tmp_path / "p" / "A02_1_p53.tif", 1)
    leave(*call, "--resume")
    rows = rows_of(tmp_path / "out" / "nuclei.csv")
    assert {row["well"]: row["mean_intensity_DAPI"] for row in rows} == before
    assert [bool(row["mean_intensity_p53"]) for row in rows] == [False, False, True, True]
    for columns in (rows[0], rows_of(tmp_path / "out" / "fields" / "measurements.csv")[0]):
        assert not {"mean_intensity", "texture_entropy", "mass_displacement_px"} & set(columns)
    assert all(row["area_px"] and row["max_intensity_DAPI"] for row in rows)
    if exports != "measurements":
        import anndata
        from pyarrow import parquet

        table = parquet.read_table(tmp_path / "out" / "nuclei.parquet")
        data = anndata.read_h5ad(tmp_path / "out" / "nuclei.h5ad")
        of_fields = parquet.read_table(tmp_path / "out" / "fields" / "measurements.parquet")
        for names in (table.column_names, data.var_names, of_fields.column_names):
            assert "mean_intensity" not in names
        for values in (table["mean_intensity_DAPI"].to_numpy(), data[:, "mean_intensity_DAPI"].X[:, 0]):
            np.testing.assert_allclose(values, [float(row["mean_intensity_DAPI"]) for row in rows], rtol=1e-5)


def test_a_plate_that_moved_is_not_done_again(screened: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: (screened / "out" / name).read_bytes() for name in ("wells.csv", "nuclei.csv")}
    words = moved_plate(screened, "elsewhere")
    monkeypatch.delattr(OtsuSegmenter, "segment")
    leave(*words, "--resume", "--quiet")
    assert {name: (screened / "out" / name).read_bytes() for name in before} == before
    leave(*words, "--resume", "--quiet")
    assert not list((screened / "out" / "fields").glob("*-2*"))


def test_a_plate_that_moved_is_read_once(screened: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_field(screened / "p" / "A02_1_DAPI.tif", 4)  # each has a content of its own
    leave(*screen_call(screened), "--resume", "--quiet")
    words, read, whole = moved_plate(screened, "elsewhere"), [], content._feed

    def counted(update: Callable[[bytes], None], stream: BinaryIO) -> None:
        read.append(stream.name)
        whole(update, stream)

    monkeypatch.setattr(content, "_feed", counted)
    leave(*words, "--resume", "--quiet")
    assert sorted(read) == [str(path) for path in sorted((screened / "elsewhere").iterdir())]


def test_a_field_of_which_the_files_have_other_names_is_known_beside_others(
    screened: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (screened / "p" / "A01_1_DAPI.tif").rename(screened / "p" / "A1_f1_DAPI.tif")
    monkeypatch.delattr(OtsuSegmenter, "segment")
    leave(*screen_call(screened), "--resume", "--quiet")
    assert well_counts(screened) == {"A01": "5", "A02": "1"}


def test_a_unit_that_was_given_once_stays(screened: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(*screen_call(screened), "--resume", "--unit", "µM", "--quiet")
    monkeypatch.chdir(screened / "p")
    words = ["." if str(word) == f"{screened}/p" else word for word in screen_call(screened)]
    leave(*words, "--resume", "--quiet")
    record = read_record(screened / "out" / RECORD_NAME)
    assert (record.unit, record.remarks) == ("µM", ["the map has no column concentration: no curves"])
    page = (screened / "out" / "plate.html").read_text(encoding="utf-8")
    assert "<h1>Plate p</h1>" in page
    assert "The map has no column concentration" in page


def test_a_moved_plate_with_pictures_that_cannot_be_read(screened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (screened / "p" / "A02_1_DAPI.tif").write_bytes(b"broken")
    leave(*screen_call(screened), "--resume", "--quiet", code=1)
    (screened / "p" / "A01_1_DAPI.tif").unlink()
    (screened / "p" / "A01_1_DAPI.tif").symlink_to("gone.tif")
    words = moved_plate(screened, "elsewhere")
    leave(*words, "--resume", "--quiet", code=1)
    assert "another plate" not in capsys.readouterr().err
    assert not list((screened / "out" / "fields").glob("*-2*"))
    draw_field(screened / "elsewhere" / "A02_1_DAPI.tif", 4)
    (screened / "elsewhere" / "A01_1_DAPI.tif").unlink()
    draw_field(screened / "elsewhere" / "A01_1_DAPI.tif", 2)
    leave(*words, "--resume", "--quiet")
    assert well_counts(screened) == {"A01": "5", "A02": "4"}
    assert not list((screened / "out" / "fields").glob("*-2*"))
