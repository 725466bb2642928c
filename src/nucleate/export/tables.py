"""The measurements of a run as Parquet and AnnData, for programs that read tables of millions of nuclei.

The parts of a run are kept as NumPy files, one an input, with every digit; numpy alone writes them.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path
from nucleate.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["extend_anndata", "extend_parquet", "write_anndata", "write_parquet", "write_part"]

_NAME = "image"
_KEYS = ("image", "plane", "label")  # what a row is; everything else is measured


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
    # Columns are stored by number: a channel's name may hold what no name in an archive can.
    columns = {f"c{number}": values for number, values in enumerate(table.values())}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, name=np.array(name), names=np.array(list(table), np.str_), **columns)


def write_parquet(path: Path | str, parts: Sequence[Path]) -> None:
    """Join parts into one Parquet file: a row a nucleus, columns as in measurements.csv, a row group an image.

    Whole numbers are int64, others float64; what is not known is null.

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
    arrow, parquet = _library("pyarrow"), _library("pyarrow.parquet")
    kinds = _columns(parts)
    types = {column: arrow.int64() if kind == "i" else arrow.float64() for column, kind in kinds.items()}
    schema = arrow.schema([(_NAME, arrow.string()), *types.items()])
    with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for part in parts:
            name, table = _read(part)
            length = len(next(iter(table.values()), ()))
            cells = [arrow.array([name] * length, arrow.string())]
            for column, kind in types.items():
                values = table.get(column)
                mask = np.ones(length, np.bool_) if values is None else ~np.isfinite(values)
                cells.append(arrow.array(np.zeros(length) if values is None else values, kind, mask=mask, safe=False))
            writer.write_table(arrow.table(cells, schema=schema))


def write_anndata(path: Path | str, parts: Sequence[Path]) -> None:
    """Join parts into one AnnData file: an observation a nucleus, a variable a measurement.

    ``obs`` has ``image``, ``plane`` where there is one, and ``label``, and is named ``image:label``; ``X`` is float64
    with NaN for what is not known; ``obsm["spatial"]`` has the centres as (x, y) in pixels, as squidpy and napari take
    them.

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
    anndata, pandas = _library("anndata"), _library("pandas")
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
    each, codes = np.unique(names, return_inverse=True)
    # Strings as objects: anndata does not yet write the strings that pandas 3 makes by itself.
    categories = pandas.Index(each.tolist(), dtype=object)
    obs = {_NAME: pandas.Categorical.from_codes(codes, categories), "label": labels}
    if "plane" in kinds:
        planes = [table.get("plane", np.full(n, -1)) for (_, table), n in zip(tables, lengths, strict=True)]
        obs["plane"] = np.concatenate(planes)
    index = [f"{name}:{label}" for name, label in zip(names.tolist(), labels.tolist(), strict=True)]
    data = anndata.AnnData(
        values,
        obs=pandas.DataFrame(obs, index=pandas.Index(index, dtype=object)),
        var=pandas.DataFrame(index=pandas.Index(measured, dtype=object)),
    )
    data.obsm["spatial"] = values[:, [measured.index("centroid_col"), measured.index("centroid_row")]]
    with atomic_path(path) as temporary:
        data.write_h5ad(temporary)


def extend_parquet(source: Path, path: Path | str, *, columns: Mapping[str, NDArray[Any]]) -> None:
    """Copy a Parquet file with more columns in front, row group by row group.

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
    arrow, parquet = _library("pyarrow"), _library("pyarrow.parquet")
    kinds = {"O": arrow.string(), "b": arrow.bool_(), "f": arrow.float64()}
    with parquet.ParquetFile(source) as file:
        types = [(name, kinds.get(values.dtype.kind, arrow.int64())) for name, values in columns.items()]
        schema = arrow.schema([*types, *file.schema_arrow])
        first = 0
        with atomic_path(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                rows = slice(first, first + group.num_rows)
                cells = [arrow.array(columns[name][rows], kind, from_pandas=True) for name, kind in types]
                writer.write_table(arrow.table([*cells, *group.columns], schema=schema))
                first = rows.stop


def extend_anndata(source: Path, path: Path | str, *, columns: Mapping[str, NDArray[Any]]) -> None:
    """Copy an AnnData file with more columns in ``obs``; text becomes categories.

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
    anndata, pandas = _library("anndata"), _library("pandas")
    data = anndata.read_h5ad(source)
    for name, values in columns.items():
        data.obs[name] = pandas.Categorical(values.astype(object)) if values.dtype.kind == "O" else values
    with atomic_path(path) as temporary:
        data.write_h5ad(temporary)


def _library(name: str) -> Any:  # noqa: ANN401 - these have no types
    if importlib.util.find_spec(name.split(".")[0]) is None:
        raise MissingExtraError(name.split(".")[0], "tables")
    return importlib.import_module(name)


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
