"""Small files for the tests of data sets."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np

from nucleate.data.pictures import open_pictures
from nucleate.data.samples import load_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.data.sample import Sample


def png(pixels: Any) -> bytes:  # noqa: ANN401  anything that numpy turns into an array
    """Give the bytes of a PNG."""
    return bytes(imagecodecs.png_encode(np.asarray(pixels, dtype=getattr(pixels, "dtype", np.uint8))))


def npy(pixels: Any) -> bytes:  # noqa: ANN401  anything that numpy turns into an array
    """Give the bytes of a NumPy file, pickled where the array holds objects."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(pixels), allow_pickle=True)
    return buffer.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files below a folder; a name that ends with a slash makes an empty folder."""
    for name, data in files.items():
        if name.endswith("/"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder


def pack(path: Path, files: dict[str, bytes]) -> Path:
    """Write files into a new zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def read_samples(path: Path | str) -> list[Sample]:
    """Read a training set as `load_samples` does, without what a cache holds."""
    with tempfile.TemporaryDirectory() as folder:
        return load_samples(path, cache=Path(folder))


def picture_of(path: Path | str, image_id: str) -> Any:  # noqa: ANN401  lists of lists
    """Give the rows of a picture as `open_pictures` finds it; None where it does not."""
    found = open_pictures(path)(image_id)
    return None if found is None else found.tolist()


def two_nuclei(top: str = "") -> dict[str, bytes]:
    """Two images of 2 x 3 in Kaggle's layout: ``one`` with masks that share a pixel, ``two`` with one mask."""
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    rgba = np.dstack([image, image, image, np.full_like(image, 255)])
    return {
        f"{top}one/images/one.png": png(rgba),
        f"{top}one/masks/b.png": png([[0, 255, 255], [0, 0, 0]]),
        f"{top}one/masks/a.png": png([[255, 255, 0], [0, 0, 0]]),
        f"{top}two/images/two.png": png(np.dstack([image, image + 1, image])),
        f"{top}two/masks/c.png": png([[0, 0, 0], [0, 0, 255]]),
    }


ONE = [[1, 1, 2], [0, 0, 0]]
"""Labels of image ``one``: the shared pixel goes to the mask that is first by name."""


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Sizes and times of every file below a folder."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


def flip(path: Path, place: int) -> None:
    """Damage one byte of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


def equal(first: NDArray[Any], second: Any) -> bool:  # noqa: ANN401  lists too
    """Tell whether shapes and values are the same."""
    return bool(np.array_equal(first, np.asarray(second)))
