"""Nuclei as GeoJSON for QuPath: one detection a nucleus, with its measurements."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_text
from nucleate.core.text import number_text
from nucleate.export.shapes import shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.export.shapes import Position, Shape

__all__ = ["write_geojson"]


def write_geojson(
    path: Path | str, planes: Iterable[tuple[Position | None, Labels, Mapping[str, NDArray[Any]]]]
) -> None:
    """Write every nucleus as a feature with the geometry of its mask.

    Corners are (x, y) in pixels from the outer corner of the first pixel, as in QuPath. A nucleus in several pieces is
    a MultiPolygon. Features are detections in QuPath, which takes many of them, and does not let users edit them.
    ``name`` is the id. A region in QuPath lies in one depth, the first one if none is given: nuclei that were found in
    a projection are put there.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    planes : iterable of (Position or None, (H, W) Labels, mapping of str to (n,) ndarray)
        The place of a plane in its stack (None for a single picture), its label image, and its measurements as
        `nucleate.export.measurements.measure` gives them; unknown values (NaN) are left out.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_text(path) as stream:
        stream.write('{"type": "FeatureCollection", "features": [')
        comma = "\n"
        for place, labels, table in planes:
            order = np.argsort(table["label"])
            columns = {name: values for name, values in table.items() if name not in {"label", "plane", "time", "z"}}
            for shape in shapes(labels):
                row = order[np.searchsorted(table["label"], shape.label, sorter=order)]
                values = {name: column[row].item() for name, column in columns.items()}
                stream.write(comma + json.dumps(_feature(shape, place, values=values)))
                comma = ",\n"
        stream.write("\n]}\n")


def _feature(shape: Shape, place: Position | None, *, values: dict[str, Any]) -> dict[str, Any]:
    pieces = [[[*ring.tolist(), ring[0].tolist()] for ring in piece] for piece in shape.pieces]
    single = len(pieces) == 1
    geometry: dict[str, Any] = {
        "type": "Polygon" if single else "MultiPolygon",
        "coordinates": pieces[0] if single else pieces,
    }
    if place is not None:
        geometry["plane"] = {"c": place.c, "z": place.z, "t": place.t}
    # Digits as in measurements.csv; with all digits of float64, the file would be twice as long.
    short = {name: value if isinstance(value, int) else float(number_text(value)) for name, value in values.items()}
    known = {name: value for name, value in short.items() if math.isfinite(value)}
    properties = {"objectType": "detection", "name": str(shape.label), "measurements": known}
    return {"type": "Feature", "geometry": geometry, "properties": properties}
