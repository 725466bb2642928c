"""One small zip of a data set, to move it to another machine: the same pixels, the same labels, far fewer bytes."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path
from nucleate.core.names import read_names
from nucleate.core.text import one_line
from nucleate.data.pixels import PICTURE_SUFFIXES
from nucleate.data.write import labels_tiff, tiff
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample

__all__ = ["pack"]

_EFFORT = {"quality": 75, "method": 4}  # for the search for the smallest file; the pixels are exact in any case


def pack(samples: Sequence[Sample], path: Path) -> None:
    """Write ``images/<id>.webp`` and ``labels/<id>.tif`` into one zip, which `load_samples` reads like a folder.

    WebP is lossless here. Pictures that are not 8 bit, or too large for WebP, are written as TIFF.

    Parameters
    ----------
    samples : sequence of Sample
    path : Path
        The zip; replaced if it is there.

    Raises
    ------
    DataError
        If a name is no text, or would be read back as another name.
    OutputError
        If it cannot be written.
    """
    _check_ids([sample.image_id for sample in samples])
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as target:
        for sample in samples:
            suffix, data = _picture(sample.image)
            target.writestr(f"images/{sample.image_id}{suffix}", data)
            target.writestr(f"labels/{sample.image_id}.tif", labels_tiff(sample.labels))


def _check_ids(ids: list[str]) -> None:
    for image_id in ids:
        if not image_id.isprintable():
            raise DataError(f"{one_line(image_id)}: its name is no text that a zip can hold; rename it")
    written = [(f"{folder}/{image_id}.tif", image_id) for image_id in ids for folder in ("images", "labels")]
    read = read_names((name for name, _ in written), suffixes=PICTURE_SUFFIXES)
    for name, image_id in written:
        if name not in read or read[name].image_id != image_id:
            raise DataError(f"{image_id}: its name would be read as another one from a zip; rename it")


def _picture(pixels: NDArray[Any]) -> tuple[str, bytes]:
    from PIL import Image

    most = 16_383  # rows and columns of a WebP file
    if pixels.dtype != np.uint8 or max(pixels.shape[:2]) > most:
        return ".tif", tiff(pixels)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "WEBP", lossless=True, exact=True, **_EFFORT)
    return ".webp", data.getvalue()
