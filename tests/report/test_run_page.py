"""Pages of runs and plates: the right images are chosen, the bars and colours stand for their numbers."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nucleate.errors import InputError, UsageError
from nucleate.report.dose_curves import dose_plot, verdict
from nucleate.report.histograms import histogram
from nucleate.report.page import jpeg_data, table
from nucleate.report.plate_maps import WellMap, colour, heat_map, shown
from nucleate.report.run_page import choose_images, read_run, run_page
from nucleate.run.journal import JOURNAL_NAME
from nucleate.screen.analysis import Curve
from nucleate.screen.dose import DoseFit, fit_dose, logistic
from nucleate.screen.scale import earlier_scale

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _run_folder(folder: Path) -> Path:
    counts = {"a": 10, "b": 11, "c": 9, "d": 10, "e": 0, "f": 40, "g": 10, "h": 11, "i": 9}
    rows = [f"{name},ok,{n},{100 if n else ''},0.5," for name, n in counts.items()]
    rows.append('"<b>x</b>",failed,,,,"x: broken, copy it again"')
    (folder / "summary.csv").write_text(
        "image,status,nuclei,median_area_px,seconds,error\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    nuclei = [f"{name},100,,{0.2 if name == 'g' else 0.9}" for name, n in counts.items() for _ in range(n)]
    (folder / "measurements.csv").write_text(
        "image,area_px,area_um2,confidence\n" + "\n".join(nuclei) + "\n", encoding="utf-8"
    )
    (folder / "run.json").write_text(json.dumps({"nucleate": "1", "settings": {"model": "m"}}), encoding="utf-8")
    for name in counts:
        Image.new("RGB", (1200, 600), (200, 30, 30)).save(folder / f"{name}.overlay.png")
    return folder


def test_images_worth_a_look_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.report.run_page._SHOWN_IMAGES", 2)
    chosen = choose_images(read_run(_run_folder(tmp_path)))
    assert set(chosen["typical"]) <= {"a", "d"}
    assert set(chosen["odd"]) == {"e", "f"} or "g" in chosen["odd"]
    assert "g" in chosen["unsure"] + chosen["odd"]
    everything = [name for names in chosen.values() for name in names]
    assert len(everything) == len(set(everything)) == 6


def test_the_page_of_a_run_says_what_happened(tmp_path: Path) -> None:
    run = read_run(_run_folder(tmp_path))
    assert np.isnan(run.images["confidence"][4])
    assert run.images["confidence"][6] == pytest.approx(0.2)
    page = run_page(run, notes=["<i>a note</i>"])
    assert "9 images, 110 nuclei, 1 failed" in page
    assert "<i>a note</i>" in page
    assert "x: broken, copy it again" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page
    assert page.count("data:image/jpeg") == 9
    assert "All images together took 4.5 seconds" in page


def test_a_run_without_pictures_or_nuclei(tmp_path: Path) -> None:
    (tmp_path / "summary.csv").write_text(
        "image,status,nuclei,median_area_px,seconds,error\na,failed,,,,broken\n", encoding="utf-8"
    )
    page = run_page(read_run(tmp_path))
    assert "0 images, 0 nuclei, 1 failed" in page
    assert "No pictures" in page


@pytest.mark.parametrize("text", ["", "[", "[]", '{"settings": [1]}', "[" * 100_000])
def test_a_record_of_another_program_is_none(tmp_path: Path, text: str) -> None:
    (_run_folder(tmp_path) / "run.json").write_text(text, encoding="utf-8")
    assert "Settings</h2>" not in run_page(read_run(tmp_path))
    assert earlier_scale(tmp_path) is None


def test_folders_that_hold_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no summary\.csv in it"):
        read_run(tmp_path)
    (tmp_path / JOURNAL_NAME).touch()
    with pytest.raises(UsageError, match="the run is not finished; wait for it, or go on with --resume"):
        read_run(tmp_path)
    (tmp_path / "summary.csv").write_text(
        "image,status,error,nuclei,median_area_px,seconds\na,ok,,many,1,1\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="column nuclei holds no numbers"):
        read_run(tmp_path)


def test_pictures_are_made_smaller(tmp_path: Path) -> None:
    small = jpeg_data(_run_folder(tmp_path) / "a.overlay.png", side=64)
    assert small.startswith("data:image/jpeg;base64,")
    assert len(small) < 4000
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be read"):
        jpeg_data(tmp_path / "no.png", side=64)


def test_bars_are_as_high_as_their_counts() -> None:
    svg = histogram(np.array([1.0, 1, 2, 4, np.nan]), "Nuclei <1>", whole=True)
    assert re.findall(r"to [\d.]+: (\d+)<", svg) == ["2", "1", "0", "1"]
    heights = [float(height) for height in re.findall(r'height="([\d.]+)" fill="var', svg)]
    assert heights == [heights[0], heights[0] / 2, 0, heights[0] / 2]
    assert "Nuclei &lt;1&gt;" in svg
    assert "median 1.5" in svg
    assert histogram(np.array([np.nan]), "x") == ""
    assert histogram(np.array([3.0, 3.0]), "x").count("<rect") == 24


def test_colours_run_from_end_to_end() -> None:
    assert (colour(0, False), colour(1, False), colour(7, False)) == ((68, 1, 84), (253, 231, 37), (253, 231, 37))
    assert colour(0.5, True) == (247, 247, 247)


def test_a_well_has_its_place_its_colour_and_its_words() -> None:
    wells = WellMap(
        "t", ["A01", "B02", "H12"], np.array([0.0, 1.0, np.nan]), ["<x>", "", ""], ["negative", "", "positive"]
    )
    svg = heat_map((8, 12), wells)
    assert "A01: 0; &lt;x&gt;" in svg
    assert re.search(r'x="26.5" y="22.5" width="33.0" height="33.0" fill="#440154"', svg)
    assert re.search(r'x="60.5" y="56.5" width="33.0" height="33.0" fill="#fde725"', svg)
    assert "H12: \N{EN DASH}" in svg
    assert svg.count("<circle") == 1


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.123"), (12345.6, "12346"), (math.inf, "∞"), (-math.inf, "-∞"), (0.0, "0")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert shown(value) == text


def test_words_and_numbers_of_a_table_are_escaped() -> None:
    assert table(["a", "b"], [["<", "1"]]).endswith('<tr><td>&lt;</td><td class="num">1</td></tr></table>')


def _curve(fit: DoseFit) -> Curve:
    return Curve("X & Y", "nuclei", np.array([0.0, 0.1, 10.0]), np.array([9.0, 8.0, np.nan]), fit)


def test_a_fit_is_told_in_words() -> None:
    doses = np.concatenate([np.zeros(4), np.repeat(10.0 ** np.arange(-2, 3), 3)])
    fit = fit_dose(doses, logistic(doses, 1.0, hill=1.0, top=10, bottom=0) + 0.1 * np.sin(np.arange(19)))
    assert re.match(r"IC50 [\d.]+ nM \(95 %: [\d.]+ to [\d.]+ nM\), hill [\d.]+$", verdict(_curve(fit), "nM"))
    few = [verdict(_curve(DoseFit("too few", doses=n, points=5)), "") for n in (3, 5, 0)]
    assert few[:2] == ["too few doses for a curve (3; four at least)", "too few wells for a curve (5; six at least)"]
    assert few[2] == "no well of the compound has a value"
    assert verdict(_curve(DoseFit("no effect")), "") == "no effect: a constant fits as well"
    open_end = DoseFit("unbounded", 3.0, 1.0, math.inf, 1.0, 10.0, 0.0)
    assert verdict(_curve(open_end), "nM") == "an effect; IC50 about 3 nM, its interval is open (1 to ∞ nM)"
    assert dose_plot(_curve(open_end), "nM").count("<circle") == 2
    # Where the IC50 lies beyond the doses, its place is not drawn, even where there is room for it.
    beyond = DoseFit("outside", 0.09, 0.0, 5.0, 1.0, 10.0, 0.0)
    assert ["stroke-dasharray" in dose_plot(_curve(fit), "nM") for fit in (open_end, beyond)] == [True, False]
    assert "X &amp; Y" in dose_plot(_curve(DoseFit("no effect")), "<nM>")


@pytest.mark.parametrize(
    ("feature", "responses", "levels"),
    [
        ("nuclei_per_field", [27.0, 9.0, 3.0, 1.0], ["0", "10", "20"]),
        ("condensed_fraction", [0.1, 0.4, 0.9, 1.0], ["0", "0.5", "1"]),
        ("median_area_px", [140.0, 138.0, 131.0, 129.0], ["130", "135", "140"]),
    ],
)
def test_axes_of_curves_have_round_numbers(feature: str, responses: list[float], levels: list[str]) -> None:
    doses = np.array([1.0, 2.0, 3.0, 4.0])
    drawn = dose_plot(Curve("x", feature, doses, np.array(responses), DoseFit("no effect")), "")
    assert re.findall(r'text-anchor="end">([^<]+)<', drawn) == levels
