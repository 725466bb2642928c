"""What an image is here, and the legend of shapes and dtypes of the whole house.

Axis letters, always in this order: ``T`` time, ``Z`` depth, ``I`` pages of unknown meaning, ``C`` channel, ``Y`` row,
``X`` column, ``S`` colour samples (red, green, blue; always three). ``Y`` and ``X`` are always there. Positions are
(row, col), the centre of the first pixel is (0, 0).

==============  ==================  ============================================================
name            dtype, shape        meaning
==============  ==================  ============================================================
plane           any real, (H, W)    one grey picture, or (H, W, 3) with colours
label image     int32, (H, W)       0 background, 1..n nuclei, no gaps
probability map float32, (H, W)     0..1
maps_CHW        float32, (C, H, W)  the maps a network gives for one plane, 0..1 unless said otherwise
batch_NCHW      float32             what a network takes
==============  ==================  ============================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nucleate.core.checks import is_number
from nucleate.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "AXES",
    "COLOURS",
    "DNA_NAMES",
    "LENGTHS_UM",
    "Image",
    "Look",
    "check_axes",
    "check_place",
    "check_window",
    "find_channel",
    "find_colour",
]

AXES = "TZICYXS"
"""The order in which axes stand."""

COLOURS = ("red", "green", "blue")
"""What the samples of a coloured image are called."""

DNA_NAMES = ("dapi", "hoechst", "dna", "draq5", "nuclei", "nucleus", "h2b", "nuclear", "405")
"""Parts of channel names that mark a nuclear stain, the surest first."""

LENGTHS_UM = (1e-9, 1e9)
"""The least and the most that a side of a pixel or a step can be, in micrometres; places lie no farther off.

