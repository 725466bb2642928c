"""Measurements as the features of a Labels layer: napari shows those of the nucleus under the mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.export.read_table import read_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["TABLE_NAME", "features_beside", "features_of", "read_table"]

TABLE_NAME = "measurements.csv"
"""The table beside label images that `nucleate segment` wrote."""


def features_of(table: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Turn a table of measurements into features.

    Parameters
    ----------
    table : mapping of str to (n,) ndarray
        Measurements by column, one entry a nucleus; ``label`` is among the columns.

    Returns
    -------
    dict of str to (n,) ndarray
        The same, with ``label`` renamed ``index``: by that column napari finds the row of the nucleus under the mouse.
    """
    index = np.asarray(table["label"]).astype(np.int64)
    return {"index": index, **{name: values for name, values in table.items() if name != "label"}}


def read_table(path: Path) -> dict[str, NDArray[Any]]:
    """Read the measurements of all images of a folder.

    Parameters
    ----------
    path : Path
        ``measurements.csv``.

    Returns
    -------
    dict of str to (n,) ndarray
        By column, ``image`` and ``label`` among them.

    Raises
    ------
    InputError
        If the table cannot be read.
    """
    return read_columns(path, texts=["image"], needed=["label"])


def features_beside(
    path: Path, name: str, *, read: Callable[[Path], Mapping[str, NDArray[Any]]] = read_table
) -> dict[str, NDArray[Any]] | None:
    """Read the rows of one image from the table that lies beside its label image.

    Parameters
    ----------
    path : Path
        The label image.
    name : str
        What the image is called in the table.
    read : callable
        `read_table`, or a cached one where several label images share a table.

    Returns
    -------
    dict of str to (n,) ndarray, or None
        Features, as `features_of` gives them; None where there is no table, or no row of this image in it.

    Raises
    ------
    InputError
        If the table cannot be read.
    """
    table = path.parent / TABLE_NAME
    if not table.is_file():
        return None
    columns = read(table)
    own = columns["image"] == name
    kept = {column: values[own] for column, values in columns.items() if column != "image"}
    return features_of(kept) if own.any() else None
