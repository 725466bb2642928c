"""``nucleate stress``: what a cross-validated network loses when pictures are changed."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import Annotated

import typer

from nucleate.apps.cli.console import DeviceOption, QuietOption, ThreadsOption, say_step
from nucleate.apps.cli.training import TableOption, find_table, import_training, repeated, whole_numbers

__all__ = ["stress"]


def stress(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The annotated images of the study.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder of nucleate crossval.")],
    config: Annotated[Path, typer.Option(metavar="FILE.toml", help="Settings of its networks.")],
    table: TableOption = None,
    folds: Annotated[str, typer.Option(metavar="N,...", help="Folds looked at; all when not given.")] = "",
    images: Annotated[int, typer.Option(min=1, metavar="N", help="Images of each type.")] = 12,
    only: Annotated[str, typer.Option(metavar="NAME,...", help="Changes to look at; all when not given.")] = "",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    r"""Change held-out images as they differ between laboratories, and tell what it costs.

    Rescaled, blurred, noised, dimmed, inverted, colour-shifted, compressed: each image is segmented by the network that
    never saw its field of view. OUT/results/stress.md and stress.csv; with --only or --folds, stress-part.md
    and stress-part.csv.

    \b
    Examples:
      nucleate stress stage1_train.zip -o cross --config configs/flagship.toml
      nucleate stress stage1_train.zip -o cross --config configs/flagship.toml --images 4 --only rescaled,inverted
    """
    place = import_training(device, 1)  # a picture a thread is faster than a picture over all threads
    from nucleate.core.cores import cores
    from nucleate.study.crossfold import CrossPlan
    from nucleate.study.stress import check_changes, run_stress, write_stress
    from nucleate.train.config import load_config

    names = [name.strip() for name in only.split(",") if name.strip()]
    check_changes(names)
    plan = CrossPlan(
        data, output, find_table(data, table, quiet=quiet),
        config=load_config(config), folds=whole_numbers(folds, "--folds"),
        device=place, jobs=1 if place == "cuda" else threads or cores(),
    )  # fmt: skip
    command = repeated("stress", data, output=output, config=config, table=table, folds=folds, images=images, only=only)
    rows = run_stress(plan, count=images, only=names, say=(lambda line: None) if quiet else say_step)
    typer.echo(write_stress(plan, rows, command=command, part=bool(names)))
