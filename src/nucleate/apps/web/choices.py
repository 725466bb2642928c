"""What may be chosen on the page: the options of ``nucleate segment``, under the same names."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from nucleate.core.project import Projection  # noqa: TC001 - pydantic reads the annotations
from nucleate.run.batch import decided_by
from nucleate.run.memory import allowed_bytes
from nucleate.run.settings import BatchSettings, SegmentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleate.api import Device
    from nucleate.run.segmenter import Segmenter

__all__ = ["Choices", "Machine", "batch_settings", "command", "load"]

_AT_ONCE = 2
"""Inputs done beside each other: the browser and the server want their share of the machine."""


@dataclass(frozen=True)
class Machine:
    """What was said when the server was started.

    Parameters
    ----------
    output : Path
        Folder for the results.
    model : str, optional
        The one that is chosen at first.
    device : {"auto", "cpu", "cuda"}
    threads : int, optional
    memory : float, optional
        Gigabytes.
    """

    output: Path = Path("nucleate-results")
    model: str | None = None
    device: Device = "auto"
    threads: int | None = None
    memory: float | None = None

    @property
    def max_bytes(self) -> int | None:
        """Memory that may be used; None is no limit."""
        return allowed_bytes(self.memory)


class Choices(BaseModel):
    """What the user chose for one run; None leaves it to the model.

    Parameters
    ----------
    model, channel : str, optional
    project : {"max", "mean", "min"}, optional
    scale : float or "auto"
    tta : bool
    min_area : int, optional
    min_confidence : float, optional
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    channel: str | None = None
    project: Projection | None = None
    scale: float | Literal["auto"] = "auto"
    tta: bool = False
    min_area: int | None = None
    min_confidence: float | None = None

    def of_segmenter(self, machine: Machine) -> Choices:
        """Give what of it makes the segmenter: where that is equal, none has to be made anew."""
        return self.model_copy(update={"model": self.model or machine.model, "channel": None, "project": None})


def command(inputs: Sequence[str], choices: Choices, *, machine: Machine, folder: Path | None = None) -> str:
    """Give the command line that does the same.

    Parameters
    ----------
    inputs : sequence of str
        What stands for the images: paths, folders, patterns.
    choices : Choices
    machine : Machine
    folder : Path, optional
        Where the results are; where they would go when None.

    Examples
    --------
    >>> command(["a b.tif"], Choices(scale=0.5, tta=True), machine=Machine(threads=2))
    "nucleate segment 'a b.tif' -o nucleate-results --scale 0.5 --tta --threads 2 --resume"
    """
    named = [f"./{one}" if one.startswith("-") else one for one in inputs]
    given = {
        "-o": folder or machine.output,
        "--model": choices.model or machine.model,
        "--channel": choices.channel,
        "--project": choices.project,
        "--scale": None if choices.scale == "auto" else choices.scale,
        "--min-area": choices.min_area,
        "--min-confidence": choices.min_confidence,
        "--tta": choices.tta or None,
        "--device": None if machine.device == "auto" else machine.device,
        "--threads": machine.threads,
        "--memory": machine.memory,
    }
    words = [[name] if value is True else [name, str(value)] for name, value in given.items() if value is not None]
    return shlex.join(["nucleate", "segment", *named, *itertools.chain(*words), "--resume"])


def load(choices: Choices, machine: Machine) -> Segmenter:
    """Load the model with what was chosen.

    Raises
    ------
    ModelError
        If there is no such model or its files are damaged.
    UsageError
        If a value cannot be.
    """
    from nucleate.api import load_segmenter

    chosen: dict[str, Any] = choices.model_dump(include={"scale", "tta", "min_area", "min_confidence"})
    settings = SegmentSettings(**chosen)
    return load_segmenter(
        choices.model or machine.model, device=machine.device, threads=machine.threads, settings=settings
    )


def batch_settings(choices: Choices, machine: Machine, *, segmenter: Segmenter, told: str) -> BatchSettings:
    """Gather what a batch is told; `told` is the command line that does the same, for run.json."""
    settings = BatchSettings(
        channel=choices.channel,
        project=choices.project,
        resume=True,
        at_once=_AT_ONCE if machine.threads is None or machine.threads > 1 else 1,
        deciding=decided_by(segmenter),
    )
    return settings.told(told, device=machine.device, threads=machine.threads, memory_gb=machine.memory)
