"""``nucleate crossval``: one network cross-validated, every image scored by a network that never saw its field."""

from __future__ import annotations

import functools
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import Bar, DeviceOption, QuietOption, ThreadsOption
from nucleate.apps.cli.training_options import (
    DataArgument,
    StudyOption,
    TableOption,
    check_config,
    epoch_line,
    fold_numbers,
    import_training,
    load_data,
    refuse_detector,
    repeated,
)
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nucleate.train.loop import Run

__all__ = ["crossval"]


def crossval(
    data: DataArgument,
    *,
    output: StudyOption,
    config: Annotated[
        Path, typer.Option(metavar="FILE.toml", callback=check_config, help="Settings of each network; see configs/.")
    ],
    table: TableOption = None,
    folds: Annotated[str, typer.Option(metavar="N,...", help="Held out in turn; all when not given.")] = "",
    train: Annotated[bool, typer.Option("--train/--no-train", help="Train folds that are not trained yet.")] = True,
    ship: Annotated[str, typer.Option(metavar="NAME", help="Write OUT/NAME.onnx with its card.")] = "",
    network: Annotated[
        str, typer.Option(metavar="FOLD|all", help="Shipped: that of a fold, or one trained on all images.")
    ] = "all",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with folds that were begun.")] = False,
    quiet: QuietOption = False,
) -> None:
    r"""Train one network a fold and score every image by the network that never saw its field of view.

    OUT/fold-N has the networks, OUT/results the table by type of image with intervals, the scores of each image, every
    recipe tried, the reliability of the predicted IoU and the thirty worst images. Folds that are trained are taken as
    they are. Recipe, confidence and the limit under which nuclei are left out are fitted to the other folds. Where
    folds are named, OUT/results-part has the results, and OUT/results stays.

    \b
    Examples:
      nucleate crossval stage1_train.zip -o cross --config configs/flagship.toml
      nucleate crossval stage1_train.zip -o cross --config configs/flagship.toml --folds 0 --resume
      nucleate crossval stage1_train.zip -o cross --config configs/flagship.toml --ship mine --network 0
    """
    if network != "all" and not network.isdigit():
        raise UsageError(f"--network {network!r}; give the number of a fold or all")
    held_out = fold_numbers(folds)
    place = import_training(device, threads, also=("matplotlib.figure",))
    from nucleate.core.cores import cores
    from nucleate.study.crossfold import check_shipped, run_crossfold, ship_model, train_on_all
    from nucleate.study.crossfold_plan import ALL, CrossPlan
    from nucleate.study.crossfold_table import write_results
    from nucleate.train.config import load_config

    began = time.monotonic()
    settings = load_config(config)
    refuse_detector(settings)
    plan = CrossPlan(
        data, output, loaded=load_data(data, table, quiet=quiet), config=settings, folds=held_out,
        device=place, jobs=threads or cores(), train=train,
    )  # fmt: skip
    shipped = ALL if network == ALL else f"fold-{network}"
    if ship:
        check_shipped(plan, network=shipped, name=ship)

    call = functools.partial(repeated, "crossval", data, output=output, config=config, table=table, folds=folds)
    with Bar("images", None, quiet=quiet) as bar:
        report = _reporter(bar, settings.epochs, quiet=quiet)
        said = (lambda line: None) if quiet else bar.say
        result = run_crossfold(plan, resume=resume, report=report, say=said, tick=bar.stage)
    minutes = (time.monotonic() - began) / 60
    told = write_results(plan, result, command=call(), took=f"this call took {minutes:.0f} min")
    if not ship:
        typer.echo(told)
        return
    command = call(ship=ship, network=network)
    with Bar("batches", None, quiet=quiet) as bar:
        if network == ALL:
            train_on_all(plan, resume=resume, report=_reporter(bar, settings.epochs, quiet=quiet), tick=bar.stage)
        made = ship_model(plan, result, network=shipped, name=ship, command=command, tick=bar.stage)
    typer.echo(told)
    typer.echo(made)


def _reporter(bar: Bar, epochs: int, *, quiet: bool) -> Callable[[str, Run], None]:
    def report(name: str, run: Run) -> None:
        if not quiet:
            bar.say(f"{name}  {epoch_line(run.history, epochs)}")

    return report
