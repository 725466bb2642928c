"""``nucleate stress``: what a model, or a cross-validated network, loses when pictures are changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nucleate.apps.cli.console import DeviceOption, QuietOption, ThreadsOption, say_step
from nucleate.apps.cli.training_options import (
    TableOption,
    check_config,
    check_data,
    fold_numbers,
    import_training,
    load_data,
    repeated,
    unseen,
)
from nucleate.errors import UsageError

__all__ = ["stress"]


def stress(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", callback=check_data, help="Annotated images, or those of the study.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder of the table, or that of nucleate crossval.")
    ],
    model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="The model; see: nucleate models. In place of --config.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", callback=check_config, help="Settings of the networks of nucleate crossval."),
    ] = None,
    table: TableOption = None,
    folds: Annotated[str, typer.Option(metavar="N,...", help="Folds looked at; all when not given.")] = "",
    images: Annotated[
        int, typer.Option(min=1, metavar="N", help="Images of each type; of all where no table tells types.")
    ] = 12,
    only: Annotated[str, typer.Option(metavar="NAME,...", help="Changes to look at; all when not given.")] = "",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    r"""Change annotated images as they differ between laboratories, and tell what it costs.

    Rescaled, blurred, noised, dimmed, inverted, colour-shifted, compressed. With --model, by that model; images that it
    was trained on, as far as its card tells, are left out. With --config, each image by the network of nucleate
    crossval that never saw its field of view. OUT/results/stress.md and stress.csv; with --only or --folds,
    stress-part.md and stress-part.csv.

    \b
    Examples:
      nucleate stress my-images -o robust --model run/model.onnx
      nucleate stress stage1_train.zip -o cross --config configs/flagship.toml --images 4 --only rescaled,inverted
    """
    if (model is None) == (config is None):
        raise UsageError("give --model, or --config of a study of nucleate crossval")
    if model is not None and folds:
        raise UsageError("--folds are those of a study; with --model, images that it was trained on are left out")
    held_out = fold_numbers(folds)
    from nucleate.core.files import check_place
    from nucleate.run.outputs import refuse_existing
    from nucleate.study.changes import check_changes

    names = [name.strip() for name in only.split(",") if name.strip()]
    check_changes(names)
    results, called = output / "results", "stress-part" if names or folds else "stress"
    refuse_existing(results, [results / f"{called}.md", results / f"{called}.csv"])
    if model is not None:
        check_place(results / f"{called}.md")
    place = import_training(device, 1)  # a picture a thread is faster than a picture over all threads
    from nucleate.api import load_segmenter
    from nucleate.core.cores import cores
    from nucleate.study.crossfold_plan import CrossPlan
    from nucleate.study.stress import HOW_STUDY, balanced, how_model, run_changes, run_stress, write_stress
    from nucleate.train.config import load_config

    jobs = 1 if place == "cuda" else threads or cores()
    tell = partial(say_step, quiet=quiet)
    if config is not None:
        plan = CrossPlan(
            data, output, loaded=load_data(data, table, quiet=quiet),
            config=load_config(config), folds=held_out, device=place, jobs=jobs,
        )  # fmt: skip
        rows, how = run_stress(plan, count=images, only=names, say=tell), HOW_STUDY
    else:
        segmenter = load_segmenter(model, device="cuda" if place == "cuda" else "cpu", threads=1)
        pictures = balanced(unseen(segmenter.card, data, table=table, quiet=quiet), images)
        found_by = {one.image_id: segmenter for one in pictures}
        rows = run_changes(pictures, found_by, only=names, jobs=jobs, say=tell)
        how = how_model(segmenter.card)
    command = repeated(
        "stress", data, output=output, model=model and Path(model), config=config, table=table, folds=folds,
        images=images, only=only,
    )  # fmt: skip
    typer.echo(write_stress(results, rows, how=how, device=place, command=command, called=called))
