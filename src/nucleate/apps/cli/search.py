"""``nucleate search``: learning rate, weight decay and augmentation for a training set."""

from __future__ import annotations

from functools import partial
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import DeviceOption, QuietOption, ThreadsOption, command_line, say, say_step
from nucleate.apps.cli.training_options import (
    DataArgument,
    TableOption,
    check_config,
    check_val,
    epoch_line,
    import_training,
    refuse_detector,
    split_data,
)

if TYPE_CHECKING:
    from nucleate.train.loop import Run

__all__ = ["search"]


def search(
    data: DataArgument,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="STUDY", help="Folder of the study.")],
    trials: Annotated[int, typer.Option("--trials", min=1, metavar="N", help="Short runs in all.")] = 20,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", callback=check_config, help="Settings that all trials share.")
    ] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="In place of a file: fast when not given.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. epochs=5.")
    ] = None,
    val: Annotated[
        str,
        typer.Option(
            metavar="FOLD|FRACTION|DIR",
            callback=check_val,
            help="Scored: a fold, a share such as 0.2, or other images.",
        ),
    ] = "0",
    table: TableOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in STUDY.")] = False,
    quiet: QuietOption = False,
) -> None:
    r"""Search learning rate, weight decay and the strength of augmentation, one short run a trial.

    STUDY/best.toml are the best settings, for ``nucleate train --config``; trials.csv has all of them, study.journal is
    an Optuna study. The best score flatters: it was chosen among many on the same images.

    \b
    Examples:
      nucleate search my-images -o study --trials 20 --set epochs=5
      nucleate search my-images -o study --trials 40 --set epochs=5 --resume
    """
    from nucleate.train.presets import for_machine, settings_from

    settings = settings_from(config, change or [], preset=preset)
    refuse_detector(settings)
    place = import_training(device, threads, also=("optuna.storages.journal",))
    from nucleate.train.sweep import Sweep, run_sweep

    settings = for_machine(settings, place, config=config, begun=output / "trials" / "000" if resume else None)
    samples, held = split_data(data, val, table=table, quiet=quiet)
    tell = partial(say_step, quiet=quiet)

    def report(trial: int, run: Run) -> None:
        tell(f"trial {trial} of {trials}  {epoch_line(run.history, settings.epochs)} in this trial")

    sweep = Sweep(output, settings, samples, held, trials=trials, device=place)
    best = run_sweep(sweep, resume=resume, report=report, say=tell)
    typer.echo(best.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "))
    words = ["train", str(data), "-o", "RUN", "--config", str(best), "--val", val]
    words += ["--table", str(table)] if table else []
    if not quiet:
        say(f"train with: {command_line(words)}")
