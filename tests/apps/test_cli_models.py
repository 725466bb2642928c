"""The verbs that need a model: models, doctor, demo, and segment with a real engine."""

from __future__ import annotations

import io
import json
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.apps.stopped import contents
from tests.calls import call
from tests.tables import rows_of
from tests.tiny_model import write_tiny_model

from nucleate.apps.cli import console
from nucleate.errors import ModelError
from nucleate.run import selftest

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

pytestmark = pytest.mark.base

pytest.importorskip("onnx", reason="onnx, which draws the test network, is not installed")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a tiny model in the place of those shipped."""
    (tmp_path / "weights").mkdir()
    path = write_tiny_model(tmp_path / "weights")
    monkeypatch.setattr("nucleate.run.weights._shipped", lambda: {"nucleate": path})
    return path


def test_segment_with_a_model_of_one_s_own(model: Path, tmp_path: Path) -> None:
    picture = selftest.picture()
    Image.fromarray(picture).save(tmp_path / "spots.png")
    for words in (["--model", model], ["--model", model.parent], ["--tta", "--tile", "192", "--threads", "1"]):
        out = tmp_path / f"out{len(words)}{words[-1] == model}"
        assert call("segment", tmp_path / "spots.png", "-o", out, *words) == 0
        labels = tifffile.imread(out / "spots.labels.tif")
        assert labels.shape == picture.shape
        assert labels.max() == 20
        settings = json.loads((out / "run.json").read_text())["settings"]
        assert (settings["model"], len(settings["model_sha256"])) == ("nucleate", 64)
        assert all(0.5 < float(row["confidence"]) <= 1 for row in rows_of(out / "measurements.csv"))


def test_a_model_whose_card_was_changed_goes_on_with_no_earlier_results(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(selftest.picture()).save(tmp_path / "spots.png")
    words = ["segment", tmp_path / "spots.png", "-o", tmp_path / "out", "--model", model]
    assert call(*words) == call(*words, "--resume") == 0
    card = model.with_suffix(".toml")
    changed = card.read_text().replace("min_area = ", "min_area = 1")
    assert changed != card.read_text()
    card.write_text(changed)
    assert call(*words, "--resume") == 2
    assert "holds results of other settings: card_sha256 was" in capsys.readouterr().err


def test_an_unknown_model_is_a_wrong_call_and_a_damaged_one_is_not(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(selftest.picture()).save(tmp_path / "spots.png")
    assert call("segment", tmp_path / "spots.png", "-o", tmp_path / "out", "--model", "none") == 2
    assert "no model 'none'; there are: nucleate" in capsys.readouterr().err
    model.write_bytes(model.read_bytes() + b"x")
    assert call("segment", tmp_path / "spots.png", "-o", tmp_path / "out") == 1
    assert "not the file its card describes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_models_lists_what_is_there(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models") == 0
    said = capsys.readouterr().out
    assert "nucleate  (default)\n  Bright is nucleus." in said
    for part in ("MB", "sha256   ", "kaggle 0.250, drawn.f1 0.500", "CC0-1.0"):
        assert part in said
    assert call("models", "--full") == 0
    assert str(model) in capsys.readouterr().out


def test_no_model_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("nucleate.run.weights._shipped", dict)
    assert call("models") == 0
    assert "no model is installed" in capsys.readouterr().out
    assert call("doctor") == 0
    assert "none is installed" in capsys.readouterr().out


def test_doctor_compares_with_stored_results(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor") == 0
    said = capsys.readouterr().out
    for part in ("nucleate      ", "python        ", "onnxruntime   ", "processor     ", "gpu           "):
        assert part in said
    assert "nucleate, cpu: runs (20 nuclei" in said
    assert "no stored results to compare with" in said
    assert call("doctor", "--threads", "100000") == 2
    assert call("doctor", "--store") == 0
    assert call("doctor", "--model", model) == 0
    assert "nucleate, cpu: ok (20 nuclei" in capsys.readouterr().out
    stored = json.loads(selftest.stored_path(model).read_text())
    selftest.write_stored(model, stored | {"nuclei": 21})
    assert call("doctor") == 1
    assert "nucleate, cpu: FAILED: 20 nuclei, stored 21" in capsys.readouterr().out
    model.write_bytes(b"damaged")
    assert call("doctor") == 1
    assert "FAILED: " in capsys.readouterr().out


@pytest.mark.parametrize("quiet", [False, True])
def test_doctor_shows_that_it_works(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, quiet: bool
) -> None:
    measure, screen = selftest.measure, io.StringIO()

    def slow(*words: Any) -> dict[str, Any]:  # noqa: ANN401
        end = time.monotonic() + (0.3 if quiet else 30)
        while time.monotonic() < end and not screen.getvalue():
            time.sleep(0.01)
        return measure(*words)

    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(selftest, "measure", slow)
    monkeypatch.setattr(console, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert call("doctor", "--model", model, *["--quiet"][:quiet]) == 0
    assert ("self-test" in screen.getvalue()) == (not quiet)
    assert "nucleate, cpu: runs (20 nuclei" in capsys.readouterr().out


GOOD: dict[str, Any] = {"maps": {"mask": 0.25, "border": 0.5}, "nuclei": 20, "area_px": 1000}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"maps": {"mask": 0.251, "border": 0.5}}, ""),
        ({"area_px": 1009}, ""),
        ({"maps": {"mask": 0.26, "border": 0.5}}, "mean of map mask is 0.2600, stored 0.2500"),
        ({"maps": {"mask": float("nan"), "border": 0.5}}, "mean of map mask is nan, stored 0.2500"),
        ({"maps": {"mask": 0.25}}, "maps mask, stored mask, border"),
        ({"nuclei": 19}, "19 nuclei, stored 20"),
        ({"area_px": 1011}, "1011 pixels of nuclei, stored 1000"),
    ],
)
def test_what_counts_as_the_same(change: dict[str, Any], problem: str) -> None:
    assert selftest.compare(GOOD, GOOD | change) == problem


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"maps": 3, "nuclei": 1, "area_px": 1}', '{"maps": {}, "nuclei": "a"}']
)
def test_damaged_stored_results_are_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.selftest.json").write_text(content)
    with pytest.raises(ModelError, match="is damaged"):
        selftest.read_stored(tmp_path / "m.onnx")


def test_the_picture_of_the_self_test_never_changes() -> None:
    picture = selftest.picture()
    assert (picture.shape, str(picture.dtype)) == ((160, 192), "uint8")
    assert int(picture.astype(np.int64).sum()) == 1404160


@pytest.mark.parametrize("twice", [False, True])
def test_demo(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], twice: bool) -> None:
    assert model.is_file()
    out = tmp_path / "demo"
    for _ in range(1 + twice):
        assert call("demo", "-o", out) == 0
    said = capsys.readouterr()
    assert "drawn images: Kaggle score 0." in said.out
    assert f"look at {out}" in said.err
    assert said.out.count("\n") == 1 + twice
    names = sorted(path.name for path in out.glob("*.overlay.png"))
    assert names == [
        f"{n}.overlay.png" for n in ("drawn-brightfield", "drawn-fluorescence", "drawn-histology", "tissue")
    ]
    assert len(json.loads((out / "run.json").read_text())["inputs"]) == 4
    assert call("demo", "-o", out, "--quiet") == 0
    said = capsys.readouterr()
    assert said.out.startswith("drawn images: Kaggle score 0.")
    assert said.out.count("\n") == 1
    assert said.err == ""


@pytest.mark.parametrize("there", ["images/tissue.png", "images/mine.png", "tissue.labels.tif", "my cells.png"])
def test_demo_overwrites_nothing(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str) -> None:
    out = tmp_path / "mine"
    (out / there).parent.mkdir(parents=True)
    Image.fromarray(selftest.picture()).save(out / there, format="png")
    before = contents(out)
    assert call("demo", "-o", out) == 2
    assert "choose another output folder" in capsys.readouterr().err
    assert contents(out) == before
    assert model.is_file()


def test_demo_does_not_mix_with_results_of_one_s_own(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(selftest.picture()).save(tmp_path / "spots.png")
    out = tmp_path / "mine"
    assert call("segment", tmp_path / "spots.png", "-o", out, "--model", model) == 0
    before = contents(out)
    capsys.readouterr()
    assert call("demo", "-o", out) == 2
    assert capsys.readouterr().err == f"nucleate: {out} holds results of other images; choose another output folder\n"
    assert contents(out) == before
    assert call("demo", "-o", tmp_path / "spots.png" / "below") == 2
    assert "spots.png is a file; name a folder" in capsys.readouterr().err


def test_demo_goes_on_where_its_folder_was_moved(model: Path, tmp_path: Path) -> None:
    assert call("demo", "-o", tmp_path / "one") == 0
    (tmp_path / "one").rename(tmp_path / "two")
    assert call("demo", "-o", tmp_path / "two") == 0
    assert model.is_file()
