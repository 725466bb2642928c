"""What the verbs share: lines on stderr, options that stand everywhere, a progress bar."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "Bar",
    "ChannelOption",
    "DebugOption",
    "DeviceOption",
    "MemoryOption",
    "MinAreaOption",
    "MinConfidenceOption",
    "ModelOption",
    "QuietOption",
    "ThreadsOption",
    "say",
]

QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no closing line; errors only.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all when not given.")]

ModelOption = Annotated[str | None, typer.Option(help="Name of a model, or its file; see: nucleate models.")]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")]
ChannelOption = Annotated[str | None, typer.Option(metavar="NAME|INDEX", help="Channel with the nuclei.")]
MinAreaOption = Annotated[int | None, typer.Option(min=0, metavar="PX", help="Leave out smaller nuclei.")]
MemoryOption = Annotated[
    float | None, typer.Option(min=0.01, metavar="GB", help="Most memory to use; what is free when not given.")
]
MinConfidenceOption = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="P",
        help="Leave out nuclei that are less sure; the model's own limit when not given.",
    ),
]

_PATIENCE_SECONDS = 1.0


def say(line: str) -> None:
    """Write a line to stderr, so that stdout holds results only; what a terminal cannot show becomes escapes."""
    stream = sys.stderr
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


class Bar:
    """A progress bar with rate and time left, on stderr, once the work takes over a second.

    Nothing is shown where stderr is not a terminal or `quiet` is set. Use as a context manager.

    Parameters
    ----------
    what : str
        What is counted, e.g. ``images``.
    total : int
        How many.
    quiet : bool
        Show nothing.
    """

    def __init__(self, what: str, total: int, *, quiet: bool = False) -> None:
        self._what, self._total, self._done = what, total, 0
        self._wanted = not quiet and sys.stderr.isatty()
        self._since = time.monotonic()
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._timer = threading.Timer(_PATIENCE_SECONDS, self._start)
        self._timer.daemon = True

    def __enter__(self) -> Bar:
        if self._wanted:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._wanted = False
            if self._progress is not None:
                self._progress.stop()
                self._progress = None

    def show(self, done: int) -> None:
        """Say how many are done."""
        with self._lock:
            self._done = done
            if self._progress is not None:
                self._progress.update(self._progress.task_ids[0], completed=done, rate=self._rate(done))

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        with self._lock:
            if self._progress is None:
                say(line)
            else:
                # The line may hold names with brackets, which are not meant as markup.
                self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _start(self) -> None:
        with self._lock:
            if self._wanted:
                self._progress = _new_progress(self._what)
                self._progress.add_task("", total=self._total, completed=self._done, rate=self._rate(self._done))
                self._progress.start()

    def _rate(self, done: int) -> str:
        seconds = time.monotonic() - self._since
        if not done:
            return ""
        per_second = done / seconds if seconds > 0 else 0.0
        if per_second >= 1:
            return f"{per_second:.1f} {self._what} a second"
        return f"{1 / per_second:.1f} s each"


def _new_progress(what: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn(what, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("left", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
