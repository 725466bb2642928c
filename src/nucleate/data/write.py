"""Writes annotated images in the two layouts that `nucleate.data.samples.load_samples` reads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_folder, atomic_path, make_folder
from nucleate.errors import OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.data.sample import Sample

__all__ = ["labels_tiff", "picture_file", "tiff", "write_sample"]


def picture_file(folder: Path | str, image_id: str, *, layout: str) -> Path:
    """Name the file of a sample's picture; if it exists, so does everything else that `write_sample` writes of it."""
    top = Path(folder) / image_id if layout == "kaggle" else Path(folder)
    return top / "images" / f"{image_id}.png"


def write_sample(folder: Path | str, sample: Sample, *, layout: str) -> None:
    """Write one sample below a folder, whole or not at all.

    Parameters
    ----------
    folder : path-like
        The data set; made if it is missing.
    sample : Sample
        Image of uint8 or uint16, and its labels.
    layout : {"kaggle", "labels"}
        ``<id>/images`` + ``<id>/masks`` with one PNG a nucleus, called ``<id>-00001.png`` and so on in the order of the
        ids; or ``images/`` + ``labels/`` with one label image an image.

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
        make_folder(folder)
        with atomic_folder(place) as temporary:
            images, masks = make_folder(temporary / "images"), make_folder(temporary / "masks")
            (images / f"{sample.image_id}.png").write_bytes(_png(sample.image))
            for number in range(1, int(sample.labels.max(initial=0)) + 1):
                mask = (sample.labels == number).astype(np.uint8) * np.uint8(255)
                (masks / f"{sample.image_id}-{number:05d}.png").write_bytes(_png(mask))
        return
    image = picture_file(folder, sample.image_id, layout=layout)
    labels = folder / "labels" / f"{sample.image_id}.tif"
    if image.exists():  # labels without the picture are left by a call that was stopped
        raise OutputError(f"{image} is there already; choose an empty output folder")
    for path in (image, labels):
        make_folder(path.parent)
    with atomic_path(image) as picture, atomic_path(labels) as truth:  # the picture appears last
        picture.write_bytes(_png(sample.image))
        truth.write_bytes(labels_tiff(sample.labels))


def _png(pixels: NDArray[Any]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(pixels))


def labels_tiff(labels_HW: NDArray[np.int32]) -> bytes:
    """Give a label image (H, W) as a TIFF file, in 16 bits if its ids allow."""
    return tiff(labels_HW.astype(np.uint16 if labels_HW.max(initial=0) < 2**16 else np.uint32))


def tiff(pixels: NDArray[Any]) -> bytes:
    """Give a picture (H, W) or (H, W, 3) as a TIFF file, compressed without loss."""
    import tifffile

    data = io.BytesIO()
    tifffile.imwrite(data, pixels, compression="zlib", photometric="rgb" if pixels.ndim == 3 else "minisblack")
    return data.getvalue()