TIFF files can hold these: pixels a micrometre, as a fraction of two numbers of 32 bits."""


def find_channel(wanted: str | int | None, names: tuple[str, ...], *, count: int, name: str, axes: str = "") -> int:
    """Tell which of several channels a caller means.

    Parameters
    ----------
    wanted : str, int or None
        A name (case does not matter), an index from 0, or None for the nuclear stain: the first channel in the order of
        `DNA_NAMES`, or the first channel if none has such a name.
    names : tuple of str
        What the channels are called; may be empty.
    count : int
        How many channels there are.
    name : str
        Of the image, for the message.
    axes : str
        Of the image, for the message.

    Returns
    -------
    int
        The index of the channel.

    Raises
    ------
    InputError
        If there is no such channel.
    """
    lower = [one.lower() for one in names]
    if wanted is None:
        index = next((i for dna in DNA_NAMES for i, one in enumerate(lower) if dna in one), 0)
    elif isinstance(wanted, str) and wanted.lower() in lower:  # a name first: "405" is a common one
        index = lower.index(wanted.lower())
    elif isinstance(wanted, str):
        index = int(wanted) if wanted.isdecimal() else -1
    else:
        index = int(wanted) if is_number(wanted, least=0, whole=True) else -1
    if not 0 <= index < count:
        colours = COLOURS if "S" in axes and "C" not in axes else ()
        have = ", ".join([*names, *colours]) or f"{count} without names"
        raise InputError(f"{name}: no channel {wanted!r}; it has {have}; give a name or an index from 0")
    return index


def find_colour(wanted: str | int | None, axes: str) -> int | None:
    """Give the index of a colour by its name, if the image has colours and no channels; else None."""
    if "S" not in axes or "C" in axes or not isinstance(wanted, str) or wanted.lower() not in COLOURS:
        return None
    return COLOURS.index(wanted.lower())


def check_place(axes: str, stack_shape: tuple[int, ...], *, at: tuple[int, ...], name: str) -> None:
    """Check that a place names one plane: no channels are left, and each index lies inside its axis of the stack.

    Parameters
    ----------
    axes : str
        Of the image.
    stack_shape : tuple of int
        Lengths of its axes T, Z, I.
    at : tuple of int
        The indices.
    name : str
        Of the image, for the message.

    Raises
    ------
    InputError
        If not.
    """
    if "C" in axes:
        raise InputError(f"{name}: several channels; choose one first (--channel NAME or INDEX)")
    if not isinstance(at, tuple | list) or not (
        len(at) == len(stack_shape)
        and all(is_number(i, least=0, most=n - 1, whole=True) for i, n in zip(at, stack_shape, strict=True))
    ):
        raise InputError(f"{name}: no plane {at!r}; give an index from 0 for each of the lengths {stack_shape}")


def check_window(rows: slice, cols: slice, *, name: str) -> None:
    """Check that rows and columns are slices from whole number to whole number, without steps.

    Raises
    ------
    UsageError
        If not.
    """
    for part in (rows, cols):
        if not isinstance(part, slice) or not (
            part.step in (None, 1) and all(end is None or isinstance(end, Integral) for end in (part.start, part.stop))
        ):
            raise UsageError(f"{name}: no rows or columns: got {part!r}; give a slice without a step")


def check_axes(axes: str, shape: tuple[int, ...], *, dtype: np.dtype[Any], name: str, what: str = "") -> None:
    """Check that axes fit a shape, that there is at least one pixel, and that pixels are real numbers.

    Parameters
    ----------
    axes : str
        Letters of `AXES`.
    shape : tuple of int
        A length for each.
    dtype : dtype
        Of the pixels.
    name, what : str
        The image and, with a blank before it, the thing of this shape, for the message.

    Raises
    ------
    InputError
        If not.
    """
    got = f"axes {axes!r}, shape {shape}"
    if len(axes) != len(shape) or [a for a in AXES if a in axes] != list(axes):
        raise InputError(f"{name}: axes do not fit{what}: got {got}; use {AXES}, in that order")
    if not {"Y", "X"} <= set(axes) or min(shape) < 1:
        raise InputError(f"{name}: no picture in it: got {got}; rows and columns are needed")
    if "S" in axes and shape[-1] != 3:
        raise InputError(f"{name}: colours need three samples: got {got}")
    if dtype.kind not in "buif":
        raise InputError(f"{name}: pixels must be real numbers: got dtype {dtype}")


class Look(NamedTuple):
    """How viewers show a channel.

    Parameters
    ----------
    colour : str
        Red, green and blue in two hexadecimal digits each; empty when unknown.
    window : (float, float, float, float), optional
        Values shown darkest and brightest, and the least and the most that may be chosen for them; None when unknown.
    """

    colour: str = ""
    window: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels with the meaning of their axes; equal to nothing but itself.

    Parameters
    ----------
    pixels : ndarray
        Any real dtype; axes as in `axes`.
    axes : str
        A subset of ``"TZICYXS"`` in that order, one letter an axis of `pixels`.
    pixel_size_um : (float, float), optional
        Height and width of a pixel in micrometres; None when unknown.
    channel_names : tuple of str
        One for each channel of axis ``C``, or empty.
    name : str
        Where it came from, for messages.
    z_step_um : float, optional
        From one plane of axis ``Z`` to the next in micrometres; None when unknown.
    origin_um : (float, float, float), optional
        Where the centre of the first pixel lies: in depth, down and across; None when unknown.
    t_step_s : float, optional
        From one plane of axis ``T`` to the next in seconds; None when unknown.
    channel_looks : tuple of Look
        One for each channel, or empty.
    part : str
        How `name` ends if this is one of several pictures: what it is called there; else empty.

    Raises
    ------
    InputError
        If axes and pixels do not fit, the pixels are no NumPy array or a masked one, there is none, or
        `pixel_size_um`, `z_step_um` or `t_step_s` is no size, or `origin_um` no place.
    """

    pixels: NDArray[Any]
    axes: str = "YX"
    pixel_size_um: tuple[float, float] | None = None
    channel_names: tuple[str, ...] = ()
    name: str = "image"
    z_step_um: float | None = None
    origin_um: tuple[float, float, float] | None = None
    t_step_s: float | None = None
    channel_looks: tuple[Look, ...] = ()
    part: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.pixels, np.ndarray) or isinstance(self.pixels, np.ma.MaskedArray):
            got = type(self.pixels).__name__
            raise InputError(f"{self.name}: pixels are no plain NumPy array: got {got}; use numpy.asarray")
        check_axes(self.axes, self.pixels.shape, dtype=self.pixels.dtype, name=self.name, what=" the pixels")
        size, (least, most) = self.pixel_size_um, LENGTHS_UM
        if size is not None and not (
            np.shape(size) == (2,) and all(is_number(side, least=least, most=most) for side in size)
        ):
            raise InputError(f"{self.name}: pixel_size_um = {size!r}; use height and width in micrometres, or None")
        for told, step, unit in (("z_step_um", self.z_step_um, "micrometres"), ("t_step_s", self.t_step_s, "seconds")):
            if step is not None and not is_number(step, least=least, most=most):
                raise InputError(f"{self.name}: {told} = {step!r}; use {unit}, or None")
        place = self.origin_um
        if place is not None and not (
            np.shape(place) == (3,) and all(is_number(one, least=-most, most=most) for one in place)
        ):
            raise InputError(f"{self.name}: origin_um = {place!r}; use depth, down and across in micrometres, or None")

    @property
    def shape_HW(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[self.axes.index("Y")], self.pixels.shape[self.axes.index("X")]

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Lengths of the axes over which planes are counted (T, Z, I); empty for a single picture."""
        return tuple(n for a, n in zip(self.axes, self.pixels.shape, strict=True) if a in "TZI")

    def channel(self, wanted: str | int | None = None) -> Image:
        """Keep one channel: by index, by name (case does not matter), or the nuclear stain when None.

        Images without axis ``C`` come back as they are when `wanted` is None or 0; if they are coloured, ``red``,
        ``green`` or ``blue`` can be kept.

        Raises
        ------
        InputError
            If there is no such channel.
        """
        colour = find_colour(wanted, self.axes)
        if colour is not None:
            return replace(self, pixels=self.pixels[..., colour], axes=self.axes.replace("S", ""))
        count = self.pixels.shape[self.axes.index("C")] if "C" in self.axes else 1
        index = find_channel(wanted, self.channel_names, count=count, name=self.name, axes=self.axes)
        if "C" not in self.axes:
            return self
        axis = self.axes.index("C")
        one = slice(index, index + 1)
        names, looks = self.channel_names[one], self.channel_looks[one]
        pixels, axes = self.pixels.take(index, axis), self.axes.replace("C", "")
        return replace(self, pixels=pixels, axes=axes, channel_names=names, channel_looks=looks)

    def read(self, rows: slice, cols: slice, *, at: tuple[int, ...] = ()) -> NDArray[Any]:
        """Give a part of one plane, (h, w) or (h, w, 3), as `nucleate.core.lazy.LazyImage` does.

        Parameters
        ----------
        rows, cols : slice
            Of the plane's own grid, without steps.
        at : tuple of int
            Which plane: one index for each axis of `stack_shape`; empty for a single picture.

        Raises
        ------
        InputError
            If the channels were not chosen yet, or `at` names no plane.
        UsageError
            If rows or columns are no slice, or have a step.
        """
        check_place(self.axes, self.stack_shape, at=at, name=self.name)
        check_window(rows, cols, name=self.name)
        index: tuple[Any, ...] = (*at, rows, cols)
        plane: NDArray[Any] = self.pixels[index]
        return plane

    def planes(self) -> Iterator[NDArray[Any]]:
        """Give every picture of the stack in turn, (H, W) or (H, W, 3), last stack axis fastest.

        Raises
        ------
        InputError
            If the channels were not chosen yet (see `channel`).
        """
        if "C" in self.axes:
            raise InputError(f"{self.name}: several channels; choose one first (--channel NAME or INDEX)")
        depth = len(self.stack_shape)
        for index in np.ndindex(*self.stack_shape):
            yield self.pixels[index] if depth else self.pixels
