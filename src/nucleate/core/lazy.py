"""Images that stay in their file: read window by window, since a slide or a plate does not fit the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleate.core.image import Image, Look, check_axes, check_place, check_window, find_channel, find_colour
from nucleate.errors import InputError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LazyImage", "Window", "lazy", "stacked"]

Window: TypeAlias = Callable[[tuple[int, ...], slice, slice], NDArray[Any]]
"""How a reader gives pixels: takes one index for each axis before ``Y``, rows and columns, both with ends inside the
plane, and gives (h, w), or (h, w, 3) with colours."""


def _nothing() -> None:
    """Release nothing."""


@dataclass(frozen=True)
class LazyImage:
    """A picture or stack in a file that is read when asked. Use it as a context manager, or `close` it.

    One of `nucleate.io.images.open_image` can be pickled: where it is taken up, as in another process, its file is
    opened again; one `in_memory`, of a format that is decoded as a whole (PNG), takes its pixels along.

    Parameters
    ----------
    shape : tuple of int
        Lengths of the axes.
    dtype : dtype
        Of the pixels, real.
    window : Window
        Reads a part of one plane of one channel.
    axes : str
        As in `nucleate.core.image`.
    pixel_size_um : (float, float), optional
        Height and width of a pixel in micrometres; None when unknown.
    channel_names : tuple of str
        One for each channel of axis ``C``, or empty.
    name : str
        Where it came from, for messages.
    levels : tuple of (int, int)
        Rows and columns of the levels of a pyramid, the full size first; only the full size is read.
    pictures : tuple of str
        Names of all pictures in the file, this one included, if it holds several.
    release : callable
        Closes the file.
    in_memory : bool
        Whether all pixels are in memory already.
    z_step_um : float, optional
        From one plane of axis ``Z`` to the next in micrometres; None when unknown.
    origin_um : (float, float, float), optional
        Where the centre of the first pixel lies: in depth, down and across; None when unknown.
    t_step_s : float, optional
        From one plane of axis ``T`` to the next in seconds; None when unknown.
    channel_looks : tuple of Look
        One for each channel, or empty.
    reading_bytes : int
        Memory that reading takes in addition to the pixels, if that is more than a little.
    part : str
        How `name` ends if this is one of several pictures: what it is called there; else empty.

    Raises
    ------
    InputError
        If axes and shape do not fit, the image has no pixel, or its pixels are not real numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    window: Window
    axes: str = "YX"
    pixel_size_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    name: str = "image"
    levels: tuple[tuple[int, int], ...] = ()
    pictures: tuple[str, ...] = ()
    release: Callable[[], None] = _nothing
    in_memory: bool = False
    z_step_um: float | None = None
    origin_um: tuple[float, float, float] | None = None
    t_step_s: float | None = None
    channel_looks: tuple[Look, ...] = ()
    reading_bytes: int = 0
    part: str = ""

    def __post_init__(self) -> None:
        check_axes(self.axes, self.shape, dtype=self.dtype, name=self.name)

    def __enter__(self) -> LazyImage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        self.release()

    @property
    def shape_HW(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[self.axes.index("Y")], self.shape[self.axes.index("X")]

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Lengths of the axes over which planes are counted (T, Z, I); empty for a single picture."""
        return tuple(n for a, n in zip(self.axes, self.shape, strict=True) if a in "TZI")

    @property
    def nbytes(self) -> int:
        """Bytes that all of it takes when read."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    @property
    def channel_count(self) -> int:
        """Length of axis ``C``; 1 without it."""
        return self.shape[self.axes.index("C")] if "C" in self.axes else 1

    def channel(self, wanted: str | int | None = None) -> LazyImage:
        """Keep one channel: by index, by name (case does not matter), or the nuclear stain when None.

        If the image is coloured and has no axis ``C``, ``red``, ``green`` or ``blue`` can be kept.

        Raises
        ------
        InputError
            If there is no such channel.
        """
        colour = find_colour(wanted, self.axes)
        if colour is not None:
            return self._of_colour(colour)
        index = find_channel(wanted, self.channel_names, count=self.channel_count, name=self.name, axes=self.axes)
        if "C" not in self.axes:
            return self
        one = slice(index, index + 1)
        names, looks = self.channel_names[one], self.channel_looks[one]
        return replace(self._fixed("C", index), channel_names=names, channel_looks=looks)

    def plane(self, at: tuple[int, ...]) -> LazyImage:
        """Keep one plane of the stack: axes T, Z and I go.

        Parameters
        ----------
        at : tuple of int
            One index for each axis of `stack_shape`.

        Raises
        ------
        InputError
            If there is no such plane.
        """
        check_place("YX", self.stack_shape, at=at, name=self.name)
        kept = self
        for letter, index in zip([a for a in self.axes if a in "TZI"], at, strict=True):
            kept = kept._fixed(letter, index)
        return kept

    def at_time(self, index: int) -> LazyImage:
        """Keep one time point, counted from 0; axis T, which there must be, goes."""
        return self._fixed("T", range(self.shape[self.axes.index("T")])[index])

    def read(self, rows: slice, cols: slice, *, at: tuple[int, ...] = ()) -> NDArray[Any]:
        """Give a part of one plane, (h, w) or (h, w, 3); only this part is read from the file.

        Parameters
        ----------
        rows, cols : slice
            Of the plane's own grid, without steps; what reaches beyond it is cut off, as numpy does.
        at : tuple of int
            Which plane: one index for each axis of `stack_shape`; empty for a single picture.

        Raises
        ------
        InputError
            If the channels were not chosen yet, `at` names no plane, or the file is damaged there.
        UsageError
            If rows or columns are no slice, or have a step.
        """
        check_place(self.axes, self.stack_shape, at=at, name=self.name)
        check_window(rows, cols, name=self.name)
        return self._window(at, rows, cols=cols)

    def load(self) -> Image:
        """Read the whole image into memory; compare `nbytes` with the free memory first."""
        pixels = np.empty(self.shape, self.dtype)
        everything = slice(None)
        for place in np.ndindex(*self.shape[: self.axes.index("Y")]):
            pixels[place] = self._window(place, everything, cols=everything)
        known = self.pixel_size_um, self.channel_names, self.name, self.z_step_um, self.origin_um
        return Image(
            pixels, self.axes, *known, t_step_s=self.t_step_s, channel_looks=self.channel_looks, part=self.part
        )

    def _window(self, place: tuple[int, ...], rows: slice, *, cols: slice) -> NDArray[Any]:
        (top, bottom, _), (left, right, _) = (
            part.indices(n) for part, n in zip((rows, cols), self.shape_HW, strict=True)
        )
        samples = (3,) if "S" in self.axes else ()
        shape = (max(bottom - top, 0), max(right - left, 0), *samples)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        pixels = self.window(place, slice(top, bottom), slice(left, right))
        if pixels.shape != shape:
            raise InputError(
                f"{self.name}: damaged: {shape} pixels are said to be there, got {pixels.shape}; copy it again"
            )
        return pixels.astype(self.dtype, copy=False)

    def _of_colour(self, index: int) -> LazyImage:
        window = partial(_colour_of, inner=self.window, index=index)
        return replace(self, window=window, shape=self.shape[:-1], axes=self.axes.replace("S", ""))

    def _fixed(self, letter: str, index: int) -> LazyImage:
        axis = self.axes.index(letter)
        window = partial(_plane_of, inner=self.window, axis=axis, index=index)
        shape = self.shape[:axis] + self.shape[axis + 1 :]
        return replace(self, window=window, shape=shape, axes=self.axes.replace(letter, ""))


def lazy(image: Image) -> LazyImage:
    """Wrap an image that is in memory as one that is read when asked.

    Parameters
    ----------
    image : Image

    Returns
    -------
    LazyImage

    Examples
    --------
    >>> picture = lazy(Image(np.arange(12).reshape(3, 4)))
    >>> picture.read(slice(1, 3), slice(2, 9))
    array([[ 6,  7],
           [10, 11]])
    """
    pixels = image.pixels
    return LazyImage(
        pixels.shape,
        pixels.dtype,
        partial(_part_of, pixels=pixels),
        image.axes,
        image.pixel_size_um,
        image.channel_names,
        image.name,
        in_memory=True,
        z_step_um=image.z_step_um,
        origin_um=image.origin_um,
        t_step_s=image.t_step_s,
        channel_looks=image.channel_looks,
        part=image.part,
    )


def stacked(planes: Sequence[LazyImage]) -> LazyImage:
    """Put pictures of one size together as the planes of axis ``I``.

    Parameters
    ----------
    planes : sequence of LazyImage
        At least one, axes ``YX`` or all ``YXS``; the first gives everything but the pixels.

    Returns
    -------
    LazyImage
        Its dtype holds the values of all.

    Examples
    --------
    >>> bright, dark = (lazy(Image(np.full((2, 3), value, np.uint8))) for value in (9, 1))
    >>> stacked([bright, dark]).read(slice(0, 1), slice(0, 2), at=(1,))
    array([[1, 1]], dtype=uint8)
    """
    first, window = planes[0], partial(_picture_of, planes=planes)
    dtype = np.result_type(*(plane.dtype for plane in planes))
    return replace(first, shape=(len(planes), *first.shape), dtype=dtype, window=window, axes="I" + first.axes)


# What windows are made of can be pickled, as functions inside of others cannot.


def _part_of(place: tuple[int, ...], *window: slice, pixels: NDArray[Any]) -> NDArray[Any]:
    index: tuple[Any, ...] = (*place, *window)
    part: NDArray[Any] = pixels[index]
    return part


def _colour_of(place: tuple[int, ...], *window: slice, inner: Window, index: int) -> NDArray[Any]:
    return inner(place, *window)[..., index]


def _plane_of(place: tuple[int, ...], *window: slice, inner: Window, axis: int, index: int) -> NDArray[Any]:
    return inner((*place[:axis], index, *place[axis:]), *window)


def _picture_of(place: tuple[int, ...], *window: slice, planes: Sequence[LazyImage]) -> NDArray[Any]:
    return planes[place[0]].window((), *window)
