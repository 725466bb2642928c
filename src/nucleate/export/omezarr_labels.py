"""Labels as OME-Zarr (NGFF 0.4 or 0.5), with the picture beside them or alone; each at several sizes.

Written as the specification says, so that napari, Fiji, QuPath, ome-zarr and others open it: https://ngff.openmicroscopy.org
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nucleate.core.files import atomic_folder
from nucleate.errors import MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.image import Image

__all__ = ["write_omezarr"]

_SMALLEST = 256  # a level whose sides are no longer than this has none below it
_CHUNK = 1024
_NAME = "nuclei"
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_COLOURS = ("FF0000", "00FF00", "0000FF")
_STAINS = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00")  # told apart where they lie over each other


@dataclass(frozen=True)
class _Pixels:
    """An array in the order of NGFF, t c z y x."""

    array: NDArray[Any]
    axes: str
    size: tuple[float, float] | None


def write_omezarr(
    path: Path | str,
    labels: NDArray[Any],
    *,
    axes: str | None = None,
    image: Image | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    confidence: NDArray[Any] | None = None,
    version: Literal["0.4", "0.5"] = "0.4",
) -> None:
    """Write a label image or stack as a folder ``.ome.zarr``.

    With `image`, the folder is that picture, all channels, and the labels lie in it under ``labels/nuclei``. Without,
    the folder is the label image itself. Each is stored at full size, half, a quarter and so on: the picture averaged,
    the labels by taking every second pixel, so that ids stay ids. Version 0.4 is what most programs read today; 0.5
    needs fewer files where chunks are many.

    Parameters
    ----------
    path : Path or str
        Where to; an existing folder is replaced when the new one is complete.
    labels : (..., H, W) int ndarray
        0 background; uint16 in the file, uint32 where an id is above 65535.
    axes : str, optional
        Letters of the axes of `labels`, as in `nucleate.core.image.Image`; pages (``I``) when None. NGFF has no pages:
        they become time, or channels where they stand beside time or depth.
    image : Image, optional
        The picture that was segmented, with the same rows and columns.
    pixel_size_um : (float, float), optional
        Height and width of a pixel; that of `image` when None.
    confidence : (n,) ndarray, optional
        Entry ``i`` belongs to nucleus ``i + 1``; stored with the labels as a property of each.
    version : {"0.4", "0.5"}
        Of NGFF; 0.4 is stored as Zarr 2, 0.5 as Zarr 3.

    Raises
    ------
    MissingExtraError
        If zarr is not installed.
    OutputError
        If it cannot be written.
    """
    if importlib.util.find_spec("zarr") is None:
        raise MissingExtraError("zarr", "formats")
    zarr: Any = importlib.import_module("zarr")
    form = 2 if version == "0.4" else 3
    size = pixel_size_um or (image.pixel_size_um if image is not None else None)
    data = labels.astype(np.uint16 if int(labels.max(initial=0)) <= 65535 else np.uint32)
    pixels = _in_order(data, axes or "I" * (labels.ndim - 2) + "YX", size=size)
    marks: dict[str, Any] = {"version": version}
    if confidence is not None:
        marks["properties"] = [
            {"label-value": number, "confidence": round(float(value), 4)} for number, value in enumerate(confidence, 1)
        ]
    with atomic_folder(path) as temporary:
        root = zarr.open_group(store=str(temporary), mode="a", zarr_format=form)
        if image is None:
            _write_levels(root, pixels, version=version, more={"image-label": marks})
            return
        _write_levels(root, _in_order(image.pixels, image.axes, size=size), version=version, more=_omero(image))
        folder = root.create_group("labels")
        _set(folder, {"labels": [_NAME]}, version=version)
        marks["source"] = {"image": "../../"}
        _write_levels(folder.create_group(_NAME), pixels, version=version, more={"image-label": marks})


def _in_order(array: NDArray[Any], axes: str, *, size: tuple[float, float] | None) -> _Pixels:
    """Bring the axes of the house into the order of NGFF; pages beside channels are counted with them."""
    pages = "t" if not set(axes) & set("TZ") else "c"
    letters = [pages if axis == "I" else "c" if axis == "S" else axis.lower() for axis in axes]
    # Letters that occur twice (pages and channels, channels and colours) become one axis, the first one slowest.
    order = sorted(range(len(letters)), key=lambda i: "tczyx".index(letters[i]))
    array = array.transpose(order)
    letters = [letters[i] for i in order]
    shape = [1] * len(dict.fromkeys(letters))
    kept = list(dict.fromkeys(letters))
    for letter, length in zip(letters, array.shape, strict=True):
        shape[kept.index(letter)] *= length
    return _Pixels(array.reshape(shape), "".join(kept), size)


def _write_levels(group: Any, pixels: _Pixels, *, version: str, more: dict[str, Any]) -> None:  # noqa: ANN401 - zarr has no types
    labels = "image-label" in more
    array, factors = pixels.array, [1]
    _write_array(group, "0", data=array, axes=pixels.axes)
    while max(array.shape[-2:]) > _SMALLEST:
        array = array[..., ::2, ::2] if labels else _halved(array)
        factors.append(factors[-1] * 2)
        _write_array(group, str(len(factors) - 1), data=array, axes=pixels.axes)
    size = pixels.size or (1.0, 1.0)
    levels = []
    for level, factor in enumerate(factors):
        # The middle of a mean of pixels lies between them; every second pixel stays where it is.
        shift = 0.0 if labels else (factor - 1) / 2
        plain = [1.0] * (len(pixels.axes) - 2)
        moves = [{"type": "scale", "scale": [*plain, size[0] * factor, size[1] * factor]}]
        if shift:
            moves.append({"type": "translation", "translation": [0.0 * n for n in plain] + [s * shift for s in size]})
        levels.append({"path": str(level), "coordinateTransformations": moves})
    axes = [
        {"name": axis, "type": _TYPES[axis]} | ({"unit": "micrometer"} if axis in "yx" and pixels.size else {})
        for axis in pixels.axes
    ]
    scales = {"name": _NAME if labels else "image", "axes": axes, "datasets": levels}
    scales |= {"version": version} if version == "0.4" else {}
    _set(group, {"multiscales": [scales], **more}, version=version)


def _write_array(group: Any, name: str, *, data: NDArray[Any], axes: str) -> None:  # noqa: ANN401 - zarr has no types
    old = group.metadata.zarr_format == 2
    data = data.astype(np.uint8) if data.dtype == np.bool_ else data
    options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if old else {"dimension_names": list(axes)}
    chunks = (1,) * (data.ndim - 2) + tuple(min(_CHUNK, length) for length in data.shape[-2:])
    array = group.create_array(name, shape=data.shape, dtype=data.dtype, chunks=chunks, **options)
    array[...] = data


def _set(group: Any, attributes: dict[str, Any], *, version: str) -> None:  # noqa: ANN401 - zarr has no types
    group.attrs.update(attributes if version == "0.4" else {"ome": {"version": version, **attributes}})


def _halved(array: NDArray[Any]) -> NDArray[Any]:
    """Average squares of 2 x 2 pixels; a row or column left over is paired with itself."""
    rows, cols = array.shape[-2:]
    half = np.empty((*array.shape[:-2], (rows + 1) // 2, (cols + 1) // 2), array.dtype)
    for index in np.ndindex(array.shape[:-2]):
        for top in range(0, rows, 2 * _CHUNK):  # some rows at a time: the means are wide for a moment
            part = array[index][top : top + 2 * _CHUNK]
            padded = np.pad(part, [(0, len(part) % 2), (0, cols % 2)], mode="edge")
            four = [padded[i::2, j::2].astype(np.float64) for i in (0, 1) for j in (0, 1)]
            mean = np.add.reduce(four) / 4
            half[index][top // 2 : top // 2 + len(mean)] = mean if array.dtype.kind == "f" else np.round(mean)
    return half


def _omero(image: Image) -> dict[str, Any]:
    """Name the channels, with a range to show each in: viewers go by it."""
    if "S" in image.axes:
        names: tuple[str, ...] = ("red", "green", "blue")
        planes = [image.pixels[..., i] for i in range(3)]
    elif "C" in image.axes and image.channel_names:
        names = image.channel_names
        planes = [image.pixels.take(i, image.axes.index("C")) for i in range(len(names))]
    else:
        return {}
    if ("I" in image.axes and set(image.axes) & set("TZ")) or ("S" in image.axes and "C" in image.axes):
        return {}  # pages or colours are counted among the channels: these names would be too few
    colours = _COLOURS if "S" in image.axes else [_STAINS[i % len(_STAINS)] for i in range(len(names))]
    channels = []
    for name, plane, colour in zip(names, planes, colours, strict=True):
        finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        window = {"start": low, "end": max(high, low + 1e-6), "min": low, "max": max(high, low + 1e-6)}
        channels.append({"label": name, "color": colour, "active": True, "window": window})
    return {"omero": {"channels": channels}}
