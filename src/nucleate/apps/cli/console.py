"""What the verbs share: lines on stderr, options that stand everywhere, a progress bar."""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nucleate.apps.cli.ctrl_c import option_words, raise_again
from nucleate.core.checks import is_number
from nucleate.core.cores import MOST_THREADS
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.progress import Progress, TaskID

__all__ = [
    "Bar",
    "ChannelOption",
    "DeviceOption",
    "MemoryOption",
    "MinAreaOption",
    "MinConfidenceOption",
    "ModelOption",
    "OutputOption",
    "QuietOption",
    "ScaleOption",
    "ThreadsOption",
    "check_outputs",
    "command_line",
    "is_there",
    "parse_scale",
    "say",
    "say_step",
]

_MOST_GIGABYTES = 1e6  # GB; more is a slip, such as bytes


def _gigabytes(memory: float | None) -> float | None:
    if memory is not None and not is_number(memory, least=0, most=_MOST_GIGABYTES):
        raise UsageError(f"--memory {memory:g}: no number of gigabytes; give one such as 4, or leave it out")
    return memory


QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no closing line; warnings and errors only.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, max=MOST_THREADS, help="Cores to use; all when not given.")
]

OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")]
ModelOption = Annotated[str | None, typer.Option(help="Name of a model, or its file; see: nucleate models.")]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")]
ScaleOption = Annotated[str, typer.Option(metavar="auto|FLOAT", help="Resize the image by this much first.")]
ChannelOption = Annotated[
    str | None, typer.Option(metavar="NAME|INDEX", help="Channel with the nuclei; red, green or blue of colours.")
]
MinAreaOption = Annotated[int | None, typer.Option(min=0, metavar="PX", help="Leave out smaller nuclei.")]
MemoryOption = Annotated[
    float | None,
    typer.Option(min=0.01, metavar="GB", callback=_gigabytes, help="Most memory to use; what is free when not given."),
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

_ENDINGS = {"--json": ".json", "--html": ".html", "--per-image": ".csv", "--csv": ".csv", "--pack": ".zip"}
"""Option -> ending of the file it writes, which may stand in a folder that is read and be replaced there."""

_PATIENCE_SECONDS = 1.0  # work that is done by then shows no bar
_SPEED_SECONDS = 3600.0
"""The time left is estimated from the steps of the last hour; a step that takes longer gives no estimate."""


def command_line(words: list[str] | None = None, *, extra: str = "") -> str:
    """Give the call of this program, or `words` of one, as one would type it, with `extra` added unless it is there."""
    words = ["nucleate", *(sys.argv[1:] if words is None else words)]
    options = option_words(words)
    if extra and extra not in options:
        words.insert(len(options), extra)
    return shlex.join(words)


def parse_scale(text: str) -> float | str:
    """Read the value of ``--scale``.

    Raises
    ------
    UsageError
        If it is neither ``auto`` nor a number.
    """
    if text.strip().lower() == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--scale {text}: not a number; use auto or a factor such as 0.5") from None


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse a call whose outputs would overwrite its inputs or each other, or cannot be written; nothing is made.

    Parameters
    ----------
    outputs : mapping of str to Path
        Option -> the file it is to write; None where it is not given. In a folder that is read, a file that is there
        may be replaced only if it has the ending of the option, as the output of an earlier call has.
    inputs : iterable of Path
        Files and folders that are read.

    Raises
    ------
    UsageError
        If an output is also an input, or two outputs are one file.
    OutputError
        If an output cannot be written in its place.
    """
    from nucleate.core.files import check_place

    read = [Path(str(path).partition("::")[0]).resolve() for path in inputs if path is not None]
    given = {option: path for option, path in outputs.items() if path is not None}
    taken: dict[Path, str] = {}
    for option, path in given.items():
        place, ending = path.resolve(), _ENDINGS[option]
        if place in taken:
            raise UsageError(f"{taken[place]} and {option} both name {path}; give two files")
        taken[place] = option
        within = any(folder in place.parents for folder in read)
        if place in read or (within and place.exists() and place.suffix.lower() != ending):
            raise UsageError(f"{option} {path} is read too and would be overwritten; give another file")
    for path in given.values():
        check_place(path)


def is_there(path: Path | str) -> bool:
    """Tell whether a file or folder is there; of ``ZIP::FOLDER`` only the part before the colons is looked for."""
    return Path(path).exists() or Path(str(path).partition("::")[0]).exists()


def say(line: str) -> None:
    """Write a line to stderr, as stdout holds results only; characters outside the encoding are written as escapes.

    A stderr that cannot be written is ignored: nobody reads it, and the work goes on.
    """
    stream = sys.stderr
    encoding = stream.encoding or "utf-8"
    with contextlib.suppress(OSError):
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()


def say_step(line: str, *, quiet: bool = False) -> None:
    """Say how far the work is, unless `quiet`; first raise KeyboardInterrupt if Ctrl-C was pressed and got lost."""
    raise_again()
    if not quiet:
        say(line)


class Bar:
    """A progress bar with rate and time left, on stderr, once the work takes over a second.

    Nothing is shown where stderr is not a terminal or `quiet` is set. Use as a context manager. `show` and `stage`
    raise KeyboardInterrupt if Ctrl-C was pressed and got lost.

    Parameters
    ----------
    what : str
        What is counted, e.g. ``images``.
    total : int, optional
        How many; None until `show` says it.
    quiet : bool
        Show nothing.
    """

    def __init__(self, what: str, total: int | None, *, quiet: bool = False) -> None:
        self._all = _Line(what, total)
        self._part: _Line | None = None
        self._wanted = not quiet and sys.stderr.isatty()
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

    def show(self, done: int, total: int | None = None) -> None:
        """Say how many are done, of how many if that is known only now, and end the line of `show_part`."""
        raise_again()
        with self._lock:
            self._all.done = done
            self._all.total = self._all.total if total is None else total
            if self._part is not None and self._progress is not None and self._part.id is not None:
                self._progress.remove_task(self._part.id)
            self._part = None
            self._draw()

    def stage(self, what: str, done: int, *, total: int | None) -> None:
        """Say how many of something are done; a new `what` takes the place of the last, in a line with its own rate."""
        raise_again()
        with self._lock:
            if self._all.what != what:
                if self._progress is not None and self._all.id is not None:
                    self._progress.remove_task(self._all.id)
                self._all = _Line(what, total, first=done)
            self._all.done, self._all.total = done, total
            self._draw()

    def show_part(self, what: str, done: int, *, total: int) -> None:
        """Say in a second line how much of one input is done; may be called from any thread."""
        with self._lock:
            if self._part is None or self._part.what != what:
                self._part = _Line(what, total, first=done)
            self._part.done = done
            self._draw()

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        with self._lock:
            if self._progress is None:
                say(line)
            else:
                # Names of files may hold brackets, which rich would take for markup.
                self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _start(self) -> None:
        with self._lock:
            if self._wanted:
                self._progress = _new_progress()
                self._draw()
                self._progress.start()

    def _draw(self) -> None:
        if self._progress is None:
            return
        for line in (self._all, self._part):
            if line is None:
                continue
            if line.id is None:
                line.id = self._progress.add_task(line.what, total=line.total, completed=line.first, rate="")
            self._progress.update(line.id, total=line.total, completed=line.done, rate=line.rate())


class _Line:
    """One line of a bar; what was done before it began (`first`) does not count for its rate."""

    def __init__(self, what: str, total: int | None, *, first: int = 0) -> None:
        self.what, self.total, self.first, self.done = what, total, first, first
        self.id: TaskID | None = None
        self._since = time.monotonic()

    def rate(self) -> str:
        seconds, done = time.monotonic() - self._since, self.done - self.first
        if not done or seconds <= 0:
            return ""
        if done >= seconds:
            return f"{done / seconds:.1f} {self.what.partition(' ')[0]} a second"
        return f"{seconds / done:.1f} s each"


def _new_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("left", markup=False),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=_SPEED_SECONDS,
    )
