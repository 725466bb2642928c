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

    Corners are (x, y) in pixels from the outer corner of the first one, as QuPath counts. A nucleus in several pieces
    is a MultiPolygon. Features are what QuPath calls detections: it takes many of them, and they are not edited by
    hand. ``name`` is the id. A region of QuPath lies in one depth, and in the first where none is named: there stands
    what was found in a projection.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    planes : iterable of (Position or None, (H, W) Labels, mapping of str to (n,) ndarray)
        Where a plane stands in its stack (None for a single picture), its label image, and its measurements as
        `nucleate.export.measurements.measure` gives them; values that are not known (NaN) are left out.

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
    # As in measurements.csv: a file of full float64 would be twice as long.
    short = {name: value if isinstance(value, int) else float(number_text(value)) for name, value in values.items()}
    known = {name: value for name, value in short.items() if math.isfinite(value)}
    properties = {"objectType": "detection", "name": str(shape.label), "measurements": known}
    return {"type": "Feature", "geometry": geometry, "properties": properties}
