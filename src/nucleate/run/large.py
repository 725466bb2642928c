"""Inputs that are large, or do not fit the memory: read, segmented and kept strip by strip.

Pixels stay in their file and are read window by window. Labels go to disk, in a folder beside the results, which is
removed when these are written; a resumed run takes up the strips that it finds there. The nuclei are the same as those
of the whole picture (`nucleate.run.strips`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.project import projected
from nucleate.core.text import size_text
from nucleate.errors import TooLargeError
from nucleate.run import outputs
from nucleate.run.exports import writing_bytes
from nucleate.run.inputs import Source
from nucleate.run.memory import keep_freed_memory_together
from nucleate.run.results import Result
from nucleate.run.strips import JoinedLabels, PlaneStrips, cut_plane, write_strips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nucleate.core.lazy import LazyImage
    from nucleate.run.regions import Strip
    from nucleate.run.settings import BatchSettings
    from nucleate.run.single import SegmenterLike

__all__ = ["Plan", "StripBench"]

_MOST_HELD, _LEAST_HELD = 1 << 28, 1 << 25
"""Bytes of labels that are held in memory."""

_UNKNOWN_MEMORY = 2_000_000_000
"""Bytes to work with if the system does not tell how many are free."""

_LONG = 16
"""Strips in a share if each worker gets several shares: little is computed twice, and a slow worker delays less."""

_DENSE = 16
"""Most pixels for each byte of a file: files with too few bytes to be large are not opened to see whether they are."""


@dataclass(frozen=True)
class Plan:
    """How a large input is cut.

    Parameters
    ----------
    planes : tuple of PlaneStrips
        In the order of the stack.
    folder : Path
        Where its strips are kept. Its name differs for any other content, settings or cuts.
    """

    planes: tuple[PlaneStrips, ...]
    folder: Path

    def __len__(self) -> int:
        """Count the strips."""
        return sum(len(plane.strips) for plane in self.planes)

    def there(self) -> int:
        """Count the strips that are finished."""
        return sum(plane.folder(self.folder, strip).exists() for plane in self.planes for strip in plane.strips)

    def shares(self, workers: int) -> list[PlaneStrips]:
        """Divide the strips among workers, neighbours together: one share each, or up to three if there are many.

        Each share but the last computes a row of tiles that the next share computes, too.
        """
        count = workers * min(max(len(self) // (workers * _LONG), 1), 3) if workers > 1 else 1
        size = max(-(-len(self) // count), 1)
        return [
            replace(plane, strips=plane.strips[first : first + size])
            for plane in self.planes
            for first in range(0, len(plane.strips), size)
        ]


class StripBench:
    """Does large inputs strip by strip.

    An `InputError` is raised if an input is damaged, an `OutputError` if strips cannot be stored.

    Parameters
    ----------
    segmenter : SegmenterLike
    settings : BatchSettings
        Channel, projection, exports and memory.
    output : Path
        Folder for the results; strips are kept in it.
    scratch : Path, optional
        Folder where a member of an archive may be unpacked for a while; that of the system when None.
    """

    def __init__(
        self, segmenter: SegmenterLike, settings: BatchSettings, *, output: Path, scratch: Path | None = None
    ) -> None:
        self._segmenter, self._settings, self._output, self._scratch = segmenter, settings, output, scratch
        keep_freed_memory_together()
        self._limit = _UNKNOWN_MEMORY if settings.max_bytes is None else settings.max_bytes
        self._held = min(max(self._limit // 16, _LEAST_HELD), _MOST_HELD)

    def may_be_large(self, source: Source) -> bool:
        """Tell whether an input may be large, without opening it."""
        # A field of a plate is another kind of source: several files, none of them large. For the member of an archive,
        # the size of the archive is taken.
        return type(source) is Source and (
            source.path.is_dir() or source.path.stat().st_size * _DENSE >= self._settings.large_pixels
        )

    def plan(self, source: Source, name: str, *, sha256: str, least_pixels: int = 0) -> Plan | None:
        """Say how an input is cut.

        Parameters
        ----------
        source : Source
        name : str
            Of its results.
        sha256 : str
            Of its content.
        least_pixels : int
            Smaller planes are not cut.

        Returns
        -------
        Plan or None
            None if its planes are smaller, or if they cannot be cut and `least_pixels` is not 0.

        Raises
        ------
        InputError
            If it is damaged or has no such channel.
        TooLargeError
            If even a strip needs more memory than there is.
        """
        with self._opened(source) as (stored, _, shown):
            rows, columns = shown.shape_HW
            if rows * columns < least_pixels:
                return None
            spare = self._spare(stored)
            self._check_room(shown, spare=spare, beside=_beside(stored))
            planes = tuple(
                cut_plane(self._segmenter, shown.plane(at), at=at, max_bytes=spare)
                for at in np.ndindex(*shown.stack_shape)
            )
        if least_pixels and all(len(plane.strips) == 1 for plane in planes):
            return None
        key = json.dumps([sha256, self._settings.fingerprint(), repr(planes)], sort_keys=True)
        folder = outputs.strips_folder(self._output, name) / hashlib.sha256(key.encode()).hexdigest()[:16]
        return Plan(planes, folder)

    def write(self, source: Source, plan: Plan, *, share: PlaneStrips) -> None:
        """Find the nuclei of some strips and store them, unless they are stored already.

        Raises
        ------
        InputError
            If the input is damaged.
        OutputError
            If the strips cannot be stored.
        """
        with self._opened(source) as opened:
            for _ in self._strips(opened, [share], folder=plan.folder):
                pass

    def segment(
        self, source: Source, plan: Plan, *, name: str, watch: Callable[[int], None] = lambda _: None
    ) -> Result:
        """Do the strips that are not stored yet, and put all strips together.

        Parameters
        ----------
        source : Source
        plan : Plan
        name : str
            Of the results.
        watch : callable
            Told the number of strips that are stored, at first and after each.

        Returns
        -------
        Result
            With the file open.

        Raises
        ------
        InputError
            If the input is damaged.
        OutputError
            If strips cannot be stored.
        """
        with contextlib.ExitStack() as kept:
            opened = kept.enter_context(self._opened(source))
            watch(there := plan.there())
            for fresh, _ in enumerate(self._strips(opened, plan.planes, folder=plan.folder), 1):
                watch(there + fresh)
            stored, image, shown = opened
            labels = JoinedLabels(plan.folder, (*shown.stack_shape, *shown.shape_HW), planes=plan.planes)
            close = kept.pop_all().close
        together = image is not stored
        return Result(name, image, shown, labels, labels.confidence, close, is_projected=together)

    @contextlib.contextmanager
    def _opened(self, source: Source) -> Iterator[tuple[LazyImage, LazyImage, LazyImage]]:
        """Open an input: the whole as stored, the image to be measured, and the channel to be segmented."""
        settings = self._settings
        with source.open(self._scratch, max_bytes=self._limit) as opened:
            image = projected(opened, settings.project)
            yield opened, image, image.channel(settings.channel)

    def _spare(self, stored: LazyImage) -> int:
        return max(self._limit - self._held - _beside(stored), 0)

    def _strips(
        self, opened: tuple[LazyImage, LazyImage, LazyImage], shares: Sequence[PlaneStrips], *, folder: Path
    ) -> Iterator[Strip]:
        stored, _, shown = opened
        for share in shares:
            yield from write_strips(
                self._segmenter,
                shown.plane(share.at),
                cut=share,
                folder=folder,
                max_bytes=self._spare(stored),
                held_bytes=self._held,
            )

    def _check_room(self, shown: LazyImage, *, spare: int, beside: int) -> None:
        """Refuse an input that needs more memory than there is, before anything is computed."""
        (rows, columns), colour = shown.shape_HW, "S" in shown.axes
        labels = 4 * rows * columns  # in the estimate, but on disk here
        finding = self._segmenter.estimate_bytes((rows, columns), max_bytes=spare + labels) - labels
        writing = {name: writing_bytes([name], rows * columns, colour=colour) for name in self._settings.exports}
        needed = max([finding, *writing.values()])
        if needed <= spare:
            return
        cure, link = "raise --memory", "or"
        if finding > spare:
            cure, link = f"{cure}, cut the picture or, on the command line, take a smaller --tile", "and"
        if heavy := ",".join(name for name, size in writing.items() if size > spare):
            cure = f"{cure} {link} do without --export {heavy}"
        # Labels may take a sixteenth of the limit, which is a fifteenth of the rest.
        enough = needed + beside + min(max((needed + beside) // 15 + 1, _LEAST_HELD), _MOST_HELD)
        raise TooLargeError(
            f"{shown.name}: {rows} x {columns} pixels need about {size_text(enough, rounding=math.ceil)} "
            f"even part by part, {size_text(self._limit, rounding=math.floor)} are allowed; {cure}"
        )


def _beside(stored: LazyImage) -> int:
    """Give the bytes that an opened input takes by itself."""
    return stored.reading_bytes + (stored.nbytes if stored.in_memory else 0)
