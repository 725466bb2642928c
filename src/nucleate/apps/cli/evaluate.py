"""``nucleate evaluate``: predicted nuclei against true ones."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nucleate.report.evaluation import Evaluation, Labels
    from nucleate.report.html import Case
    from nucleate.score.scores import Scores

__all__ = ["evaluate"]

_SHOWN = 12  # worst images on the page
_SHOWN_AP = {"0.50", "0.75", "0.90"}


def evaluate(
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="Predicted label images.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="True label images.")],
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the scores as JSON.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with tables.")] = None,
    per_image: Annotated[
        Path | None, typer.Option("--per-image", metavar="FILE.csv", help="Write the scores of each image.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", metavar="DIR", help="The pictures: for the page, and for the sizes that an RLE CSV lacks."
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option("--groups", metavar="FILE.csv", help="Columns image_id and mosaic (or group): drawn together."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, metavar="N", help="Bootstrap draws for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the draws.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Score predicted nuclei against true ones.

    PRED and TRUTH are folders of label images (ID.tif, ID.labels.tif, ID.png), Kaggle folders or zips with masks, or
    Kaggle RLE CSVs. Images are paired by their names; an image of TRUTH without prediction counts as empty.

    Example: nucleate evaluate results/ truth/ --json scores.json --html scores.html --images pictures/
    """
    from nucleate.report.evaluation import evaluate_sources, open_labels
    from nucleate.report.html import write_score_page
    from nucleate.report.tables import write_per_image, write_scores

    predicted, true = open_labels(pred, images=images), open_labels(truth, images=images)
    result = evaluate_sources(
        predicted,
        true,
        groups=None if groups is None else _groups(groups),
        resamples=resamples,
        seed=seed,
        each=lambda ids: _progress(ids, quiet=quiet),
    )
    _show(result.scores)
    notes = _notes(result)
    for note in notes:
        print(f"nucleate evaluate: {note}", file=sys.stderr)
    for image_id, reason in result.failed.items():
        print(f"nucleate evaluate: {image_id}: {reason}", file=sys.stderr)
    if json is not None:
        write_scores(json, result.scores)
    if per_image is not None:
        write_per_image(per_image, result.scores, failed=result.failed)
    if html is not None:
        cases = [] if images is None else _cases(result.scores, images, predicted=predicted, true=true)
        title = f"{pred.name or pred} against {truth.name or truth}"
        write_score_page(html, result.scores, title=title, cases=cases, notes=notes)
    if result.failed:
        raise typer.Exit(1)


def _show(scores: Scores) -> None:
    print(f"{scores.images} images, {scores.nuclei_true} true nuclei, {scores.nuclei_pred} predicted")
    print(f"{'score':<16} {'value':>6}   95 % interval")
    from nucleate.score.scores import SCORE_NAMES

    rows = [("kaggle", scores.kaggle)]
    rows += [(f"ap {key}", value) for key, value in scores.ap.items() if key in _SHOWN_AP]
    rows += [(name, getattr(scores, name)) for name in SCORE_NAMES[1:]]
    for name, value in rows:
        bounds = "{:.4f} .. {:.4f}".format(*scores.interval[name]) if name in scores.interval else "-"
        print(f"{name:<16} {value:6.4f}   {bounds}")


def _notes(result: Evaluation) -> list[str]:
    notes = []
    if result.missing:
        notes.append(f"{_named(result.missing)} without prediction, counted as empty")
    if result.ignored:
        notes.append(f"{_named(result.ignored)} predicted without truth, ignored")
    if result.failed:
        notes.append(f"{_named(list(result.failed))} could not be compared, left out of the scores")
    return notes


def _named(ids: tuple[str, ...] | list[str]) -> str:
    count = f"{len(ids)} image{'s' * (len(ids) > 1)}"
    return f"{count} ({', '.join(ids[:3])}{', ...' * (len(ids) > 3)})"


def _progress(ids: list[str], *, quiet: bool) -> Iterable[str]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal or len(ids) < 2
    return track(ids, "scoring", console=console, disable=hidden, transient=True)


def _groups(path: Path) -> dict[str, str]:
    import csv

    from nucleate.errors import DataError

    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            group = next((name for name in ("mosaic", "group") if name in columns), None)
            if group is None or "image_id" not in columns:
                raise DataError(f"{path} lacks columns: got {', '.join(columns)}; give image_id and mosaic or group")
            return {row["image_id"]: row[group] for row in reader if row[group]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}; give a CSV file") from error


def _cases(scores: Scores, images: Path, *, predicted: Labels, true: Labels) -> Iterator[Case]:
    """Give the worst images of which there is a picture on the grid of the labels."""
    import numpy as np

    from nucleate.errors import NucleateError
    from nucleate.report.html import Case, worst_first
    from nucleate.report.pictures import open_pictures

    read = open_pictures(images)
    shown = 0
    for score in worst_first(scores):
        if shown == _SHOWN:
            return
        try:
            plane = read(score.image_id)
        except NucleateError as error:
            print(f"nucleate evaluate: not shown: {error}", file=sys.stderr)
            continue
        labels = true[score.image_id]
        if plane is None or labels.ndim != 2 or plane.shape[:2] != labels.shape:
            continue
        found = predicted[score.image_id] if score.image_id in predicted else np.zeros_like(labels)
        shown += 1
        yield Case(score.image_id, plane, true=labels, pred=found)
