"""Scores as one HTML page that needs no other file and no network."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from nucleate.core.text import counted
from nucleate.report.contours import BOTH_COLOUR, PRED_COLOUR, TRUE_COLOUR, draw_contours
from nucleate.report.curves import ap_curve
from nucleate.report.page import document, figure, png_data
from nucleate.score.scores import SCORE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from nucleate.score.images import ImageScore
    from nucleate.score.scores import Scores

__all__ = ["Case", "score_page", "worst_first"]

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
    counts = (
        f"{counted(scores.images, 'image')}, {scores.nuclei_true:,} true and {scores.nuclei_pred:,} predicted nuclei"
    )
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
    return document(title, parts)


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
    told = ""
    if score is not None:
        found = f"{score.found[0]} of {score.nuclei_true} nuclei found, {score.nuclei_pred} predicted"
        told = f"Kaggle {score.kaggle:.3f}; {found}"
    return figure(case.image_id, png_data(draw_contours(case.plane, case.true, pred=case.pred)), told=told)
