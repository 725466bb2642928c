"""The tasks of a batch in threads of this process: small inputs beside each other, a large one alone.

Much of the work on an input is for one core: it is read, split and written while the network waits. So two at once take
three quarters of the time on two cores (benchmarks/speed.md). The main thread only writes, so that Ctrl-C acts at once
even while an engine computes.
"""

from __future__ import annotations

import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from nucleate.run.breaking import Breakable, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nucleate.run.single import Done, Progress, Task, Work, WorkBench

__all__ = ["WORKER_NAME", "ThreadCrew"]

WORKER_NAME = "nucleate-worker"
"""Name of the threads that compute; after Ctrl-C they may live on until their engine returns."""

_Found = TypeVar("_Found")

_AGAIN = 5.0
"""Seconds after which a thread that was told to end is told again, since the first time may have been lost."""


class ThreadCrew:
    """Does the tasks of a batch in threads; see `nucleate.run.batch.Crew`.

    Parameters
    ----------
    bench : WorkBench
    at_once : int
        Most inputs in memory, including those whose results are being written.
    """

    def __init__(self, bench: WorkBench, *, at_once: int) -> None:
        self._bench, self._at_once = bench, max(at_once, 1)
        self._stopped = threading.Event()
        self._blocks: list[Breakable] = []
        self._room = _Room(self._at_once)
        self._workers: list[threading.Thread] = []
        self._ready: queue.Queue[tuple[Work, int] | BaseException] = queue.Queue()

    def stop(self, *, wait: bool) -> None:
        """Start no further task; wait for the tasks under way, or let them end by themselves.

        After `interrupt` the program goes on, so tasks are broken off and waited for.
        """
        self._room.close()
        for worker in self._workers if wait or self._stopped.is_set() else ():
            while worker.is_alive():
                worker.join(_AGAIN)
                if self._stopped.is_set():
                    self._break_off()

    def interrupt(self) -> None:
        """Make `run` raise KeyboardInterrupt, as on Ctrl-C; other threads may call this at any time."""
        self._stopped.set()
        self._break_off()

    def _break_off(self) -> None:
        for block in tuple(self._blocks):
            block.interrupt()

    def run(self, tasks: Sequence[Task], watch: Callable[[Progress], None]) -> Iterator[Done]:
        """Begin every task in order; results are written in the caller's thread."""
        waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        for task in [*tasks, *[None] * self._at_once]:
            waiting.put(task)
        for _ in range(self._at_once):
            # Daemons, so that after Ctrl-C the program does not wait for an engine that is still computing.
            worker = threading.Thread(target=self._work, args=(waiting, watch), name=WORKER_NAME, daemon=True)
            start(worker)
            self._workers.append(worker)
        if tasks:
            self._bench.warm_up()
        for _ in tasks:
            ended = self._next()
            if isinstance(ended, BaseException):
                raise ended
            work, places = ended
            yield self._breakable(partial(self._bench.write, work))
            self._room.leave(places)

    def _work(self, waiting: queue.SimpleQueue[Task | None], watch: Callable[[Progress], None]) -> None:
        while self._room.enter():
            if (task := waiting.get()) is None:
                self._room.leave(1)
                return
            try:
                work, places = self._breakable(partial(self._begin, task, watch=watch)), 1
                if not work.ended:
                    if not self._room.take_all():
                        return
                    work, places = self._breakable(partial(self._bench.find, work, watch=watch)), self._at_once
            except BaseException as error:  # raised again in the caller's thread
                self._ready.put(error)
                return
            self._ready.put((work, places))

    def _begin(self, task: Task, *, watch: Callable[[Progress], None]) -> Work:
        return self._bench.find(self._bench.look(task), beside=self._at_once, watch=watch)

    def _breakable(self, work: Callable[[], _Found]) -> _Found:
        def unless_stopped() -> _Found:
            if self._stopped.is_set():  # before it could be broken off
                raise KeyboardInterrupt
            return work()

        block = Breakable()
        self._blocks.append(block)
        try:
            return block.run(unless_stopped)
        finally:
            self._blocks.remove(block)

    def _next(self) -> tuple[Work, int] | BaseException:
        while True:
            if self._stopped.is_set():
                raise KeyboardInterrupt
            try:
                # A wait without end would not let Ctrl-C through on every system.
                return self._ready.get(timeout=0.2)
            except queue.Empty:
                continue


class _Room:
    """Places for inputs in memory. An input that needs all of them waits until the others leave; none enters before."""

    def __init__(self, places: int) -> None:
        self._places, self._taken, self._queue = places, 0, 0
        self._closed = False
        self._changed = threading.Condition()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def enter(self) -> bool:
        """Wait for a place; False if places are no longer given out."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._taken < self._places and not self._queue))
            self._taken += 1
            return not self._closed

    def take_all(self) -> bool:
        """Give back one place and wait for all of them; False if places are no longer given out."""
        with self._changed:
            self._taken -= 1
            self._queue += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or not self._taken)
            self._queue -= 1
            self._taken = self._places
            return not self._closed

    def leave(self, places: int) -> None:
        with self._changed:
            self._taken -= places
            self._changed.notify_all()
