"""Large planes that are gone through when they are first looked at: how far that is, and an end to it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucleate.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleate.apps.web.pyramid import Watch

__all__ = ["FirstLooks"]


@dataclass(eq=False)
class _Look:
    """One who wants to look at an image, and goes through a plane of it or waits for another one who does."""

    number: int
    share: float | None = None
    stopped: bool = False

    def watch(self, share: float) -> None:
        if self.stopped:
            raise InputError("reading this image was stopped; look at it again to read it")
        self.share = share


class FirstLooks:
    """Those that are taken now. Any thread may use it, and a signal handler too: nothing is locked."""

    def __init__(self) -> None:
        self._looks: list[_Look] = []

    @contextlib.contextmanager
    def at(self, number: int) -> Iterator[Watch]:
        """Look at an image for as long as the block runs; gives the `Watch` that a `Pyramid` reports to."""
        look = _Look(number)
        self._looks.append(look)
        try:
            yield look.watch
        finally:
            self._looks.remove(look)

    def share(self, number: int) -> float | None:
        """Tell which share of the plane of an image is gone through, 0..1; None if none is."""
        shares = [look.share for look in tuple(self._looks) if look.number == number and look.share is not None]
        return max(shares, default=None)

    def stop(self, number: int | None = None) -> None:
        """End those at an image, all when None, those that wait for their turn too."""
        for look in tuple(self._looks):
            look.stopped |= number in (None, look.number)
