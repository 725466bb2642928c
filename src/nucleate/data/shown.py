"""Sample pictures for a first look, made from what comes with the install: nothing is fetched from a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nucleate.core.files import atomic_path, make_folder
from nucleate.data.synth import STYLES, Scene, draw

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["tissue", "write_pictures"]

_SEED = 20


def tissue() -> NDArray[np.uint8]:
    """Give a photograph of stained tissue (512, 512, 3), from scikit-image."""
    import skimage.data

    pixels: Any = skimage.data.immunohistochemistry()  # type: ignore[no-untyped-call]  # it has no annotations
    return np.asarray(pixels)


def write_pictures(folder: Path) -> tuple[list[Path], dict[str, NDArray[Any]]]:
    """Write `tissue`, and a drawn picture of each style.

    Parameters
    ----------
    folder : Path
        Made where it is missing; pictures of these names are replaced.

    Returns
    -------
    (list of Path, dict of str to (H, W) int ndarray)
        The PNG files, and the truth of the drawn ones by name.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    pictures: dict[str, NDArray[Any]] = {"tissue": tissue()}
    truth: dict[str, NDArray[Any]] = {}
    for number, style in enumerate(STYLES):
        name = f"drawn-{style}"
        pictures[name], truth[name] = draw(Scene(style=style), np.random.default_rng([_SEED, number]))
    make_folder(folder)
    for name, pixels in pictures.items():
        with atomic_path(folder / f"{name}.png") as temporary:
            Image.fromarray(pixels).save(temporary)
    return [folder / f"{name}.png" for name in pictures], truth
