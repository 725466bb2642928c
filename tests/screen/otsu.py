"""A segmenter without a network that finds bright, separate nuclei: blur, Otsu's threshold, components."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu
from tests.fakes import FakeSegmentation, run_with

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.core.image import Image


class OtsuSegmenter:
    min_confidence = 0.0

    def __init__(self, least: int = 12, *, blur: float = 1.0, factor: float = 1.0) -> None:
        self.least, self.blur, self.factor = least, blur, factor

    def estimate_bytes(self, shape_HW: tuple[int, int], *, max_bytes: int | None = None) -> int:
        del max_bytes
        return 64 * shape_HW[0] * shape_HW[1]

    def survey(self, plane: object) -> Any:  # noqa: ANN401 - stands for a Segmenter's
        del plane
        return SimpleNamespace(scale=1.0)

    def warm_up(self) -> None:
        """Be ready."""

    def at_scale(self, scale: float, *, tile: int | None = None) -> Any:  # noqa: ANN401 - stands for a Segmenter
        del tile
        found: Any = copy.copy(self)
        found.settings = replace(found.settings, scale=scale)
        return found

    def segment(self, image: Image, *, max_bytes: int | None = None) -> FakeSegmentation:
        del max_bytes
        smooth = ndimage.gaussian_filter(image.pixels.astype(np.float64), self.blur)
        level = float(threshold_otsu(smooth))  # type: ignore[no-untyped-call]
        pieces, _ = ndimage.label(smooth > self.factor * level)
        keep = np.bincount(pieces.ravel()) >= self.least
        keep[0] = False
        labels = (np.cumsum(keep) * keep)[pieces].astype(np.int32)
        # Larger nuclei are surer, so that reports have something to rank.
        sizes = np.bincount(labels.ravel())[1:]
        return FakeSegmentation(labels, (sizes / (sizes + 20.0)).astype(np.float32))


def leave(*words: str | Path, code: int = 0) -> None:
    """Run the command line with Otsu in place of a model, and check the exit code."""
    with pytest.raises(SystemExit) as left:
        run_with(OtsuSegmenter(), [str(word) for word in words], name="otsu")
    assert left.value.code == code
