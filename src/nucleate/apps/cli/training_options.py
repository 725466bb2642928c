"""What the training verbs share: options, the choice of a device, loading data, and the call that is told."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nucleate.apps.cli.console import is_there, say
from nucleate.apps.cli.ctrl_c import loading
from nucleate.core.checks import address_fault
from nucleate.core.extras import library, require
from nucleate.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nucleate.data.sample import Sample
    from nucleate.run.weights import ModelCard
    from nucleate.train.config import TrainConfig

__all__ = [
    "DataArgument",
    "PrecisionOption",
    "SeedOption",
    "StudyOption",
    "TableOption",
    "WidthOption",
    "check_config",
    "check_data",
    "check_val",
    "epoch_line",
    "fold_numbers",
    "import_training",
    "load_data",
    "refuse_detector",
    "repeated",
    "split_data",
    "table_beside",
    "unseen",
]


def check_data(data: Path) -> Path:
    """Refuse a path to annotated images where nothing is, before anything slow is imported."""
    if not is_there(data):
        why = address_fault(str(data)) or "no such file or folder; give a path that is there"
        raise UsageError(f"nothing at {data}: {why}")
    return data


def check_config(config: Path | None) -> Path | None:
    """Refuse a settings file that is not there; early, as `check_data` does."""
    if config is not None and not config.is_file():
        why = address_fault(str(config)) or "no such file; give a TOML file, or the config.json of a training"
        raise UsageError(f"{config}: {why}")
    return config


def check_val(val: str | None) -> str | None:
    """Refuse a ``--val`` that is neither a number nor a path that is there; early, as `check_data` does."""
    if val is not None and _number(val) is None and not is_there(val):
        raise UsageError(f"--val {val!r}; give the number of a fold, a share such as 0.2, or other annotated images")
    return val


def _check_table(table: Path | None) -> Path | None:
    if table is not None and not table.is_file():
        raise UsageError(f"--table {table}: {address_fault(str(table)) or 'no such file; check the name'}")
    return table


DataArgument = Annotated[
    Path,
    typer.Argument(metavar="DATA", callback=check_data, help="Annotated images: a Kaggle folder or zip, or labels."),
]
StudyOption = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder of the study.")]
TableOption = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        callback=_check_table,
        help="Folds, fields of view and types; images.csv beside DATA if it fits.",
    ),
]
WidthOption = Annotated[int, typer.Option(min=1, help="Channels at full size.")]
PrecisionOption = Annotated[Literal["float32", "bfloat16"], typer.Option(help="Arithmetic of the networks.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]


_LOADED = ("torch", "onnx", "onnxscript.optimizer", "safetensors.torch")  # by every verb that trains, tunes or exports


@loading()
def import_training(device: str, threads: int | None, *, shared: bool = False, also: Sequence[str] = ()) -> str:
    """Check that training is possible, set the threads, and choose between ``cpu`` and ``cuda``.

    Parameters
    ----------
    device, threads
        The values of the options.
    shared : bool
        Whether the verb shares its work with the other processes of torchrun. Others are refused there, since each
        process would do all of it.
    also : sequence of str
        Modules of the extra that the verb loads beside those that all of them load.

    Raises
    ------
    MissingExtraError
        If a library of the extra is not installed, or one that the verb loads cannot be loaded.
    UsageError
        If the device cannot be used, or torchrun started a verb that does not share its work.
    """
    require("train", "torch", "optuna", "safetensors", "onnx", "onnxscript", "matplotlib")
    for module in (*_LOADED, *also):  # one that is there may be broken, or lack a library of the machine that it needs
        library(module, "train")
    from nucleate.train.device import choose_device
    from nucleate.train.parallel import launched

    if launched() > 1 and not shared:
        raise UsageError("torchrun is for nucleate train alone; start this without it, or unset WORLD_SIZE")
    return choose_device(device, threads)


def refuse_detector(settings: TrainConfig) -> None:
    """Refuse a detector, which gives nuclei one by one: a model is made of networks that give maps."""
    if settings.detector:
        raise UsageError(f"{settings.network.name} gives no maps for a model; use nucleate ablate --only mask-rcnn")


def epoch_line(history: Sequence[Mapping[str, float]], epochs: int, *, more: str = "") -> str:
    """Say how far a run is after an epoch, with `more` inserted, and how long the rest takes at the last one's pace."""
    last = history[-1]
    line = f"epoch {len(history)}/{epochs}  loss {last['loss']:.4f}{more}"
    minutes = (epochs - len(history)) * last["seconds"] / 60
    if not minutes:
        return line
    return f"{line}  {minutes:.0f} min left" if minutes >= 1 else f"{line}  under 1 min left"


