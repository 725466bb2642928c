"""What the workers of a cluster load in tests: found by name in another process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleate.run.segmenter import SegmentSettings
from nucleate.run.weights import ModelCard
from tests.fakes import FakeSegmentation, FakeSegmenter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nucleate.core.image import Image

SHA256 = "0" * 64


class Worker(FakeSegmenter):
    """Dies, as if it had run out of memory, on pictures whose name says so."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__(delay)
        self.card = ModelCard(name="fake", sha256=SHA256)
        self.settings = SegmentSettings()

    def segment(self, image: Image, *, max_bytes: int | None = None) -> FakeSegmentation:
        if "poison" in image.name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "odd" in image.name:
            raise ZeroDivisionError("odd picture")
        return super().segment(image, max_bytes=max_bytes)


def load(folder: str, delay: float = 0.0) -> Any:  # noqa: ANN401 - stands for a Segmenter
    """Make a segmenter and leave a line about it."""
    with (Path(folder) / "loads").open("a") as log:
        log.write(f"{os.getpid()}\n")
    return Worker(delay)


def load_local(tile: int) -> Any:  # noqa: ANN401 - as above
    """Make a real segmenter with an engine of a few sums; it takes its time."""
    from tests.run.test_large_planes import LocalEngine, segmenter

    def engine(batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        time.sleep(0.05)
        return LocalEngine()(batch_NCHW)

    return segmenter(engine, tile=tile)


def load_broken(tile: int) -> Any:  # noqa: ANN401 - as above
    """Make the same with an engine that must not be asked."""
    from tests.run.test_large_planes import segmenter

    return segmenter(must_not_be_asked, tile=tile)


def must_not_be_asked(batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stand for an engine."""
    raise ZeroDivisionError(f"asked for {batch_NCHW.shape}")
