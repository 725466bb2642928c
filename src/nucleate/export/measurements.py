"""Size, shape and brightness of every nucleus, and the CSV of them.

The values are those of scikit-image's ``regionprops`` (tests hold them equal), computed without a loop over nuclei: a
label image is cut into horizontal runs, and every sum over a nucleus is a sum over its runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.bands import nuclei_in_bands
from nucleate.core.files import write_rows
from nucleate.core.normalize import to_grey
from nucleate.core.plane import as_plane
from nucleate.core.text import number_text
from nucleate.export.hulls import convex_areas
from nucleate.export.neighbours import neighbour_columns, touching
from nucleate.export.texture import texture_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.bands import Labels
    from nucleate.core.plane import Plane

__all__ = ["measure", "write_measurements"]

_ROWS_AT_ONCE = 1 << 14

_COORDINATES = ("centroid_row", "centroid_col", "centroid_row_um", "centroid_col_um")
_STRAIGHT, _SLANTED = np.zeros((2, 50))  # steps of the outline at a border pixel, by its neighbours
_STRAIGHT[[5, 7, 15, 17, 25, 27]] = _SLANTED[[21, 33]] = 1
_STRAIGHT[[13, 23]] = _SLANTED[[13, 23]] = 0.5


@dataclass(frozen=True)
class _Runs:
    """Horizontal runs of pixels of one nucleus, in reading order; columns `start` to `end`, both included."""

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    owner: NDArray[np.int64]  # row of the nucleus in the table
    ids: NDArray[np.int64]  # the nuclei that occur, ascending

    def total(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Sum the values of the runs of each nucleus."""
        return np.bincount(self.owner, weights, len(self.ids)).astype(np.float64)  # without runs it gives integers


def measure(
    labels: Labels,
    planes: Mapping[str, NDArray[Any] | Plane],
    *,
    pixel_size_um: tuple[float, float] | None = None,
) -> dict[str, NDArray[Any]]:
    """Measure every nucleus of a label image.

    Parameters
    ----------
    labels : (H, W) Labels
        0 background; ids may have gaps. Large label images are read band by band, with the same result.
    planes : mapping of str to (H, W) or (H, W, 3) real ndarray or Plane
        Pictures to take intensities from, by channel name; the name ``""`` gives columns without a suffix. Colours are
        turned into grey (`nucleate.core.normalize.to_grey`). Pixels that are not finite are left out.
    pixel_size_um : (float, float), optional
        Height and width of a pixel. The columns in micrometres are NaN when None.

    Returns
    -------
    dict of str to (n,) ndarray
        Columns, ids ascending: ``label``, ``area_px``, ``area_um2``, ``centroid_row``, ``centroid_col``,
        ``centroid_row_um``, ``centroid_col_um`` (from the centre of the first pixel), ``bbox_row_min``,
        ``bbox_col_min``, ``bbox_row_max``, ``bbox_col_max`` (the maxima are one past the last pixel),
        ``touches_border`` (1 if it meets the edge of the picture), ``perimeter_px`` (Benkrid and Crookes'
        estimate), ``perimeter_um``, ``equivalent_diameter_px``, ``equivalent_diameter_um``, ``major_axis_px``,
        ``minor_axis_px``, ``eccentricity``, ``orientation_rad`` (between the row axis and the major axis,
        counter-clockwise, -pi/2 to pi/2), ``solidity``, ``extent``, ``form_factor`` (4 pi area / perimeter squared;
        NaN without a perimeter; this and the two before are computed in micrometres if pixels are known not to be
        square); for each plane ``mean_intensity``, ``min_intensity``, ``max_intensity``,
        ``std_intensity``, ``integrated_intensity``, ``mass_displacement_px`` (from the centroid to the centroid
        weighted with intensity) and those of `nucleate.export.texture.texture_columns`, followed by ``_`` and the
        channel's name; those of `nucleate.export.neighbours.neighbour_columns`; ``confidence``, NaN until it is filled
        in by the caller.

    Examples
    --------
    >>> table = measure(np.array([[1, 1, 0], [0, 0, 2]]), {"": np.array([[4, 6, 0], [0, 0, 9]])})
    >>> table["area_px"].tolist(), table["mean_intensity"].tolist()
    ([2, 1], [5.0, 9.0])
    """
    size = (math.nan, math.nan) if pixel_size_um is None else pixel_size_um
    everything = slice(0, labels.shape[1])
    sources = {name: as_plane(plane) for name, plane in planes.items()}
    parts = []
    for band in nuclei_in_bands(labels, beside=1):  # one more row on each side shows nuclei that touch
        pictures = {name: source.read(band.rows, everything) for name, source in sources.items()}
        part = _measure_pixels(band.labels, pictures, size=size, top=band.rows.start, height=labels.shape[0])
        keep = np.isin(part["label"], band.ids)
        parts.append({column: values[keep] for column, values in part.items()})
    order = np.argsort(np.concatenate([part["label"] for part in parts]))
    # Each column of the parts is deleted once it is joined: two tables of millions of nuclei would be too much.
    table = {column: np.concatenate([part.pop(column) for part in parts])[order] for column in list(parts[0])}
    centres = np.stack([table["centroid_row"], table["centroid_col"]], axis=1)
    touches = table.pop("neighbors_touching")
    table |= neighbour_columns(centres, table["equivalent_diameter_px"], touches=touches, size=size)
    table["confidence"] = np.full(len(order), np.nan)
    return table


