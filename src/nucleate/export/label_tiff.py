"""Label images as TIFF that ImageJ, QuPath, CellProfiler and Python open with the pixel size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from nucleate.core.files import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["write_labels"]


def write_labels(
    path: Path | str,
    labels: NDArray[Any],
    *,
    pixel_size_um: tuple[float, float] | None = None,
    axes: str | None = None,
) -> None:
    """Write a label image or stack: uint16, or uint32 when an id is above 65535; zlib-compressed, without loss.

    Parameters
    ----------
    path : Path or str
        Where to; an existing file is replaced.
    labels : (..., H, W) int ndarray
        0 background, ids from 1.
    pixel_size_um : (float, float), optional
        Height and width of a pixel; stored as ImageJ does.
    axes : str, optional
        Letters of the axes, as in `nucleate.core.image.Image`; pages (``I``) when None. ImageJ knows pages as time.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    highest = int(labels.max(initial=0))
    data = np.ascontiguousarray(labels, np.uint16 if highest <= 65535 else np.uint32)
    axes = axes or "I" * (data.ndim - 2) + "YX"
    lines = ["ImageJ=1.54f", f"images={int(np.prod(data.shape[:-2]))}"]
    counts = _imagej_counts(axes[:-2], data.shape[:-2])
    lines += [f"{key}={count}" for key, count in counts.items()] + ["hyperstack=true"] * bool(counts) + ["loop=false"]
    options: dict[str, Any] = {}
    if pixel_size_um is not None:
        lines.append("unit=micron")
        options = {"resolution": (1 / pixel_size_um[1], 1 / pixel_size_um[0]), "resolutionunit": "NONE"}
    lines += ["min=0.0", f"max={float(max(highest, 1))}"]  # the display range: dim ids would look black otherwise
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            data,
            photometric="minisblack",
            compression="zlib",
            description="\n".join(lines) + "\n",
            metadata=None,
            **options,
        )


def _imagej_counts(axes: str, lengths: tuple[int, ...]) -> dict[str, int]:
    # ImageJ knows time, depth and channels, in this order: pages beside one of the others have to be channels.
    pages = "frames" if set(axes) == {"I"} else "channels"
    names = {"T": "frames", "Z": "slices", "C": "channels", "I": pages}
    counts: dict[str, int] = {}
    for letter, length in zip(axes, lengths, strict=True):
        counts[names[letter]] = counts.get(names[letter], 1) * length
    return counts