def repeated(verb: str, data: Path, *, output: Path | str, **options: object) -> str:
    """Give the call that repeats a study, without the machine's own folders.

    Parameters
    ----------
    verb : str
    data : Path
        The annotated images.
    output : Path or str
        The folder of the study, or a placeholder such as ``RUN``.
    **options
        Values by the names of their options, in the order of the call; a list repeats its option. None and empty text
        are left out.

    Relative paths are told as they were typed, so that the call runs again in the same folder. Absolute ones, and those
    that lead out of that folder by ``..``, are cut to their last part, and to two parts in a folder called ``configs``.
    """
    words = ["nucleate", verb, _told(data), "-o", _told(output)]
    for name, given in options.items():
        for value in given if isinstance(given, list) else [given]:
            if value not in (None, ""):
                words += [f"--{name}", _told(value)]
    return shlex.join(words)


def _told(value: object) -> str:
    if not isinstance(value, Path):
        return str(value)
    path = _named(value)
    if not path.anchor and Path(os.path.normpath(path)).parts[0] != "..":
        return path.as_posix()
    return f"configs/{path.name}" if path.parent.name == "configs" else path.name


def _named(path: Path) -> Path:
    """Give a path that ends in a name, as ``.`` and ``..`` do not."""
    return path if path.name not in {"", ".."} else path.resolve()


def fold_numbers(text: str) -> tuple[int, ...]:
    """Read ``--folds``, numbers with commas between; an empty text gives none, which means all."""
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if not all(word.isdigit() for word in words):
        raise UsageError(f"--folds {text!r}; give whole numbers with commas, such as 0,1,2")
    return tuple(int(word) for word in words)


def table_beside(data: Path) -> Path:
    """Give the place where a table is looked for if ``--table`` is not given."""
    return _named(data).parent / "images.csv"


def load_data(data: Path, table: Path | None, *, quiet: bool = False) -> list[Sample]:
    """Load annotated images with folds, groups and types from `table`, or from one beside them if that fits."""
    from nucleate.data.samples import attach_table

    samples, beside = _look(data), table_beside(data)
    if table is not None:
        return attach_table(samples, table)
    if not beside.is_file():
        return samples
    try:
        samples = attach_table(samples, beside)
        said = f"folds from {beside}"
    except DataError as error:
        said = f"nucleate: no folds from the table beside DATA: {error}"
    if not quiet:
        say(said)
    return samples


def _look(data: Path) -> list[Sample]:
    """Load annotated images, and warn of binary masks, which teach touching nuclei as one."""
    from nucleate.data.samples import load_samples, without_numbers

    samples = load_samples(data)
    if odd := without_numbers(samples):
        say(
            f"nucleate: {len(odd)} of {len(samples)} images look like binary masks, the first is {odd[0]}: nuclei that "
            "have one number are taught as one; number them, or take the images out"
        )
    return samples


def split_data(data: Path, val: str, *, table: Path | None, quiet: bool = False) -> tuple[list[Sample], list[Sample]]:
    """Load annotated images and split them into those to train on and those held out.

    Parameters
    ----------
    data : Path
        Any layout that `nucleate.data.samples` reads.
    val : str
        Number of a fold, share of the images between 0 and 1, or other annotated images, none of which may be among
        `data`.
    table : Path, optional
        Folds, groups and types; ``images.csv`` beside `data` when None, if it fits. Held-out images that `val` names
        take theirs from a table beside them.
    quiet : bool
        Do not say which table beside the images is taken, or why it is not.
    """
    from nucleate.data.samples import FOLDS, grouped_folds, hold_out, split
    from nucleate.train.pictures import check_apart

    share = _number(val)
    samples = load_data(data, table, quiet=quiet)
    if share is None:
        held = _other(Path(val), quiet=quiet)
        check_apart(samples, held)
        return samples, held
    if 0 < share < 1:
        return hold_out(samples, share, seed=0)
    return split(grouped_folds(samples, FOLDS, seed=0) if samples[0].fold is None else samples, int(share))


def _other(data: Path, *, quiet: bool) -> list[Sample]:
    """Load held-out images with groups and types from a table beside them, unless it is of other images."""
    from nucleate.data.samples import attach_table, table_rows

    samples, beside = _look(data), table_beside(data)
    try:
        table_rows(samples, beside)
    except DataError:
        return samples
    try:
        return attach_table(samples, beside)
    except DataError as error:
        if not quiet:
            say(f"nucleate: no groups and types from the table beside the held-out images: {error}")
        return samples


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number.is_integer() or 0 < number < 1 else None


def unseen(card: ModelCard, data: Path, *, val: str | None = None, table: Path | None, quiet: bool) -> list[Sample]:
    """Load images to judge a model by, without those that it was trained on, as far as its card tells."""
    from nucleate.train.pictures import part_known

    chosen = load_data(data, table, quiet=quiet) if val is None else split_data(data, val, table=table, quiet=quiet)[1]
    samples, seen = part_known(chosen, card.trained_on or ())
    if not samples:
        raise UsageError(f"{card.name} was trained on all {len(seen)} images; give others")
    if seen and not quiet:
        say(f"{len(seen)} of {len(chosen)} images are left out: {card.name} was trained on them")
    if (card.trained_on is None or card.trained_on_more) and not quiet:
        which = "what" if card.trained_on is None else "all that"
        say(
            f"the card of {card.name} does not tell {which} it was trained on: the score holds if these images were not"
        )
    return samples
