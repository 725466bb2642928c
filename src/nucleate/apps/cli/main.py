"""The command ``nucleate``: registers the verbs, one a file, and turns errors into one line and an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import traceback
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate import __version__
from nucleate.apps.cli import ctrl_c
from nucleate.apps.cli.console import command_line, say
from nucleate.core.text import one_line
from nucleate.errors import NucleateError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["VERBS", "main", "make_app"]

_OBJECTS = 50_000
"""Threshold of the garbage collector: with Python's own, collecting takes a tenth of the time that libraries load."""

_LINGERING = {"nucleate-worker", "IO loop", "AnyIO worker thread"}
"""Names of threads that may still be at work after Ctrl-C: `nucleate.run.threads.WORKER_NAME`, written out since
importing it would slow ``--help``; Dask's, which waits for answers of dead workers; and those that serve the page."""

VERBS = (
    "segment",
    "screen",
    "report",
    "evaluate",
    "train",
    "search",
    "tune",
    "export",
    "crossval",
    "stress",
    "benchmark",
    "paper",
    "ablate",
    "check",
    "synth",
    "demo",
    "info",
    "models",
    "doctor",
    "serve",
)
"""In the order of ``--help``; each names a module beside this one, and the function in it."""


def make_app(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """Make the command line.

    Parameters
    ----------
    verbs : iterable of str
        Those to build: one alone starts faster, as all of them take a sixth of a second.
    """
    app = typer.Typer(
        name="nucleate",
        help="Find every cell nucleus in microscope images: masks, measurements, confidence.",
        epilog="Example: nucleate segment images/ -o results",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_top)
    for name in verbs:
        verb = getattr(importlib.import_module(f"nucleate.apps.cli.{name}"), name)
        # A line that holds \b alone keeps typer from joining the lines of the examples.
        text = cleandoc(verb.__doc__ or "").replace("\\b\n", "\b\n")
        app.command(name, help=text, epilog="--debug shows the traceback of errors.")(verb)
    return app


def _top(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors; after a verb too.")] = False,
) -> None:
    if version:
        typer.echo(f"nucleate {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(words: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    words : list of str, optional
        What stands after ``nucleate``; taken from the call when None.

    Raises
    ------
    SystemExit
        Always: 0 all done, 1 some inputs failed or results cannot be written, 2 a wrong call, 130 after Ctrl-C, 143
        after SIGTERM, 129 after SIGHUP. A reader of the standard output that leaves early changes none of them; any
        other failure to write there turns 0 into 1.
    """
    gc.set_threshold(_OBJECTS)
    ours = words is None  # the whole program, not a call from another one
    words = sys.argv[1:] if words is None else words
    earlier = set(threading.enumerate())  # those of a caller are its own business
    code = _finish_output(_run(words))
    busy = any(thread.name in _LINGERING for thread in threading.enumerate() if thread not in earlier)
    if code == ctrl_c.EXIT_CODE:
        if busy or ours:
            ctrl_c.leave()
        code = ctrl_c.exit_code()
    sys.exit(code)


def _without_debug(words: list[str]) -> list[str]:
    """Take ``--debug`` out of the options, among which it may stand anywhere."""
    options = ctrl_c.option_words(words)
    return [word for word in options if word != "--debug"] + words[len(options) :]


def _refuse_empty(words: list[str]) -> None:
    # Path("") is the current folder.
    if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in words):
        raise UsageError("an argument is empty, as where a shell variable is not set; give one, or . for this folder")


def _run(words: list[str]) -> int:
    rest = _without_debug(words)
    debug, first = rest != words, next(iter(rest), "")
    commands: dict[str, Any] = {}
    try:
        command = typer.main.get_command(make_app([first] if first in VERBS else VERBS))
        commands = getattr(command, "commands", {})
        _refuse_empty(words)
        returned = command.main(rest, prog_name="nucleate", standalone_mode=False, obj=debug)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            say(traceback.format_exc().rstrip())
        line, code = _explain(error)
        if code != ctrl_c.EXIT_CODE and not ctrl_c.was_pressed():
            say(f"nucleate: {line}")
            return code
        returned = ctrl_c.EXIT_CODE
    code = returned if isinstance(returned, int) else 0
    if code == ctrl_c.EXIT_CODE or (code and ctrl_c.was_pressed()):  # newer typer returns the code after Ctrl-C
        _say_stopped(words, commands.get(first))
        return ctrl_c.EXIT_CODE
    return code


def _finish_output(code: int) -> int:
    """Write what is still to be written, and give the exit code."""
    try:
        sys.stdout.flush()
    except OutputError as error:
        say(f"nucleate: {error}")
        code = code or error.exit_code
    try:
        sys.stderr.flush()
    except OSError:
        # Python flushes once more at exit; to the null device that cannot fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return code


def _say_stopped(words: list[str], command: Any) -> None:  # noqa: ANN401 - typer's own
    if command is None or not any("--resume" in parameter.opts for parameter in command.params):
        say("nucleate: stopped")
        return
    say("nucleate: stopped; what is finished is kept; go on with:")
    say(f"  {command_line(words, extra='--resume')}")


def _is_folder_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _explain(error: BaseException) -> tuple[str, int]:
    """Give the one line and the exit code of an error."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":  # older typer raises Abort
        return "stopped", ctrl_c.EXIT_CODE
    if isinstance(error, NucleateError):
        return one_line(str(error)), error.exit_code
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # what typer says about a wrong call
        command = getattr(getattr(error, "ctx", None), "command_path", "nucleate")
        return f"{_what_typer_says(error)}. Try: {command} --help", int(error.exit_code)
    if isinstance(error, FileNotFoundError) and _is_folder_gone():
        return "the folder that this was called in is no longer there; change to another one", UsageError.exit_code
    return f"unexpected {type(error).__name__}: {one_line(str(error))}; add --debug for the traceback", 1


def _what_typer_says(error: Any) -> str:  # noqa: ANN401 - of several versions of typer
    said = one_line(error.format_message().replace("\n\t", " ")).replace("Value error, ", "").rstrip(".")
    # Newer typer has numbers checked by pydantic, whose words leave out what was got.
    got = [str(found["input"]) for found in error.__cause__.errors()] if hasattr(error.__cause__, "errors") else []
    return said if not got or repr(got[0]) in said else one_line(f"{said}, got {got[0]}")
