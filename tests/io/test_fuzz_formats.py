"""Damaged files of the larger formats: an image or an `InputError` of one line, nothing else, no hang.

The long form, on real files and in processes of their own, is benchmarks/fuzz_readers.py.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from tests.io.lif_files import Series, write_lif
from tests.io.mutations import generator, mutated_copy
from tests.io.nd2_files import Recording, write_nd2

from nucleate.errors import InputError
from nucleate.io.images import open_image, read_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

MUTATIONS = 40
DRAWN = {
    "lif": "liffile", "nd2": "nd2", "packed.nd2": "nd2", "v4.zarr": "zarr", "v5.zarr": "zarr", "plate.zarr": "zarr",
    "bif": "openslide", "ome.tif": "tifffile", "tiles.tif": "tifffile",
}  # fmt: skip
"""Files to be drawn, and the library that each needs."""


def _draw(path: Path) -> Path:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 4000, (2, 3, 20, 25)).astype(np.uint16)
    colour = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    kind = path.name.removeprefix("drawn.")
    if kind == "lif":
        return write_lif(path, [Series("a", grey[0], "CYX"), Series("b", colour, "YXS")])
    if kind.endswith("nd2"):
        return write_nd2(path, Recording(grey, "ZCYX", ("a", "b", "c"), compressed=kind.startswith("packed")))
    if kind.endswith("zarr"):
        from tests.io.zarr_files import write_image, write_plate

        if kind.startswith("plate"):
            return write_plate(path, {"A/1/0": grey[0]}, version="0.4")
        return write_image(path, grey, axes="czyx", version="0.4" if kind.startswith("v4") else "0.5")
    if kind == "ome.tif":
        tifffile.imwrite(path, grey, ome=True, metadata={"axes": "CZYX"}, compression="zlib")
    else:
        tifffile.imwrite(path, colour, tile=(16, 16), photometric="rgb", compression="lzw")
    return path


def _read(path: Path) -> list[str]:
    """Read whole and by a window; give the errors of ours that came of it."""
    errors = []
    for whole in (True, False):
        try:
            if whole:
                assert read_image(path, max_bytes=50_000_000).pixels.size > 0
                continue
            with open_image(path, max_bytes=50_000_000) as image:
                one = image.channel()
                assert one.read(slice(5, 9), slice(3, 300), at=(0,) * len(one.stack_shape)).size > 0
        except InputError as error:
            errors.append(str(error))
    return errors


def _count_failures(path: Path, damaged: Path) -> int:
    found = [_read(mutated_copy(path, damaged, rng=generator(damaged.name, number))) for number in range(MUTATIONS)]
    assert not any("\n" in error for errors in found for error in errors)
    return sum(bool(errors) for errors in found)


@pytest.mark.parametrize("kind", DRAWN)
def test_damaged_files(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec(DRAWN[kind]) is None:
        pytest.skip(f"{DRAWN[kind]} is not installed (extra formats)")
    path = _draw(tmp_path / f"drawn.{kind}")
    assert _read(path) == []
    assert 0 < _count_failures(path, tmp_path / f"damaged.{kind}") <= MUTATIONS
    assert capfd.readouterr().err == ""


def test_damaged_czi(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="pylibCZIrw is not installed (extra formats)")
    path = shared_data / "formats" / "czi" / "xyz__multiple_images.czi"
    if not path.is_file():
        pytest.skip("no CZI file in the data folder")
    assert 0 < _count_failures(path, tmp_path / "damaged.czi") < MUTATIONS
