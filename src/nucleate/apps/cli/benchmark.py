"""``nucleate benchmark``: trained and scored on a published split, beside the published rows."""

from __future__ import annotations

import shlex
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import DebugOption, DeviceOption, QuietOption, ThreadsOption, say
from nucleate.apps.cli.training import TableOption, default_table, import_training

if TYPE_CHECKING:
    from nucleate.train.loop import Run

__all__ = ["benchmark"]


def benchmark(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="StarDist's subset: a zip or folder, train and test.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.")],
    config: Annotated[Path, typer.Option(metavar="FILE.toml", help="Settings of the network; see configs/.")],
    table: TableOption = None,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Or take the network in RUN as it is.")] = True,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    r"""Train on the training images of StarDist's subset alone and score its test images beside the published rows.

    RUN/stardist.md, stardist.json and stardist.csv; RUN/subset.onnx is the model.

    \b
    Examples:
      nucleate benchmark stardist_subset.zip -o subset --config configs/flagship.toml
      nucleate benchmark stardist_subset.zip -o subset --config configs/flagship.toml --resume
    """
    del debug  # read before the verb
    place = import_training(device, threads)
    from nucleate.study.stardist_subset import run_subset, write_subset
    from nucleate.train.config import load_config

    settings = load_config(config)

    def report(run: Run) -> None:
        last = run.history[-1]
        left = (settings.epochs - len(run.history)) * last["seconds"] / 60
        if not quiet:
            say(f"epoch {len(run.history)}/{settings.epochs}  loss {last['loss']:.4f}  {left:.0f} min left")

    found = run_subset(
        data, output, config=settings, table=table or default_table(data), train=train, resume=resume, device=place,
        report=report,
    )  # fmt: skip
    command = shlex.join(["nucleate", "benchmark", data.name, "-o", "RUN", "--config", f"configs/{config.name}"])
    typer.echo(write_subset(output, found, config=settings, command=command))
