"""Nuclei as ImageJ's regions of interest: a zip that the ROI Manager of ImageJ and Fiji opens.

ImageJ counts from the outer corner of the first pixel, and a region holds the pixels whose centres lie within, so
polygons with whole-numbered corners give back the mask exactly.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from nucleate.core.bands import PlaneOf, places_of
from nucleate.core.files import atomic_path
from nucleate.export.label_tiff import label_type
from nucleate.export.shapes import positions, shapes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.export.shapes import Shape

__all__ = ["write_rois"]

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # commands of a path in ImageJ's files
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # with the real date, each run would make a different file


def write_rois(
    path: Path | str,
    labels: Labels,
    *,
    axes: str = "",
    more_axes: bool = False,
    confidence: NDArray[Any] | None = None,
) -> None:
    """Write every nucleus as a region of interest.

    A nucleus in one piece without holes becomes a polygon, any other a composite region. Its name is its id, with
    zeros in front so that names sort as numbers; its property ``confidence`` is the confidence.

    Parameters
    ----------
    path : Path or str
        Where to, ``.zip``; an existing file is replaced.
    labels : (..., H, W) Labels
        Label image, or a stack in which an id belongs to one plane; read part by part.
    axes : str
        Letters of the stack's axes, of ``TZI``; pages if empty while `labels` is a stack.
    more_axes : bool
        Whether the image has axes that the labels have not: channels, or depth that was projected away. ImageJ shows a
        stack with several axes as a hyperstack, in which a region has a channel, a slice and a frame, each 0 (all) if
        the labels have no such axis, or one plane along it. In other stacks it has the number of its plane.
    confidence : (n,) ndarray, optional
        Entry ``i`` belongs to nucleus ``i + 1``; an unknown one (NaN) is left out.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    axes = axes or "I" * (len(labels.shape) - 2)
    digits = len(str(label_type(labels)[1]))
    places = positions(axes, labels.shape[:-2])
    long = {axis for axis, length in zip(axes, labels.shape[:-2], strict=True) if length > 1}
    hyperstack = len(axes) > 1 or (more_axes and bool(axes))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, at in enumerate(places_of(labels)):
            for shape in shapes(PlaneOf(labels, at)):
                roi = _region(shape)
                roi.name = f"{shape.label:0{digits}d}"
                if confidence is not None and not np.isnan(confidence[shape.label - 1]):
                    roi.props = f"confidence: {confidence[shape.label - 1]:.4f}\n"
                if hyperstack:
                    place = places[number]
                    roi.c_position = place.c + 1
                    roi.z_position, roi.t_position = (place.z + 1) * ("Z" in long), (place.t + 1) * ("T" in long)
                elif axes:
                    roi.position = number + 1
                archive.writestr(zipfile.ZipInfo(f"{roi.name}.roi", _LONG_AGO), roi.tobytes(), zipfile.ZIP_DEFLATED)


def _region(shape: Shape) -> ImagejRoi:
    rings = [ring for piece in shape.pieces for ring in piece]
    if len(rings) == 1:
        roi = ImagejRoi.frompoints(rings[0])  # corners beyond 16 bits are kept as floats
        roi.roitype = ROI_TYPE.POLYGON
        return roi
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    words = [word for ring in rings for word in _path(ring)]
    return ImagejRoi(
        roitype=ROI_TYPE.RECT,
        left=int(left),
        top=int(top),
        right=int(right),
        bottom=int(bottom),
        shape_roi_size=len(words),
        multi_coordinates=np.array(words, np.float32),
    )


def _path(ring: NDArray[np.int64]) -> list[float]:
    words = [_MOVE, *ring[0].tolist()]
    for corner in ring[1:].tolist():
        words += [_LINE, *corner]
    return [*words, _CLOSE]
