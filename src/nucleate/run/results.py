"""One segmented input, and the writers of everything that is made of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.labels import areas
from nucleate.core.normalize import to_grey
from nucleate.export.coco import Picture, write_coco
from nucleate.export.geojson import write_geojson
from nucleate.export.imagej_roi import write_rois
from nucleate.export.label_tiff import write_labels
from nucleate.export.measurements import measure, write_measurements
from nucleate.export.ome_tiff import write_ome_labels
from nucleate.export.omezarr_labels import write_omezarr
from nucleate.export.overlay import write_overlay
from nucleate.export.rle_csv import write_submission
from nucleate.export.shapes import positions
from nucleate.export.tables import write_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.image import Image

__all__ = ["WRITERS", "Result"]


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

    @property
    def text(self) -> str:
        """Its name for files of text: a file name may hold bytes that are none, and UTF-8 cannot take them."""
        return self.name.encode("utf-8", "backslashreplace").decode("utf-8")

    @property
    def axes(self) -> str:
        """Axes of `labels`."""
        return "".join(axis for axis in self.shown.axes if axis in "TZIYX")

    @property
    def planes(self) -> list[tuple[int | None, NDArray[np.int32]]]:
        """Number (None for a single picture) and labels of each plane."""
        flat = self.labels.reshape(-1, *self.labels.shape[-2:])
        return [(number if self.axes != "YX" else None, labels) for number, labels in enumerate(flat)]

    @cached_property
    def tables(self) -> list[dict[str, NDArray[Any]]]:
        """Measurements of each plane; computed once however many files want them."""
        tables = []
        for (number, labels), pictures in zip(self.planes, self._pictures(), strict=True):
            table = measure(labels, pictures, pixel_size_um=self.image.pixel_size_um)
            table["confidence"] = self.confidence[table["label"] - 1].astype(np.float64)
            plane = {} if number is None else {"plane": np.full(len(table["label"]), number)}
            tables.append(plane | table)
        return tables

    def _pictures(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Give the picture of every channel, in grey, plane by plane."""
        image = self.image
        count = image.pixels.shape[image.axes.index("C")] if "C" in image.axes else 1
        names = image.channel_names if len(image.channel_names) == count > 1 else [str(i) for i in range(count)]
        channels = {name: image.channel(i) for i, name in enumerate(names)} if count > 1 else {"": image.channel(0)}
        for pictures in zip(*(channel.planes() for channel in channels.values()), strict=True):
            yield {
                name: to_grey(picture) if picture.ndim == 3 else picture
                for name, picture in zip(channels, pictures, strict=True)
            }


def _write_labels(result: Result, path: Path) -> None:
    write_labels(path, result.labels, pixel_size_um=result.image.pixel_size_um, axes=result.axes)


def _write_ome_labels(result: Result, path: Path) -> None:
    size = result.image.pixel_size_um
    write_ome_labels(path, result.labels, axes=result.axes, pixel_size_um=size, name=result.text)


def _write_overlay(result: Result, path: Path) -> None:
    # One picture stands for a stack: the plane with the most nuclei says most about the result.
    stack = result.labels.reshape(-1, *result.labels.shape[-2:])
    index = max(range(len(stack)), key=lambda i: len(np.unique(stack[i]))) if len(stack) > 1 else 0
    write_overlay(path, next(itertools.islice(result.shown.planes(), index, None)), labels=stack[index])


def _write_measurements(result: Result, path: Path) -> None:
    write_measurements(path, [(result.text, table) for table in result.tables])


def _write_part(result: Result, path: Path) -> None:
    tables = result.tables
    table = {column: np.concatenate([one[column] for one in tables]) for column in tables[0]}
    write_part(path, result.text, table=table)


def _write_rle(result: Result, path: Path) -> None:
    name = result.text
    write_submission(path, ((name if n is None else f"{name}-{n}", labels) for n, labels in result.planes))


def _write_geojson(result: Result, path: Path) -> None:
    places = positions(result.axes[:-2], result.labels.shape[:-2])
    planes = zip(result.planes, places, result.tables, strict=True)
    write_geojson(path, ((None if n is None else place, labels, table) for (n, labels), place, table in planes))


def _write_rois(result: Result, path: Path) -> None:
    image = result.image
    channels = image.pixels.shape[image.axes.index("C")] if "C" in image.axes else 1
    write_rois(path, result.labels, axes=result.axes[:-2], channels=channels, confidence=result.confidence)


def _write_coco(result: Result, path: Path) -> None:
    confidences = [result.confidence[np.flatnonzero(areas(labels))] for _, labels in result.planes]
    name = result.image.name.replace("\\", "/").rsplit("/", 1)[-1]
    planes = zip(result.planes, confidences, strict=True)
    write_coco(path, (Picture(name, labels, confidence, plane=n) for (n, labels), confidence in planes))


def _write_omezarr(result: Result, path: Path) -> None:
    write_omezarr(path, result.labels, axes=result.axes, image=result.image, confidence=result.confidence)


WRITERS: dict[str, Callable[[Result, Path], None]] = {
    "labels": _write_labels,
    "overlay": _write_overlay,
    "measurements": _write_measurements,
    "rle": _write_rle,
    "geojson": _write_geojson,
    "imagej": _write_rois,
    "coco": _write_coco,
    "zarr": _write_omezarr,
    "ome-tiff": _write_ome_labels,
    "parquet": _write_part,
    "anndata": _write_part,
}
"""Each takes a result and the path of its file or folder, or of its part of a file of the whole run."""
