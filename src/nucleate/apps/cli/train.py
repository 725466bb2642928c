"""``nucleate train``: a network from annotated images to a model that ``segment`` takes."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.apps.cli.console import DebugOption, QuietOption, ThreadsOption, say
from nucleate.apps.cli.training import default_table, import_training
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from nucleate.data.sample import Sample
    from nucleate.train.config import TrainConfig
    from nucleate.train.loop import Run

__all__ = ["train"]


def train(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Annotated images: a Kaggle folder or zip, or labels.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.")],
    config: Annotated[Path | None, typer.Option(metavar="FILE.toml", help="Settings; see configs/.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. network.width=24.")
    ] = None,
    val: Annotated[str, typer.Option(metavar="FOLD|DIR", help="Held out: a fold of the table, or other data.")] = "0",
    table: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Folds; images.csv beside DATA when not given.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the model.")] = "model",
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to train.")] = "auto",
    threads: ThreadsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")] = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    r"""Train a network and write RUN/NAME.onnx with its card, ready for ``nucleate segment --model``.

    The post-processing numbers are tuned on the held-out images; the score in the card is cross-fitted: each half of
    them is scored with the numbers tuned on the other half.

    \b
    Examples:
      nucleate train stage1_train.zip -o run --config configs/first.toml --val 1
      nucleate train stage1_train.zip -o run --config configs/first.toml --val 1 --resume
      nucleate train my-images -o run --set epochs=5 --set network.width=8
    """
    del debug  # read before the verb
    place = import_training(device, threads)
    from nucleate.train.batches import atlas_for, prepare
    from nucleate.train.finish import finish
    from nucleate.train.loop import fit
    from nucleate.train.validation import mask_iou

    settings = _settings(config, change or [])
    samples, held = _split(data, val, table=table or default_table(data))
    if settings.detector:
        raise UsageError(f"{settings.network.name} gives no maps for a model; use nucleate ablate --only mask-rcnn")
    atlas = atlas_for(settings, samples)
    watched = prepare(held[:: max(1, len(held) // 32)], settings.normalizer, resize=settings.resize)

    def report(run: Run) -> None:
        if not quiet:
            last = run.history[-1]
            left = (settings.epochs - len(run.history)) * last["seconds"] / 60
            say(
                f"epoch {len(run.history)}/{settings.epochs}  loss {last['loss']:.4f}  IoU {last['score']:.3f}"
                f"  {last['seconds']:.0f} s  {left:.0f} min left"
            )

    validate = mask_iou(watched, settings, device=place)
    fit(settings, atlas, folder=output, validate=validate, resume=resume, device=place, report=report)
    scores = finish(
        output, settings, held=held, name=name, command=_command(data, config, changes=change or [], val=val)
    )
    typer.echo(f"{output / name}.onnx: Kaggle score {scores['kaggle']:.3f} on {len(held)} held-out images")


def _command(data: Path, config: Path | None, *, changes: list[str], val: str) -> str:
    """Give the call to repeat the run, without the machine's own folders."""
    words = ["nucleate", "train", data.name, "-o", "RUN"]
    words += ["--config", f"configs/{config.name}"] if config else []
    words += [word for change in changes for word in ("--set", change)]
    return shlex.join([*words, "--val", Path(val).name])


def _settings(config: Path | None, changes: list[str]) -> TrainConfig:
    from nucleate.train.config import load_config, parse_config

    values: dict[str, Any] = load_config(config).model_dump() if config else {}
    for change in changes:
        key, equals, text = change.partition("=")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text  # a bare word is a string
        if not equals or not key:
            raise UsageError(f"--set {change!r}; use key=value, such as epochs=5 or network.width=24")
        *parents, last = key.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return parse_config(values, "--set" if changes else str(config))


def _split(data: Path, val: str, *, table: Path | None) -> tuple[list[Sample], list[Sample]]:
    from nucleate.data.samples import attach_table, grouped_folds, load_samples, split

    samples = load_samples(data)
    if Path(val).exists():
        return samples, load_samples(Path(val))
    if not val.isdigit():
        raise UsageError(f"--val {val!r}; give the number of a fold or a folder")
    samples = attach_table(samples, table) if table else grouped_folds(samples, 4, seed=0)
    return split(samples, int(val))
