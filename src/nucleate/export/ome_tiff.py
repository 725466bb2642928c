"""Label images as OME-TIFF, the TIFF with a description that OMERO, QuPath and Bio-Formats read."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from nucleate.core.files import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["write_ome_labels"]


def write_ome_labels(
    path: Path | str,
    labels: NDArray[Any],
    *,
    axes: str | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    name: str = "labels",
) -> None:
    """Write a label image or stack: uint16, or uint32 when an id is above 65535; zlib-compressed, without loss.

    Parameters
    ----------
    path : Path or str
        Where to, ``.ome.tif``; an existing file is replaced.
    labels : (..., H, W) int ndarray
        0 background, ids from 1.
    axes : str, optional
        Letters of the axes, as in `nucleate.core.image.Image`; pages (``I``) when None. OME has no pages: they become
        time, or channels where they stand beside time or depth.
    pixel_size_um : (float, float), optional
        Height and width of a pixel.
    name : str
        Of the picture within the file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    axes = axes or "I" * (labels.ndim - 2) + "YX"
    pages = "C" if set(axes) & set("TZ") else "T"
    letters = "".join(pages if axis == "I" else axis for axis in axes)
    data = np.ascontiguousarray(labels, np.uint16 if int(labels.max(initial=0)) <= 65535 else np.uint32)
    # A file's identity by its content: drawn by chance, as is usual, the same labels would give another file each time.
    identity = uuid.uuid5(
        uuid.NAMESPACE_OID, f"{name} {letters} {data.shape} {hashlib.sha256(data.tobytes()).hexdigest()}"
    )
    metadata: dict[str, Any] = {"axes": letters, "Name": name, "UUID": str(identity), "Creator": "nucleate"}
    if pixel_size_um is not None:
        metadata |= {"PhysicalSizeY": pixel_size_um[0], "PhysicalSizeX": pixel_size_um[1]}
        metadata |= {"PhysicalSizeYUnit": "µm", "PhysicalSizeXUnit": "µm"}
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            ome=True,
            photometric="minisblack",
            compression="zlib",
            metadata=metadata,
        )
