"""Ctrl-C that is not lost: compiled modules that load swallow it, and compiled code turns it into errors of its own.

SIGTERM, as from a cluster when the time is over, and SIGHUP, as a terminal closes, end the program in the same way.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    UnraisableHook = Callable[[sys.UnraisableHookArgs], object]

__all__ = ["EXIT_CODE", "exit_code", "leave", "loading", "option_words", "raise_again", "remember", "was_pressed"]

EXIT_CODE = 130
"""Of whatever was stopped; the program leaves with `exit_code`."""

_AGAIN_SECONDS = 0.05

_pressed = threading.Event()
_by = [signal.SIGINT]
"""The signal that came last."""
_lost = threading.Event()
_loads = threading.Event()


def remember() -> None:
    """Keep from now on that Ctrl-C was pressed, or that a signal came like it; each that is ignored stays ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if sys.platform != "win32":
        usual[signal.SIGHUP] = signal.SIG_DFL
    ours = [number for number, handler in usual.items() if signal.getsignal(number) == handler]
    for number in ours:
        signal.signal(number, _press)
    if ours:
        sys.unraisablehook = _pressing_again(sys.unraisablehook)


def was_pressed() -> bool:
    """Tell whether it was, since `remember`."""
    return _pressed.is_set()


def exit_code() -> int:
    """Give the code with which a program that was stopped leaves, as shells count it: 130 after Ctrl-C."""
    return 128 + _by[0]


def raise_again() -> None:
    """Raise it once more where it was pressed and has not ended the work; in other threads than the main one never.

    Raises
    ------
    KeyboardInterrupt
        If it was.
    """
    if _pressed.is_set() and threading.current_thread() is threading.main_thread():
        _lost.clear()
        raise KeyboardInterrupt


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Let Ctrl-C end the program at once while the context lasts: before any work, there is nothing to put in order.

    A module whose import was broken off may leave others half made, which took seconds to fail, or ended in a crash.
    """
    _loads.set()
    try:
        yield
    finally:
        _loads.clear()


def option_words(words: list[str]) -> list[str]:
    """Give the words of a call among which options are looked for: what follows ``--`` names inputs."""
    return words[: words.index("--")] if "--" in words else words


def leave() -> NoReturn:
    """End the program with `exit_code`, without waiting for threads or for torch to be taken down."""
    # Locks shared with workers are not left to the system.
    if "multiprocessing.util" in sys.modules:
        sys.modules["multiprocessing.util"]._run_finalizers(0)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(exit_code())


def _farewell() -> str:
    """Say how to go on where an earlier call was to be gone on with: this one has begun nothing."""
    words = sys.argv[1:]
    if "--resume" not in option_words(words):
        return "nucleate: stopped\n"
    return f"nucleate: stopped; what is finished is kept; go on with:\n  {shlex.join(['nucleate', *words])}\n"


def _press(number: int, frame: FrameType | None) -> None:
    _by[0] = signal.Signals(number)
    _pressed.set()
    _lost.clear()
    if _loads.is_set():
        with contextlib.suppress(OSError):
            os.write(2, _farewell().encode("utf-8", "backslashreplace"))  # sys.stderr may be at work itself
        os._exit(exit_code())
    signal.default_int_handler(number, frame)


def _pressing_again(others: UnraisableHook) -> UnraisableHook:
    """Press once more where it came in the midst of a finaliser, whose errors Python only shows."""
    main = threading.get_ident()

    def press_again() -> None:
        time.sleep(_AGAIN_SECONDS)
        if not _lost.is_set():  # raised by now
            return
        if sys.platform == "win32":
            signal.raise_signal(_by[0])
        else:  # so that what the main thread waits for is broken off
            signal.pthread_kill(main, _by[0])

    def show(thrown: sys.UnraisableHookArgs) -> None:
        if not issubclass(thrown.exc_type, KeyboardInterrupt):
            others(thrown)
        elif threading.get_ident() == main:  # other threads are broken off by whoever stops them, and told again
            _lost.set()
            _thread.start_new_thread(press_again, ())  # a Thread takes locks that the work may hold at this moment

    return show