def _measure_pixels(
    labels: NDArray[Any], planes: Mapping[str, NDArray[Any]], *, size: tuple[float, float], top: int, height: int
) -> dict[str, NDArray[Any]]:
    """Measure everything that depends on the pixels of each nucleus and their neighbours.

    `labels` are the rows from `top` on of a picture that has `height` rows.
    """
    runs = _runs_of(labels, top)
    table: dict[str, NDArray[Any]] = {"label": runs.ids}
    perimeters, table["neighbors_touching"] = _borders(labels, runs.ids, size=size)
    table |= _shape_columns(runs, perimeters, size=size, shape_HW=(height, labels.shape[1]))
    centres = np.stack([table["centroid_row"], table["centroid_col"]], axis=1)
    inside = labels != 0
    owner = np.repeat(runs.owner, runs.end - runs.start + 1)
    for name, plane in planes.items():
        grey = to_grey(plane) if plane.ndim == 3 else plane
        values = grey[inside].astype(np.float64)
        found = _intensity_columns(runs, values, centres=centres)
        span = found["min_intensity"], found["max_intensity"]
        found |= texture_columns(inside, values, owner=owner, span=span)
        table |= {f"{column}_{name}" if name else column: numbers for column, numbers in found.items()}
    return table


def _runs_of(labels: NDArray[Any], top: int) -> _Runs:
    height, width = labels.shape
    # A column of background at the end of each row separates the runs of neighbouring rows.
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
    return _Runs(row + top, start, start + length - 1, owner.astype(np.int64), ids.astype(np.int64))


