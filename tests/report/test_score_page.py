"""The score page: whole, self-contained, and safe with any name."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from nucleate.report.contours import PRED_COLOUR, TRUE_COLOUR
from nucleate.report.curves import ap_curve
from nucleate.report.score_page import Case, score_page, worst_first
from nucleate.score.scores import evaluate_pairs

pytestmark = pytest.mark.base

ONE = np.zeros((20, 20), np.int32)
ONE[3:9, 3:9] = 1
ONE[12:18, 4:15] = 2
SHIFTED = np.roll(ONE, 1, axis=1)
SCORES = evaluate_pairs([("good", ONE, ONE), ("<b>bad & ugly</b>", ONE, np.zeros_like(ONE)), ("fair", ONE, SHIFTED)])
PLANE = np.arange(400, dtype=np.uint8).reshape(20, 20)


class Balance(HTMLParser):
    """Checks that every element is closed in the order in which it was opened."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.closed = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.closed += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.closed += 1


def _page() -> str:
    cases = [Case("fair", PLANE, true=ONE, pred=SHIFTED)]
    return score_page(SCORES, "mine <against> theirs", cases=cases, notes=["1 image (x & y) is missing"])


def test_every_element_is_closed() -> None:
    parser = Balance()
    parser.feed(_page())
    assert parser.open == []
    assert parser.closed > 100


def test_nothing_outside_is_needed() -> None:
    page = _page()
    assert not re.search(r"https?:|//|<script|@import|url\(", re.sub(r'src="data:[^"]*"', "", page))
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|href)="([^"]*)"', page))


def test_names_are_text_and_never_markup() -> None:
    page = _page()
    assert "<b>bad" not in page
    assert "&lt;b&gt;bad &amp; ugly&lt;/b&gt;" in page
    assert "mine &lt;against&gt; theirs" in page
    assert "x &amp; y" in page


def test_scores_and_intervals_stand_there() -> None:
    page = _page()
    low, high = SCORES.interval["kaggle"]
    assert f"{SCORES.kaggle:.3f}" in page
    assert f"{low:.3f} to {high:.3f}" in page
    assert "3 images, 6 true and 4 predicted nuclei" in page


def test_worst_images_come_first() -> None:
    assert [image.image_id for image in worst_first(SCORES)] == ["<b>bad & ugly</b>", "fair", "good"]
    page = _page()
    assert page.index("ugly") < page.rindex("fair") < page.rindex("good")


def test_the_picture_holds_both_outlines() -> None:
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", _page())
    assert len(found) == 1
    with Image.open(io.BytesIO(base64.b64decode(found[0]))) as picture:
        colours = {colour for _, colour in picture.getcolors(maxcolors=100_000) or []}
    assert {TRUE_COLOUR, PRED_COLOUR} <= colours


def test_without_cases_or_interval_the_page_is_whole() -> None:
    single = evaluate_pairs([("one", ONE, ONE)])
    page = score_page(single, "one")
    assert "Worst images" not in page
    assert "No intervals" in page
    assert "polygon" not in page


def test_curve_is_drawn_to_scale() -> None:
    curve = ap_curve(SCORES)
    heights = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', curve)]
    ticks = {float(v): float(y) - 4 for y, v in re.findall(r'y="([\d.]+)" text-anchor="end">([\d.]+)<', curve)}
    per_unit = ticks[0.0] - ticks[1.0]
    assert [(ticks[0.0] - y) / per_unit for y in heights] == pytest.approx(list(SCORES.ap.values()), abs=0.001)
    assert curve.count("<polygon") == 1
