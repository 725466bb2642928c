"""Labels as OME-Zarr (NGFF 0.4), with the picture or without it; both at several sizes.

Written as the specification says, so that napari, Fiji, QuPath, ome-zarr and others open it: https://ngff.openmicroscopy.org
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.bands import PlaneOf
from nucleate.core.extras import library
from nucleate.core.files import atomic_folder
from nucleate.core.image import COLOURS, Image, Look
from nucleate.core.lazy import lazy
from nucleate.export.label_tiff import label_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.core.lazy import LazyImage

__all__ = ["write_omezarr"]

_SMALLEST = 256  # the smallest level has sides of this length at most
_CHUNK = 1024
_NAME = "nuclei"
_VERSION = "0.4"
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_COLOURS = ("FF0000", "00FF00", "0000FF")
_STAINS = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00")  # colours that differ even when channels overlap


@dataclass(frozen=True)
class _Pixels:
    """An array to be written, in the order of NGFF, t c z y x; `read` gives some rows of one of its planes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    read: Callable[[tuple[int, ...], slice], NDArray[Any]]
    size: tuple[float, float] | None = None
    step: float | None = None
    origin: tuple[float, float, float] | None = None
    seconds: float | None = None

    @property
    def units(self) -> dict[str, str]:
        """Units of the axes along which the step is known."""
        lengths = ("z" if self.step else "") + ("yx" if self.size else "")
        return dict.fromkeys(lengths, "micrometer") | ({"t": "second"} if self.seconds else {})


def write_omezarr(
    path: Path | str,
    labels: Labels,
    *,
    axes: str | None = None,
    image: Image | LazyImage | None = None,
    confidence: NDArray[Any] | None = None,
) -> None:
    """Write a label image or stack as a folder ``.ome.zarr``.

    With `image`, the folder is that picture with all channels, and the labels lie in it under ``labels/nuclei``.
    Without it, the folder is the label image itself. Both are stored at full size, half, a quarter and so on: the
    picture is averaged, while every second pixel of the labels is taken, so that ids stay ids. Both are read part by
    part.

    Parameters
    ----------
    path : Path or str
        Where to; an existing folder is replaced when the new one is complete.
    labels : (..., H, W) Labels
        0 background; uint16 in the file, uint32 if an id is above 65535.
    axes : str, optional
        Letters of the axes of `labels`, as in `nucleate.core.image.Image`; pages (``I``) when None. NGFF has no pages:
        they become time, or channels where they stand beside time or depth.
    image : Image or LazyImage, optional
        The picture that was segmented, with the same rows and columns. It gives the size of a pixel, the distance of
        planes in depth and time, the place of the first pixel and how channels are shown.
    confidence : (n,) ndarray, optional
        Entry ``i`` belongs to nucleus ``i + 1``; stored with the labels as a property of each nucleus unless NaN.

    Raises
    ------
    MissingExtraError
        If zarr is not installed.
    OutputError
        If it cannot be written.
    """
    zarr = library("zarr", "formats")
    placed: dict[str, Any] = {}
    if image is not None:
        placed = {"size": image.pixel_size_um, "step": image.z_step_um, "origin": image.origin_um}
        placed["seconds"] = image.t_step_s if "T" in image.axes else None
    pixels = replace(_of_labels(labels, axes or "I" * (len(labels.shape) - 2) + "YX"), **placed)
    marks: dict[str, Any] = {"version": _VERSION}
    if confidence is not None:
        marks["properties"] = [
            {"label-value": number} | ({} if np.isnan(value) else {"confidence": round(float(value), 4)})
            for number, value in enumerate(confidence, 1)
        ]
    with atomic_folder(path) as temporary:
        root = zarr.open_group(store=str(temporary), mode="a", zarr_format=2)
        if image is None:
            _write_levels(root, pixels, more={"image-label": marks})
            return
        source = lazy(image) if isinstance(image, Image) else image
        _write_levels(root, replace(_of_image(source), **placed), more=_omero(source))
        folder = root.create_group("labels")
        folder.attrs["labels"] = [_NAME]
        marks["source"] = {"image": "../../"}
        _write_levels(folder.create_group(_NAME), pixels, more={"image-label": marks})


def _of_labels(labels: Labels, axes: str) -> _Pixels:
    everything = slice(0, labels.shape[-1])
    dtype, _ = label_type(labels)
    return _in_order(
        tuple(labels.shape),
        axes,
        dtype=dtype,
        read=lambda at, rows: PlaneOf(labels, at)[rows, everything].astype(dtype),
    )


