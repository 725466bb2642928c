"""Writers for a Labels layer, by the ending of the file. Nuclei that are hidden are left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.apps.napari.found import FOUND, Found
from nucleate.apps.napari.pictures import WHOLE, Picture
from nucleate.apps.napari.save import numbered
from nucleate.errors import UsageError
from nucleate.export.geojson import write_geojson
from nucleate.export.imagej_roi import write_rois
from nucleate.export.label_tiff import write_labels
from nucleate.export.measurements import measure
from nucleate.export.shapes import positions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nucleate.core.lazy import LazyImage

__all__ = ["write_label_image", "write_outlines", "write_regions"]

_HIGHEST = 2**32 - 1  # of uint32, the widest type of a label TIFF


def write_label_image(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:  # noqa: ANN401 - a layer's data
    """Write a Labels layer as a label image; ids are kept.

    Parameters
    ----------
    path : str
        ``.labels.tif`` or ``.tif``; napari has asked before a file is replaced.
    data : array-like
        (..., H, W), whole numbers; of a pyramid the full size.
    meta : mapping
        The layer's attributes, as napari hands them to writers.

    Returns
    -------
    list of str
        The path, as napari asks.

    Raises
    ------
    UsageError
        If there are ids below 0 or above 2**32 - 1.
    OutputError
        If it cannot be written.
    """
    image, labels, _ = _stack_of(data, meta)
    lowest, highest = int(labels.min(initial=0)), int(labels.max(initial=0))
    if lowest < 0 or highest > _HIGHEST:
        raise UsageError(f"{image.name}: ids from {lowest} to {highest}; a label image holds 0 to {_HIGHEST}")
    write_labels(path, labels, pixel_size_um=image.pixel_size_um, axes=image.axes, z_step_um=image.z_step_um)
    return [path]


def write_outlines(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:  # noqa: ANN401 - a layer's data
    """Write a Labels layer as GeoJSON, nuclei numbered 1..n, with measurements of shape, since there is no picture.

    Parameters
    ----------
    path : str
        ``.geojson``; napari has asked before a file is replaced.
    data, meta
        As for `write_label_image`.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    UsageError
        If there are negative ids.
    OutputError
        If it cannot be written.
    """
    image, labels, confidence = _nuclei_of(data, meta)
    places = positions(image.axes[:-2], image.stack_shape)
    planes = []
    for place, at in zip(places, np.ndindex(*image.stack_shape), strict=True):
        table = measure(labels[at], {}, pixel_size_um=image.pixel_size_um)
        if confidence is not None:
            table["confidence"] = confidence[table["label"] - 1].astype(np.float64)
        planes.append((place if image.stack_shape else None, labels[at], table))
    write_geojson(path, planes)
    return [path]


def write_regions(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:  # noqa: ANN401 - a layer's data
    """Write a Labels layer as a zip of ImageJ ROIs, nuclei numbered 1..n.

    Parameters
    ----------
    path : str
        ``.zip``; napari has asked before a file is replaced.
    data, meta
        As for `write_label_image`.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    UsageError
        If there are negative ids.
    OutputError
        If it cannot be written.
    """
    image, labels, confidence = _nuclei_of(data, meta)
    write_rois(path, labels, axes=image.axes[:-2], confidence=confidence)
    return [path]


def _nuclei_of(
    data: Any,  # noqa: ANN401 - a layer's data
    meta: Mapping[str, Any],
) -> tuple[LazyImage, NDArray[np.int32], NDArray[np.float32] | None]:
    """Give a layer's shown nuclei as a stack, numbered 1..n, and their confidence where it is known."""
    image, labels, found = _stack_of(data, meta)
    labels = numbered(labels)
    return image, labels, None if found is None else found.confidence_of(labels)


def _stack_of(data: Any, meta: Mapping[str, Any]) -> tuple[LazyImage, NDArray[Any], Found | None]:  # noqa: ANN401 - as above
    """Give a layer's shown nuclei as a stack with axes T and Z, and its `Found` with labels on the same stack."""
    labels = np.asarray(data[0] if meta.get("multiscale") else data)
    picture = Picture(
        labels,
        str(meta.get("name", "labels")),
        axes=tuple(map(str, meta.get("axis_labels") or ())),
        scale=tuple(map(float, meta.get("scale", ()))),
        units=tuple(map(str, meta.get("units") or ())),
    )
    found = meta.get("metadata", {}).get(FOUND)
    known = None
    if isinstance(found, Found) and found.labels.shape == labels.shape:
        labels = found.shown(labels)
        known = replace(found, labels=WHOLE.from_layer(found.labels, picture))
    return WHOLE.of(picture), WHOLE.from_layer(labels, picture), known
