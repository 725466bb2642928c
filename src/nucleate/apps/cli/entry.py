"""Where the program starts: Ctrl-C is taken before anything that takes time is loaded."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from nucleate.apps.cli import ctrl_c
from nucleate.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["start"]


def start() -> None:
    """Run ``nucleate`` with the words of the call and leave with its exit code.

    Raises
    ------
    SystemExit
        Always, see `nucleate.apps.cli.main.main`; after Ctrl-C while that is loaded, too.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this, as `2>&-` does
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for good
    stream = sys.stdout
    if stream is sys.__stdout__ and isinstance(stream, io.TextIOWrapper) and not stream.isatty():
        sys.stdout = _to_a_reader(stream)
    ctrl_c.remember()
    with ctrl_c.loading():
        from nucleate.apps.cli.main import main

    main()


class _Output(io.FileIO):
    """Standard output whose reader may leave early (``| head``): the work goes on, and the rest goes nowhere.

    What cannot be written for another reason, as on a full disk, is an error, once.
    """

    def write(self, data: ReadableBuffer) -> int:
        if not memoryview(data).nbytes:  # typer asks in this way whether bytes can be written
            return 0
        try:
            return super().write(data)
        except OSError as error:
            # Python would try once more to write what is left when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if not isinstance(error, BrokenPipeError):
                reason = error.strerror
                raise OutputError(
                    f"cannot write to the standard output: {reason}; free space or send it elsewhere"
                ) from error
            return super().write(data)


def _to_a_reader(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    raw = _Output(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),  # as Python does it
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
