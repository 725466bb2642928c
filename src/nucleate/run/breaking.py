"""Work that another thread can break off, as Ctrl-C breaks off that of the main thread."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Breakable", "start"]

_Found = TypeVar("_Found")

_births = threading.Lock()


def start(thread: threading.Thread) -> None:
    """Start a thread in the midst of a call that can be broken off.

    Before Python 3.12 a newborn thread bears the number of the one that starts it: it would be broken off in its place,
    and never say that it has begun, for which the other one waits without end.

    Raises
    ------
    RuntimeError
        If it cannot be started.
    """
    with _births:
        thread.start()


class Breakable:
    """A call that raises KeyboardInterrupt when another thread says so.

    It ends as soon as Python has its say, between two calls of compiled code, and needs to be prepared for it no more
    than for Ctrl-C. What comes after the call is not touched.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None

    def run(self, work: Callable[[], _Found]) -> _Found:
        """Do it in this thread and give what it gives.

        Raises
        ------
        KeyboardInterrupt
            If it was broken off.
        """
        try:
            return self._run(work)
        except KeyboardInterrupt:
            self._leave()  # where it came in the midst of leaving
            raise

    def interrupt(self) -> None:
        """Break it off, from another thread; of no effect before and after."""
        with self._lock, _births:
            if self._thread is not None:
                _send(self._thread, KeyboardInterrupt)

    def _run(self, work: Callable[[], _Found]) -> _Found:
        with self._lock:
            self._thread = threading.get_ident()
        try:
            return work()
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            if self._thread is not None:
                _send(self._thread, None)  # what was sent and has not arrived would hit what comes after
            self._thread = None


def _send(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
