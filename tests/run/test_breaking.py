"""Calls that are broken off from another thread."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from nucleate.run.breaking import Breakable, start

pytestmark = pytest.mark.base

PATIENCE = 20.0


def test_a_call_gives_what_it_gives() -> None:
    block = Breakable()
    block.interrupt()
    assert block.run(lambda: 42) == 42
    block.interrupt()
    assert block.run(lambda: sum(range(1000))) == 499_500


def test_a_loop_is_broken_off_and_cleans_up() -> None:
    block, cleaned = Breakable(), []

    def loop() -> None:
        try:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                pass
        finally:
            cleaned.append(True)

    threading.Timer(0.1, block.interrupt).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        block.run(loop)
    assert time.monotonic() - started < PATIENCE / 2
    assert cleaned == [True]


def test_a_thread_that_is_being_started_is_not_broken_off_in_the_others_place() -> None:
    def work() -> None:
        while True:
            start(threading.Thread(target=int))

    def broken_off(block: Breakable) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            block.run(work)

    for wait in range(100):
        block = Breakable()
        thread = threading.Thread(target=broken_off, args=(block,), daemon=True)
        thread.start()
        time.sleep(wait / 10_000)
        end = time.monotonic() + PATIENCE
        while thread.is_alive() and time.monotonic() < end:  # before it has begun it is not touched
            block.interrupt()
            thread.join(0.1)
        assert not thread.is_alive()


def test_what_comes_after_is_not_touched() -> None:
    ends = set()
    for wait in range(400):
        block = Breakable()
        shooting = threading.Thread(target=block.interrupt)

        def work(first: int = wait) -> str:
            for _ in range(first * 20):
                pass
            return "finished"

        shooting.start()
        try:
            ends.add(block.run(work))
        except KeyboardInterrupt:
            ends.add("broken off")
        shooting.join(PATIENCE)
        for _ in range(1000):
            pass
    assert "finished" in ends
