"""The history of a run for TensorBoard, beside its CSV file."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from nucleate.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nucleate.train.loop import Run

__all__ = ["board"]


def board(folder: Path) -> Callable[[Run], None]:
    """Give what writes each epoch's numbers into event files.

    Parameters
    ----------
    folder : Path
        Gets the event files; the whole history is written again when a run goes on.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", "train")
    from torch.utils.tensorboard import SummaryWriter

    shown = 0

    def report(run: Run) -> None:
        nonlocal shown
        with SummaryWriter(str(folder), purge_step=1 if shown == 0 else None) as writer:
            for entry in run.history[shown:]:
                for name, value in entry.items():
                    if name != "epoch":
                        writer.add_scalar(name, value, int(entry["epoch"]))
        shown = len(run.history)

    return report
