"""CSV tables: one way to open them, and tables of images with the field of view, the fold and the kind of each."""

from __future__ import annotations

import contextlib
import csv
from typing import TYPE_CHECKING

from nucleate.core.checks import regular
from nucleate.errors import UnfitDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["open_table", "read_table"]


@contextlib.contextmanager
def open_table(path: Path) -> Iterator[csv.DictReader[str]]:
    """Open a CSV with a heading for a ``with`` block; its cells may be of any length.

    Raises
    ------
    DataError
        If the file cannot be read, even later in the block; a pipe only if the shell made it, see
        `nucleate.core.checks.is_regular`.
    """
    # The code of one nucleus in a large image exceeds the limit of the csv module, which holds for the whole process.
    before = csv.field_size_limit(2**31 - 1)
    try:
        with regular(path, piped=True).open(newline="", encoding="utf-8-sig") as stream:
            yield csv.DictReader(stream)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnfitDataError(f"cannot read the table {path}: {reason}; give a CSV file") from error
    finally:
        csv.field_size_limit(before)


def read_table(path: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read some columns of a table that has one row an image.

    Parameters
    ----------
    path : Path
        CSV with a column ``image_id``.
    columns : sequence of str
        The columns to read besides; ``group`` is read if ``mosaic`` is missing.

    Returns
    -------
    dict
        Id -> column -> text, "" if there is none.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing, or two rows of an image differ.
    """
    found: dict[str, dict[str, str]] = {}
    with open_table(path) as reader:
        there = list(reader.fieldnames or ())
        names = {column: column for column in columns}
        if "mosaic" in columns and "mosaic" not in there and "group" in there:
            names["mosaic"] = "group"
        missing = sorted({"image_id", *names.values()} - set(there))
        if missing:
            wanted = ", ".join(["image_id", *columns]).replace("mosaic", "mosaic (or group)")
            raise UnfitDataError(f"{path} lacks columns {', '.join(missing)}: got {', '.join(there)}; give {wanted}")
        for row in reader:
            read = {column: row[name] or "" for column, name in names.items()}
            if found.setdefault(row["image_id"], read) != read:
                shown = " and ".join(",".join(one.values()) for one in (found[row["image_id"]], read))
                raise UnfitDataError(f"{path} has two rows for {row['image_id']}: got {shown}; keep one")
    return found
