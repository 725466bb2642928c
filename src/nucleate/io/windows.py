"""Shared by the readers of large files: makes a `LazyImage` from the sizes that a file tells."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleate.core.image import AXES
from nucleate.core.lazy import LazyImage
from nucleate.io.faults import fault
from nucleate.io.units import sane_size, sane_step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "PlaneReader",
    "Sizes",
    "at_level",
    "choose_level",
    "choose_picture",
    "kept_open",
    "names_of_channels",
    "place_in_pages",
    "windowed",
    "with_steps",
]

Sizes = dict[str, int]
"""Length of each axis, by its letter."""


PlaneReader: TypeAlias = Callable[[Sizes, slice, slice], NDArray[Any]]
"""Reads pixels (h, w), or (h, w, 3) for colours, from an index for each axis of the file except Y, X and S, and from
rows and columns."""


def windowed(sizes: Sizes, dtype: np.dtype[Any], *, read: PlaneReader, names: tuple[str, ...] = ()) -> LazyImage:
    """Make the lazy image of a file; axes of length one are left out.

    Parameters
    ----------
    sizes : dict
        Length of each axis.
    dtype : dtype
        Type of the pixels.
    read : PlaneReader
        Reads a part of a plane.
    names : tuple of str
        Names of the channels; dropped if their number does not fit.

    Returns
    -------
    LazyImage
        The image, still without its name and the size of pixels.
    """
    axes = "".join(letter for letter in AXES if letter in "YX" or sizes.get(letter, 1) > 1)
    counted = axes[: axes.index("Y")]
    first = {letter: 0 for letter in sizes if letter not in "YXS"}

    def window(place: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        return read(first | dict(zip(counted, place, strict=True)), rows, cols)

    shape = tuple(sizes[letter] for letter in axes)
    return LazyImage(shape, dtype, window, axes, channel_names=names_of_channels(names, sizes.get("C", 1)))


def names_of_channels(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Name channels if there is a name for each; a channel whose name is empty gets its number as a name.

    Examples
    --------
    >>> names_of_channels(["", "DAPI"], 2)
    ('0', 'DAPI')
    >>> names_of_channels(["DAPI"], 2)
    ()
    """
    is_told = len(names) == count and any(names)
    return tuple(name or str(number) for number, name in enumerate(names)) if is_told else ()


def kept_open(
    path: Path,
    file: contextlib.AbstractContextManager[Any],
    *,
    make: Callable[[Any], tuple[LazyImage, list[str]]],
) -> LazyImage:
    """Make the image of an open file, which is closed with the image, or at once if the image cannot be made.

    Parameters
    ----------
    path : Path
        Path of the file, from which the image gets its name.
    file : context manager
    make : callable
        Gives, from the open file, the image and the names of all pictures in the file.
    """
    with contextlib.ExitStack() as open_files:
        image, names = make(open_files.enter_context(file))
        close = open_files.pop_all().close
    return replace(image, name=path.name, pictures=tuple(names) if len(names) > 1 else (), release=close)


def with_steps(image: LazyImage, steps: Mapping[str, float]) -> LazyImage:
    """Add the size of pixels and the distances of planes, where they are known and sane.

    Parameters
    ----------
    image : LazyImage
    steps : mapping of str to float
        From X, Y and Z to micrometres, from T to seconds; other keys are passed over.
    """
    return replace(
        image,
        pixel_size_um=sane_size(steps.get("Y"), steps.get("X")),
        z_step_um=sane_step(steps.get("Z")),
        t_step_s=sane_step(steps.get("T")),
    )


def place_in_pages(at: Sizes, pages: Sizes) -> Sizes:
    """Take the index along ``I`` apart, into one for each of the axes that were joined in it.

    Examples
    --------
    >>> place_in_pages({"Z": 1, "I": 4}, {"V": 2, "H": 3})
    {'V': 1, 'H': 1}
    >>> place_in_pages({"Z": 1}, {})
    {}
    """
    index = np.unravel_index(at["I"], tuple(pages.values())) if pages else ()
    return dict(zip(pages, map(int, index), strict=True))


def choose_picture(path: Path, names: list[str], *, wanted: int | None) -> int:
    """Give the number of the wanted picture of a file; the first when None.

    Raises
    ------
    InputError
        If the file has no picture, or not this one.
    """
    if not names:
        raise fault(path, "no picture in it", cure="check it in the program it came from")
    if wanted is not None and not 0 <= wanted < len(names):
        raise fault(path, f"no picture {wanted}: it holds {len(names)}", cure=f"give 0 to {len(names) - 1}")
    return wanted or 0


def choose_level(path: Path, count: int, *, wanted: int) -> int:
    """Check that a pyramid with `count` levels has the wanted one.

    Raises
    ------
    InputError
        If not.
    """
    if not 0 <= wanted < count:
        raise fault(path, f"no level {wanted}: it holds {count}", cure=f"give 0 to {count - 1}")
    return wanted


def at_level(image: LazyImage, levels: tuple[tuple[int, int], ...], *, level: int) -> LazyImage:
    """Add to the image of one level the sizes of all levels, and its pixel size, which follows from the full size.

    Parameters
    ----------
    image : LazyImage
        The image of this level; its `pixel_size_um` is that of the full size.
    levels : tuple of (int, int)
        Rows and columns of each level, the full size first.
    level : int
    """
    size = image.pixel_size_um
    if level and size is not None:
        (rows, cols), (full_rows, full_cols) = image.shape_HW, levels[0]
        size = sane_size(size[0] * full_rows / rows, size[1] * full_cols / cols)
    return replace(image, levels=levels, pixel_size_um=size)
