"""What a batch writes: files of each input, parts of the common tables, and the tables joined at the end.

Every file appears under its name only when it is complete. The parts stay in a hidden folder of the output, so that
a later run with ``--resume`` can join them again.
"""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path, make_folder
from nucleate.core.normalize import to_grey
from nucleate.errors import UsageError
from nucleate.export.label_tiff import write_labels
from nucleate.export.measurements import measure, write_measurements
from nucleate.export.overlay import write_overlay
from nucleate.export.rle_csv import write_submission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.image import Image
    from nucleate.run.journal import Outcome

__all__ = [
    "DEFAULT_EXPORTS",
    "EXPORTS",
    "PARTS_NAME",
    "Result",
    "check_exports",
    "files_of",
    "join_tables",
    "prepare_folder",
    "write_record",
    "write_result",
    "write_summary",
]

EXPORTS = ("labels", "overlay", "measurements", "rle")
"""What can be written now."""

DEFAULT_EXPORTS = ("labels", "overlay", "measurements")

PARTS_NAME = ".nucleate-parts"

_TABLES = {"measurements": "measurements.csv", "rle": "submission.csv"}
_FILES = {"labels": ".labels.tif", "overlay": ".overlay.png"}
_FRONT = ("image", "plane")
_SUMMARY = ("image", "status", "nuclei", "median_area_px", "seconds", "error")


@dataclass(frozen=True)
class Result:
    """One segmented input.

    Parameters
    ----------
    name : str
        Name of its results.
    image : Image
        As read, all channels.
    shown : Image
        The channel that was segmented.
    labels : (..., H, W) int32 ndarray
        Label image, or a stack of them, ids 1..n over the whole stack.
    confidence : (n,) float ndarray
        Of each nucleus, 0..1.
    """

    name: str
    image: Image
    shown: Image
    labels: NDArray[np.int32]
    confidence: NDArray[np.float32]


def check_exports(wanted: str) -> tuple[str, ...]:
    """Read a list like ``labels,overlay``.

    Raises
    ------
    UsageError
        If one of them does not exist.
    """
    names = tuple(dict.fromkeys(part.strip().lower() for part in wanted.split(",") if part.strip()))
    unknown = [name for name in names if name not in EXPORTS]
    if unknown or not names:
        raise UsageError(f"--export: no export {', '.join(unknown) or 'named'}; available: {', '.join(EXPORTS)}")
    return names


def prepare_folder(output: Path) -> None:
    """Make the output folder and the folder of parts, and clear away what a killed run left half-written.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    parts = make_folder(make_folder(output) / PARTS_NAME)
    for folder in (output, parts):
        for stale in folder.glob(".writing-*"):
            stale.unlink(missing_ok=True)


def files_of(output: Path, name: str, *, exports: Iterable[str]) -> list[Path]:
    """Name the files that are there once the input called `name` is finished, parts of tables included."""
    files = [output / f"{name}{_FILES[e]}" for e in exports if e in _FILES]
    return files + [_part(output, name, export=e) for e in exports if e in _TABLES]


def write_result(result: Result, output: Path, *, exports: Sequence[str]) -> None:
    """Write everything asked for of one input.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    writers: dict[str, Callable[[Result, Path], None]] = {
        "labels": _write_labels,
        "overlay": _write_overlay,
        "measurements": _write_measurements,
        "rle": _write_rle,
    }
    for export in exports:
        writers[export](result, files_of(output, result.name, exports=[export])[0])


def join_tables(output: Path, names: Sequence[str], *, exports: Iterable[str]) -> None:
    """Join the parts of the finished inputs `names` into measurements.csv and submission.csv.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    for export in exports:
        if export in _TABLES and names:
            _join(output / _TABLES[export], [_part(output, name, export=export) for name in names])


def write_summary(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write summary.csv, one row an input.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    rows = [
        (
            o.name,
            o.status,
            "" if o.nuclei is None else o.nuclei,
            "" if o.median_area_px is None else f"{o.median_area_px:g}",
            f"{o.seconds:.3f}" if o.seconds else "",
            o.error,
        )
        for o in outcomes
    ]
    _write_rows(path, [_SUMMARY, *rows])


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write run.json.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _part(output: Path, name: str, *, export: str) -> Path:
    return output / PARTS_NAME / f"{name}.{export}.csv"


def _write_labels(result: Result, path: Path) -> None:
    axes = "".join(axis for axis in result.shown.axes if axis in "TZIYX")
    write_labels(path, result.labels, pixel_size_um=result.image.pixel_size_um, axes=axes)


def _write_overlay(result: Result, path: Path) -> None:
    # One picture stands for a stack: the plane with the most nuclei says most about the result.
    stack = result.labels.reshape(-1, *result.labels.shape[-2:])
    index = max(range(len(stack)), key=lambda i: len(np.unique(stack[i])))
    write_overlay(path, next(itertools.islice(result.shown.planes(), index, None)), labels=stack[index])


def _write_measurements(result: Result, path: Path) -> None:
    tables = []
    for plane, labels, pictures in _planes(result):
        table = measure(labels, pictures, pixel_size_um=result.image.pixel_size_um)
        table["confidence"] = result.confidence[table["label"] - 1]
        tables.append(table if plane is None else {"plane": np.full(len(table["label"]), plane), **table})
    write_measurements(path, [(_encodable(result.name), table) for table in tables])


def _write_rle(result: Result, path: Path) -> None:
    name = _encodable(result.name)
    write_submission(path, ((name if p is None else f"{name}-{p}", labels) for p, labels, _ in _planes(result)))


def _encodable(name: str) -> str:
    # A file name may hold bytes that are no text; UTF-8 cannot take them as they are.
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _planes(result: Result) -> Iterator[tuple[int | None, NDArray[np.int32], dict[str, NDArray[Any]]]]:
    """Give plane number (None for a single picture), labels and the picture of every channel, plane by plane."""
    image = result.image
    count = image.pixels.shape[image.axes.index("C")] if "C" in image.axes else 1
    names = image.channel_names if len(image.channel_names) == count > 1 else [str(i) for i in range(count)]
    channels = {name: image.channel(i) for i, name in enumerate(names)} if count > 1 else {"": image.channel(0)}
    stacked = bool(image.stack_shape)
    flat = result.labels.reshape(-1, *result.labels.shape[-2:])
    for number, pictures in enumerate(zip(*(channel.planes() for channel in channels.values()), strict=True)):
        greys = {
            name: to_grey(picture) if picture.ndim == 3 else picture
            for name, picture in zip(channels, pictures, strict=True)
        }
        yield (number if stacked else None), flat[number], greys


def _join(path: Path, parts: Sequence[Path]) -> None:
    found: dict[str, None] = {}
    for part in parts:
        with part.open(encoding="utf-8", newline="") as stream:
            found.update(dict.fromkeys(next(csv.reader(stream), [])))
    header = [c for c in _FRONT if c in found] + [c for c in found if c not in _FRONT]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as joined:
        writer = csv.writer(joined, lineterminator="\n")
        writer.writerow(header)
        for part in parts:
            with part.open(encoding="utf-8", newline="") as stream:
                own = next(csv.reader(stream), [])
                if own == header:
                    shutil.copyfileobj(stream, joined)
                else:
                    rows = csv.DictReader(stream, own)
                    writer.writerows([row.get(column, "") for column in header] for row in rows)


def _write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        csv.writer(stream, lineterminator="\n").writerows(rows)
