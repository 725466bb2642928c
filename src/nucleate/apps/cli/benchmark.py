"""``nucleate benchmark``: trained and scored on a published split, beside the published rows."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import DeviceOption, QuietOption, ThreadsOption, say_step
from nucleate.apps.cli.training_options import (
    TableOption,
    check_config,
    check_data,
    epoch_line,
    import_training,
    refuse_detector,
    repeated,
    table_beside,
)

if TYPE_CHECKING:
    from nucleate.train.config import TrainConfig
    from nucleate.train.loop import Run

__all__ = ["benchmark"]


def benchmark(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", callback=check_data, help="StarDist's subset: a zip or folder, train and test."),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.")],
    config: Annotated[
        Path, typer.Option(metavar="FILE.toml", callback=check_config, help="Settings of the network; see configs/.")
    ],
    then: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            callback=check_config,
            help="Other settings, with which it goes on over all training images.",
        ),
    ] = None,
    table: TableOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    quiet: QuietOption = False,
) -> None:
    r"""Train on the training images of StarDist's subset alone and score its test images beside the published rows.

    RUN/stardist.md, stardist.json and stardist.csv; RUN/subset.onnx is the model, RUN/all/subset.onnx the one that went
    on.

    \b
    Examples:
      nucleate benchmark stardist_subset.zip -o subset --config configs/stardist-subset.toml
      nucleate benchmark stardist_subset.zip -o subset --config configs/stardist-subset.toml --resume
    """
    place = import_training(device, threads)
    from nucleate.study.stardist_subset import run_subset, write_subset
    from nucleate.train.config import load_config, parse_config, read_values

    settings = load_config(config)
    refuse_detector(settings)
    later = parse_config({**settings.model_dump(), **read_values(then)}, str(then)) if then else None

    def report(stage: TrainConfig, run: Run) -> None:
        say_step(epoch_line(run.history, stage.epochs), quiet=quiet)

    beside = table_beside(data)  # `load_data` would ask it for folds and for every image
    fields = table or (beside if beside.is_file() else None)
    found = run_subset(
        data, output, config=settings, then=later, table=fields, resume=resume, device=place, report=report,
    )  # fmt: skip
    command = repeated("benchmark", data, output="RUN", config=config, then=then, table=table)
    typer.echo(write_subset(output, found, config=settings, command=command, device=place))
