"""Image layers of a viewer as pictures with named axes, and label images back in the axes of their layer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.lazy import LazyImage
from nucleate.core.project import projected
from nucleate.errors import InputError, UsageError
from nucleate.io.units import micrometres, sane_place, sane_size, sane_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nucleate.core.project import Projection

__all__ = ["WHOLE", "Picture", "View", "together"]

_TIMES = {"t", "time", "frame", "frames"}
_DEPTHS = {"z", "depth", "slice", "slices"}
_CHANNELS = {"c", "channel", "channels"}
_NO_UNITS = {"", "pixel", "pixels"}
_DURATIONS = {"s", "sec", "second", "seconds", "ms", "millisecond", "microsecond", "min", "minute", "h", "hour", "day"}


@dataclass(frozen=True)
class Picture:
    """An image layer, as far as finding nuclei is concerned.

    Parameters
    ----------
    data : array-like
        (..., H, W), or with colours (..., H, W, 3 or 4); of a pyramid the full size. Only windows are read.
    name : str
        Of the layer.
    rgb : bool
        Whether the last axis holds colours.
    axes : tuple of str
        What the axes are called, colours left out; the letters ``z`` and ``t`` mean depth and time. Without names the
        last axis before the rows is depth, unless its unit is one of time.
    scale, translate : tuple of float
        One for each axis without colours, as the layer has them; 1 and 0 when empty.
    units : tuple of str
        One for each axis without colours. A scale without a unit, or in pixels, is taken to be in micrometres, unless
        it is 1, or the spacing of planes whose pixel size is not known.
    """

    data: Any
    name: str = "image"
    rgb: bool = False
    axes: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    translate: tuple[float, ...] = ()
    units: tuple[str, ...] = ()

    @property
    def leading(self) -> tuple[int, ...]:
        """Lengths of the axes before the rows."""
        shape = tuple(int(n) for n in self.data.shape)
        end = len(shape) - (3 if self.rgb else 2)
        if end < 0 or 0 in shape:
            raise InputError(f"{self.name}: no picture in it: got shape {shape}; choose an image with rows and columns")
        return shape[:end]

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel in micrometres, or None."""
        return sane_size(self._step_um(-2), self._step_um(-1))

    def z_step_um(self, depth: int) -> float | None:
        """Give the spacing of planes along an axis before the rows in micrometres, or None where it is not known."""
        return sane_step(self._step_um(self._from_end(depth)))

    def origin_um(self, depth: int | None) -> tuple[float, float, float] | None:
        """Give the place of the first pixel in micrometres (depth, row, column); None where the layer is not moved."""
        deep = 0.0 if depth is None else self._place_um(self._from_end(depth))
        return sane_place((deep, self._place_um(-2), self._place_um(-1)))

    def _from_end(self, axis: int) -> int:
        """Count an axis before the rows from the end, since scale and units may cover the last axes only."""
        return axis - len(self.leading) - 2

    def _step_um(self, axis: int) -> float | None:
        factor = self._um(axis)
        return None if factor is None else abs(self.scale[axis]) * factor

    def _place_um(self, axis: int) -> float:
        factor = self._um(axis)
        return 0.0 if factor is None or len(self.translate) < -axis else self.translate[axis] * factor

    def _um(self, axis: int) -> float | None:
        """Tell how many micrometres a unit along an axis is, -1 being the last axis; None where it is no length."""
        if len(self.scale) < -axis:
            return None
        unit = self._unit(axis)
        if unit not in _NO_UNITS:
            return micrometres(unit)
        known = self.scale[axis] != 1 and (axis >= -2 or self.pixel_size_um is not None)
        return 1.0 if known else None

    def _unit(self, axis: int) -> str:
        """Give the unit along an axis in small letters, -1 being the last axis; empty where there is none."""
        return self.units[axis].strip().lower() if len(self.units) >= -axis else ""

    def is_time(self, axis: int) -> bool:
        """Tell whether an axis is time by its name, or by its unit where it has no name."""
        name = self.name_of(axis)
        return name in _TIMES or (not name and self._unit(self._from_end(axis)) in _DURATIONS)

    def name_of(self, axis: int) -> str:
        """Give an axis's name in small letters; empty where it has none, or the number that napari gives by default."""
        name = self.axes[axis].strip().lower() if len(self.axes) >= len(self.leading) + 2 else ""
        return "" if name.lstrip("-").isdigit() else name