def _shape_columns(
    runs: _Runs, perimeters: NDArray[np.float64], *, size: tuple[float, float], shape_HW: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    n, (perimeter, perimeter_um) = len(runs.ids), perimeters
    is_uneven = bool(np.isfinite(size).all()) and size[0] != size[1]
    height, breadth = pixel = size if is_uneven else (1.0, 1.0)
    outline = perimeter_um if is_uneven else perimeter
    top, left = np.full((2, n), np.iinfo(np.int64).max)
    bottom, right = np.full((2, n), -1)
    np.minimum.at(top, runs.owner, runs.row)
    np.maximum.at(bottom, runs.owner, runs.row)
    np.minimum.at(left, runs.owner, runs.start)
    np.maximum.at(right, runs.owner, runs.end)
    # Counted from the corner of the bounding box, the sums are small whole numbers, which float64 holds exactly.
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
    centre_row, centre_col = top + row_sum / area, left + col_sum / area
    edge = (top == 0) | (left == 0) | (bottom == shape_HW[0] - 1) | (right == shape_HW[1] - 1)
    return {
        "area_px": area.astype(np.int64),
        "area_um2": area * (size[0] * size[1]),
        "centroid_row": centre_row,
        "centroid_col": centre_col,
        "centroid_row_um": centre_row * size[0],
        "centroid_col_um": centre_col * size[1],
        "bbox_row_min": top,
        "bbox_col_min": left,
        "bbox_row_max": bottom + 1,
        "bbox_col_max": right + 1,
        "touches_border": edge.astype(np.int64),
        "perimeter_px": perimeter,
        "perimeter_um": perimeter_um,
        "equivalent_diameter_px": np.sqrt(4 * area / np.pi),
        "equivalent_diameter_um": np.sqrt(4 * area * (size[0] * size[1]) / np.pi),
        **_axis_columns(rows_var, cols_var, shared=shared, pixel=pixel),
        "solidity": area / convex_areas(runs.row, runs.start, end=runs.end, owner=runs.owner, count=n),
        "extent": area / ((bottom - top + 1) * (right - left + 1)),
        "form_factor": np.divide(
            4 * np.pi * area * height * breadth, outline**2, out=np.full(n, np.nan), where=outline > 0
        ),
    }


def _axis_columns(
    rows_var: NDArray[np.float64],
    cols_var: NDArray[np.float64],
    *,
    shared: NDArray[np.float64],
    pixel: tuple[float, float],
) -> dict[str, NDArray[np.float64]]:
    """Give the axes, in pixels, of the ellipse of each nucleus, and its form and direction for pixels of that size."""
    height, breadth = pixel
    major_px, minor_px, _ = _ellipses(rows_var, cols_var, shared=shared)
    major, minor, angle = _ellipses(rows_var * height**2, cols_var * breadth**2, shared=shared * height * breadth)
    return {
        "major_axis_px": 4 * np.sqrt(major_px),
        "minor_axis_px": 4 * np.sqrt(minor_px),
        "eccentricity": np.sqrt(1 - np.divide(minor, major, out=np.ones(len(major)), where=major > 0)),
        "orientation_rad": angle,
    }


def _ellipses(
    rows_var: NDArray[np.float64], cols_var: NDArray[np.float64], *, shared: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give the larger and the smaller variance of ellipses, and their angle, from variances along rows and columns."""
    spread = np.hypot(rows_var - cols_var, 2 * shared)
    major = (rows_var + cols_var + spread) / 2
    minor = np.maximum((rows_var + cols_var - spread) / 2, 0)
    angle = 0.5 * np.arctan2(2 * shared, rows_var - cols_var)
    # If rows and columns have the same variance and no covariance, regionprops gives -pi/4, too.
    return major, minor, np.where((rows_var == cols_var) & (shared == 0), -np.pi / 4, angle)


def _borders(
    labels: NDArray[Any], ids: NDArray[np.int64], *, size: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give the perimeter of each nucleus, in pixels and in micrometres, and how many others it touches."""
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
    across, down = (1 * (border[place - step] == own) + (border[place + step] == own) for step in (1, width))
    code = 1 + 2 * (across + down)
    for step in (-width - 1, -width + 1, width - 1, width + 1):
        code += 10 * (border[place + step] == own)
    # A straight step goes in the direction of the neighbours by an edge; at a corner, half of it goes in the other.
    # It has another nucleus or background on one side, so it never leads to a neighbour across a thin nucleus.
    above, beside = ((padded[place - step] != own) | (padded[place + step] != own) for step in (width, 1))
    across, down = across * above, down * beside
    sideways = np.divide(across, across + down, out=np.zeros(len(place)), where=across + down > 0)
    owner, perimeters = np.searchsorted(ids, own), []
    for height, breadth in ((1.0, 1.0), size):
        straight = height + (breadth - height) * sideways
        steps = _STRAIGHT[code] * straight + _SLANTED[code] * math.hypot(height, breadth)
        perimeters.append(np.bincount(owner, steps, len(ids)))
    return np.array(perimeters, np.float64), touching(padded, place, width=width, ids=ids)


def _intensity_columns(
    runs: _Runs, values: NDArray[np.float64], *, centres: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Measure one channel from the values under the masks, in reading order as the runs are."""
    n, length = len(runs.ids), runs.end - runs.start + 1
    first = np.cumsum(length) - length
    finite = np.isfinite(values)
    known = values if finite.all() else np.where(finite, values, 0)

    def total_of(pixels: NDArray[Any]) -> NDArray[np.float64]:
        return runs.total(np.add.reduceat(pixels, first))

    count = total_of(finite.astype(np.float64))
    none = count == 0
    divisor = np.where(none, np.nan, count)
    total = total_of(known)
    mean = total / divisor
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, runs.owner, np.minimum.reduceat(np.where(finite, values, np.inf), first))
    np.maximum.at(high, runs.owner, np.maximum.reduceat(np.where(finite, values, -np.inf), first))
    low[none] = high[none] = total[none] = np.nan
    apart = np.where(finite, known - np.repeat(mean[runs.owner], length), 0)
    # Counted from the centroid, so that the sums stay small compared with the values.
    sums = np.add.reduceat(known, first)
    along = np.add.reduceat(known * (np.arange(len(known)) - np.repeat(first, length)), first)
    down = runs.total(sums * (runs.row - centres[runs.owner, 0]))
    right = runs.total(along + sums * (runs.start - centres[runs.owner, 1]))
    moved = np.divide(np.hypot(down, right), total, out=np.full(n, np.nan), where=total > 0)
    return {
        "mean_intensity": mean,
        "min_intensity": low,
        "max_intensity": high,
        "std_intensity": np.sqrt(total_of(apart * apart) / divisor),
        "integrated_intensity": total,
        "mass_displacement_px": moved,
    }


def write_measurements(path: Path | str, tables: Iterable[tuple[str, Mapping[str, NDArray[Any]]]]) -> None:
    """Write one row a nucleus: the image's name, then the columns.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    tables : iterable of (str, mapping of str to (n,) ndarray)
        Image name and its table as `measure` gives it; more columns, such as ``plane``, may stand anywhere in it.
        Images may have different channels: a column that one lacks is left empty in its rows. Unknown values (NaN) are
        empty.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    tables = list(tables)
    nothing = np.zeros((1, 1), np.int32)
    columns = _merged(list(table) for _, table in tables) or list(measure(nothing, {"": nothing}))
    rows = (row for name, table in tables for row in _rows(name, table, columns=columns))
    write_rows(path, rows, header=["image", *columns])


def _rows(name: str, table: Mapping[str, NDArray[Any]], *, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    length = len(next(iter(table.values()), ()))
    for start in range(0, length, _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        blank = [""] * min(_ROWS_AT_ONCE, length - start)
        cells = [_cells(column, table[column][some]) if column in table else blank for column in columns]
        yield from ((name, *row) for row in zip(*cells, strict=True))


def _merged(lists: Iterable[list[str]]) -> list[str]:
    """Join lists of columns: a new column is put behind the column that precedes it in its own list."""
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
    shown = "{:.3f}".format if column in _COORDINATES else number_text
    return ["" if math.isnan(value) else shown(value) for value in values.tolist()]
