"""A card that carries a confidence model: written, read back, and used by the segmenter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nucleate.core.normalize import Normalizer
from nucleate.errors import ModelError
from nucleate.post.confidence import FEATURES, ConfidenceModel
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import ModelCard, read_card, write_card

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base

SIZE = len(FEATURES)
LARGE_IS_SURE = ConfidenceModel((4.0,) * SIZE, (1.0,) * SIZE, (2.0,) + (0.0,) * (2 * SIZE - 1), bias=0.0)


def _card(model: ConfidenceModel | None) -> ModelCard:
    return ModelCard(
        name="sure",
        normalizer=Normalizer(scaling="range", polarity="keep"),
        multiple=1,
        confidence=model,
        sha256="0" * 64,
    )


def _brightness(batch_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    return batch_NCHW


def test_a_card_keeps_its_confidence_model(tmp_path: Path) -> None:
    write_card(tmp_path / "sure.toml", _card(LARGE_IS_SURE))
    assert read_card(tmp_path / "sure.toml").confidence == LARGE_IS_SURE
    write_card(tmp_path / "sure.toml", _card(None))
    assert read_card(tmp_path / "sure.toml").confidence is None


def test_a_model_of_the_wrong_size_is_one_line(tmp_path: Path) -> None:
    write_card(tmp_path / "sure.toml", _card(LARGE_IS_SURE))
    text = (tmp_path / "sure.toml").read_text()
    (tmp_path / "sure.toml").write_text(text.replace("weights = [2.0, ", "weights = ["))
    with pytest.raises(ModelError, match="confidence") as caught:
        read_card(tmp_path / "sure.toml")
    assert "\n" not in str(caught.value)


def test_the_segmenter_uses_the_model_of_the_card() -> None:
    plane = np.zeros((40, 40), np.float32)
    plane[2:22, 2:22] = 0.9
    plane[30:33, 30:33] = 0.9
    found, sure = Segmenter(_brightness, _card(LARGE_IS_SURE)).segment_plane(plane)
    assert found.max() == 2
    assert sure.tolist() == pytest.approx([1 / (1 + np.exp(-2 * (np.log(n) - 4))) for n in (400, 9)], rel=1e-5)
    _, plain = Segmenter(_brightness, _card(None)).segment_plane(plane)
    assert plain.tolist() == pytest.approx([0.9, 0.9])


def test_the_limit_of_the_card_holds_unless_the_user_has_one() -> None:
    plane = np.zeros((40, 40), np.float32)
    plane[2:22, 2:22] = 0.9
    plane[30:33, 30:33] = 0.9
    strict = _card(LARGE_IS_SURE).model_copy(update={"min_confidence": 0.3})
    counts = [
        len(Segmenter(_brightness, strict, settings=SegmentSettings(min_confidence=wanted)).segment_plane(plane)[1])
        for wanted in (None, 0.0, 0.999)
    ]
    assert counts == [1, 2, 0]
