"""Sample pictures for a first look, made from installed packages: nothing is fetched from a network."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nucleate.core.files import atomic_path, make_folder
from nucleate.data.synth import STYLES, Scene, draw
from nucleate.errors import NucleateError, UsageError
from nucleate.io.images import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["PICTURES", "tissue", "write_pictures"]

PICTURES = ("tissue", *(f"drawn-{style}" for style in STYLES))
"""Names of the pictures."""

_SEED = 20


def tissue() -> NDArray[np.uint8]:
    """Give a photograph of stained tissue (512, 512, 3), from scikit-image."""
    import skimage.data

    pixels: Any = skimage.data.immunohistochemistry()  # type: ignore[no-untyped-call]  # it has no annotations
    return np.asarray(pixels)


def write_pictures(folder: Path) -> tuple[list[Path], dict[str, NDArray[Any]]]:
    """Write `tissue`, and a drawn picture of each style; pictures that are there already stay as they are.

    Parameters
    ----------
    folder : Path
        Made where it is missing.

    Returns
    -------
    (list of Path, dict of str to (H, W) int ndarray)
        The PNG files in the order of `PICTURES`, and the truth of the drawn pictures by name.

    Raises
    ------
    UsageError
        If another picture has one of these names; nothing is written then.
    OutputError
        If they cannot be written.
    """
    drawn = [draw(Scene(style=style), np.random.default_rng([_SEED, at])) for at, style in enumerate(STYLES)]
    pixels = [tissue(), *(image for image, _ in drawn)]
    files = [folder / f"{name}.png" for name in PICTURES]
    missing = [file for file, wanted in zip(files, pixels, strict=True) if not _is_there(file, wanted)]
    make_folder(folder)
    for file, wanted in zip(files, pixels, strict=True):
        if file in missing:
            with atomic_path(file) as temporary:
                Image.fromarray(wanted).save(temporary)
    return files, dict(zip(PICTURES[1:], (labels for _, labels in drawn), strict=True))


def _is_there(file: Path, wanted: NDArray[Any]) -> bool:
    if not file.exists():
        return False
    with contextlib.suppress(NucleateError):
        if np.array_equal(read_image(file).pixels, wanted):
            return True
    raise UsageError(f"{file} is another picture than the sample of that name; choose another output folder")
