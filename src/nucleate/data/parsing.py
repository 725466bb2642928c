"""What every reader of annotation files does: JSON, corners, and whatever damage raises as one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Damaged", "quiet", "read_json", "ring"]


def quiet(_: str) -> None:
    """Tell nobody."""


class Damaged:
    """Turns whatever a damaged file makes the parsers raise into one line.

    Parameters
    ----------
    name : str
        The file, for the message.

    Raises
    ------
    DataError
        In the place of any other error; of want of memory the file is not to blame.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, DataError | MemoryError):
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise DataError(f"cannot read the outlines in {self.name}: {reason}; export them again") from error


def read_json(data: bytes, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Parse JSON.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no JSON: {' '.join(str(error).split())[:120]}; export it again") from error


def ring(corners: Any) -> NDArray[np.float64]:  # noqa: ANN401 - as the file has it
    """Give corners (k, 2) of x and y.

    Raises
    ------
    ValueError
        If they are none, or infinite.
    """
    found = np.asarray(corners, np.float64)
    if found.ndim != 2 or found.shape[1] < 2 or not np.isfinite(found).all():
        raise ValueError(f"a polygon has corners of shape {found.shape}, or infinite ones")
    return found[:, :2]
