"""The history of a run for TensorBoard, beside its CSV file."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from nucleate.core.extras import library
from nucleate.core.files import cannot_write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nucleate.train.loop import Run

__all__ = ["board"]

_MODULES = ("compat.proto.event_pb2", "compat.proto.summary_pb2", "summary.writer.record_writer")


def board(folder: Path) -> Callable[[Run], None]:
    """Give a function that writes each epoch's numbers into an event file; it raises `OutputError` if it cannot.

    Parameters
    ----------
    folder : Path
        Gets the event file; the whole history is written into another one when a run goes on.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed, or cannot be loaded.
    """
    # Not SummaryWriter, whose own thread writes: there, a full disk is a traceback, and no error of the run.
    event, summary, writer = (library(f"tensorboard.{module}", "train") for module in _MODULES)
    path = folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
    shown = 0

    def report(run: Run) -> None:
        nonlocal shown
        # TensorBoard no longer shows what an earlier run wrote from the first epoch on.
        head = (
            {"file_version": "brain.Event:2"},
            {"step": 1, "session_log": event.SessionLog(status=event.SessionLog.START)},
        )
        told = [] if shown else [*head]
        for entry in run.history[shown:]:
            values = [
                summary.Summary.Value(tag=name, simple_value=value) for name, value in entry.items() if name != "epoch"
            ]
            told.append({"step": int(entry["epoch"]), "summary": summary.Summary(value=values)})
        try:
            folder.mkdir(parents=True, exist_ok=True)  # at the first epoch: a run that is refused leaves no file
            with path.open("ab") as stream:
                for one in told:
                    writer.RecordWriter(stream).write(event.Event(wall_time=time.time(), **one).SerializeToString())
        except OSError as error:
            raise cannot_write(path, error) from error
        shown = len(run.history)

    return report
