"""Models that join pieces, made by hand."""

from __future__ import annotations

from nucleate.post.joining import FEATURES, JoinModel

__all__ = ["join_model"]


def join_model(*, bias: float = 0.0, **weights: float) -> JoinModel:
    """Weigh some of the numbers that describe a seam as they are, and no others."""
    size = len(FEATURES)
    assert not weights.keys() - set(FEATURES)
    return JoinModel((0.0,) * size, (1.0,) * size, tuple(weights.get(name, 0.0) for name in FEATURES), bias)
