"""What is looked at where colours leave it open: what the network is surest of, but for blotches of tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage

from nucleate.api import load_segmenter
from nucleate.run import survey
from nucleate.run.segmenter import SegmentSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nucleate.core.plane import Plane
    from nucleate.run.scale import Sized

pytestmark = [pytest.mark.base, pytest.mark.once]


def _section() -> NDArray[np.uint8]:
    """Draw nuclei in weak haematoxylin, tissue in much eosin, for which the measurement has two answers."""
    random = np.random.default_rng(4)
    texture = ndimage.gaussian_filter(random.normal(size=(200, 200)), 6)
    places = ndimage.grey_dilation(random.random((200, 200)) > 0.999, size=(11, 11)).astype(float)
    nuclei, tissue = ndimage.gaussian_filter(places, 1), np.clip(0.6 + 0.3 * texture / texture.std(), 0, 1.2)
    dyes = 0.1 * nuclei[..., None] * (0.65, 0.7, 0.29) + 0.8 * tissue[..., None] * (0.07, 0.99, 0.1)
    section: NDArray[np.uint8] = np.rint(255 * 10**-dyes).astype(np.uint8)
    return section


@pytest.mark.parametrize(("count", "area", "is_taken"), [(3, 6000, False), (12, 250, True)])
def test_a_smaller_look_that_is_sure_of_blotches_is_not_surer(
    count: int, area: int, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, section = load_segmenter(device="cpu", settings=SegmentSettings(scale=1.0)), _section()
    measured = model.card.normalizer.measure(section)
    assert measured.otherwise is not None

    def look(self: Any, part: Plane, scale: float, *, rough: bool = False) -> Sized:  # noqa: ANN401
        if self.scaling == measured:
            found = (2, 100, 0.4) if rough else (20, 100, 0.5)
        else:
            found = (count, area, 0.7) if rough else (19, 100, 0.4)
        return np.full(found[0], found[1]), np.full(found[0], found[2], np.float32)

    monkeypatch.setattr(survey._Glance, "__call__", look)
    assert model.survey(section).scaling == (measured.otherwise if is_taken else measured)
