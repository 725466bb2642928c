"""The report of a cross-validation: scores by type with intervals, recipes tried, calibration, the worst pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nucleate import __version__
from nucleate.core.files import make_folder, write_rows, write_text
from nucleate.export.overlay import render_overlay
from nucleate.nets.build import build, count_parameters
from nucleate.report.figures import draw_panels, draw_reliability
from nucleate.report.tables import markdown_table, write_scores
from nucleate.score.scores import summarise
from nucleate.study.gains import gain_of
from nucleate.train.confidence import calibration_error
from nucleate.train.crossfit import LIMITS
from nucleate.train.device import describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nucleate.score.scores import Scores
    from nucleate.study.crossfold import CrossResult
    from nucleate.study.crossfold_plan import CrossPlan
    from nucleate.train.crossfit import Ending

__all__ = ["WORST", "draw_worst", "write_results"]

WORST = 30
"""Pictures shown, the lowest scores first."""

_A_ROW = 3
_SHOWN_AP = ("0.50", "0.75", "0.90")


def write_results(plan: CrossPlan, result: CrossResult, *, command: str, took: str) -> str:
    """Write everything under ``OUT/results``, or ``OUT/results-part`` if the plan names folds.

    ``table.md``, ``scores.json``, ``per-image.csv``, ``recipes.csv``, ``reliability.png`` and ``worst.jpg``.

    Parameters
    ----------
    plan : CrossPlan
    result : CrossResult
    command : str
        The call, for the notes.
    took : str
        How long it took, for the notes.

    Returns
    -------
    str
        The text of the table.
    """
    folder = make_folder(plan.out / f"results{plan.part}")
    whole = summarise(result.found.kept, groups=result.groups)
    fitter = result.fitter  # where tuning began is scored first, so that it is among the recipes that are written
    started = float(fitter.trials.kaggle(fitter.start, range(len(result.stored))).mean())
    write_scores(folder / "scores.json", whole)
    _write_images(folder / "per-image.csv", result)
    _write_recipes(folder / "recipes.csv", result)
    draw_worst(folder / "worst.jpg", result)
    error = result.found.calibration_error
    if error is None:
        (folder / "reliability.png").unlink(missing_ok=True)  # of an earlier call
    else:
        predicted, iou, _ = result.found.nuclei()
        title = f"{len(iou)} nuclei out of fold, expected calibration error {error:.3f}"
        draw_reliability(folder / "reliability.png", predicted, true=iou, title=title)
    lines = [
        "# Cross-validation",
        "",
        *_score_lines(result, whole=whole),
        *_ending_lines(result, started=started),
        *_calibration_lines(result),
        *_notes(plan, command=command, took=took),
    ]
    text = "\n".join(lines) + "\n"
    write_text(folder / "table.md", text)
    return text


def draw_worst(path: Path, result: CrossResult) -> None:
    """Draw the `WORST` worst pictures, each twice: outlines of the truth, and of the nuclei found.

    Parameters
    ----------
    path : Path
        PNG or JPEG to write.
    result : CrossResult
    """
    worst = sorted(range(len(result.stored)), key=lambda place: result.found.kept[place].kaggle)[:WORST]
    panels = []
    for rank, place in enumerate(worst, start=1):
        sample, one = result.samples[place], result.stored[place]
        _, found, _ = result.found.ending_of(place).nuclei(one, names=result.fitter.trials.names)
        score = result.found.kept[place].kaggle
        panels.append((f"{rank}  {sample.image_id[:8]}  truth", render_overlay(sample.image, sample.labels)))
        panels.append((f"{rank}  found, score {score:.2f}", render_overlay(sample.image, found)))
    blank = np.full((8, 8, 3), 255, np.uint8)
    width = 2 * _A_ROW
    panels += [("", blank)] * (-len(panels) % width)
    draw_panels(path, [panels[start : start + width] for start in range(0, len(panels), width)])


def _subsets(result: CrossResult) -> Iterator[tuple[str, list[int]]]:
    """Name the sets of pictures that are scored by themselves: types, then folds."""
    for field, word in (("kind", ""), ("fold", "fold ")):
        values = sorted({getattr(one, field) for one in result.stored} - {None, ""})
        for value in values if len(values) > 1 else []:
            places = [i for i, one in enumerate(result.stored) if getattr(one, field) == value]
            yield f"{word}{value}", places


def _score_lines(result: CrossResult, *, whole: Scores) -> list[str]:
    heads = ["", "images", "fields", "nuclei", "Kaggle score [95 %]", "at scale 1", *(f"AP {key}" for key in _SHOWN_AP)]
    everything = list(range(len(result.stored)))
    rows = []
    for name, places in [("**all**", everything), *_subsets(result)]:
        part = summarise([result.found.kept[place] for place in places], groups=result.groups)
        unscaled = float(np.mean([result.unscaled.kept[place].kaggle for place in places]))
        fields = len({result.stored[place].group for place in places})
        rows.append(_score_cells(name, part, unscaled=unscaled, fields=fields))
    mean = float(np.mean([value for key, value in whole.ap.items() if float(key) <= 0.9]))
    pooled = [f"{value:.3f}" for value in (*whole.ap.values(), mean)]
    return [
        *markdown_table([*heads, "F1 at 0.50", "PQ", "AJI"], rows),
        "",
        *markdown_table(["AP, pooled", *whole.ap, "mean .50-.90"], [["all", *pooled]]),
        "",
    ]


def _score_cells(name: str, scores: Scores, *, unscaled: float, fields: int) -> list[str]:
    bounds = "[{:.3f}, {:.3f}]".format(*scores.interval["kaggle"]) if "kaggle" in scores.interval else "[-]"
    others = (unscaled, *(scores.ap[key] for key in _SHOWN_AP), scores.f1_50, scores.pq, scores.aji)
    kaggle = f"{scores.kaggle:.3f} {bounds}"
    counts = (scores.images, fields, scores.nuclei_true)
    return [name, *map(str, counts), kaggle, *(f"{value:.3f}" for value in others)]


def _ending_lines(result: CrossResult, *, started: float) -> list[str]:
    fitter, found = result.fitter, result.found
    everything = range(len(result.stored))
    steps = [("tuned, cross-fitted", result.unscaled.plain), ("nuclei under the limit left out", result.unscaled.kept)]
    resized = sum(one.scale != 1 for one in result.stored)
    steps.append((f"at the scale the rule chose ({resized} images resized)", found.kept))
    gains = [["where tuning began", f"{started:.4f}", "-"]]
    before: dict[str, float] = {}
    for name, scores in steps:
        now = {score.image_id: score.kaggle for score in scores}
        gain = "{:+.4f} [{:+.4f}, {:+.4f}]".format(*gain_of(now, before, groups=result.groups)) if before else "-"
        gains.append([name, f"{np.mean(list(now.values())):.4f}", gain])
        before = now
    heads = ["split", "level", "light_level", "marker_level", "join_level", "smoothing", "keep_unmarked"]
    heads += ["min_marker_area", "min_area"]
    rows = []
    for name, ending in [("all (for the model)", result.ending), *_named_endings(result)]:
        chosen = [getattr(ending.recipe, field) for field in heads]
        cells = ["-" if value is None else value if isinstance(value, str) else f"{value:g}" for value in chosen]
        rows.append([name, *cells, f"{ending.min_confidence:g}"])
    lines = [
        "## After the network",
        "",
        "Recipe, confidence and limit of each row were fitted to all other folds. The recipes tried on all images, one",
        f"number changed at a time, are in `recipes.csv`: {sum(1 for _ in fitter.trials.table())} of them.",
        "",
        *markdown_table(["step", "Kaggle score", "gain of this step [95 %]"], gains),
        "",
        *markdown_table(["scored", *heads, "limit"], rows),
        "",
    ]
    if result.ending.confidence is not None:
        known = fitter.limits(result.ending.recipe, result.ending.confidence, among=everything)
        reached = [f"{known[limit]:.4f}" for limit in LIMITS]
        lines += markdown_table(["limit", *(f"{x:g}" for x in LIMITS)], [["AP at 0.50, fitted to all", *reached]])
    return [*lines, ""]


def _named_endings(result: CrossResult) -> Iterator[tuple[str, Ending]]:
    halves = len({one.fold for one in result.stored}) == 1  # of the only fold; else each part is a fold
    for ending, part in zip(result.found.endings, result.found.parts, strict=True):
        yield f"{len(part)} images" if halves else f"fold {result.stored[part[0]].fold}", ending


def _calibration_lines(result: CrossResult) -> list[str]:
    all_predicted, all_iou, places = result.found.nuclei()
    if not len(places):
        return []
    rows = []
    kinds = np.array([one.kind for one in result.stored])[places]
    for kind in ["all", *sorted(set(kinds.tolist()) - {""})]:
        some = np.ones(len(kinds), np.bool_) if kind == "all" else kinds == kind
        predicted, iou = all_predicted[some], all_iou[some]
        numbers = (float(predicted.mean()), float(iou.mean()), calibration_error(predicted, iou))
        rows.append([kind, str(len(iou)), *(f"{number:.3f}" for number in numbers)])
    return [
        "## Predicted IoU",
        "",
        *markdown_table(["", "nuclei found", "mean predicted", "mean true", "calibration error"], rows),
        "",
        "Each nucleus is rated by a model fitted to the other folds; none is left out here (`reliability.png`).",
        "",
    ]


def _notes(plan: CrossPlan, *, command: str, took: str) -> list[str]:
    parameters = count_parameters(build(plan.config.network))
    return [
        "## How",
        "",
        "Every image is scored by a network that saw no image of its field of view, the weights of the last epoch.",
        "Intervals are 95 % bootstrap intervals over fields of view. AP, F1 and PQ are pooled over the images,",
        "the Kaggle score and AJI are means over them.",
        "",
        f"- Command: `{command}`",
        f"- One network of {parameters:,} parameters, no ensemble, no turned copies.",
        f"- nucleate {__version__}, {describe(plan.device)}; {took}.",
    ]


def _write_images(path: Path, result: CrossResult) -> None:
    rows = sorted(zip(result.stored, result.found.kept, result.found.plain, strict=True), key=lambda row: row[1].kaggle)
    header = ["image", "type", "field", "fold", "nuclei_true", "nuclei_pred", "found_50"]
    header += ["kaggle", "kaggle_unfiltered", "ap_50", "ap_75", "ap_90", "f1_50", "pq", "aji"]
    lines: list[list[object]] = []
    for one, kept, plain in rows:
        scores = [kept.kaggle, plain.kaggle, *(kept.ap[i] for i in (0, 5, 8)), kept.f1_50, kept.pq, kept.aji]
        facts = [one.image_id, one.kind, one.group, one.fold, kept.nuclei_true, kept.nuclei_pred, kept.found[0]]
        lines.append([*facts, *(f"{score:.4f}" for score in scores)])
    write_rows(path, lines, header=header)


def _write_recipes(path: Path, result: CrossResult) -> None:
    """Write every recipe that was tried on all pictures, the best first."""
    folds = np.array([one.fold for one in result.stored])
    known = sorted({fold for fold in folds.tolist() if fold is not None})
    rows = [
        (float(scores.mean()), [float(scores[folds == fold].mean()) for fold in known], recipe.to_dict())
        for recipe, scores in result.fitter.trials.table()
    ]
    rows.sort(key=lambda row: -row[0])
    header = ["kaggle", *(f"fold_{fold}" for fold in known), *result.fitter.start.to_dict()]
    shown = ([*(f"{score:.5f}" for score in (mean, *by_fold)), *recipe.values()] for mean, by_fold, recipe in rows)
    write_rows(path, shown, header=header)
