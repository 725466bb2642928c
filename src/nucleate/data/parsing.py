"""Functions that the readers of a data set share: errors of damaged files as one line, JSON, corners."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

__all__ = ["Note", "Shape", "damage", "outline_damage", "quiet", "read_json", "ring"]

Shape: TypeAlias = tuple[int, int]
"""Rows and columns of a picture."""

Note: TypeAlias = "Callable[[str], None]"
"""A function that is told what is left out."""


def quiet(_: str) -> None:
    """Tell nobody."""


@contextlib.contextmanager
def damage(what: str, *, cure: str) -> Iterator[None]:
    """Turn any error that a damaged file causes in parsers and decoders into one line; they have no common class.

    Parameters
    ----------
    what : str
        What cannot be done if the file is damaged, such as ``decode a.png``.
    cure : str
        What the user should do.

    Raises
    ------
    DataError
        In place of any other error, except lack of memory, which is not the fault of the file.

    Examples
    --------
    >>> with damage("count a.txt", cure="save it again"):
    ...     int("x")
    Traceback (most recent call last):
    nucleate.errors.DataError: cannot count a.txt: invalid literal for int() with base 10: 'x'; save it again
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"cannot {what}: {_reason(error) or type(error).__name__}; {cure}") from error


def outline_damage(name: str) -> AbstractContextManager[None]:
    """Do what `damage` does, for a file of outlines."""
    return damage(f"read the outlines in {name}", cure="export them again")


def read_json(data: bytes, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Parse JSON.

    Raises
    ------
    DataError
        If it is no JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no JSON: {_reason(error)}; export it again") from error


def ring(corners: Any) -> NDArray[np.float64]:  # noqa: ANN401 - as the file has it
    """Give corners (k, 2) of x and y.

    Raises
    ------
    ValueError
        If they are no corners, or infinite.
    """
    found = np.asarray(corners, np.float64)
    if found.ndim != 2 or found.shape[1] < 2 or not np.isfinite(found).all():
        raise ValueError(f"a polygon has corners of shape {found.shape}, or infinite ones")
    return found[:, :2]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
