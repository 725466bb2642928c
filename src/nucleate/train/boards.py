"""The history of a run for TensorBoard, beside its CSV file."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from typing import TYPE_CHECKING

from nucleate.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nucleate.train.loop import Run

__all__ = ["board"]


def board(folder: Path) -> AbstractContextManager[Callable[[Run], None]]:
    """Give what writes each epoch's numbers into an event file, which the end of the block closes.

    Parameters
    ----------
    folder : Path
        Gets the event file; the whole history is written into another one when a run goes on.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", "train")
    return _opened(folder)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Callable[[Run], None]]:
    from torch.utils.tensorboard import SummaryWriter

    shown = 0
    with contextlib.ExitStack() as stack:
        begin = functools.cache(lambda: stack.enter_context(SummaryWriter(str(folder), purge_step=1)))

        def report(run: Run) -> None:
            nonlocal shown
            writer = begin()  # at the first epoch: a run that is refused leaves no file
            for entry in run.history[shown:]:
                for name, value in entry.items():
                    if name != "epoch":
                        writer.add_scalar(name, value, int(entry["epoch"]))
            writer.flush()
            shown = len(run.history)

        yield report
