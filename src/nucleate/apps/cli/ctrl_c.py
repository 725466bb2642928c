"""Ctrl-C that is not lost: compiled modules that load swallow it, and compiled code turns it into errors of its own."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["EXIT_CODE", "raise_again", "remember", "was_pressed"]

EXIT_CODE = 130
"""After Ctrl-C, as shells count it."""

_pressed = threading.Event()


def remember() -> None:
    """Keep from now on that Ctrl-C was pressed; of no effect where it is ignored or another program takes it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _press)


def was_pressed() -> bool:
    """Tell whether it was, since `remember`."""
    return _pressed.is_set()


def raise_again() -> None:
    """Raise it once more where it was pressed and has not ended the work; in other threads than the main one never.

    Raises
    ------
    KeyboardInterrupt
        If it was.
    """
    if _pressed.is_set() and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def _press(number: int, frame: FrameType | None) -> None:
    _pressed.set()
    signal.default_int_handler(number, frame)
