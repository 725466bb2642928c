"""OME-Zarr images and plates for tests, written with zarr and metadata by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write_group(folder: Path, metadata: dict[str, Any], *, version: str = "0.5") -> Path:
    """Write a group with its metadata; 0.4 is Zarr 2, 0.5 is Zarr 3."""
    if version == "0.5":
        zarr.open_group(folder, mode="a", zarr_format=3).attrs["ome"] = {"version": version, **metadata}
    else:
        zarr.open_group(folder, mode="a", zarr_format=2).attrs.update(metadata)
    return folder


def write_image(
    folder: Path,
    pixels: NDArray[Any],
    *,
    axes: str = "yx",
    version: str = "0.5",
    channels: tuple[str, ...] = (),
    scale_um: float | None = 0.5,
    **options: Any,  # noqa: ANN401 - zarr's own
) -> Path:
    """Write an image of two levels, the second of half the size."""
    named = [{"name": letter, "type": TYPES[letter]} for letter in axes]
    if scale_um is not None:
        named = [axis | ({"unit": "micrometer"} if axis["type"] == "space" else {}) for axis in named]
    datasets = []
    for level in range(2):
        step = 2**level
        part = pixels[(..., slice(None, None, step), slice(None, None, step))]
        scale = [(scale_um or 1.0) * step if letter in "yx" else 1.0 for letter in axes]
        transformations = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
        given = {"chunks": tuple(min(n, 16) for n in part.shape)} | options
        array = zarr.create_array(
            folder / str(level), shape=part.shape, dtype=part.dtype, zarr_format=3 if version == "0.5" else 2, **given
        )
        array[...] = part
    metadata: dict[str, Any] = {"multiscales": [{"version": version, "axes": named, "datasets": datasets}]}
    if channels:
        metadata["omero"] = {"channels": [{"label": name, "color": "FFFFFF"} for name in channels]}
    return write_group(folder, metadata, version=version)


def write_plate(folder: Path, fields: dict[str, NDArray[Any]], *, version: str = "0.5", axes: str = "cyx") -> Path:
    """Write a plate; the keys are like ``A/1/0``: row, column, field."""
    wells: dict[str, list[str]] = {}
    for path, pixels in fields.items():
        row, column, field = path.split("/")
        wells.setdefault(f"{row}/{column}", []).append(field)
        write_image(folder / path, pixels, axes=axes, version=version, channels=("DAPI", "actin"))
    for well, numbers in wells.items():
        write_group(folder / well.split("/", maxsplit=1)[0], {}, version=version)
        write_group(folder / well, {"well": {"images": [{"path": number} for number in numbers]}}, version=version)
    plate = {"name": "test", "wells": [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in wells]}
    return write_group(folder, {"plate": plate}, version=version)
