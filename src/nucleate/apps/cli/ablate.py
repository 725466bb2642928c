"""``nucleate ablate``: the paper's next steps, one by one, each against the paper's system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import DeviceOption, QuietOption, ThreadsOption, say_step
from nucleate.apps.cli.training_options import (
    DataArgument,
    PrecisionOption,
    SeedOption,
    StudyOption,
    TableOption,
    WidthOption,
    fold_numbers,
    import_training,
    load_data,
    repeated,
)

if TYPE_CHECKING:
    from nucleate.train.loop import Run

__all__ = ["ablate"]


def ablate(
    data: DataArgument,
    *,
    output: StudyOption,
    table: TableOption = None,
    only: Annotated[str, typer.Option(metavar="NAME,...", help="Rows to run; all when not given.")] = "",
    budget: Annotated[int, typer.Option(metavar="CROPS", min=1, help="Crops each network is trained on.")] = 10_000,
    folds: Annotated[str, typer.Option(metavar="N,...", help="Held out in turn, at least three.")] = "0,1,2",
    width: WidthOption = 64,
    lr: Annotated[float, typer.Option(min=1e-8, help="Learning rate of all rows but the flagship's.")] = 3e-4,
    precision: PrecisionOption = "float32",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in OUT, or add rows to it.")] = False,
    publish: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Train nothing; write tables and figures of what is done into DIR."),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    r"""Change one thing of the paper's system at a time and tell what it is worth.

    OUT/table.md and table.csv, kinds.csv, gains.png, strips/NAME.jpg with the same six images for every row; types.md
    and types.csv for leave-one-type-out. configs/next-NAME.toml has the settings of each row at full size, but for
    best-combination. The same command with --resume, started a second time beside the first, shares the rows with it.

    \b
    Examples:
      nucleate ablate stage1_train.zip -o next
      nucleate ablate stage1_train.zip -o next --only watershed,clean --width 16 --budget 4000
      nucleate ablate stage1_train.zip -o next --width 16 --budget 4000 --resume
      nucleate ablate stage1_train.zip -o next --width 16 --budget 4000 --publish results
    """
    from nucleate.study.next_ideas import wanted_of
    from nucleate.study.plan import NextPlan

    plan = NextPlan(
        data, output, folds=fold_numbers(folds), width=width, budget=budget, lr=lr, precision=precision,
        seed=seed,
    )  # fmt: skip
    asked = [name.strip() for name in only.split(",") if name.strip()]
    wanted_of(plan, asked)  # refuses wrong names before torch is loaded
    place = import_training(device, threads, also=("matplotlib.figure",))
    from nucleate.study.next_run import publish_study, run_study

    plan = replace(plan, loaded=load_data(data, table, quiet=quiet))
    command = repeated(
        "ablate", data, output=output, table=table, only=only, budget=budget, folds=folds, width=width, lr=lr,
        precision=precision, seed=seed,
    )  # fmt: skip

    def report(idea: str, part: str, run: Run) -> None:
        last = run.history[-1]
        line = f"{idea}  {part}  part {len(run.history)}  loss {last['loss']:.4f}  {last['seconds']:.0f} s"
        say_step(line, quiet=quiet)

    if publish is not None:
        publish_study(plan, publish, only=asked, command=command)
    else:
        run_study(plan, only=asked, command=command, resume=resume, device=place, report=report, say=say_step)
    told = publish or output
    for name in ("table.md", "types.md"):
        if (told / name).is_file():
            typer.echo((told / name).read_text(encoding="utf-8"))
