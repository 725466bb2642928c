"""Size, shape and brightness of every nucleus, and the CSV of them.

The values are those of scikit-image's ``regionprops`` (the tests hold them equal), got without a loop over nuclei: a
label image is cut into its horizontal runs, and every sum over a nucleus is a sum over its runs.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path
from nucleate.export.hulls import convex_areas

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["measure", "write_measurements"]

_COORDINATES = ("centroid_row", "centroid_col")
_PERIMETER_WEIGHTS = np.zeros(50)
_PERIMETER_WEIGHTS[[5, 7, 15, 17, 25, 27]] = 1
_PERIMETER_WEIGHTS[[21, 33]] = math.sqrt(2)
_PERIMETER_WEIGHTS[[13, 23]] = (1 + math.sqrt(2)) / 2


@dataclass(frozen=True)
class _Runs:
    """Horizontal stretches of one nucleus each, in reading order; columns `start` to `end`, both within."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    owner: NDArray[np.int64]  # place of the nucleus in the table
    ids: NDArray[np.int64]  # the nuclei that occur, ascending

    def total(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Sum a value a run over the runs of each nucleus."""
        return np.bincount(self.owner, weights, len(self.ids)).astype(np.float64)  # of nothing it gives integers


def measure(
    labels: NDArray[Any],
    planes: Mapping[str, NDArray[Any]],
    *,
    pixel_size_um: tuple[float, float] | None = None,
    confidence: NDArray[Any] | None = None,
) -> dict[str, NDArray[Any]]:
    """Measure every nucleus of a label image.

    Parameters
    ----------
    labels : (H, W) int ndarray
        0 background; ids may have gaps.
    planes : mapping of str to (H, W) real ndarray
        Pictures to take intensities from, by channel name; the name ``""`` gives columns without a suffix. For a
        colour picture pass its grey (`nucleate.core.normalize.to_grey`). Pixels that are not finite are left out.
    pixel_size_um : (float, float), optional
        Height and width of a pixel. The columns in micrometres are NaN when None; for pixels that are not square
        ``perimeter_um`` takes the geometric mean of both.
    confidence : (n,) ndarray, optional
        One value a nucleus, in the order of the ids; NaN when None.

    Returns
    -------
    dict of str to (n,) ndarray
        Columns, ids ascending: ``label``, ``area_px``, ``area_um2``, ``centroid_row``, ``centroid_col``,
        ``bbox_row_min``, ``bbox_col_min``, ``bbox_row_max``, ``bbox_col_max`` (the maxima are one past the last
        pixel), ``perimeter_px`` (Benkrid and Crookes' estimate), ``perimeter_um``, ``equivalent_diameter_px``,
        ``major_axis_px``, ``minor_axis_px``, ``eccentricity``, ``orientation_rad`` (between the row axis and the
        major axis, counter-clockwise, -pi/2 to pi/2), ``solidity``; for each plane ``mean_intensity``,
        ``min_intensity``, ``max_intensity``, ``std_intensity`` and ``integrated_intensity``, with ``_`` and the
        channel's name behind; ``confidence``.

    Examples
    --------
    >>> table = measure(np.array([[1, 1, 0], [0, 0, 2]]), {"": np.array([[4, 6, 0], [0, 0, 9]])})
    >>> table["area_px"].tolist(), table["mean_intensity"].tolist()
    ([2, 1], [5.0, 9.0])
    """
    runs = _runs_of(labels)
    table: dict[str, NDArray[Any]] = {"label": runs.ids}
    size = (math.nan, math.nan) if pixel_size_um is None else pixel_size_um
    table |= _shape_columns(runs, _perimeters(labels, runs.ids), size=size)
    for name, plane in planes.items():
        table |= _intensity_columns(labels, runs, plane=plane, suffix=f"_{name}" if name else "")
    table["confidence"] = np.full(len(runs.ids), np.nan) if confidence is None else np.asarray(confidence, np.float64)
    return table


def _runs_of(labels: NDArray[Any]) -> _Runs:
    height, width = labels.shape
    # A column of background at the end of each row parts the runs of neighbouring rows.
    padded = np.zeros((height, width + 1), labels.dtype)
    padded[:, :width] = labels
    flat = padded.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=flat.dtype.type(0)))
    stops = np.append(starts[1:], flat.size)
    values = flat[starts]
    kept = values != 0
    row, start = np.divmod(starts[kept], width + 1)
    ids, owner = np.unique(values[kept], return_inverse=True)
    length = (stops - starts)[kept]
    return _Runs(row, start, start + length - 1, owner.astype(np.int64), ids.astype(np.int64))


def _shape_columns(
    runs: _Runs, perimeter: NDArray[np.float64], *, size: tuple[float, float]
) -> dict[str, NDArray[Any]]:
    n = len(runs.ids)
    top, left = np.full((2, n), np.iinfo(np.int64).max)
    bottom, right = np.full((2, n), -1)
    np.minimum.at(top, runs.owner, runs.row)
    np.maximum.at(bottom, runs.owner, runs.row)
    np.minimum.at(left, runs.owner, runs.start)
    np.maximum.at(right, runs.owner, runs.end)
    # From the corner of the bounding box the sums are small whole numbers: exact in float64.
    r = (runs.row - top[runs.owner]).astype(np.float64)
    a = (runs.start - left[runs.owner]).astype(np.float64)
    b = (runs.end - left[runs.owner]).astype(np.float64)
    length = b - a + 1
    cols = (a + b) * length / 2
    squares = (b * (b + 1) * (2 * b + 1) - (a - 1) * a * (2 * a - 1)) / 6
    area = runs.total(length)
    row_sum, col_sum = runs.total(r * length), runs.total(cols)
    rows_var = (runs.total(r * r * length) * area - row_sum**2) / area**2
    cols_var = (runs.total(squares) * area - col_sum**2) / area**2
    shared = (runs.total(r * cols) * area - row_sum * col_sum) / area**2
    spread = np.hypot(rows_var - cols_var, 2 * shared)
    major = (rows_var + cols_var + spread) / 2
    minor = np.maximum((rows_var + cols_var - spread) / 2, 0)
    angle = 0.5 * np.arctan2(2 * shared, rows_var - cols_var)
    return {
        "area_px": area.astype(np.int64),
        "area_um2": area * (size[0] * size[1]),
        "centroid_row": top + row_sum / area,
        "centroid_col": left + col_sum / area,
        "bbox_row_min": top,
        "bbox_col_min": left,
        "bbox_row_max": bottom + 1,
        "bbox_col_max": right + 1,
        "perimeter_px": perimeter,
        "perimeter_um": perimeter * math.sqrt(size[0] * size[1]),
        "equivalent_diameter_px": np.sqrt(4 * area / np.pi),
        "major_axis_px": 4 * np.sqrt(major),
        "minor_axis_px": 4 * np.sqrt(minor),
        "eccentricity": np.sqrt(1 - np.divide(minor, major, out=np.ones(n), where=major > 0)),
        # Where rows and columns spread alike and nothing is shared, regionprops says -pi/4 too.
        "orientation_rad": np.where((rows_var == cols_var) & (shared == 0), -np.pi / 4, angle),
        "solidity": area / convex_areas(runs.row, runs.start, end=runs.end, owner=runs.owner, count=n),
    }


def _perimeters(labels: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    # Each border pixel counts by which of its neighbours are border pixels of the same nucleus:
    # Benkrid and Crookes, Design and FPGA implementation of a perimeter estimator (2000).
    width = labels.shape[1] + 2
    padded = np.pad(labels, 1).ravel()
    inner = np.flatnonzero(padded)
    own = padded[inner]
    same = (padded[inner - 1] == own) & (padded[inner + 1] == own)
    same &= (padded[inner - width] == own) & (padded[inner + width] == own)
    place, own = inner[~same], own[~same]
    border = np.zeros_like(padded)
    border[place] = own
    code = np.ones(len(place), np.int64)
    for step in (-1, 1, -width, width):
        code += 2 * (border[place + step] == own)
    for step in (-width - 1, -width + 1, width - 1, width + 1):
        code += 10 * (border[place + step] == own)
    return np.bincount(np.searchsorted(ids, own), _PERIMETER_WEIGHTS[code], len(ids)).astype(np.float64)


def _intensity_columns(
    labels: NDArray[Any], runs: _Runs, *, plane: NDArray[Any], suffix: str
) -> dict[str, NDArray[np.float64]]:
    n = len(runs.ids)
    owner = np.repeat(runs.owner, runs.end - runs.start + 1)
    values = plane[labels != 0].astype(np.float64)  # in reading order, as the runs are
    finite = np.isfinite(values)
    if not finite.all():
        owner, values = owner[finite], values[finite]
    count = np.bincount(owner, minlength=n)
    none = count == 0
    divisor = np.where(none, np.nan, count)
    total = np.bincount(owner, values, n).astype(np.float64)  # of nothing, bincount gives integers
    mean = total / divisor
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, owner, values)
    np.maximum.at(high, owner, values)
    low[none] = high[none] = total[none] = np.nan
    std = np.sqrt(np.bincount(owner, (values - mean[owner]) ** 2, n) / divisor)
    return {
        f"mean_intensity{suffix}": mean,
        f"min_intensity{suffix}": low,
        f"max_intensity{suffix}": high,
        f"std_intensity{suffix}": std,
        f"integrated_intensity{suffix}": total,
    }


def write_measurements(path: Path | str, tables: Iterable[tuple[str, Mapping[str, NDArray[Any]]]]) -> None:
    """Write one row a nucleus: the image's name, then the columns.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    tables : iterable of (str, mapping of str to (n,) ndarray)
        Image name and its table as `measure` gives it; more columns, such as ``plane``, may stand anywhere in it.
        Images may have different channels: a column that one lacks is left empty in its rows. Values that are not
        known (NaN) are empty.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    tables = list(tables)
    nothing = np.zeros((1, 1), np.int32)
    columns = _merged(list(table) for _, table in tables) or list(measure(nothing, {"": nothing}))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["image", *columns])
        for name, table in tables:
            length = len(next(iter(table.values()), ()))
            cells = [_cells(column, table[column]) if column in table else [""] * length for column in columns]
            writer.writerows([name, *row] for row in zip(*cells, strict=True))


def _merged(lists: Iterable[list[str]]) -> list[str]:
    """Join lists of columns: a new one comes behind the one it stands behind in its own list."""
    merged: list[str] = []
    for columns in lists:
        place = 0
        for column in columns:
            if column in merged:
                place = merged.index(column) + 1
            else:
                merged.insert(place, column)
                place += 1
    return merged


def _cells(column: str, values: NDArray[Any]) -> list[str]:
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    form = ".3f" if column in _COORDINATES else ".6g"
    return ["" if math.isnan(value) else format(value, form) for value in values.tolist()]
