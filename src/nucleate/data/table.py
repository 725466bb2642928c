"""A CSV table of images: what field of view each shows, its fold and its kind."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["read_table"]


def read_table(path: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read some columns of a table that has one row an image.

    Parameters
    ----------
    path : Path
        CSV with a column ``image_id``.
    columns : sequence of str
        Which to read beside it; ``group`` stands for ``mosaic`` where that lacks.

    Returns
    -------
    dict
        Id -> column -> text, "" where there is none.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing, or two rows of an image differ.
    """
    found: dict[str, dict[str, str]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            there = list(reader.fieldnames or ())
            names = {column: column for column in columns}
            if "mosaic" in columns and "mosaic" not in there and "group" in there:
                names["mosaic"] = "group"
            missing = sorted({"image_id", *names.values()} - set(there))
            if missing:
                wanted = ", ".join(["image_id", *columns]).replace("mosaic", "mosaic (or group)")
                raise DataError(f"{path} lacks columns {', '.join(missing)}: got {', '.join(there)}; give {wanted}")
            for row in reader:
                read = {column: row[name] or "" for column, name in names.items()}
                if found.setdefault(row["image_id"], read) != read:
                    shown = " and ".join(",".join(one.values()) for one in (found[row["image_id"]], read))
                    raise DataError(f"{path} has two rows for {row['image_id']}: got {shown}; keep one")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the table {path}: {error}; give a CSV file") from error
    return found
