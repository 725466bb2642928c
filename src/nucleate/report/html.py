"""Scores as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from nucleate.core.files import atomic_path
from nucleate.report.contours import BOTH_COLOUR, PRED_COLOUR, TRUE_COLOUR, draw_contours
from nucleate.report.curves import ap_curve
from nucleate.score.scores import SCORE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.score.images import ImageScore
    from nucleate.score.scores import Scores

__all__ = ["Case", "score_page", "worst_first", "write_score_page"]

_MEANING = {
    "kaggle": ("Kaggle score", "mean over images of the mean over IoU 0.50 to 0.95 of TP / (TP + FP + FN)"),
    "f1_50": ("F1 at IoU 0.5", "2 TP / (2 TP + FP + FN), all nuclei of the set together"),
    "precision_50": ("Precision at IoU 0.5", "share of the predicted nuclei that are right"),
    "recall_50": ("Recall at IoU 0.5", "share of the true nuclei that were found"),
    "pq": ("Panoptic quality", "sum of the IoU of the nuclei found / (TP + FP / 2 + FN / 2)"),
    "aji": ("Aggregated Jaccard index", "mean over images (Kumar et al. 2017)"),
    "pixel_accuracy": ("Pixel accuracy", "share of the pixels that are right, mean over images"),
    "pixel_precision": ("Pixel precision", "TP / (TP + FP) of the merged masks, mean over images"),
    "pixel_iou": ("Pixel IoU", "TP / (TP + FP + FN) of the merged masks, mean over images"),
}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --dim: #777; --accent: #2f7fd0; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.sub, td.what, figcaption, .note { color: var(--dim); } p.sub { margin-top: 0; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { padding: .28rem .6rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { max-height: 36rem; overflow: auto; } .scroll th { position: sticky; top: 0; background: Canvas; }
td.id { overflow-wrap: anywhere; font-size: .85em; min-width: 12rem; } td.score { min-width: 7rem; }
.bar { background: linear-gradient(90deg, color-mix(in srgb, var(--accent) 30%, transparent) var(--w), transparent 0); }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(27rem, 100%), 1fr)); gap: 1.2rem; }
figure { margin: 0; } figure img { width: 100%; display: block; } figcaption { font-size: .85em; }
figcaption b { overflow-wrap: anywhere; } svg { max-width: 40rem; width: 100%; height: auto; }
.key { display: inline-block; width: 1.4em; height: .75em; margin: 0 .3em 0 .9em; border: 1px solid #8888; }
"""


@dataclass(frozen=True)
class Case:
    """One image to be shown with the outlines of truth and prediction.

    Parameters
    ----------
    image_id : str
        As in the scores.
    plane : (H, W) or (H, W, 3) ndarray
        The picture.
    true, pred : (H, W) int ndarray
        Label images.
    """

    image_id: str
    plane: NDArray[Any]
    true: NDArray[Any]
    pred: NDArray[Any]


def worst_first(scores: Scores) -> list[ImageScore]:
    """Sort images by their Kaggle score, the lowest first; among equal ones those with more nuclei first."""
    return sorted(scores.per_image, key=lambda s: (s.kaggle, -s.nuclei_true - s.nuclei_pred, s.image_id))


def write_score_page(
    path: Path | str,
    scores: Scores,
    *,
    title: str,
    cases: Iterable[Case] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the page of `score_page` to a file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    page = score_page(scores, title, cases=cases, notes=notes)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def score_page(scores: Scores, title: str, *, cases: Iterable[Case] = (), notes: Sequence[str] = ()) -> str:
    """Lay out scores as a page: the scores with intervals, the AP curve, the cases, every image.

    Parameters
    ----------
    scores : Scores
        To be shown.
    title : str
        Heading.
    cases : iterable of Case
        Images to show, in this order; looked at one at a time.
    notes : sequence of str
        Lines under the heading, such as what could not be compared.

    Returns
    -------
    str
        A whole HTML document.
    """
    counts = f"{scores.images:,} images, {scores.nuclei_true:,} true and {scores.nuclei_pred:,} predicted nuclei"
    by_id = {image.image_id: image for image in scores.per_image}
    figures = "".join(_figure(case, by_id.get(case.image_id)) for case in cases)
    legend = "".join(
        f'<span class="key" style="background: rgb{colour}"></span>{name}'
        for colour, name in ((TRUE_COLOUR, "truth"), (PRED_COLOUR, "prediction"), (BOTH_COLOUR, "both"))
    )
    parts = [
        f'<h1>{escape(title)}</h1><p class="sub">{counts}</p>',
        "".join(f'<p class="note">{escape(note)}</p>' for note in notes),
        _score_table(scores),
        f"<h2>Average precision by IoU threshold</h2>{ap_curve(scores)}",
        f'<h2>Worst images</h2><p class="note">Outlines:{legend}</p><div class="cases">{figures}</div>' * bool(figures),
        f"<h2>Every image</h2>{_image_table(scores)}",
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(filter(None, parts)) + "\n</body></html>\n"
    )


def _score_table(scores: Scores) -> str:
    rows = []
    for name in SCORE_NAMES:
        heading, what = _MEANING[name]
        bounds = _bounds(scores.interval, name)
        value = f"{getattr(scores, name):.3f}"
        rows.append(
            f'<tr><th>{heading}</th><td class="num">{value}</td><td class="num">{bounds}</td>'
            f'<td class="what">{what}</td></tr>'
        )
    head = '<tr><th>Score</th><th class="num">Value</th><th class="num">95 % interval</th><th>What it is</th></tr>'
    why = (
        ""
        if scores.interval
        else '<p class="note">No intervals: they need draws from at least two images or groups.</p>'
    )
    return f"<table>{head}{''.join(rows)}</table>{why}"


def _bounds(interval: Mapping[str, tuple[float, float]], name: str) -> str:
    return "{:.3f} to {:.3f}".format(*interval[name]) if name in interval else "&ndash;"


def _image_table(scores: Scores) -> str:
    head = "<tr><th>Image</th>" + "".join(
        f'<th class="num">{name}</th>'
        for name in ("True", "Predicted", "Found", "Kaggle", "F1 .5", "PQ", "AJI", "Pixel IoU")
    )
    rows = []
    for image in worst_first(scores):
        counts = (image.nuclei_true, image.nuclei_pred, image.found[0])
        others = (image.f1_50, image.pq, image.aji, image.pixel_iou)
        rows.append(
            f'<tr><td class="id">{escape(image.image_id)}</td>'
            + "".join(f'<td class="num">{count:,}</td>' for count in counts)
            + f'<td class="num score bar" style="--w: {image.kaggle:.1%}">{image.kaggle:.3f}</td>'
            + "".join(f'<td class="num">{value:.3f}</td>' for value in others)
            + "</tr>"
        )
    note = '<p class="note">The lowest Kaggle score first. Found: nuclei with IoU over 0.5.</p>'
    return f'{note}<div class="scroll"><table>{head}</tr>{"".join(rows)}</table></div>'


def _figure(case: Case, score: ImageScore | None) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(draw_contours(case.plane, case.true, pred=case.pred)).save(stream, "PNG", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    told = "" if score is None else (
        f"<br>Kaggle {score.kaggle:.3f}; {score.found[0]} of {score.nuclei_true} nuclei found, "
        f"{score.nuclei_pred} predicted"
    )  # fmt: skip
    name = escape(case.image_id)
    return (
        f'<figure><img alt="{name} with outlines" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{name}</b>{told}</figcaption></figure>"
    )
