"""``nucleate paper``: the student paper's whole system, its Table I and its figures."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations when the verb is registered
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import DeviceOption, QuietOption, ThreadsOption, is_there, say_step
from nucleate.apps.cli.training_options import (
    DataArgument,
    PrecisionOption,
    SeedOption,
    StudyOption,
    TableOption,
    WidthOption,
    import_training,
    load_data,
    repeated,
)
from nucleate.core.checks import address_fault
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from nucleate.train.loop import Run

__all__ = ["paper"]


def paper(
    data: DataArgument,
    *,
    output: StudyOption,
    table: TableOption = None,
    width: WidthOption = 64,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each run.")] = 20,
    trials: Annotated[int, typer.Option(min=1, help="Draws of the learning rate.")] = 10,
    precision: PrecisionOption = "float32",
    seed: SeedOption = 0,
    test: Annotated[Path | None, typer.Option(metavar="DIR", help="Kaggle's test images, folder or zip.")] = None,
    solution: Annotated[Path | None, typer.Option(metavar="CSV", help="Kaggle's solution for --test.")] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in OUT.")] = False,
    quiet: QuietOption = False,
) -> None:
    r"""Train the paper's three networks and write its Table I beside the published figures.

    OUT/table.md and table.csv, curves.png, augmented.png, steps.png, errors.png; OUT/networks keeps the weights, so
    that a test set can be scored later with --resume --test.

    \b
    Examples:
      nucleate paper stage1_train.zip -o paper
      nucleate paper stage1_train.zip -o paper --resume --test stage1_test.zip --solution stage1_solution.csv
    """
    if (test is None) != (solution is None):
        raise UsageError("--test and --solution belong together; give both or none")
    for option, path in {"--test": test, "--solution": solution}.items():
        if path is not None and not is_there(path):
            raise UsageError(f"{option} {path}: {address_fault(str(path)) or 'no such file or folder; check the name'}")
    place = import_training(device, threads, also=("optuna.storages.journal", "matplotlib.figure"))
    from nucleate.study.paper import PaperPlan, load_split, train_networks
    from nucleate.study.paper_table import KaggleTest, check_kaggle, score_all, write_figures, write_table

    kaggle = KaggleTest(test, solution) if test is not None and solution is not None else None
    if kaggle is not None:
        check_kaggle(kaggle)
    plan = PaperPlan(
        data, output, loaded=load_data(data, table, quiet=quiet), width=width, epochs=epochs, trials=trials,
        precision=precision, seed=seed,
    )  # fmt: skip
    split = load_split(plan)

    def report(draw: int, name: str, run: Run) -> None:
        last = run.history[-1]
        line = f"draw {draw + 1}/{trials}  {name}  epoch {len(run.history)}/{epochs}  dev IoU {last['score']:.3f}"
        say_step(line, quiet=quiet)

    networks = train_networks(plan, split, resume=resume, device=place, report=report)
    results = score_all(plan, split, networks=networks, kaggle=kaggle)
    command = repeated(
        "paper", data, output=output, table=table, width=width, epochs=epochs, trials=trials, precision=precision,
        seed=seed, test=test, solution=solution,
    )  # fmt: skip
    write_table(plan, results, networks=networks, command=command, device=place)
    write_figures(plan, split, networks=networks)
    typer.echo((output / "table.md").read_text(encoding="utf-8"))
