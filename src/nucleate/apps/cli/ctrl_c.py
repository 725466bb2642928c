"""Ctrl-C that is not lost: compiled modules swallow it while they load, and compiled code turns it into other errors.

SIGTERM, which a cluster sends when the time is over, and SIGHUP, sent when a terminal closes, end the program alike.
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
"""By which this code knows that a call was stopped, whatever the signal; the program leaves with `exit_code`."""

_AGAIN_SECONDS = 0.05  # until a Ctrl-C that got lost is sent again: the finaliser that lost it has ended by then

_pressed = threading.Event()
_by = [signal.SIGINT]
"""The signal that came last."""
_lost = threading.Event()
"""Set while a KeyboardInterrupt that a finaliser swallowed has not been raised again."""
_loads = threading.Event()
"""Set within `loading`."""


def remember() -> None:
    """Note from now on that Ctrl-C, SIGTERM or SIGHUP came; those that a caller ignores or handles stay as they are."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if sys.platform != "win32":
        usual[signal.SIGHUP] = signal.SIG_DFL
    ours = [number for number, handler in usual.items() if signal.getsignal(number) == handler]
    for number in ours:
        signal.signal(number, _press)
    if ours:
        sys.unraisablehook = _pressing_again(sys.unraisablehook)


def was_pressed() -> bool:
    """Tell whether Ctrl-C was pressed, or one of the other signals came, since `remember`."""
    return _pressed.is_set()


def exit_code() -> int:
    """Give the exit code of a program that was stopped: 128 + the number of the signal, 130 after Ctrl-C."""
    return 128 + _by[0]


def raise_again() -> None:
    """Raise a KeyboardInterrupt that got lost again: work that goes on calls this now and then.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C was pressed since `remember` and this is the main thread.
    """
    if _pressed.is_set() and threading.current_thread() is threading.main_thread():
        _lost.clear()
        raise KeyboardInterrupt


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Let Ctrl-C end the program at once within this context, which must be before any work that needs cleaning up.

    A KeyboardInterrupt raised in an import may leave other modules half made, which then fail late or crash.
    """
    _loads.set()
    try:
        yield
    finally:
        _loads.clear()


def option_words(words: list[str]) -> list[str]:
    """Give the words of a call that may be options: those before ``--``, after which all are inputs."""
    return words[: words.index("--")] if "--" in words else words


def leave() -> NoReturn:
    """End the program with `exit_code`, without waiting for threads or for torch to be taken down."""
    # `os._exit` skips what multiprocessing does at exit: semaphores shared with workers would be left behind.
    if "multiprocessing.util" in sys.modules:
        sys.modules["multiprocessing.util"]._run_finalizers(0)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(exit_code())


def _farewell() -> str:
    """Give the last line of a call that has begun nothing, with the call itself where it was to resume another."""
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
            os.write(2, _farewell().encode("utf-8", "backslashreplace"))  # sys.stderr may be in the midst of a write
        os._exit(exit_code())
    signal.default_int_handler(number, frame)


def _pressing_again(others: UnraisableHook) -> UnraisableHook:
    """Give an unraisable hook that sends Ctrl-C again where it was raised in a finaliser, whose errors Python drops."""
    main = threading.get_ident()

    def press_again() -> None:
        time.sleep(_AGAIN_SECONDS)
        if not _lost.is_set():  # raised in the meantime
            return
        if sys.platform == "win32":
            signal.raise_signal(_by[0])
        else:  # to the main thread, so that a system call in which it waits returns
            signal.pthread_kill(main, _by[0])

    def show(thrown: sys.UnraisableHookArgs) -> None:
        if not issubclass(thrown.exc_type, KeyboardInterrupt):
            others(thrown)
        elif threading.get_ident() == main:  # other threads: whoever stops them raises it there again
            _lost.set()
            _thread.start_new_thread(press_again, ())  # threading.Thread takes locks that the main thread may hold

    return show