def _of_image(image: LazyImage) -> _Pixels:
    # By its name, since Zarr may know only one of two types of equal size, and no floats wider than eight bytes.
    named = np.dtype(f"{image.dtype.kind}{min(image.dtype.itemsize, 8)}")
    dtype = np.dtype(np.uint8) if image.dtype == np.bool_ else named

    def read(at: tuple[int, ...], rows: slice) -> NDArray[Any]:
        return _rows_of(image, at, rows=rows).astype(dtype, copy=False)

    return _in_order(image.shape, image.axes, dtype=dtype, read=read)


def _rows_of(image: LazyImage, at: tuple[int, ...], *, rows: slice) -> NDArray[Any]:
    """Read rows of one plane: `at` has an index for each axis but Y and X."""
    place = dict(zip([axis for axis in image.axes if axis not in "YX"], at, strict=True))
    shown = image.channel(place.get("C", 0))
    part = shown.read(rows, slice(None), at=tuple(place[axis] for axis in "TZI" if axis in place))
    return part[..., place["S"]] if "S" in place else part


def _in_order(
    shape: tuple[int, ...],
    axes: str,
    *,
    dtype: np.dtype[Any],
    read: Callable[[tuple[int, ...], slice], NDArray[Any]],
) -> _Pixels:
    """Bring the axes of `nucleate.core.image` into NGFF's order; `read` takes an index for each axis but Y and X."""
    counted = [(axis, length) for axis, length in zip(axes, shape, strict=True) if axis not in "YX"]
    names = {"I": "c" if set(axes) & set("TZ") else "t", "S": "c"}
    letters = [names.get(axis, axis.lower()) for axis, _ in counted]
    lengths = [length for _, length in counted]
    # Axes with the same letter (pages and channels, channels and colours) become one axis, the first one slowest.
    kept = sorted(set(letters), key="tcz".index)
    merged = [math.prod(n for n, one in zip(lengths, letters, strict=True) if one == letter) for letter in kept]
    order = sorted(range(len(letters)), key=lambda i: "tcz".index(letters[i]))
    planes = np.arange(math.prod(lengths)).reshape(lengths).transpose(order).reshape(merged)

    def rows_of(place: tuple[int, ...], rows: slice) -> NDArray[Any]:
        return read(tuple(map(int, np.unravel_index(planes[place], lengths))), rows)

    plane = shape[axes.index("Y")], shape[axes.index("X")]
    return _Pixels((*merged, *plane), dtype, "".join(kept) + "yx", rows_of)


def _write_levels(group: Any, pixels: _Pixels, *, more: dict[str, Any]) -> None:  # noqa: ANN401 - zarr has no types
    labels = "image-label" in more
    array = _write_array(group, "0", pixels=pixels)
    levels = [{"path": "0", "coordinateTransformations": _transformations(pixels, 1, shift=0.0)}]
    while max(array.shape[-2:]) > _SMALLEST:
        level, factor = str(len(levels)), 2 ** len(levels)
        array = _write_array(group, level, pixels=_half(pixels, array, labels=labels))
        # A mean of pixels lies in the middle between them; every second pixel stays in its place.
        moves = _transformations(pixels, factor, shift=0.0 if labels else (factor - 1) / 2)
        levels.append({"path": level, "coordinateTransformations": moves})
    axes = [
        {"name": axis, "type": _TYPES[axis]} | ({"unit": pixels.units[axis]} if axis in pixels.units else {})
        for axis in pixels.axes
    ]
    scales = {"name": _NAME if labels else "image", "axes": axes, "datasets": levels, "version": _VERSION}
    group.attrs.update({"multiscales": [scales], **more})


def _transformations(pixels: _Pixels, factor: int, *, shift: float) -> list[dict[str, Any]]:
    """Describe a level with pixels `factor` times as large: their size in micrometres, and where the first one lies.

    `shift` is the distance of the first pixel from the first pixel of full size, in pixels of full size.
    """
    size, steps = pixels.size or (1.0, 1.0), {"z": pixels.step or 1.0, "t": pixels.seconds or 1.0}
    depth, top, left = (pixels.origin if pixels.size else None) or (0.0, 0.0, 0.0)
    outer = pixels.axes[:-2]
    scale = [steps.get(axis, 1.0) for axis in outer] + [side * factor for side in size]
    place = [depth if axis == "z" else 0.0 for axis in outer] + [top + size[0] * shift, left + size[1] * shift]
    moves: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    return [*moves, {"type": "translation", "translation": place}] if any(place) else moves


