"""Segmentation: the nuclei found in one image, with their measurements, outlines and files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.checks import as_path
from nucleate.core.files import in_file_name, plain_name, short_name
from nucleate.core.lazy import lazy
from nucleate.core.outlines import trace
from nucleate.errors import UsageError
from nucleate.run import outputs
from nucleate.run.exports import EXPORTS
from nucleate.run.naming import split_picture
from nucleate.run.results import Result
from nucleate.run.settings import DEFAULT_EXPORTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.checks import AnyPath
    from nucleate.core.image import Image

__all__ = ["Segmentation"]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The nuclei of one image; equal to nothing but itself.

    Parameters
    ----------
    labels : (..., H, W) int32 ndarray
        Label image on the image's own pixel grid, or a stack of label images along the image's axes T, Z, I; ids 1..n
        without gaps, each in one plane only.
    confidence : (n,) float32 ndarray
        Entry ``i`` belongs to nucleus ``i + 1``; 0..1, see `nucleate.post.confidence`.
    image : Image
        As given, with all its channels.
    channel : str or int, optional
        The channel of `image` that was segmented; None is the nuclear stain.
    """

    labels: NDArray[np.int32]
    confidence: NDArray[np.float32]
    image: Image
    channel: str | int | None = None

    def __len__(self) -> int:
        """Count the nuclei."""
        return len(self.confidence)

    @cached_property
    def table(self) -> dict[str, NDArray[Any]]:
        """Measurements by column, one entry a nucleus in the order of the ids (see `nucleate.export.measurements`).

        A stack also has the column ``plane``, counted from 0; a stack in time and depth has ``time`` and ``z``, too.
        """
        return self._result.table

    def outlines(self) -> list[NDArray[np.float64]]:
        """Give the outer polygon of each nucleus.

        Returns
        -------
        list of (k, 2) float64 ndarray
            Entry ``i`` belongs to nucleus ``i + 1``: corners (row, col) along pixel edges, the centre of the first
            pixel is (0, 0). If a nucleus has several pieces, the largest is taken. For holes, see
            `nucleate.core.outlines.trace`.
        """
        found = [np.empty((0, 2))] * len(self)
        largest = np.zeros(len(self))
        for labels in self.labels.reshape(-1, *self.labels.shape[-2:]):
            for outline in trace(labels):
                if outline.area > largest[outline.label - 1]:
                    found[outline.label - 1], largest[outline.label - 1] = outline.points, outline.area
        return found

    def save(self, folder: AnyPath, exports: Iterable[str] = DEFAULT_EXPORTS, *, name: str | None = None) -> None:
        """Write results into a folder, as ``nucleate segment`` does.

        Parameters
        ----------
        folder : path-like
            Made where it is missing. Several images may be saved into one folder under different names; the common
            tables then hold all of them.
        exports : str or iterable of str
            Of `nucleate.run.exports.EXPORTS`, with commas between in one text.
        name : str, optional
            Of the files; when None the image's name without its suffix, as ``mice_Series_2`` for one picture of a file
            that holds several. Files of that name are replaced; if ``nucleate segment`` wrote them, its summary.csv
            counts these nuclei instead.

        Raises
        ------
        UsageError
            If there is no such export, `name` cannot be the name of a file, or `folder` is no path.
        MissingExtraError
            If an export needs a library that is not installed.
        OutputError
            If a file cannot be written.
        """
        output = as_path(folder)
        if not isinstance(exports, Iterable):
            raise UsageError(f"exports = {exports!r}; name some of {', '.join(EXPORTS)}")
        wanted = outputs.check_exports(exports if isinstance(exports, str) else ",".join(map(str, exports)))
        stem = name or _stem(self.image)
        outputs.check_name(stem)
        outputs.prepare_folder(output)
        with outputs.alone(output, wait=True):
            outputs.write_result(result := replace(self._result, name=stem), output, exports=wanted)
            outputs.join_tables(output, [], exports=wanted, new=stem)
            if {"labels", "measurements"} <= set(wanted):  # if only one is written, the other stays as it was
                outputs.correct_counts(output, result)

    @cached_property
    def _result(self) -> Result:
        image = lazy(self.image)
        return Result("image", image, image.channel(self.channel), self.labels, self.confidence)


def _stem(image: Image) -> str:
    file, part = split_picture(image)
    stem = PurePath(file).stem
    whole = f"{stem.removesuffix('.ome')}_{in_file_name(part)}" if part else stem
    return plain_name(short_name(whole or "image"))
