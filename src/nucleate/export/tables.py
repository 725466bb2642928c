"""The measurements of a run as Parquet and AnnData, for programs that read tables of millions of nuclei.

The parts of a run are kept as NumPy files, one an input, with every digit; numpy alone writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.extras import library
from nucleate.core.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["extend_anndata", "extend_parquet", "write_anndata", "write_parquet", "write_part"]

_NAME = "image"
_PLACE = ("plane", "time", "z")
_KEYS = ("image", *_PLACE, "label")  # columns that identify a row; everything else is measured


def write_part(path: Path | str, name: str, *, table: Mapping[str, NDArray[Any]]) -> None:
    """Store the table of one image as ``.npz``, without loss.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    name : str
        Of the image.
    table : mapping of str to (n,) ndarray
        Columns as `nucleate.export.measurements.measure` gives them.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # Columns are stored by number, since a channel's name may hold characters that names in an archive cannot.
    columns = {f"c{number}": values for number, values in enumerate(table.values())}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, name=np.array(name), names=np.array(list(table), np.str_), **columns)


def write_parquet(path: Path | str, parts: Sequence[Path]) -> None:
    """Join parts into one Parquet file: one row a nucleus, columns as in measurements.csv, one row group an image.

    Whole numbers are int64, others float64; unknown values are null.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    parts : sequence of Path
        Files of `write_part`, taken one by one.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    OutputError
        If it cannot be written.
    """
    kinds = _columns(parts)

    def groups() -> Iterator[list[Any]]:
        for part in parts:
            name, table = _read(part)
            length = len(next(iter(table.values()), ()))
            empty = np.full(length, np.nan)
            cells = [_cells(table.get(column, empty), kind) for column, kind in kinds.items()]
            yield [_cells(np.full(length, name, object), "O"), *cells]

    _write_groups(
        path, [(_NAME, _type("O")), *((column, _type(kind)) for column, kind in kinds.items())], groups=groups()
    )


def write_anndata(path: Path | str, parts: Sequence[Path]) -> None:
    """Join parts into one AnnData file: an observation a nucleus, a variable a measurement.

    ``obs`` has ``image``, ``label``, and ``plane``, ``time`` and ``z`` if there are such; it is named ``image:label``.
    ``X`` is float64 with NaN for unknown values; ``obsm["spatial"]`` has the centres as (x, y) in pixels, the form for
    squidpy and napari.

    Parameters
    ----------
    path : Path or str
        Where to, ``.h5ad``; an existing file is replaced.
    parts : sequence of Path
        Files of `write_part`.

    Raises
    ------
    MissingExtraError
        If anndata is not installed.
    OutputError
        If it cannot be written.
    """
    anndata, pandas = library("anndata", "tables"), library("pandas", "tables")
    kinds = _columns(parts)
    measured = [column for column in kinds if column not in _KEYS]
    tables = [_read(part) for part in parts]
    lengths = [len(table["label"]) for _, table in tables]
    names = np.repeat(np.array([name for name, _ in tables], np.str_), lengths)
    values = np.full((sum(lengths), len(measured)), np.nan)
    ends = np.cumsum([0, *lengths])
    for (_, table), first, last in zip(tables, ends[:-1], ends[1:], strict=True):
        for place, column in enumerate(measured):
            if column in table:
                values[first:last, place] = table[column]
    labels = np.concatenate([table["label"] for _, table in tables])
    obs = {_NAME: _observed(names.astype(object)), "label": labels}
    for column in (one for one in _PLACE if one in kinds):
        places = [table.get(column, np.full(n, -1)) for (_, table), n in zip(tables, lengths, strict=True)]
        obs[column] = np.concatenate(places)
    index = [f"{name}:{label}" for name, label in zip(names.tolist(), labels.tolist(), strict=True)]
    data = anndata.AnnData(
        values,
        obs=pandas.DataFrame(obs, index=pandas.Index(index, dtype=object)),
        var=pandas.DataFrame(index=pandas.Index(measured, dtype=object)),
    )
    data.obsm["spatial"] = values[:, [measured.index("centroid_col"), measured.index("centroid_row")]]
    _write_h5ad(path, data)