@dataclass(frozen=True)
class View:
    """What is taken of a layer: all its planes, some of them, or planes put together.

    Parameters
    ----------
    fixed : tuple of (int, int)
        Axes of the layer of which one index is taken: (axis, index).
    project : {"max", "mean", "min"}, optional
        How planes in depth are put together; plane by plane when None.
    colour : {"red", "green", "blue"}, optional
        Of a layer with colours, the one that is taken; all when None.
    part : str
        Name of the chosen channel, for titles; empty for all of the layer.
    """

    fixed: tuple[tuple[int, int], ...] = ()
    project: Projection | None = None
    colour: str | None = None
    part: str = ""

    def of(self, picture: Picture) -> LazyImage:
        """Give a layer's picture with the axes of `nucleate.core.image`: T and Z, rows, columns, colours.

        Raises
        ------
        InputError
            If there is no such plane, or the layer holds no picture.
        """
        leading, fixed = picture.leading, dict(self.fixed)
        if not all(0 <= axis < len(leading) and 0 <= i < leading[axis] for axis, i in self.fixed):
            raise InputError(f"{picture.name}: no plane {self.fixed}: got {leading}; choose one that is there")
        others, depth = self._split(picture)
        lengths = tuple(leading[axis] for axis in others)
        stack = ("T" * bool(others)) + ("Z" * bool(depth))
        order = [*others, *depth]

        def window(place: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
            times = map(int, np.unravel_index(place[0], lengths)) if others else ()
            at = dict(zip(order, (*times, *place[bool(others) :]), strict=True)) | fixed
            part = np.asarray(picture.data[(*(at[axis] for axis in range(len(leading))), rows, cols)])
            return part[..., :3] if picture.rgb else part

        rows, cols = picture.data.shape[len(leading) : len(leading) + 2]
        counts = [math.prod(lengths)] * bool(others) + [leading[axis] for axis in depth]
        shape = (*counts, int(rows), int(cols), *((3,) if picture.rgb else ()))
        axes = f"{stack}YX{'S' if picture.rgb else ''}"
        image = LazyImage(
            shape,
            np.dtype(picture.data.dtype),
            window,
            axes,
            picture.pixel_size_um,
            name=picture.name,
            z_step_um=picture.z_step_um(depth[0]) if depth else None,
            origin_um=picture.origin_um(depth[0] if depth else None),
        )
        image = image if self.colour is None else image.channel(self.colour)
        return projected(image, self.project)

    def kept(self, picture: Picture) -> list[int]:
        """List the axes of the layer that its labels have, rows and columns included.

        napari aligns layers by their last axes, so all axes after the first that is kept are kept too.
        """
        first = min(self._order(picture), default=len(picture.leading))
        return list(range(first, len(picture.leading) + 2))

    def spread(self, picture: Picture) -> list[int]:
        """List those of `kept` along which labels have length 1: a single index was taken, or all were projected."""
        order = self._order(picture)
        return [axis for axis in self.kept(picture)[:-2] if axis not in order]

    def to_layer(self, labels: NDArray[Any], picture: Picture) -> NDArray[Any]:
        """Give labels found on the picture of `of` the axes of their Labels layer."""
        order = self._order(picture)
        stack = labels.reshape(*(picture.leading[axis] for axis in order), *labels.shape[-2:])
        front = np.moveaxis(stack, np.argsort(order), range(len(order)))
        return np.ascontiguousarray(front).reshape(*self._lengths(picture), *labels.shape[-2:])

    def from_layer(self, labels: NDArray[Any], picture: Picture) -> NDArray[Any]:
        """Do the opposite of `to_layer`.

        Raises
        ------
        UsageError
            If the labels do not lie on the picture.
        """
        order, image = self._order(picture), self.of(picture)
        expected = (*self._lengths(picture), *image.shape_HW)
        if labels.shape != expected:
            got = f"{labels.shape} on {expected}"
            raise UsageError(f"{picture.name}: nuclei of another size: got {got}; choose the image they belong to")
        front = labels.reshape(*(picture.leading[axis] for axis in sorted(order)), *image.shape_HW)
        stack = np.moveaxis(front, range(len(order)), np.argsort(order))
        return np.ascontiguousarray(stack).reshape(*image.stack_shape, *image.shape_HW)

    def _order(self, picture: Picture) -> list[int]:
        """List the axes of the layer along which labels have planes, in the order of the picture of `of`: T, then Z."""
        others, depth = self._split(picture)
        return others if self.project is not None else [*others, *depth]

    def _lengths(self, picture: Picture) -> list[int]:
        """Give the lengths of the Labels layer along its axes before the rows."""
        spread = self.spread(picture)
        return [1 if axis in spread else picture.leading[axis] for axis in self.kept(picture)[:-2]]

    def _split(self, picture: Picture) -> tuple[list[int], list[int]]:
        """Split the free axes before the rows into those that count as time and the one that is depth, if any."""
        free = [axis for axis in range(len(picture.leading)) if axis not in dict(self.fixed)]
        named = [axis for axis in free if picture.name_of(axis) in _DEPTHS]
        unnamed = [axis for axis in free if picture.name_of(axis) not in _CHANNELS and not picture.is_time(axis)]
        depth = (named or unnamed)[-1:]
        return [axis for axis in free if axis not in depth], depth


WHOLE = View()
"""All of a layer, plane by plane."""


def together(images: Sequence[LazyImage]) -> LazyImage:
    """Put pictures of one size together as the channels of one; their names become those of the channels.

    Parameters
    ----------
    images : sequence of LazyImage
        At least one; several must be grey, with the same shape and axes.

    Returns
    -------
    LazyImage
        A single one comes back as it is.

    Raises
    ------
    UsageError
        If they differ in shape or axes, or have colours.
    """
    first = images[0]
    if len(images) == 1:
        return first
    if any(one.shape != first.shape or one.axes != first.axes or "S" in one.axes for one in images):
        raise UsageError(f"{first.name} and others differ in size or have colours; choose one image, or alike ones")
    depth = len(first.stack_shape)

    def window(place: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        return images[place[depth]].window(place[:depth], rows, cols)

    return replace(
        first,
        shape=(*first.stack_shape, len(images), *first.shape_HW),
        axes=first.axes.replace("YX", "CYX"),
        dtype=np.result_type(*(one.dtype for one in images)),
        window=window,
        channel_names=tuple(one.name for one in images),
    )
