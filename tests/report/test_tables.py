"""JSON and CSV of scores."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.tables import rows_of

from nucleate.errors import OutputError
from nucleate.report.tables import write_per_image, write_scores
from nucleate.score.scores import evaluate_pairs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

ONE = np.array([[0, 1, 1, 0, 2, 2]], np.int32)
SCORES = evaluate_pairs([("a", ONE, ONE), ("b, c", ONE, np.minimum(ONE, 1))])


def test_json_comes_back(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.json", SCORES)
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8")) == SCORES.to_json()


def test_one_row_an_image_and_the_failed_ones_last(tmp_path: Path) -> None:
    write_per_image(tmp_path / "p.csv", replace(SCORES, failed={"z": "shapes differ, sadly", "a": "cut short"}))
    rows = rows_of(tmp_path / "p.csv")
    assert [row["image"] for row in rows] == ["a", "b, c", "z"]
    assert {float(rows[0][name]) for name in ("kaggle", "ap_50", "ap_95", "f1_50", "pq", "aji", "pixel_iou")} == {1.0}
    assert (rows[1]["nuclei_true"], rows[1]["nuclei_pred"]) == ("2", "1")
    assert float(rows[1]["kaggle"]) == pytest.approx(SCORES.per_image[1].kaggle, abs=1e-6)
    assert [row["error"] for row in rows] == ["cut short", "", "shapes differ, sadly"]
    assert rows[2]["kaggle"] == ""
    assert len(rows[2]) == 21


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_scores(tmp_path / "no" / "s.json", SCORES)
