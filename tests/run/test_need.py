"""The estimate of memory: true for what takes most."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from nucleate.core.normalize import Normalizer
from nucleate.run.need import _SAMPLING

pytestmark = pytest.mark.base


def test_measuring_stained_colours_takes_no_more_than_is_reckoned_with() -> None:
    rng = np.random.default_rng(0)
    section = np.stack([rng.normal(mean, 15, (1000, 1000)) for mean in (190, 120, 190)], axis=-1)
    section[ndimage.gaussian_filter(rng.normal(size=(1000, 1000)), 6) > 0.04] *= (0.4, 0.4, 0.7)
    section[:100] = 245  # glass
    plane = np.clip(section, 0, 255).astype(np.uint8)
    tracemalloc.start()
    try:
        scaling = Normalizer(polarity="transmitted", stain="nuclear", ground=25.0).measure(plane)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert scaling.light is not None
    assert peak <= _SAMPLING * plane.shape[0] * plane.shape[1]
