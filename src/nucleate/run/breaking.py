"""Work that another thread can break off, as Ctrl-C breaks off the work of the main thread."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, TypeVar

from nucleate.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Breakable", "no_thread", "start"]

_Found = TypeVar("_Found")

_births = threading.Lock()


def start(thread: threading.Thread) -> None:
    """Start a thread from within a call that can be broken off.

    Before Python 3.12 a new thread has, at first, the number of the thread that starts it. It would be broken off in
    place of that thread, and would never report that it has begun, for which that thread waits without end.

    Raises
    ------
    InputError
        If the system starts no more threads.
    """
    try:
        with _births:
            thread.start()
    except RuntimeError as error:
        raise no_thread() from error


def no_thread() -> InputError:
    """Say that no thread can be started, and what helps."""
    cure = "use fewer with --threads, close other programs or raise the limit of processes"
    return InputError(f"no thread can be started; {cure}")


class Breakable:
    """A call that raises KeyboardInterrupt when another thread says so.

    It ends as soon as Python code runs again, between two calls of compiled code, and needs no more preparation than
    for Ctrl-C. Code that comes after the call is not interrupted.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None

    def run(self, work: Callable[[], _Found]) -> _Found:
        """Do the work in this thread and give its result.

        Raises
        ------
        KeyboardInterrupt
            If it was broken off.
        """
        try:
            return self._run(work)
        except KeyboardInterrupt:
            self._leave()  # in case the interrupt came while leaving
            raise

    def interrupt(self) -> None:
        """Break the work off, from another thread; without effect before it begins and after it ends."""
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
                _send(self._thread, None)  # an interrupt that has not arrived yet would hit later code
            self._thread = None


def _send(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
