"""First looks at large planes, which are gone through once: how far that is, and how it is stopped."""

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
    """A request to look at an image, which goes through a plane of it, or waits for another request that does."""

    number: int
    share: float | None = None
    stopped: bool = False

    def watch(self, share: float) -> None:
        if self.stopped:
            raise InputError("reading this image was stopped; look at it again to read it")
        self.share = share


class FirstLooks:
    """The first looks that are under way. Any thread may use it, and a signal handler, too, since nothing is locked."""

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
        """Tell which share of the plane of an image is gone through, 0..1; None if no look is under way."""
        shares = [look.share for look in tuple(self._looks) if look.number == number and look.share is not None]
        return max(shares, default=None)

    def stop(self, number: int | None = None) -> None:
        """End the looks at an image, including those that wait for their turn; all looks when None."""
        for look in tuple(self._looks):
            look.stopped |= number in (None, look.number)
