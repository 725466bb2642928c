"""``nucleate evaluate``: predicted nuclei against true ones."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import Bar, QuietOption, check_outputs, is_there, say
from nucleate.core.checks import address_fault
from nucleate.core.text import counted, listed, one_line
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nucleate.report.score_page import Case
    from nucleate.score.scores import Scores
    from nucleate.score.sources import LabelsById

__all__ = ["evaluate"]

_SHOWN = 12  # worst images drawn on the page
_SHOWN_AP = {"0.50", "0.75", "0.90"}  # IoU thresholds in the printed table; the files have all


def evaluate(
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="Predicted label images or outlines.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="True label images or outlines.")],
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the scores as JSON.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with tables.")] = None,
    per_image: Annotated[
        Path | None, typer.Option("--per-image", metavar="FILE.csv", help="Write the scores of each image.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", metavar="DIR", help="The pictures: for the page, and for sizes that PRED or TRUTH lacks."
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option("--groups", metavar="FILE.csv", help="Columns image_id and mosaic (or group): drawn together."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, metavar="N", help="Bootstrap draws for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the draws.")] = 0,
    quiet: QuietOption = False,
) -> None:
    """Score predicted nuclei against true ones.

    PRED and TRUTH are folders of label images (ID.tif, ID.labels.tif, ID.png) or of outlines (ID.geojson, ID.rois.zip,
    ID.xml, one COCO file), one such file alone, Kaggle folders or zips with masks, or Kaggle RLE CSVs. Images are
    paired by their names, two lone files whatever they are called; an image of TRUTH without prediction counts as
    empty, and so does one whose prediction cannot be read or is of another size.

    Example: nucleate evaluate results/ truth/ --json scores.json --html scores.html --images pictures/
    """
    from nucleate.core.files import make_folder, write_text
    from nucleate.data.truth import read_pair
    from nucleate.report.score_page import score_page
    from nucleate.report.tables import write_per_image, write_scores
    from nucleate.score.sources import evaluate_sources

    for path in (pred, truth, images, groups):
        if path is not None and not is_there(path):
            raise UsageError(f"{path}: {address_fault(str(path)) or 'no such file or folder; check the path'}")
    check_outputs({"--json": json, "--html": html, "--per-image": per_image}, (pred, truth, images, groups))
    of_group = None if groups is None else _groups(groups)
    predicted, true = read_pair(pred, truth, images=images)
    scores = evaluate_sources(
        predicted,
        true,
        groups=of_group,
        resamples=resamples,
        seed=seed,
        each=lambda ids: _progress(ids, quiet=quiet),
    )
    if of_group and not any(one.image_id in of_group for one in scores.per_image):
        names = f"{next(iter(of_group))} in it, {scores.per_image[0].image_id} here"
        raise UsageError(f"--groups {groups} names none of the images: got {names}; give names without endings")
    notes = _notes(scores, of_group)
    for note in notes:
        say(f"nucleate: {note}")
    for image_id, reason in scores.failed.items():
        say(f"nucleate: {one_line(f'{image_id}: {reason}')}")
    try:
        for path in (json, per_image, html):
            if path is not None:
                make_folder(path.parent)
        if json is not None:
            write_scores(json, scores)
        if per_image is not None:
            write_per_image(per_image, scores)
        if html is not None:
            cases = [] if images is None else _cases(scores, images, predicted=predicted, true=true)
            title = f"{pred.name or pred} against {truth.name or truth}"
            write_text(html, score_page(scores, title, cases=cases, notes=notes))
    finally:
        # Printed even where a file cannot be written, and last, so that a closed stdout costs no file.
        _show(scores)
    if scores.failed:
        raise typer.Exit(1)


def _show(scores: Scores) -> None:
    from nucleate.score.scores import SCORE_NAMES

    true = counted(scores.nuclei_true, "true nucleus", many="true nuclei")
    print(f"{counted(scores.images, 'image')}, {true}, {scores.nuclei_pred:,} predicted")
    print(f"{'score':<16} {'value':>6}   95 % interval")
    rows = [("kaggle", scores.kaggle)]
    rows += [(f"ap {key}", value) for key, value in scores.ap.items() if key in _SHOWN_AP]
    rows += [(name, getattr(scores, name)) for name in SCORE_NAMES[1:]]
    for name, value in rows:
        bounds = "{:.4f} .. {:.4f}".format(*scores.interval[name]) if name in scores.interval else "-"
        print(f"{name:<16} {value:6.4f}   {bounds}")


def _notes(scores: Scores, groups: Mapping[str, str] | None) -> list[str]:
    scored = [one.image_id for one in scores.per_image]
    told = (
        ([] if groups is None else [name for name in scored if name not in groups],
         "without a group in --groups, each drawn by itself"),
        (scores.missing, "without prediction, counted as empty"),
        (scores.ignored, "predicted without truth, ignored"),
        (scores.binary, "with ids in pieces, as in masks of all nuclei or pictures, scored as they are"),
        ([name for name in scores.failed if name in scored], "could not be compared, counted as empty"),
        ([name for name in scores.failed if name not in scored], "could not be compared, left out of the scores"),
    )  # fmt: skip
    return [f"{_named(ids)} {what}" for ids, what in told if ids]


def _named(ids: tuple[str, ...] | list[str]) -> str:
    return f"{counted(len(ids), 'image')} ({listed(ids, 3)})"


def _progress(ids: list[str], *, quiet: bool) -> Iterator[str]:
    with Bar("images", len(ids), quiet=quiet) as bar:
        for done, image_id in enumerate(ids, start=1):
            yield image_id
            bar.show(done)


def _groups(path: Path) -> dict[str, str]:
    from nucleate.data.table import read_table

    return {image_id: row["mosaic"] for image_id, row in read_table(path, ("mosaic",)).items() if row["mosaic"]}


def _cases(scores: Scores, images: Path, *, predicted: LabelsById, true: LabelsById) -> Iterator[Case]:
    """Give the worst images with their pictures; one whose picture is missing or of another size is passed over."""
    import numpy as np

    from nucleate.data.pictures import open_pictures
    from nucleate.errors import NucleateError
    from nucleate.report.score_page import Case, worst_first

    read = open_pictures(images)
    shown = 0
    for score in worst_first(scores):
        if shown == _SHOWN:
            return
        try:
            plane = read(score.image_id)
        except NucleateError as error:
            say(f"nucleate: not shown: {one_line(str(error))}")
            continue
        labels = true[score.image_id]
        if plane is None or labels.ndim != 2 or plane.shape[:2] != labels.shape:
            continue
        compared = score.image_id in predicted and score.image_id not in scores.failed
        found = predicted[score.image_id] if compared else np.zeros_like(labels)
        shown += 1
        yield Case(score.image_id, plane, true=labels, pred=found)
