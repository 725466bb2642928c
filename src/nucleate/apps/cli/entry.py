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
        Always, with the codes of `nucleate.apps.cli.main.main`.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this, as `2>&-` does
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - stays open
    stream = sys.stdout
    if stream is sys.__stdout__ and isinstance(stream, io.TextIOWrapper) and not stream.isatty():
        sys.stdout = _to_a_reader(stream)
    ctrl_c.remember()
    with ctrl_c.loading():
        from nucleate.apps.cli.main import main

    main()


class _Output(io.FileIO):
    """Standard output whose reader may leave early (``| head``): the work goes on, and later output is dropped.

    Any other failure to write, such as a full disk, raises OutputError the first time, and is dropped after that.
    """

    def write(self, data: ReadableBuffer) -> int:
        if not memoryview(data).nbytes:  # typer probes by an empty write whether the stream takes bytes
            return 0
        try:
            return super().write(data)
        except OSError as error:
            # Python flushes once more at exit; to the null device that cannot fail.
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
        raw if stream.write_through else io.BufferedWriter(raw),  # as Python builds sys.stdout, unbuffered after -u
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
