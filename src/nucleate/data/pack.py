"""One small zip of a data set, to take along to another machine: the same pixels, the same labels, far fewer bytes."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path
from nucleate.core.text import one_line
from nucleate.data.write import labels_tiff
from nucleate.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample

__all__ = ["pack"]

_EFFORT = {"quality": 75, "method": 4}  # of the search for the smallest file; the pixels are exact whatever it is


def pack(samples: Iterable[Sample], path: Path) -> None:
    """Write ``images/<id>.webp`` and ``labels/<id>.tif`` into one zip, which `load_samples` reads like a folder.

    WebP is lossless here. Pictures that are not 8 bit, or too large for WebP, are written as TIFF.

    Parameters
    ----------
    samples : iterable of Sample
    path : Path
        The zip; replaced if it is there.

    Raises
    ------
    DataError
        If a name is no text.
    OutputError
        If it cannot be written.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as target:
        for sample in samples:
            if not sample.image_id.isprintable():
                raise DataError(f"{one_line(sample.image_id)}: its name is no text that a zip can hold; rename it")
            suffix, data = _picture(sample.image)
            target.writestr(f"images/{sample.image_id}{suffix}", data)
            target.writestr(f"labels/{sample.image_id}.tif", labels_tiff(sample.labels))


def _picture(pixels: NDArray[Any]) -> tuple[str, bytes]:
    from PIL import Image

    most = 16_383  # rows and columns of a WebP file
    if pixels.dtype != np.uint8 or max(pixels.shape[:2]) > most:
        return ".tif", _tiff(pixels)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "WEBP", lossless=True, exact=True, **_EFFORT)
    return ".webp", data.getvalue()


def _tiff(pixels: NDArray[Any]) -> bytes:
    import tifffile

    data = io.BytesIO()
    tifffile.imwrite(data, pixels, compression="zlib", photometric="rgb" if pixels.ndim == 3 else "minisblack")
    return data.getvalue()
