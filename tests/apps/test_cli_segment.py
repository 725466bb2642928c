"""The verb segment, end to end: what is written, what is said, and with which exit code."""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests import fakes
from tests.tables import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def spots(count: int = 2) -> NDArray[np.uint8]:
    image = np.full((40, 50), 10, np.uint8)
    for i in range(count):
        image[4:10, 3 + 12 * i : 9 + 12 * i] = 200
    return image


def call(*words: str | Path) -> int:
    """Run the command line with the fake segmenter and give its exit code."""
    with pytest.raises(SystemExit) as end:
        fakes.run([str(word) for word in words])
    assert isinstance(end.value.code, int)
    return end.value.code


def summary(out: Path) -> dict[str, dict[str, str]]:
    return {row["image"]: row for row in rows_of(out / "summary.csv")}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.png"
    Image.fromarray(spots()).save(path)
    return path


def test_a_report_of_the_user_s_is_not_overwritten(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("mine")
    assert call("segment", good, "-o", out, "--report") == 2
    assert "report.html, which would be overwritten" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["report.html"]
    (out / "report.html").unlink()
    assert call("segment", good, "-o", out, "--report", "--quiet") == 0
    assert call("segment", good, "-o", out, "--report", "--quiet", "--resume") == 0


def test_default_outputs(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert call("segment", good, "-o", out) == 0
    names = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    assert names == ["good.labels.tif", "good.overlay.png", "measurements.csv", "run.json", "summary.csv"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"1 image, 2 nuclei, written to {out}\n"


def test_label_images_that_are_left_out_are_recorded(good: Path, tmp_path: Path) -> None:
    mask, out = good.with_name("good_mask.png"), tmp_path / "out"
    mask.write_bytes(good.read_bytes())
    assert call("segment", tmp_path, "-o", out, "--quiet") == 0
    record = json.loads((out / "run.json").read_text())
    assert [one["name"] for one in record["inputs"]] == ["good"]
    assert record["left_out"] == [str(mask)]


def test_quiet_says_nothing(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("segment", good, "-o", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_an_option_that_is_given_twice_adds_exports(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("segment", good, "-o", out, "--export", "labels, rle", "--export", "geojson,rle", "--quiet") == 0
    assert {path.name for path in out.iterdir() if path.name.startswith(("good.", "sub", "meas"))} == {
        "good.labels.tif", "good.geojson", "submission.csv",
    }  # fmt: skip


# --- bad inputs: each makes its own line and never stops the good one ------------------------------------------------


def _png(path: Path) -> bytes:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    return path.read_bytes()


def _tiff(path: Path) -> bytes:
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    return path.read_bytes()


BAD: dict[str, tuple[str, Callable[[Path], object]]] = {
    "zero bytes": ("x.png", lambda p: p.write_bytes(b"")),
    "zero bytes tiff": ("x.tif", lambda p: p.write_bytes(b"")),
    "png cut short": ("x.png", lambda p: p.write_bytes(_png(p)[:1500])),
    "png header only": ("x.png", lambda p: p.write_bytes(_png(p)[:20])),
    "tiff cut short": ("x.tif", lambda p: p.write_bytes(_tiff(p)[:1500])),
    "tiff header only": ("x.tif", lambda p: p.write_bytes(_tiff(p)[:9])),
    "text named png": ("x.png", lambda p: p.write_text("hello\nworld")),
    "folder named png": ("x.png", lambda p: p.mkdir()),
    "missing": ("x.png", lambda _: None),
    "no file matches": ("x*.png", lambda _: None),
    "dead link": ("x.png", lambda p: p.symlink_to("gone.png")),
    "pipe": ("x.png", lambda p: os.mkfifo(p)),
    "not a zip": ("x.zip", lambda p: p.write_text("PK no")),
    "unknown format": ("x.doc", lambda p: p.write_bytes(b"\xd0\xcf\x11\xe0 word")),
    "newline and missing": ("x\ny.png", lambda _: None),
    "newline and damaged": ("x\ny.png", lambda p: p.write_bytes(b"")),
    "odd bytes": ("x\udcffy.png", lambda p: p.write_bytes(b"")),
    "markup": ("x[red]y[.png", lambda p: p.write_bytes(b"")),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_input_is_one_line_and_the_others_are_complete(
    case: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make = BAD[case]
    bad, out = tmp_path / name, tmp_path / "out"
    make(bad)
    assert call("segment", bad, good, "-o", out) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3, lines
    assert lines[0].startswith("nucleate: ")
    assert "x" in lines[0]
    assert "unexpected" not in lines[0]
    assert lines[1:] == [
        f"1 image, 2 nuclei, written to {out}",
        f"nucleate: 1 of 2 inputs failed; see {out / 'summary.csv'}",
    ]
    rows = summary(out)
    assert rows.pop("good")["status"] == "ok"
    (row,) = rows.values()
    assert (row["status"], row["nuclei"]) == ("failed", "")
    assert row["error"] in lines[0]
    assert (out / "good.labels.tif").exists()
    assert not list(out.rglob(".writing-*"))


def test_an_unreadable_file_is_one_line(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Permissions do not stop root, so that the system's refusal is made here.
    bad = tmp_path / "locked.png"
    Image.fromarray(spots()).save(bad)
    real: Any = type(bad).open

    def refuse(path: Path, *words: object, **more: object) -> Any:  # noqa: ANN401
        if path.name == "locked.png":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *words, **more)

    monkeypatch.setattr(type(bad), "open", refuse)
    assert call("segment", bad, good, "-o", tmp_path / "out") == 1
    assert f"nucleate: {bad}: cannot be read: Permission denied" in capsys.readouterr().err


def _float(value: float) -> NDArray[np.float64]:
    image = spots().astype(np.float64)
    image[20:25, 20:25] = value
    return image


ODD: dict[str, NDArray[np.generic]] = {
    "not a number": _float(np.nan).astype(np.float32),
    "infinite": _float(np.inf).astype(np.float32),
    "minus infinite": _float(-np.inf),
    "all not a number": np.full((20, 20), np.nan, np.float32),
    "constant": np.full((30, 30), 7, np.uint8),
    "black": np.zeros((30, 30), np.uint16),
    "one pixel": np.ones((1, 1), np.uint8),
    "one row": np.arange(50, dtype=np.uint8)[None],
    "one column": np.arange(50, dtype=np.uint8)[:, None],
    "yes and no": spots() > 50,
    "64 bit": _float(1e300),
    "signed": spots().astype(np.int16) - 100,
}


@pytest.mark.parametrize("case", ODD)
def test_odd_pixels_go_through(case: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "odd.tif", ODD[case], photometric="minisblack")
    assert (
        call("segment", tmp_path / "odd.tif", "-o", tmp_path / "out", "--export", "labels,overlay,measurements,rle")
        == 0
    )
    assert tifffile.imread(tmp_path / "out" / "odd.labels.tif").shape == ODD[case].shape


def write_huge_png(path: Path, side: int) -> None:
    """Write a black one-bit PNG of `side` x `side` pixels row by row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    with path.open("wb") as stream:
        stream.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)))
        packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
        stream.write(chunk(b"IDAT", packed) + chunk(b"IEND", b""))


def test_a_huge_picture_in_a_small_file_is_refused_from_its_header(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    huge, out = tmp_path / "huge.png", tmp_path / "out"
    write_huge_png(huge, 30_000)
    assert huge.stat().st_size < 200_000
    assert call("segment", huge, good, "-o", out, "--memory", "0.5") == 1
    line = capsys.readouterr().err.splitlines()[0]
    assert "huge.png: too large: " in line
    assert "30000 x 30000" in line
    assert summary(out)["good"]["status"] == "ok"


@pytest.mark.parametrize(
    "name", ["with space", "größe µm", "zwei\nZeilen", 'a,b;"c"', "[bold]x[bold]", "-o", "日本", "a.b.c"]
)
def test_names_of_all_kinds_are_kept(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(spots()).save(tmp_path / f"{name}.png")
    assert call("segment", "-o", "out", "--", f"{name}.png") == 0
    assert (tmp_path / "out" / f"{name}.labels.tif").exists()
    assert summary(tmp_path / "out")[name]["nuclei"] == "2"
    assert {row["image"] for row in rows_of(tmp_path / "out" / "measurements.csv")} == {name}


def test_a_name_that_is_no_text_is_written_as_escapes_in_tables(tmp_path: Path) -> None:
    Image.fromarray(spots()).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "\udcff.png")
    out = tmp_path / "out"
    words = ("-o", out, "--export", "labels,measurements,rle,coco,geojson", "--report", "--quiet")
    assert call("segment", tmp_path / "\udcff.png", *words) == 0
    assert (out / "\udcff.labels.tif").exists()
    assert list(summary(out)) == ["\\udcff"]
    assert "\\udcff" in (out / "report.html").read_text(encoding="utf-8")
    assert call("report", out, "--quiet") == 0


# --- a wrong call: nothing is done, exit code 2 ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["gone.png"], "nucleate: nothing to do: gone.png: no such file or folder; check the path"),
        (
            ["s3://b/a.zarr"],
            "nucleate: nothing to do: s3://b/a.zarr: an address; remote stores are not read: copy it here and",
        ),
        (["https://b/*.tif"], "nucleate: nothing to do: https://b/*.tif: an address; remote stores are not read"),
        (["*.jpg"], "nucleate: nothing to do: *.jpg: no file matches; check the pattern"),
        (["empty"], "nucleate: nothing to do: empty: no image in this folder; looked for "),
        (
            ["good.png", "--export", "labels,svg"],
            "no export svg; available: labels, overlay, measurements, rle",
        ),
        (["good.png", "--export", "svg", "--export", "labels"], "no export svg; available: labels, overlay"),
        (["good.png", "--scale", "big"], "nucleate: --scale big: not a number; use auto or a factor"),
        (["good.png", "--scale", "-1"], "scale"),
        (["good.png", "--min-area", "-1"], "--min-area"),
        (["good.png", "--min-confidence", "2"], "--min-confidence"),
        (["good.png", "--threads", "0"], "--threads"),
        (["good.png", "--wrong"], "No such option"),
        ([], "Missing argument"),
    ],
)
def test_a_wrong_call_is_one_line(
    words: list[str], line: str, good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(good.parent)
    (good.parent / "empty").mkdir()
    assert call("segment", *words, "-o", "out") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert line in said
    assert not (good.parent / "out").exists()


def test_an_output_that_is_a_file_is_a_wrong_call(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = good.read_bytes()
    for output in (good, good / "below"):
        assert call("segment", good, "-o", output) == 2
        assert capsys.readouterr().err == f"nucleate: {good} is a file; name a folder\n"
    assert good.read_bytes() == before


def test_results_are_not_overwritten_without_resume(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call("segment", good, "-o", out) == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert call("segment", good, "-o", out) == 2
    assert "already holds results; add --resume" in capsys.readouterr().err
    assert call("segment", good, "-o", out, "--min-area", "3", "--resume") == 2
    assert "holds results of other settings: min_area was None, is now 3" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    assert call("segment", good, "-o", out, "--resume") == 0


def test_the_last_line_counts_what_earlier_runs_left_beside(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("segment", good, "-o", tmp_path / "out", "--quiet") == 0
    renamed = good.rename(good.with_name("other.png"))
    assert call("segment", renamed, "-o", tmp_path / "out", "--resume") == 0
    assert (
        f"1 image, 2 nuclei, written to {tmp_path / 'out'}, beside 1 image of earlier runs" in capsys.readouterr().err
    )


def test_after_a_wrong_option_the_right_call_goes_on(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("segment", good, "-o", out, "--channel", "zzz") == 1
    assert summary(out)["good"]["status"] == "failed"
    assert call("segment", good, "-o", out) == 0
    assert summary(out)["good"]["status"] == "ok"


def test_a_read_only_output_is_one_line(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert call("segment", good, "-o", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Read-only file system; make it writable or choose another output folder" in said


def test_fail_fast_says_what_was_left(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("segment", tmp_path / "gone.png", good, "-o", tmp_path / "out", "--fail-fast") == 1
    assert "1 of 2 inputs failed, 1 not started" in capsys.readouterr().err
    assert summary(tmp_path / "out")["good"]["status"] == "not done"


def test_debug_shows_where_an_input_failed(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    assert call("segment", tmp_path / "bad.png", good, "-o", tmp_path / "out", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err
