"""Writes annotated images in the two layouts that `nucleate.data.samples.load_samples` reads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path, make_folder
from nucleate.errors import OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.data.sample import Sample

__all__ = ["LAYOUTS", "labels_tiff", "write_sample"]

LAYOUTS = ("kaggle", "labels")
"""``<id>/images`` + ``<id>/masks`` with a PNG a nucleus, or ``images/`` + ``labels/`` with a label image an image."""


def write_sample(folder: Path | str, sample: Sample, *, layout: str) -> None:
    """Write one sample below a folder.

    Parameters
    ----------
    folder : path-like
        The data set; made if need be.
    sample : Sample
        Image of uint8 or uint16, and its labels.
    layout : str
        One of `LAYOUTS`. Masks are called ``<id>-00001.png`` and so on, in the order of the ids.

    Raises
    ------
    OutputError
        If the sample is there already (leftover masks would spoil the truth), or a file cannot be written.
    """
    folder = Path(folder)
    if layout == "kaggle":
        place = folder / sample.image_id
        if place.exists():
            raise OutputError(f"{place} is there already; choose an empty output folder")
        images, masks = make_folder(place / "images"), make_folder(place / "masks")
        _write_png(images / f"{sample.image_id}.png", sample.image)
        for number in range(1, int(sample.labels.max(initial=0)) + 1):
            mask = (sample.labels == number).astype(np.uint8) * np.uint8(255)
            _write_png(masks / f"{sample.image_id}-{number:05d}.png", mask)
        return
    image, labels = folder / "images" / f"{sample.image_id}.png", folder / "labels" / f"{sample.image_id}.tif"
    for path in (image, labels):
        if path.exists():
            raise OutputError(f"{path} is there already; choose an empty output folder")
        make_folder(path.parent)
    _write_png(image, sample.image)
    with atomic_path(labels) as temporary:
        temporary.write_bytes(labels_tiff(sample.labels))


def _write_png(path: Path, pixels: NDArray[Any]) -> None:
    import imagecodecs

    with atomic_path(path) as temporary:
        temporary.write_bytes(imagecodecs.png_encode(pixels))


def labels_tiff(labels_HW: NDArray[np.int32]) -> bytes:
    """Give a label image (H, W) as a TIFF file, in 16 bits where its ids allow."""
    import tifffile

    data = io.BytesIO()
    narrow = np.uint16 if labels_HW.max(initial=0) < 2**16 else np.uint32
    tifffile.imwrite(data, labels_HW.astype(narrow), compression="zlib")
    return data.getvalue()
