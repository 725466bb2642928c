"""A segmenter without a network, for tests of everything around it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
from scipy import ndimage

from nucleate.core.normalize import to_grey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.image import Image

breaks_off = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Of tests that break off threads: one that was just opening a file has none yet that it could close, so the
interpreter closes it, and says so."""


@dataclass(frozen=True)
class FakeSegmentation:
    labels: NDArray[np.int32]
    confidence: NDArray[np.float32]


@dataclass
class FakeSegmenter:
    """Everything above the middle of the value range is nucleus; `delay` seconds of waiting a picture."""

    delay: float = 0.0
    error: Exception | None = None
    min_confidence: float = 0.0

    def estimate_bytes(self, shape_HW: tuple[int, int], *, max_bytes: int | None = None) -> int:
        del max_bytes
        return 64 * shape_HW[0] * shape_HW[1]

    def survey(self, plane: object) -> Any:  # noqa: ANN401 - stands for a Segmenter's
        raise AssertionError(f"a plane of {plane} is large for a fake")

    def warm_up(self) -> None:
        """Be ready."""

    def at_scale(self, scale: float, *, tile: int | None = None) -> Any:  # noqa: ANN401 - stands for a Segmenter
        raise AssertionError(f"strips at scale {scale} in tiles of {tile} are none of a fake's")

    def segment(self, image: Image, *, max_bytes: int | None = None) -> FakeSegmentation:
        del max_bytes
        labels = np.zeros((*image.stack_shape, *image.shape_HW), np.int32)
        count = 0
        for index, plane in zip(np.ndindex(*image.stack_shape), image.planes(), strict=True):
            time.sleep(self.delay)
            if self.error is not None:
                raise self.error
            grey = np.nan_to_num(to_grey(plane), nan=0.0, posinf=0.0, neginf=0.0)
            found, number = ndimage.label(grey > (float(grey.min()) + float(grey.max())) / 2)
            labels[index] = np.where(found > 0, found + count, 0)
            count += number
        return FakeSegmentation(labels, np.full(count, 0.5, np.float32))


def dressed(fake: Any, name: str = "fake", **chosen: Any) -> Any:  # noqa: ANN401 - stands for a Segmenter
    """Give a fake the card and the settings that a Segmenter has."""
    from nucleate.run.segmenter import SegmentSettings
    from nucleate.run.weights import ModelCard

    fake.card, fake.settings = ModelCard(name=name, sha256="0" * 64), SegmentSettings(**chosen)
    return fake


def run(words: list[str], *, delay: float = 0.0) -> None:
    """Run the command line with the fake in place of a model; leaves with its exit code."""
    run_with(FakeSegmenter(delay), words, name="fake")


def run_with(fake: object, words: list[str], *, name: str) -> None:
    """Do so with any fake, which is called so unless a model is named."""
    from nucleate.apps.cli import batches, main

    def load(model: str | None, *, device: str, threads: int | None, chosen: dict[str, Any]) -> Any:  # noqa: ANN401
        del device, threads
        return dressed(fake, model or name, **chosen)

    with mock.patch.object(batches, "load", load):
        main.main(words)
