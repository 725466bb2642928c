"""The reader: files of every format that nucleate reads, as layers."""

from __future__ import annotations

import warnings
import weakref
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nucleate.apps.napari.colours import colormaps_of
from nucleate.apps.napari.features import TABLE_NAME, features_beside, read_table
from nucleate.apps.napari.found import FOUND, Found
from nucleate.apps.napari.pixels import pixels_of, pyramid_of
from nucleate.core.labels import ids_and_areas
from nucleate.core.text import one_line
from nucleate.errors import InputError
from nucleate.io.images import IMAGE_SUFFIXES, is_zarr, open_image, pictures_of
from nucleate.run.layouts import OWN_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nucleate.apps.napari.pixels import LayerData
    from nucleate.core.lazy import LazyImage

    _Read: TypeAlias = Callable[[Path], Mapping[str, NDArray[Any]]]

__all__ = ["get_reader", "placed", "read_layers"]

_LABELS = tuple(ending for ending in OWN_SUFFIXES if ".labels." in ending)
_MOST_PICTURES = 24  # pictures of one file that are opened; a plate has thousands
_PYRAMID_PIXELS = 1 << 24  # rows x columns; a plane of up to 16 megapixels is shown quickly without smaller sizes
_LETTERS = {"T": "t", "Z": "z", "I": "page", "Y": "y", "X": "x"}


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Tell napari what reads a path.

    Parameters
    ----------
    path : str or sequence of str
        Files, or folders of OME-Zarr.

    Returns
    -------
    callable or None
        `read_layers`; None, which leaves a path to other plugins, unless all are of formats that are known here.
    """
    paths = [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
    known = all(is_zarr(one) if one.is_dir() else one.suffix.lower() in IMAGE_SUFFIXES for one in paths)
    return read_layers if paths and known else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Read files as layers: one for each channel of a picture, a Labels layer for a label image.

    Parameters
    ----------
    path : str or sequence of str
        Label images are told by their names, as ``nucleate segment`` gives them: ``*.labels.tif``,
        ``*.labels.ome.tif``. The rows of ``measurements.csv`` beside one are its features.

    Returns
    -------
    list of LayerData
        Pictures over 256 MB are read window by window, pyramids level by level. Of several pictures in a file the
        first is visible.

    Raises
    ------
    InputError
        If a file cannot be read.
    MissingExtraError
        If the library for its format is not installed.
    """
    paths = [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
    read = cache(read_table)  # label images of one folder share a table
    return [layer for one in paths for layer in _layers_of(one, read=read)]


def _layers_of(path: Path, *, read: _Read) -> list[LayerData]:
    ending = next((one for one in _LABELS if path.name.lower().endswith(one)), None)
    if ending is not None:
        name = path.name[: -len(ending)]
        return [_labels_layer(path, f"{name} nuclei", image=name, read=read)]
    names = pictures_of(path)
    if len(names) > _MOST_PICTURES:
        warnings.warn(
            f"{one_line(path.name)} holds {len(names)} pictures; the first {_MOST_PICTURES} are shown", stacklevel=2
        )
    layers: list[LayerData] = []
    for number, name in enumerate(names[:_MOST_PICTURES]):
        title = " ".join(filter(None, [_stem(path), name if len(names) > 1 else ""]))
        # A field of a plate is opened as a folder: opened by number, each would read the metadata of all wells.
        place, picture = (path / name, None) if (path / name).is_dir() else (path, number if len(names) > 1 else None)
        opened = partial(_opened, place, picture=picture)
        layers += _image_layers(opened, title, visible=number == 0)
    return layers + _labels_inside(path, read=read)


def _opened(path: Path, *, picture: int | None = None, level: int = 0) -> LazyImage:
    """Open a picture; its file is closed as soon as no layer refers to it."""
    image = open_image(path, picture=picture, level=level)
    weakref.finalize(image.window, image.release)
    return image


def _image_layers(opened: Callable[..., LazyImage], title: str, *, visible: bool) -> list[LayerData]:
    """Give a layer for each channel of one picture."""
    image = opened()
    sizes = [image]
    if len(image.levels) > 1 and image.shape_HW[0] * image.shape_HW[1] > _PYRAMID_PIXELS:
        smaller = [opened(level=level) for level in range(1, len(image.levels))]
        sizes += [one for one in smaller if one.axes == image.axes and one.stack_shape == image.stack_shape]
    count = image.channel_count
    colormaps = colormaps_of(image.channel_names, count)
    layers: list[LayerData] = []
    for channel in range(count):
        shown = [one.channel(channel) for one in sizes]
        rgb = "S" in shown[0].axes
        named = image.channel_names[channel] if image.channel_names else f"channel {channel}" if count > 1 else ""
        meta = {"name": " ".join(filter(None, [title, named])), "visible": visible, "rgb": rgb} | placed(shown[0])
        meta |= {} if rgb else {"colormap": colormaps[channel]}
        meta |= {"blending": "additive"} if channel else {}
        multiscale = len(shown) > 1
        layers.append(
            (
                pyramid_of(shown) if multiscale else pixels_of(shown[0], now=visible),
                meta | {"multiscale": multiscale},
                "image",
            )
        )
    return layers


def placed(image: LazyImage) -> dict[str, Any]:
    """Give the arguments of a layer that tell its axes: scale, units and names.

    Parameters
    ----------
    image : LazyImage
        Of one channel.

    Returns
    -------
    dict
        ``scale`` holds the size of pixels and the spacing of planes, in micrometres, and 1 along axes where they are
        not known. The origin that a file may tell is left out: its label images do not tell it, and would be shifted.
    """
    letters = image.axes.replace("S", "")
    meta: dict[str, Any] = {"axis_labels": tuple(_LETTERS[letter] for letter in letters)}
    steps = dict(zip("ZYX", (image.z_step_um, *(image.pixel_size_um or (None, None))), strict=True))
    known = [steps.get(letter) for letter in letters]
    if any(known):
        meta["scale"] = tuple(step or 1.0 for step in known)
        meta["units"] = tuple("um" if step else "pixel" for step in known)
    return meta


def _labels_layer(path: Path, title: str, *, image: str, read: _Read) -> LayerData:
    """Give a label image as a layer, with the rows of the table beside it that are of `image` as its features."""
    labels = _opened(path).channel(0)
    if labels.dtype.kind not in "bui" or "S" in labels.axes:
        got = f"{labels.dtype}, axes {labels.axes}"
        raise InputError(f"{one_line(path.name)}: no label image: got {got}; rename it to open it as a picture")
    meta = {"name": title} | placed(labels)
    try:
        features = features_beside(path, image.encode("utf-8", "backslashreplace").decode("utf-8"), read=read)
    except InputError as error:  # the labels can be shown without
        warnings.warn(str(error), stacklevel=2)
        features = None
    pixels = pixels_of(labels)
    if isinstance(pixels, np.ndarray) and pixels.dtype.itemsize < 4:
        pixels = pixels.astype(np.int32)  # few ids would be left for painting new nuclei
    if features is not None and not _belong(features, pixels):
        warnings.warn(f"{one_line(path.name)}: {TABLE_NAME} beside it is of other nuclei; left out", stacklevel=2)
        features = None
    if features is not None:
        meta["features"] = features
        if "confidence" in features and isinstance(pixels, np.ndarray):
            meta["metadata"] = {FOUND: Found(pixels.copy(), features)}
        elif "confidence" in features:
            large = f"{one_line(path.name)}: {labels.nbytes / 1e6:,.0f} MB are read part by part"
            cure = "leave out the unsure with nucleate segment --min-confidence"
            warnings.warn(f"{large}, so the slider confidence hides none of its nuclei; {cure}", stacklevel=2)
    return pixels, meta, "labels"


def _belong(features: Mapping[str, NDArray[Any]], pixels: Any) -> bool:  # noqa: ANN401 - an array of one kind or another
    """Tell whether measurements are of these nuclei, by ids and areas; taken for granted where pixels stay on disk."""
    if not isinstance(pixels, np.ndarray):
        return True
    ids, areas = ids_and_areas(pixels)
    order = np.argsort(features["index"])
    told = features["area_px"][order] if "area_px" in features else areas
    return np.array_equal(features["index"][order], ids) and np.array_equal(told, areas)


def _labels_inside(path: Path, *, read: _Read) -> list[LayerData]:
    """Give the label images in the ``labels`` folder of an OME-Zarr picture as layers."""
    folder = path / "labels"
    inside = sorted(one for one in folder.iterdir() if one.is_dir() and is_zarr(one)) if folder.is_dir() else []
    return [_labels_layer(one, f"{_stem(path)} {one.name}", image=_stem(path), read=read) for one in inside]


def _stem(path: Path) -> str:
    """Give a file's name without the endings of its format, such as ``.ome.tif``."""
    stem = path.name
    while Path(stem).suffix.lower() in IMAGE_SUFFIXES | {".ome"}:
        stem = Path(stem).stem
    return stem or path.name
