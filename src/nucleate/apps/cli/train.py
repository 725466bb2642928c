"""``nucleate train``: a network from annotated images to a model that ``segment`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate.apps.cli.console import Bar, DeviceOption, QuietOption, ThreadsOption, say
from nucleate.apps.cli.training_options import (
    DataArgument,
    TableOption,
    check_config,
    check_val,
    epoch_line,
    import_training,
    refuse_detector,
    repeated,
    split_data,
)
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nucleate.data.sample import Sample
    from nucleate.train.config import TrainConfig
    from nucleate.train.loop import Run

__all__ = ["train"]


def train(
    data: DataArgument,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.")],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", callback=check_config, help="Settings; see configs/.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="fast, best or finetune; fast when nothing is given, finetune with --init."),
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. network.width=24.")
    ] = None,
    val: Annotated[
        str,
        typer.Option(
            metavar="FOLD|FRACTION|DIR",
            callback=check_val,
            help="Held out: a fold, a share such as 0.2, or other images.",
        ),
    ] = "0",
    init: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Start from this model, by name or file, and compare with it.")
    ] = None,
    table: TableOption = None,
    name: Annotated[str, typer.Option(help="Of the model.")] = "model",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write RUN/tensorboard too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    quiet: QuietOption = False,
) -> None:
    r"""Train a network and write RUN/NAME.onnx with its card, ready for ``nucleate segment --model``.

    The post-processing numbers are tuned on the held-out images; the score in the card is cross-fitted: no image is
    scored with numbers that it had a say in. A run that starts from a model keeps that model's numbers, and ends with a
    verdict: whether the new model is better on the held-out images. Several graphics cards: start with torchrun.

    \b
    Examples:
      nucleate train stage1_train.zip -o run --config configs/flagship.toml --val 1
      nucleate train stage1_train.zip -o run --config configs/flagship.toml --val 1 --resume
      nucleate train my-images -o run --preset finetune --val 0.3
      torchrun --nproc-per-node 4 -m nucleate train my-images -o run --preset best
    """
    from nucleate.run.weights import check_name
    from nucleate.train.config import STATE, parse_config
    from nucleate.train.presets import for_machine, settings_from

    check_name(name)
    if (output / f"{name}.onnx").exists() and not (output / STATE).exists():
        raise UsageError(f"{output / name}.onnx is another model and would be overwritten; give another --name or RUN")
    settings = settings_from(config, change or [], preset=preset, init=init)
    refuse_detector(settings)
    place = import_training(device, threads, shared=True)
    from nucleate.core.cores import cores
    from nucleate.train.boards import board
    from nucleate.train.finish import finish, train_network
    from nucleate.train.parallel import joined, launched, rank
    from nucleate.train.pictures import check_nuclei
    from nucleate.train.shipping import check_unchanged
    from nucleate.train.tuning import parts_of
    from nucleate.train.verdict import conclude

    check_unchanged(output / f"{name}.toml")
    settings = for_machine(settings, place, config=config, begun=output if resume else None)
    if launched() > 1 and settings.shards == 1:
        settings = parse_config({**settings.model_dump(), "shards": launched()})
    shown = board(output / "tensorboard") if tensorboard else None
    samples, held = split_data(data, val, table=table, quiet=quiet)
    parts_of(held)  # refuses here what could not be tuned on after the training
    check_nuclei(held)
    if settings.init is not None:
        _warn_of_known(settings.init, held)
    with joined(place) as here:
        first = rank() == 0
        with Bar("batches", None, quiet=quiet or not first) as bar:
            report = _reporter(settings, shown, say_line=None if quiet else bar.say)
            train_network(
                output, settings, samples=samples, held=held, resume=resume, device=here, report=report, tick=bar.show
            )
        if not first:
            return
    command = repeated(
        "train", data, output="RUN", config=config, preset=preset, init=init and Path(init), set=change or [],
        table=table, val=Path(val),
    )  # fmt: skip
    with Bar("images", None, quiet=quiet) as bar:
        if not quiet:
            bar.say(f"choosing the numbers after the network on {len(held)} held-out images")
        scores = finish(
            output, settings, samples=samples, held=held, name=name, jobs=threads or cores(), tick=bar.stage,
            command=command,
        )  # fmt: skip
        verdict = None
        if settings.init is not None:
            verdict = conclude(output, name, start=settings.init, held=held, tick=bar.stage)
    typer.echo(f"{output / name}.onnx: Kaggle score {scores['kaggle']:.3f} on {len(held)} held-out images")
    if verdict is not None:
        typer.echo(verdict.line())


def _warn_of_known(init: str, held: Sequence[Sample]) -> None:
    from nucleate.run.weights import find_model
    from nucleate.train.pictures import part_known

    card = find_model(init).card
    known = part_known(held, card.trained_on or ())[1]
    if known:
        say(
            f"nucleate: {card.name} was trained on {len(known)} of {len(held)} held-out images, the first is "
            f"{known[0].image_id}: scores on them flatter; hold out others"
        )


def _reporter(
    settings: TrainConfig, shown: Callable[[Run], None] | None, *, say_line: Callable[[str], None] | None
) -> Callable[[Run], None]:
    def report(run: Run) -> None:
        if shown is not None:
            shown(run)
        if say_line is not None:
            last = run.history[-1]
            more = f"  IoU {last['score']:.3f}  {last['seconds']:.0f} s"
            say_line(epoch_line(run.history, settings.epochs, more=more))

    return report
