"""Tables of run-length codes, one row a nucleus: Kaggle's submissions and solutions."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from nucleate.core.rle import decode_positions
from nucleate.core.text import counted
from nucleate.data.source import MAX_FILE_BYTES
from nucleate.data.table import open_table
from nucleate.errors import DataError, UnfitDataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["CodedImage", "labels_from_codes", "read_coded"]

_logger = logging.getLogger(__name__)


@dataclass
class CodedImage:
    """The rows of one image.

    Parameters
    ----------
    codes : list of str
        One for each nucleus; a single empty code means that there are none.
    shape : (int, int), optional
        Rows and columns, if the table gives them.
    is_ignored : bool
        Whether the image does not count, according to Kaggle's column Usage.
    """

    codes: list[str] = field(default_factory=list)
    shape: tuple[int, int] | None = None
    is_ignored: bool = False


def read_coded(path: Path) -> dict[str, CodedImage]:
    """Read a table of run-length codes.

    Parameters
    ----------
    path : Path
        CSV with columns ImageId and EncodedPixels and, if possible, Height and Width. Images with ``Ignored`` in a
        column Usage are marked as not counting.

    Returns
    -------
    dict
        Id -> image, in the order of the file.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column or has no row, or if a size is no size, too large or one of two.
    """
    images: dict[str, CodedImage] = {}
    with open_table(path) as reader:
        missing = {"ImageId", "EncodedPixels"} - set(reader.fieldnames or ())
        if missing:
            raise UnfitDataError(f"{path} lacks columns {', '.join(sorted(missing))}: got {reader.fieldnames}")
        for row in reader:
            found = images.setdefault(row["ImageId"], CodedImage())
            if (row.get("Usage") or "").strip().lower() == "ignored":
                found.is_ignored = True
                continue
            found.codes.append(row["EncodedPixels"] or "")
            shape = _row_shape(row, path)
            if found.shape is not None and shape != found.shape:
                shown = f"{row['ImageId']}: got {found.shape} and {shape}"
                raise DataError(f"{path} gives two sizes for image {shown}; mend Height and Width")
            found.shape = shape
    if not images:
        raise UnfitDataError(f"{path} has no rows; give a CSV with ImageId,EncodedPixels")
    if ignored := sum(image.is_ignored for image in images.values()):
        _logger.warning("%s marked Ignored in Usage left out", counted(ignored, "image"))
    return images


def labels_from_codes(codes: list[str], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Paint run-length codes into one label image; a pixel claimed twice belongs to the first.

    Parameters
    ----------
    codes : list of str
        One code a nucleus; empty codes are ignored.
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    (H, W) int32 ndarray
        Nuclei 1..n in the order given; a code without a pixel of its own gets no number.

    Raises
    ------
    DataError
        If a code is bad or leaves the image.

    Examples
    --------
    >>> labels_from_codes(["1 2", "2 2"], (2, 2))
    array([[1, 2],
           [1, 0]], dtype=int32)
    """
    flat = np.zeros(shape[0] * shape[1], dtype=np.int32)
    following = 1
    for code in codes:
        positions = decode_positions(code, shape)
        free = positions[flat[positions] == 0]
        if free.size:
            flat[free] = following
            following += 1
    return np.ascontiguousarray(flat.reshape(shape, order="F"))


def _row_shape(row: Mapping[str, str | None], path: Path) -> tuple[int, int] | None:
    height, width = row.get("Height"), row.get("Width")
    if not height or not width:
        return None
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise DataError(
            f"{path}: no size of image {row['ImageId']}: got Height {height!r}, Width {width!r}; give pixels"
        )
    if int(height) * int(width) * 4 > MAX_FILE_BYTES:
        raise DataError(f"{path}: image {row['ImageId']} is too large: got {height} x {width} pixels; mend the sizes")
    return int(height), int(width)
