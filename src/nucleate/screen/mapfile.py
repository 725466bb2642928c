"""Reads a table written by a spreadsheet into rows of cells: encodings, separators, blank lines, breaks in quotes."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from nucleate.core.checks import address_fault, regular
from nucleate.core.text import one_line
from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_rows"]

_SEPARATORS = ",;\t"


def read_rows(path: Path | str) -> tuple[str, list[tuple[int, list[str]]]]:
    """Read a table of text.

    Parameters
    ----------
    path : path-like
        In UTF-8, in UTF-16 with its mark, or as Windows writes it in western Europe; a first line ``sep=;`` is heeded.

    Returns
    -------
    separator : str
    rows : list of (int, list of str)
        Number of the line, and cells, with single spaces inside and none around; rows of empty cells are left out.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    shown = one_line(str(path))
    try:
        text = _decoded(regular(Path(path), piped=True).read_bytes())
    except (OSError, UnicodeError) as error:
        if fault := address_fault(str(path)):
            raise UsageError(f"{shown}: {fault}") from error
        reason = getattr(error, "strerror", None) or "not text in UTF-8, UTF-16 or Windows-1252"
        raise UsageError(f"{shown}: cannot be read: {reason}; give a CSV with columns well,compound,...") from error
    first = next((line for line in text.splitlines() if line.strip(_SEPARATORS + " ")), "")
    told = first.strip().lower().startswith("sep=")
    separator = first.strip()[4:5] if told else ""
    separator = separator or ("\t" if told else max(_SEPARATORS, key=first.count))
    try:
        try:
            rows = list(_rows(text, separator))
        except csv.Error as error:
            if "expected after" not in str(error):
                raise
            rows = list(_rows(text, separator, strict=False))  # quotes that belong to the text, as in "X" salt
    except csv.Error as error:
        raise UsageError(f"{shown}: no table: {error}; check its quotes") from error
    return separator, rows[1:] if told else rows


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252")
    if "\0" in text:
        raise UnicodeError("zeros")
    return text


def _rows(text: str, separator: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)
    for row in reader:
        if not strict and any("\n" in cell for cell in row):
            raise csv.Error(f"a quote is open up to line {reader.line_num}")  # it would swallow wells
        cells = [" ".join(cell.split()) for cell in row]
        if any(cells):
            yield reader.line_num, cells
