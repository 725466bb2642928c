"""Scores to files: JSON for the set, CSV for the single images; tables in Markdown."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from nucleate.core.files import write_rows, write_text
from nucleate.score.scores import AP_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from nucleate.score.scores import Scores

__all__ = ["markdown_table", "with_interval", "write_per_image", "write_records", "write_scores"]


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Give the lines of a table.

    Examples
    --------
    >>> markdown_table(["a", "b"], [["1", "2"]])
    ['| a | b |', '|---|---|', '| 1 | 2 |']
    """
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, *rows)]
    return [lines[0], "|---" * len(heads) + "|", *lines[1:]]


def with_interval(value: float, bounds: Sequence[float] | None, *, sign: bool = False) -> str:
    """Give a score, with its interval if there is one, as a cell of a table.

    Examples
    --------
    >>> with_interval(0.6, (0.55, 0.65)), with_interval(0.1, (0, 0.2), sign=True), with_interval(0.6, None)
    ('0.600 [0.550, 0.650]', '+0.100 [+0.000, +0.200]', '0.600')
    """
    shown = "+.3f" if sign else ".3f"
    if not bounds or any(math.isnan(bound) for bound in bounds):
        return f"{value:{shown}}"
    low, high = bounds
    return f"{value:{shown}} [{low:{shown}}, {high:{shown}}]"


def write_records(path: Path | str, rows: Sequence[Any]) -> None:
    """Write dataclasses of one kind as CSV, a column a field, numbers with six decimals; no rows, no file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if not rows:
        return
    names = [field.name for field in fields(rows[0])]
    lines = ([getattr(row, name) for name in names] for row in rows)
    shown = ([f"{value:.6f}" if isinstance(value, float) else value for value in line] for line in lines)
    write_rows(path, shown, header=names)


def write_scores(path: Path | str, scores: Scores) -> None:
    """Write the scores of a set as JSON (see `Scores.to_json`).

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_text(path, json.dumps(scores.to_json(), indent=2) + "\n")


def write_per_image(path: Path | str, scores: Scores) -> None:
    """Write one row an image as CSV.

    Columns: image, nuclei_true, nuclei_pred, kaggle, ap_50 ... ap_95, f1_50, pq, aji, pixel_accuracy,
    pixel_precision, pixel_iou, error. If a prediction could not be compared, the scores are those of an empty one, with
    the reason; images that are not scored at all come last, with the reason alone.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    thresholds = [f"ap_{key[2:]}" for key in AP_KEYS]
    single = ["f1_50", "pq", "aji", "pixel_accuracy", "pixel_precision", "pixel_iou"]
    header = ["image", "nuclei_true", "nuclei_pred", "kaggle", *thresholds, *single, "error"]
    rows: list[list[object]] = []
    for image in scores.per_image:
        numbers = [image.kaggle, *image.ap, *(getattr(image, name) for name in single)]
        rows.append([image.image_id, image.nuclei_true, image.nuclei_pred, *(f"{n:.6g}" for n in numbers)])
        rows[-1].append(scores.failed.get(image.image_id, ""))
    scored = {image.image_id for image in scores.per_image}
    unscored = [(image_id, reason) for image_id, reason in scores.failed.items() if image_id not in scored]
    rows += [[image_id, *[""] * (len(header) - 2), reason] for image_id, reason in unscored]
    write_rows(path, rows, header=header)