def extend_parquet(source: Path, path: Path | str, *, columns: Mapping[str, NDArray[Any]]) -> None:
    """Copy a Parquet file, row group by row group, and put more columns in front.

    Parameters
    ----------
    source : Path
        Of `write_parquet`.
    path : Path or str
        Where to; an existing file is replaced.
    columns : mapping of str to (n,) ndarray
        One entry a row: text (object), whole numbers, bool, or floats of which NaN becomes null.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    OutputError
        If it cannot be written.
    """
    with library("pyarrow.parquet", "tables").ParquetFile(source) as file:

        def groups() -> Iterator[list[Any]]:
            first = 0
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                rows = slice(first, first + group.num_rows)
                yield [*(_cells(values[rows], values.dtype.kind) for values in columns.values()), *group.columns]
                first = rows.stop

        types = [(name, _type(values.dtype.kind)) for name, values in columns.items()]
        _write_groups(path, [*types, *file.schema_arrow], groups=groups())


def extend_anndata(source: Path, path: Path | str, *, columns: Mapping[str, NDArray[Any]]) -> None:
    """Copy an AnnData file and add columns to ``obs``; text becomes categories.

    Parameters
    ----------
    source : Path
        Of `write_anndata`.
    path : Path or str
        Where to, ``.h5ad``; an existing file is replaced.
    columns : mapping of str to (n,) ndarray
        One entry an observation.

    Raises
    ------
    MissingExtraError
        If anndata is not installed.
    OutputError
        If it cannot be written.
    """
    data = library("anndata", "tables").read_h5ad(source)
    for name, values in columns.items():
        data.obs[name] = _observed(values)
    _write_h5ad(path, data)


def _type(kind: str) -> Any:  # noqa: ANN401 - the library has no types
    """Give the Parquet type for a kind of NumPy dtype."""
    arrow = library("pyarrow", "tables")
    return {"O": arrow.string(), "b": arrow.bool_(), "f": arrow.float64()}.get(kind, arrow.int64())


def _cells(values: NDArray[Any], kind: str) -> Any:  # noqa: ANN401 - as above
    """Make a column; NaN becomes null."""
    mask = ~np.isfinite(values) if values.dtype.kind == "f" else None
    return library("pyarrow", "tables").array(values, _type(kind), mask=mask, safe=False)


def _write_groups(path: Path | str, columns: list[Any], *, groups: Iterator[list[Any]]) -> None:
    arrow, parquet = library("pyarrow", "tables"), library("pyarrow.parquet", "tables")
    schema = arrow.schema(columns)
    with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for cells in groups:
            writer.write_table(arrow.table(cells, schema=schema))


def _observed(values: NDArray[Any]) -> Any:  # noqa: ANN401 - as above
    """Make a column of ``obs``: text becomes categories."""
    if values.dtype.kind != "O":
        return values
    pandas = library("pandas", "tables")
    each, codes = np.unique(values, return_inverse=True)
    # Strings are stored as objects, since anndata does not yet write the strings that pandas 3 makes by default.
    return pandas.Categorical.from_codes(codes, pandas.Index(each, dtype=object))


def _write_h5ad(path: Path | str, data: Any) -> None:  # noqa: ANN401 - as above
    with atomic_path(path) as temporary:
        data.write_h5ad(temporary)


def _read(part: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    with np.load(part, allow_pickle=False) as stored:
        columns = [stored[f"c{number}"] for number in range(len(stored["names"]))]
        return str(stored["name"]), dict(zip(stored["names"].tolist(), columns, strict=True))


def _columns(parts: Sequence[Path]) -> dict[str, str]:
    """Give every column that occurs, the keys first, with ``i`` for whole numbers and ``f`` for others."""
    found: dict[str, str] = {}
    for part in parts:
        for column, values in _read(part)[1].items():
            kind = "i" if values.dtype.kind in "iu" else "f"
            found[column] = "f" if "f" in (kind, found.get(column)) else "i"
    keys = [key for key in _KEYS if key in found]
    return {column: found[column] for column in [*keys, *(c for c in found if c not in keys)]}
