"""The shipped model, tile by tile against the whole: no nucleus gained, lost, cut or merged. The full form, on real
pictures of every kind with tiles of 256 to 4,096 px, is benchmarks/tiling.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nucleate.api import load_segmenter
from nucleate.core.labels import overlap_table
from nucleate.data.synth import Scene, draw
from nucleate.run.segmenter import Segmenter, SegmentSettings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def check_tiles(plane: NDArray[Any], tile: int) -> None:
    model = load_segmenter(device="cpu", threads=1)
    once = model.card.model_copy(update={"tile": 2 * max(plane.shape)})
    whole, _ = Segmenter(model.engine, once).segment_plane(plane)
    tiled, _ = Segmenter(model.engine, model.card, settings=SegmentSettings(tile=tile)).segment_plane(plane)
    assert whole.max() > 10
    pairs, shared = overlap_table(whole, tiled)
    real = (pairs > 0).all(axis=1)
    # One partner each, and the same number: none gained, lost, cut or merged.
    assert tiled.max() == whole.max() == np.count_nonzero(real)
    assert whole.size - shared[pairs[:, 0] == pairs[:, 1]].sum() <= whole.size / 100_000


def test_a_drawn_picture(shipped_model: Path) -> None:
    assert shipped_model.is_file()
    scene = Scene(size=(256, 704), nuclei=90, touching=0.4)
    check_tiles(draw(scene, np.random.default_rng(0))[0], 256)


def test_a_real_picture(shipped_model: Path, dsb_zip: Path) -> None:
    from nucleate.data.kaggle import list_images

    assert shipped_model.is_file()
    wide = "20b20ab049372d184c705acebe7af026d3580f5fd5a72ed796e3622e1685af2f"
    plane = next(iter(dict(list_images(dsb_zip))[wide]().planes()))
    check_tiles(np.asarray(plane)[:256, :704], 256)
