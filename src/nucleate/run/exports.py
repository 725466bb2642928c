"""The kinds of file that are written for a segmented input, one entry each."""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucleate.core.bands import BAND_PIXELS
from nucleate.core.files import atomic_text
from nucleate.export.coco import Picture, join_coco, write_coco
from nucleate.export.geojson import write_geojson
from nucleate.export.imagej_roi import write_rois
from nucleate.export.label_tiff import write_labels
from nucleate.export.measurements import write_measurements
from nucleate.export.ome_tiff import write_ome_labels
from nucleate.export.omezarr_labels import write_omezarr
from nucleate.export.overlay import MOST_PIXELS, write_overlay
from nucleate.export.rle_csv import write_submission
from nucleate.export.shapes import positions
from nucleate.export.tables import write_anndata, write_parquet, write_part
from nucleate.run.naming import split_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from nucleate.run.results import Result

__all__ = ["EXPORTS", "Export", "writing_bytes"]

_FRONT = ("image", "plane", "time", "z")

_GREYING = 24
"""Bytes for each pixel of a band while colours are turned into grey for measuring."""


@dataclass(frozen=True)
class Export:
    """A kind of file.

    Parameters
    ----------
    what : str
        A word of what it is.
    file : str
        Ending of the file or folder of each input; the name, for a file of the whole run.
    write : callable
        Takes a result and the path of its file, or the path of its part of a file of the whole run.
    join : callable, optional
        Takes the path of a file of the whole run and the paths of its parts.
    part : str
        Ending of these parts.
    needs : (str, str), optional
        Library that writing needs, and the extra that brings it.
    band_bytes : int
        Memory for each pixel of a band while it is written; the default is for kinds that measure or draw all at once.
    measures : bool
        Whether it holds measurements, for which colours are turned into grey.
    """

    what: str
    file: str
    write: Callable[[Result, Path], None]
    join: Callable[[Path, Sequence[Path]], None] | None = None
    part: str = ""
    needs: tuple[str, str] | None = None
    band_bytes: int = 48
    measures: bool = False

    @property
    def rows(self) -> bool:
        """Whether its parts are rows below a header."""
        return self.join is _join_rows


def writing_bytes(exports: Iterable[str], pixels: int, *, colour: bool) -> int:
    """Estimate the memory for writing the results of one plane, beyond the plane and its labels.

    It does not grow further for planes larger than `nucleate.core.bands.BAND_PIXELS`. Tables take about half a kilobyte
    a nucleus more.

    Parameters
    ----------
    exports : iterable of str
        The kinds of file that are written.
    pixels : int
        Of the plane.
    colour : bool
        Whether the plane has colours.

    Returns
    -------
    int
        Bytes.
    """
    kinds = [EXPORTS[name] for name in exports]
    most = max((kind.band_bytes + (_GREYING if colour and kind.measures else 0) for kind in kinds), default=0)
    return most * min(pixels, max(BAND_PIXELS, MOST_PIXELS))


def _write_labels(result: Result, path: Path) -> None:
    image = result.image
    steps = {"z_step_um": image.z_step_um, "t_step_s": image.t_step_s}
    write_labels(path, result.labels, pixel_size_um=image.pixel_size_um, axes=result.axes, **steps)


def _write_ome_labels(result: Result, path: Path) -> None:
    image, name = result.image, result.text
    steps = {"z_step_um": image.z_step_um, "t_step_s": image.t_step_s}
    write_ome_labels(path, result.labels, axes=result.axes, pixel_size_um=image.pixel_size_um, name=name, **steps)


def _write_overlay(result: Result, path: Path) -> None:
    # One picture stands for a stack: the plane with the most nuclei tells most about the result.
    planes = [labels for _, labels in result.planes]
    index = max(range(len(planes)), key=lambda i: len(result.sizes[i][0])) if len(planes) > 1 else 0
    write_overlay(path, result.shown.plane(planes[index].at), labels=planes[index])


def _write_measurements(result: Result, path: Path) -> None:
    write_measurements(path, [(result.text, table) for table in result.tables])


def _write_part(result: Result, path: Path) -> None:
    write_part(path, result.text, table=result.table)


def _write_rle(result: Result, path: Path) -> None:
    # No name of an input has a slash, so no plane is called like another input.
    name = result.text
    write_submission(path, ((name if n is None else f"{name}/{n}", labels) for n, labels in result.planes))


def _write_geojson(result: Result, path: Path) -> None:
    places = positions(result.axes[:-2], result.labels.shape[:-2])
    planes = zip(result.planes, places, result.tables, strict=True)
    write_geojson(path, ((None if n is None else place, labels, table) for (n, labels), place, table in planes))


def _write_rois(result: Result, path: Path) -> None:
    more = result.image.channel_count > 1 or result.is_projected
    write_rois(path, result.labels, axes=result.axes[:-2], more_axes=more, confidence=result.confidence)


def _write_coco(result: Result, path: Path) -> None:
    file, part = split_picture(result.image)
    named = result.image.name if result.image.name.endswith(f"/{part}") else file  # one in a folder has its own path
    # A backslash is a letter like any other, except on Windows.
    file_name = result.file_name or named.replace(os.sep, "/").replace(".zip!", ".zip/", 1)
    confidence = result.confidence
    write_coco(path, (Picture(file_name, labels, confidence, name=result.text, plane=n) for n, labels in result.planes))


def _write_omezarr(result: Result, path: Path) -> None:
    write_omezarr(path, result.labels, axes=result.axes, image=result.image, confidence=result.confidence)


def _join_rows(path: Path, parts: Sequence[Path]) -> None:
    found: dict[str, None] = {}
    for part in parts:
        with part.open(encoding="utf-8", newline="") as stream:
            found.update(dict.fromkeys(next(csv.reader(stream), [])))
    header = [c for c in _FRONT if c in found] + [c for c in found if c not in _FRONT]
    with atomic_text(path) as joined:
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


EXPORTS = {
    "labels": Export("label images (TIFF)", ".labels.tif", write=_write_labels, band_bytes=12),
    "overlay": Export("pictures with outlines (PNG)", ".overlay.png", write=_write_overlay),
    "measurements": Export(
        "table of measurements (CSV)",
        "measurements.csv",
        write=_write_measurements,
        join=_join_rows,
        part=".csv",
        measures=True,
    ),
    "rle": Export(
        "run lengths (Kaggle CSV)", "submission.csv", write=_write_rle, join=_join_rows, part=".csv", band_bytes=32
    ),
    "geojson": Export("detections for QuPath", ".geojson", write=_write_geojson, band_bytes=96, measures=True),
    "imagej": Export("regions for ImageJ and Fiji", ".rois.zip", write=_write_rois, band_bytes=72),
    "coco": Export("COCO JSON", "coco.json", write=_write_coco, join=join_coco, part=".json", band_bytes=72),
    "zarr": Export("OME-Zarr with labels", ".ome.zarr", write=_write_omezarr, needs=("zarr", "formats"), band_bytes=24),
    "ome-tiff": Export("label images as OME-TIFF", ".labels.ome.tif", write=_write_ome_labels, band_bytes=12),
    "parquet": Export(
        "table as Parquet",
        "measurements.parquet",
        write=_write_part,
        join=write_parquet,
        part=".npz",
        needs=("pyarrow.parquet", "tables"),
        measures=True,
    ),
    "anndata": Export(
        "table as AnnData",
        "measurements.h5ad",
        write=_write_part,
        join=write_anndata,
        part=".npz",
        needs=("anndata", "tables"),
        measures=True,
    ),
}
"""The kinds of file that can be written, by the names that users ask for."""
