"""Views that the page shows: open images, their planes and label images at every zoom, the tables of their nuclei."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from nucleate.apps.web import pyramid
from nucleate.apps.web.first_look import FirstLooks
from nucleate.apps.web.nuclei import Nuclei
from nucleate.apps.web.tiles import LabelLevels, PictureLevels
from nucleate.core.bands import PlaneOf
from nucleate.core.image import COLOURS, check_place, find_channel
from nucleate.core.project import projected
from nucleate.errors import InputError
from nucleate.io.images import open_image
from nucleate.run.pictures import stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.apps.web.pyramid import Watch
    from nucleate.apps.web.store import Entry, Finished
    from nucleate.core.lazy import LazyImage
    from nucleate.core.plane import Plane
    from nucleate.export.overlay import Stretch
    from nucleate.run.inputs import Source

__all__ = ["ChangedError", "FileLabels", "Kept", "Views", "describe"]

_Value = TypeVar("_Value")
_STAMP_SECONDS = 2
_LOOKED_AT = 5
"""Planes of a stack in depth that tell how all of them are shown."""


class ChangedError(InputError):
    """An image has changed since its nuclei were found."""


class Kept(Generic[_Value]):
    """The values that were used last. Each is made only once, even if several threads ask for it.

    Parameters
    ----------
    most : int
        How many values are kept.
    release : callable, optional
        Called with a value that is no longer kept.
    """

    def __init__(self, most: int, release: Callable[[_Value], None] = lambda _: None) -> None:
        self._most, self._release = most, release
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """Give the value of a key, which is made if it is not kept."""
        with self._lock:
            if key in self._values:
                return self._used(key)
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._values:  # another thread has made it meanwhile
                    return self._used(key)
            try:
                value = make()
                gone = self._keep(key, value)
            finally:
                with self._lock:
                    self._making.pop(key, None)
        for one in gone:
            self._release(one)
        return value

    def _used(self, key: Hashable) -> _Value:
        self._values.move_to_end(key)
        return self._values[key]

    def _keep(self, key: Hashable, value: _Value) -> list[_Value]:
        """Keep a value, and give the values that are no longer kept."""
        with self._lock:
            gone = [self._values.pop(key)] if key in self._values else []
            self._values[key] = value
            return gone + [self._values.popitem(last=False)[1] for _ in range(len(self._values) - self._most)]

    def clear(self) -> None:
        """Let go of all values."""
        with self._lock:
            gone = list(self._values.values())
            self._values.clear()
        for one in gone:
            self._release(one)


class _Opened:
    """An image that stays open, read by one thread at a time."""

    def __init__(self, entry: Entry, scratch: Path, *, max_bytes: int | None) -> None:
        self._files = contextlib.ExitStack()
        self.lock = threading.Lock()
        self.stretches: Kept[Stretch] = Kept(64)
        opened = entry.source.open_levels(scratch, max_bytes=max_bytes, above=pyramid.IN_MEMORY)
        sizes = self._files.enter_context(opened)
        self.image: LazyImage = sizes[0]
        self._smaller = [one for one in sizes[1:] if _is_smaller(one, self.image)]

    def planes(self, channel: str | int | None, project: str | None, *, at: tuple[int, ...]) -> list[Plane]:
        """Give one plane in all sizes, the full size first."""
        sizes = (projected(size, project).channel(channel) for size in (self.image, *self._smaller))
        return [_Locked(size.plane(at), self.lock) for size in sizes]

    def places_in_depth(self, project: str | None, *, at: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """List planes of the stack in depth in which one lies."""
        axes = "".join(letter for letter in self.image.axes if letter in "TZI")
        if project or "Z" not in axes:
            return ()
        depth = axes.index("Z")
        seen = {(2 * i + 1) * self.image.stack_shape[depth] // (2 * _LOOKED_AT) for i in range(_LOOKED_AT)}
        return tuple((*at[:depth], z, *at[depth + 1 :]) for z in sorted(seen))

    def close(self) -> None:
        with self.lock:
            self._files.close()


def _is_smaller(level: LazyImage, full: LazyImage) -> bool:
    """Tell whether a level shows the same as the full size; a cropped level, or one of another image, does not."""
    down, across = (whole / length for whole, length in zip(full.shape_HW, level.shape_HW, strict=True))
    # Rounding makes a difference of up to a pixel of the level.
    room = 0.01 + 1 / min(level.shape_HW)
    same = level.axes == full.axes and level.shape[: level.axes.index("Y")] == full.shape[: full.axes.index("Y")]
    return same and min(down, across) > 1 and abs(down / across - 1) <= room


class _Locked:
    """A plane of a file, read by one thread at a time, since readers keep a position in their file."""

    def __init__(self, plane: LazyImage, lock: threading.Lock) -> None:
        self._plane, self._lock = plane, lock
        self.shape, self.dtype = plane.shape, plane.dtype

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        with self._lock:
            return self._plane.read(rows, cols)


class FileLabels:
    """Labels of a file, read part by part; see `nucleate.core.bands.Labels`.

    Parameters
    ----------
    image : LazyImage
        The opened file.
    shape : tuple of int
        Of the image that was segmented, (..., H, W); in the file, axes of length one, and their letters, may be lost.
    """

    def __init__(self, image: LazyImage, shape: tuple[int, ...]) -> None:
        own = (*image.stack_shape, *image.shape_HW)
        if own[-2:] != shape[-2:] or math.prod(own) != math.prod(shape):
            raise InputError(f"{image.name}: labels of shape {own}, the image has {shape}; segment it again")
        self._image, self._lock = image, threading.Lock()
        self.shape = shape

    @classmethod
    def of(cls, finished: Finished, shown: LazyImage) -> FileLabels:
        """Open the label image among some results.

        Raises
        ------
        InputError
            If it was changed or removed meanwhile.
        """
        return cls(open_image(finished.file("labels")), (*shown.stack_shape, *shown.shape_HW))

    def __getitem__(self, key: tuple[Any, ...], /) -> NDArray[np.int32]:
        """Give a part of one plane."""
        *at, rows, cols = key
        number = np.ravel_multi_index(at, self.shape[:-2]) if at else 0
        place = np.unravel_index(number, self._image.stack_shape) if self._image.stack_shape else ()
        with self._lock:
            return self._image.read(rows, cols, at=tuple(map(int, place))).astype(np.int32)

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        with self._lock:
            self._image.close()


class Views:
    """The views of the page, opened when they are asked for and closed when others are.

    Parameters
    ----------
    scratch : Path
        Folder where members of archives are unpacked, and smaller sizes of large planes are kept.
    max_bytes : int, optional
        Memory for an image that has to be decoded as a whole.
    """

    def __init__(self, scratch: Path, *, max_bytes: int | None = None) -> None:
        self._scratch, self._max_bytes = scratch, max_bytes
        self._opened: Kept[_Opened] = Kept(3, _Opened.close)
        self._pictures: Kept[PictureLevels] = Kept(3)
        self._stored: Kept[FileLabels] = Kept(3, FileLabels.close)
        self._labels: Kept[LabelLevels] = Kept(3)
        self._nuclei: Kept[Nuclei] = Kept(4)
        self._same: Kept[bool] = Kept(1024)
        self._stamps: Kept[tuple[tuple[int, int], ...]] = Kept(8)
        self.first_looks = FirstLooks()

    def check(self, entry: Entry, finished: Finished) -> None:
        """Check that an image has not changed since its nuclei were found.

        Raises
        ------
        ChangedError
            If not.
        InputError
            If it cannot be read.
        """
        source, sha256 = entry.source, finished.outcome.sha256
        key = source.key, self._stamp(source), sha256  # a file with the same stamp is not hashed again
        if not self._same.get(key, lambda: source.sha256() == sha256):
            raise ChangedError(f"{source.shown}: the image has changed since its nuclei were found; find nuclei again")

    def image(self, entry: Entry, project: str | None = None) -> LazyImage:
        """Open an image, with planes in depth projected if that is asked for; its pixels must not be read from it.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        return projected(self._open(entry).image, project)

    def segmented(self, entry: Entry, finished: Finished) -> LazyImage:
        """Open what nuclei were found in: the image with the projection and the channel of that run; see `image`."""
        return self.image(entry, finished.choices.project).channel(finished.choices.channel)

    def picture(
        self, entry: Entry, channel: str | int | None, *, project: str | None, at: tuple[int, ...]
    ) -> PictureLevels:
        """Give one plane of one channel at every zoom.

        Raises
        ------
        InputError
            If it cannot be read, there is no such plane or channel, or reading it was stopped.
        """
        opened = self._open(entry)
        # The opened file is part of the key, since levels of a file that was closed can no longer be read.
        key = (opened, channel, project, at)

        def levels(place: tuple[int, ...], watch: Watch = lambda _: None) -> PictureLevels:
            full, *smaller = opened.planes(channel, project, at=place)
            return PictureLevels(full, smaller=smaller, scratch=self._scratch, watch=watch)

        def widest(own: Stretch, places: tuple[tuple[int, ...], ...]) -> Stretch:
            found = [own] if at in places else []
            for done, place in enumerate(places, 1):
                watch(done / (len(places) + 1))
                with contextlib.suppress(InputError):  # a plane that is damaged is told when it is looked at
                    found += [levels(place).stretch] if place != at else []
            return max(found, key=lambda one: one.span, default=own)

        def make() -> PictureLevels:
            shown, places = levels(at, watch), opened.places_in_depth(project, at=at)
            if places and not shown.is_costly:
                own = shown.stretch
                shown.show_as(opened.stretches.get((channel, places), lambda: widest(own, places)))
            return shown

        with self.first_looks.at(entry.number) as watch:
            return self._pictures.get(key, make)

    def labels(self, entry: Entry, finished: Finished, *, at: tuple[int, ...]) -> LabelLevels:
        """Give the label image of one plane at every zoom.

        Raises
        ------
        InputError
            If its file was changed or removed meanwhile, there is no such plane, or reading it was stopped.
        """
        stored = self._stored.get(
            _key(finished, "labels"), lambda: FileLabels.of(finished, self.segmented(entry, finished))
        )
        check_place("YX", stored.shape[:-2], at=at, name=entry.source.shown)
        with self.first_looks.at(entry.number) as watch:
            return self._labels.get(
                (stored, at), lambda: LabelLevels(PlaneOf(stored, at), scratch=self._scratch, watch=watch)
            )

    def nuclei(self, finished: Finished) -> Nuclei:
        """Give the measurements of an image's nuclei.

        Raises
        ------
        InputError
            If their file was changed or removed meanwhile.
        """
        return self._nuclei.get(_key(finished, "measurements"), lambda: Nuclei.read(finished.file("measurements")))

    def close(self) -> None:
        """Close all files."""
        self.first_looks.stop()
        self._pictures.clear()
        self._labels.clear()
        self._nuclei.clear()
        self._stored.clear()
        self._opened.clear()

    def _stamp(self, source: Source) -> tuple[tuple[int, int], ...]:
        """Give the stamp of an image; of a folder, which may have very many files, one of the last two seconds."""
        if not os.path.isdir(source.path):  # noqa: PTH112 - Path.is_dir() may raise
            return source.stamp()
        return self._stamps.get((source.key, monotonic() // _STAMP_SECONDS), source.stamp)

    def _open(self, entry: Entry) -> _Opened:
        if entry.source.problem:
            raise InputError(entry.source.problem)
        # With the stamp, since a file may be another by now.
        key = entry.number, self._stamp(entry.source)
        return self._opened.get(key, lambda: _Opened(entry, self._scratch, max_bytes=self._max_bytes))


def _key(finished: Finished, export: str) -> Hashable:
    path = finished.file(export)
    return path, stamp_of(path)  # with the stamp, since it may have been corrected by hand


def describe(image: LazyImage) -> dict[str, Any]:
    """Tell what the page needs to know of an image.

    Parameters
    ----------
    image : LazyImage
        As it is looked at.

    Returns
    -------
    dict
        ``rows``, ``cols``, ``stack`` (letter and length of each axis), ``channels`` (value and name) and ``channel``,
        the value of the one that is looked at first, ``colour``, whether they are those of one picture in colour,
        ``pixel_size_um``, ``dtype``.
    """
    count = image.channel_count
    first: str | None = None
    channels: list[dict[str, str]] = []
    if count > 1:
        names = image.channel_names or tuple(map(str, range(count)))
        channels = [{"value": str(i), "name": name} for i, name in enumerate(names)]
        first = str(find_channel(None, image.channel_names, count=count, name=image.name))
    elif "S" in image.axes:
        channels = [{"value": colour, "name": colour} for colour in COLOURS]
    rows, cols = image.shape_HW
    stack = [{"axis": a, "length": n} for a, n in zip(image.axes, image.shape, strict=True) if a in "TZI"]
    return {
        "rows": rows,
        "cols": cols,
        "stack": stack,
        "channels": channels,
        "channel": first,
        "colour": count == 1 and "S" in image.axes,
        "pixel_size_um": image.pixel_size_um,
        "dtype": str(image.dtype),
    }
