"""Label images as OME-TIFF, the TIFF with a description that OMERO, QuPath and Bio-Formats read."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from nucleate.core.bands import PlaneOf, places_of
from nucleate.core.files import atomic_path
from nucleate.export.label_tiff import label_type, pages, parts_of

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.core.bands import Labels

__all__ = ["write_ome_labels"]


def write_ome_labels(
    path: Path | str,
    labels: Labels,
    *,
    axes: str | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    name: str = "labels",
    z_step_um: float | None = None,
    t_step_s: float | None = None,
) -> None:
    """Write a label image or stack: uint16, or uint32 when an id is above 65535; zlib-compressed, without loss.

    Parameters
    ----------
    path : Path or str
        Where to, ``.ome.tif``; an existing file is replaced.
    labels : (..., H, W) Labels
        0 background, ids from 1; read part by part.
    axes : str, optional
        Letters of the axes, as in `nucleate.core.image.Image`; pages (``I``) when None. OME has no pages: they become
        time, or channels if there is time or depth, too.
    pixel_size_um : (float, float), optional
        Height and width of a pixel.
    name : str
        Of the picture within the file.
    z_step_um : float, optional
        From one plane in depth to the next.
    t_step_s : float, optional
        From one plane in time to the next.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    axes = axes or "I" * (len(labels.shape) - 2) + "YX"
    unknown = "C" if set(axes) & set("TZ") else "T"
    letters = "".join(unknown if axis == "I" else axis for axis in axes)
    dtype, _ = label_type(labels)
    # The file's identifier follows from its content: a random one, as is usual, would make each file different.
    identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {letters} {tuple(labels.shape)} {_hash(labels, dtype)}")
    metadata: dict[str, Any] = {"axes": letters, "Name": name, "UUID": str(identity), "Creator": "nucleate"}
    if pixel_size_um is not None:
        metadata |= {"PhysicalSizeY": pixel_size_um[0], "PhysicalSizeX": pixel_size_um[1]}
        metadata |= {"PhysicalSizeYUnit": "µm", "PhysicalSizeXUnit": "µm"}
    if z_step_um is not None and "Z" in letters:
        metadata |= {"PhysicalSizeZ": z_step_um, "PhysicalSizeZUnit": "µm"}
    if t_step_s is not None and "T" in axes:
        metadata |= {"TimeIncrement": t_step_s, "TimeIncrementUnit": "s"}
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, ome=True, metadata=metadata, **pages(labels, dtype))


def _hash(labels: Labels, dtype: np.dtype[Any]) -> str:
    digest = hashlib.sha256()
    for at in places_of(labels):
        for part in parts_of(PlaneOf(labels, at)):
            digest.update(np.ascontiguousarray(part, dtype).data)
    return digest.hexdigest()