def _write_array(group: Any, name: str, *, pixels: _Pixels) -> Any:  # noqa: ANN401 - zarr has no types
    chunks = (1,) * (len(pixels.shape) - 2) + tuple(min(_CHUNK, length) for length in pixels.shape[-2:])
    keys = {"name": "v2", "separator": "/"}
    array = group.create_array(name, shape=pixels.shape, dtype=pixels.dtype, chunks=chunks, chunk_key_encoding=keys)
    for place in np.ndindex(pixels.shape[:-2]):
        for rows in _steps(pixels.shape[-2]):
            array[(*place, rows)] = pixels.read(place, rows)
    return array


def _half(pixels: _Pixels, level: Any, *, labels: bool) -> _Pixels:  # noqa: ANN401 - zarr has no types
    """Give the next smaller level, made from the level that was written last."""
    rows_above, cols_above = level.shape[-2:]

    def read(place: tuple[int, ...], rows: slice) -> NDArray[Any]:
        half = np.empty((rows.stop - rows.start, (cols_above + 1) // 2), pixels.dtype)
        down = slice(2 * rows.start, min(2 * rows.stop, rows_above))
        for cols in _steps(half.shape[1]):  # means take more bytes for a moment
            part = np.asarray(level[(*place, down, slice(2 * cols.start, min(2 * cols.stop, cols_above)))])
            half[:, cols] = part[::2, ::2] if labels else _halved(part)
        return half

    shape = (*level.shape[:-2], (rows_above + 1) // 2, (cols_above + 1) // 2)
    return replace(pixels, shape=shape, read=read)


def _steps(length: int) -> Iterator[slice]:
    for start in range(0, length, _CHUNK):
        yield slice(start, min(start + _CHUNK, length))


def _halved(part: NDArray[Any]) -> NDArray[Any]:
    """Average squares of 2 x 2 pixels; a row or column left over is paired with itself."""
    padded = np.pad(part, [(0, part.shape[0] % 2), (0, part.shape[1] % 2)], mode="edge")
    four = [padded[i::2, j::2].astype(np.float64) for i in (0, 1) for j in (0, 1)]
    mean = np.add.reduce(four) / 4
    half: NDArray[Any] = (mean if part.dtype.kind == "f" else np.round(mean)).astype(part.dtype)
    return half


def _omero(image: LazyImage) -> dict[str, Any]:
    """Name the channels, with the range in which viewers show each."""
    axis = "S" if "S" in image.axes else "C"
    names = COLOURS if axis == "S" else image.channel_names
    if axis not in image.axes or not names:
        return {}
    if ("I" in image.axes and set(image.axes) & set("TZ")) or ("S" in image.axes and "C" in image.axes):
        return {}  # pages or colours count as channels, too, so there would be too few names
    colours = _COLOURS if "S" in image.axes else [_STAINS[i % len(_STAINS)] for i in range(len(names))]
    channels = []
    looks = image.channel_looks if len(image.channel_looks) == len(names) else [Look()] * len(names)
    for number, (name, colour, look) in enumerate(zip(names, colours, looks, strict=True)):
        window = look.window or _window(image, axis, number=number)
        told = dict(zip(("start", "end", "min", "max"), window, strict=True))
        channels.append({"label": name, "color": look.colour or colour, "active": True, "window": told})
    return {"omero": {"channels": channels}}


def _window(image: LazyImage, axis: str, *, number: int) -> tuple[float, float, float, float]:
    """Show one channel or colour from its lowest to its highest finite value."""
    counted = [letter for letter in image.axes if letter not in "YX"]
    lengths = [1 if letter == axis else image.shape[image.axes.index(letter)] for letter in counted]
    low, high = math.inf, -math.inf
    for place in np.ndindex(*lengths):
        at = tuple(number if letter == axis else i for letter, i in zip(counted, place, strict=True))
        for rows in _steps(image.shape_HW[0]):
            part = _rows_of(image, at, rows=rows)
            finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    low, high = (low, max(high, low + 1e-6)) if low <= high else (0.0, 1.0)
    return low, high, low, high
