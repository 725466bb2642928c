"""The command ``nucleate``: one verb a file; here they are registered, and errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from inspect import cleandoc
from typing import Annotated

import typer

from nucleate import __version__
from nucleate.apps.cli.ablate import ablate
from nucleate.apps.cli.benchmark import benchmark
from nucleate.apps.cli.check import check
from nucleate.apps.cli.console import say
from nucleate.apps.cli.crossval import crossval
from nucleate.apps.cli.demo import demo
from nucleate.apps.cli.doctor import doctor
from nucleate.apps.cli.evaluate import evaluate
from nucleate.apps.cli.export import export
from nucleate.apps.cli.info import info
from nucleate.apps.cli.models import models
from nucleate.apps.cli.paper import paper
from nucleate.apps.cli.report import report
from nucleate.apps.cli.screen import screen
from nucleate.apps.cli.search import search
from nucleate.apps.cli.segment import segment
from nucleate.apps.cli.stress import stress
from nucleate.apps.cli.synth import synth
from nucleate.apps.cli.train import train
from nucleate.apps.cli.tune import tune
from nucleate.core.text import one_line
from nucleate.errors import NucleateError

__all__ = ["app", "main"]

_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it."""

_LINGERING = {"nucleate-worker", "IO loop"}
"""Threads that may be busy after Ctrl-C: `nucleate.run.threads.WORKER_NAME`, whose module is too slow to import for
``--help``, and Dask's, which would wait for answers of workers that are dead."""

app = typer.Typer(
    name="nucleate",
    help="Find every cell nucleus in microscope images: masks, measurements, confidence.",
    epilog="Example: nucleate segment images/ -o results",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of errors (stands after a verb too).")
    ] = False,
) -> None:
    if version:
        typer.echo(f"nucleate {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _verb in (
    segment,
    screen,
    report,
    evaluate,
    train,
    search,
    tune,
    export,
    crossval,
    stress,
    benchmark,
    paper,
    ablate,
    check,
    synth,
    demo,
    info,
    models,
    doctor,
):
    # A line of its own with \b keeps typer from joining the lines of the examples.
    app.command(_verb.__name__, help=cleandoc(_verb.__doc__ or "").replace("\\b\n", "\b\n"))(_verb)


def main(words: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    words : list of str, optional
        What stands after ``nucleate``; taken from the call when None.

    Raises
    ------
    SystemExit
        Always: 0 all done, 1 some inputs failed, 2 a wrong call, 130 after Ctrl-C.
    """
    words = sys.argv[1:] if words is None else words
    debug = "--debug" in (words[: words.index("--")] if "--" in words else words)
    code = _run(words if not debug else _without_debug(words), debug=debug)
    if code == _INTERRUPTED and any(thread.name in _LINGERING for thread in threading.enumerate()):
        # Waiting for them would take longer than Ctrl-C may. Locks shared with workers are not left to the system.
        if "multiprocessing.util" in sys.modules:
            sys.modules["multiprocessing.util"]._run_finalizers(0)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)


def _without_debug(words: list[str]) -> list[str]:
    """Take ``--debug`` out for verbs that do not know it: it stands everywhere."""
    verb = next((word for word in words if not word.startswith("-")), "")
    command = getattr(typer.main.get_command(app), "commands", {}).get(verb)
    if command is not None and any("--debug" in parameter.opts for parameter in command.params):
        return words
    return [word for word in words if word != "--debug"]


def _run(words: list[str], *, debug: bool) -> int:
    try:
        returned = typer.main.get_command(app).main(words, prog_name="nucleate", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BrokenPipeError:
        # The reader of our output has left (`nucleate models | head`): nothing to say, and nothing more to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        line, code = _explain(error)
        say(f"nucleate: {line}")
        return code
    if returned == _INTERRUPTED:  # newer typer turns Ctrl-C into this code by itself
        say("nucleate: stopped")
    return returned if isinstance(returned, int) else 0


def _explain(error: BaseException) -> tuple[str, int]:
    """Give the one line and the exit code of an error."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":  # older typer raises Abort
        return "stopped", _INTERRUPTED
    if isinstance(error, NucleateError):
        return one_line(str(error)), error.exit_code
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # what typer says about a wrong call
        return f"{one_line(error.format_message())} Try: {_help_of(error)}", int(error.exit_code)
    return f"unexpected {type(error).__name__}: {one_line(str(error))}; add --debug for the traceback", 1


def _help_of(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context is not None else 'nucleate'} --help"
