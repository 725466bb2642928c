"""How sure a nucleus is: the predicted overlap (IoU) of its mask with the true nucleus.

A small model looks at numbers that describe each found nucleus on the network's own maps (`describe`) and gives the
IoU to expect (`ConfidenceModel`). It is fitted to held-out nuclei and stored in the model's card. Every number is taken
from the nucleus and the pixels next to it, so it is the same for a tile as for the whole picture. A card without such a
model falls back to `mean_probability`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.post.logistic import curve, in_spreads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FEATURES", "ConfidenceModel", "describe", "describe_at", "mean_probability", "rate"]

FEATURES = (
    "log_area",
    "compactness",
    "mask_inside",
    "mask_spread",
    "mask_unsure",
    "mask_at_edge",
    "mask_outside",
    "contact",
    "at_picture_edge",
    "border_inside",
    "distance_mean",
    "distance_top",
)
"""Numbers that describe a nucleus, in the order of the columns of `describe`."""


def mean_probability(labels: NDArray[np.int32], mask_map: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Average the mask's probability over each nucleus.

    Parameters
    ----------
    labels : (H, W) int32 ndarray
        Label image, ids 1..n.
    mask_map : (H, W) float ndarray
        Probability map, 0..1.

    Returns
    -------
    (n,) float32 ndarray
        Entry ``i`` belongs to nucleus ``i + 1``; 0..1; 0 for an id that does not occur.

    Examples
    --------
    >>> mean_probability(np.array([[1, 1, 0, 2]]), np.array([[0.5, 1.0, 0.3, 0.25]]))
    array([0.75, 0.25], dtype=float32)
    """
    return np.clip(_mean(labels.ravel(), np.nan_to_num(mask_map).ravel()), 0.0, 1.0).astype(np.float32)


def describe(
    labels: NDArray[np.int32], maps_CHW: NDArray[np.floating[Any]], *, names: Sequence[str], count: int | None = None
) -> NDArray[np.float64]:
    """Describe each nucleus by the numbers named in `FEATURES`.

    Parameters
    ----------
    labels : (H, W) int32 ndarray
        Label image, ids 1..n.
    maps_CHW : (C, H, W) float ndarray
        Maps of the network, 0..1.
    names : sequence of str
        One for each map; ``mask`` must be there; without ``border`` or ``distance``, the numbers made of these are 0.
    count : int, optional
        n, if the last ids may not occur.

    Returns
    -------
    (n, 12) float64 ndarray
        Row ``i`` belongs to nucleus ``i + 1``.
    """
    maps = {name: values.ravel() for name, values in zip(names, maps_CHW, strict=True)}
    count = int(labels.max(initial=0)) if count is None else count
    if count == 0:
        return np.zeros((0, len(FEATURES)))
    # Most of a picture is background, so everything but the ring is counted over the nuclei's own pixels.
    at = np.flatnonzero(labels)
    ids = labels.ravel()[at]
    mask, border, distance = (
        np.nan_to_num(maps[name][at]) if name in maps else np.zeros(len(at)) for name in ("mask", "border", "distance")
    )
    edge, contact, outside = _rims(labels, at)
    area = np.maximum(np.bincount(ids, minlength=count + 1)[1:], 1)
    rim = np.maximum(np.bincount(ids[edge], minlength=count + 1)[1:], 1)
    inside = _mean(ids, mask, count=count)
    square = _mean(ids, mask.astype(np.float64) ** 2, count=count)
    at_picture_edge = np.zeros(count)
    frame = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    at_picture_edge[frame[frame > 0] - 1] = 1.0
    ring = np.flatnonzero(outside)
    columns = (
        np.log(area),
        np.minimum(4 * np.pi * area / rim**2, 2.0),
        inside,
        np.sqrt(np.maximum(square - inside**2, 0.0)),
        _mean(ids, ((mask > 0.2) & (mask < 0.8)).astype(np.float64), count=count),
        _mean(ids[edge], mask[edge], count=count),
        _mean(outside[ring], np.nan_to_num(maps["mask"][ring]), count=count),
        _mean(ids[edge], contact[edge].astype(np.float64), count=count),
        at_picture_edge,
        _mean(ids, border, count=count),
        _mean(ids, distance, count=count),
        _highest(ids, distance, count=count),
    )
    return np.stack(columns, axis=1)


def rate(
    labels: NDArray[np.int32],
    maps_CHW: NDArray[np.floating[Any]],
    *,
    names: Sequence[str],
    model: ConfidenceModel | None,
    scale: float = 1.0,
    origin: tuple[int, int] = (0, 0),
) -> NDArray[np.float32]:
    """Give each nucleus its confidence: the model's predicted IoU, or without a model the `mean_probability`.

    The model knows nuclei as the network sees them, so if the network saw a smaller plane, every few pixels are used.

    Parameters
    ----------
    labels : (H, W) int32 ndarray
        Label image, ids 1..n.
    maps_CHW : (C, H, W) float ndarray
        Maps of the network, 0..1.
    names : sequence of str
        One for each map; ``mask`` must be there.
    model : ConfidenceModel or None
        From the model's card.
    scale : float
        Of the network's grid to that of the labels.
    origin : (int, int)
        Row and column of the first pixel on the whole plane.

    Returns
    -------
    (n,) float32 ndarray
        Entry ``i`` belongs to nucleus ``i + 1``; 0..1.
    """
    if model is None:
        return mean_probability(labels, maps_CHW[list(names).index("mask")])
    return model.predict(describe_at(labels, maps_CHW, names=names, scale=scale, origin=origin))


def describe_at(
    labels: NDArray[np.int32],
    maps_CHW: NDArray[np.floating[Any]],
    *,
    names: Sequence[str],
    scale: float,
    origin: tuple[int, int] = (0, 0),
) -> NDArray[np.float64]:
    """Describe each nucleus as `describe` does, on the grid of the network; the parameters are those of `rate`."""
    step = max(round(1 / scale), 1)
    rows, cols = (slice(-start % step, None, step) for start in origin)
    seen_CHW = maps_CHW[:, rows, cols]
    described = describe(labels[rows, cols], seen_CHW, names=names, count=int(labels.max(initial=0)))
    described[:, FEATURES.index("log_area")] += 2 * np.log(scale * step)
    return described


@dataclass(frozen=True)
class ConfidenceModel:
    """Predicts the IoU of nuclei: a logistic curve of the described numbers and their squares.

    Parameters
    ----------
    mean, spread : tuple of float
        Of each number on the nuclei it was fitted to; a spread is above 0.
    weights : tuple of float
        For each number, then for the square of each.
    bias : float
        Added before the logistic curve.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        sizes = len(self.mean), len(self.spread), len(self.weights)
        if sizes != (len(FEATURES), len(FEATURES), 2 * len(FEATURES)) or not all(s > 0 for s in self.spread):
            raise ValueError(
                f"confidence: {len(FEATURES)} means, positive spreads and twice as many weights; got {sizes}"
            )

    @staticmethod
    def terms(
        described: NDArray[np.float64], *, mean: NDArray[np.float64], spread: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Bring numbers (n, k) to unit spread, limited to four spreads, and add their squares: (n, 2 k)."""
        z = in_spreads(described, mean=mean, spread=spread)
        return np.concatenate([z, z**2], axis=1)

    def predict(self, described: NDArray[np.float64]) -> NDArray[np.float32]:
        """Give the IoU to expect for each row of `describe`, (n,) float32 in 0..1."""
        terms = self.terms(described, mean=np.array(self.mean), spread=np.array(self.spread))
        return curve(terms, self.weights, bias=self.bias).astype(np.float32)


def _mean(ids: NDArray[Any], values: NDArray[Any], *, count: int | None = None) -> NDArray[np.float64]:
    """Average values by id; ids are 0 (left out) to count."""
    length = 0 if count is None else count + 1
    total = np.bincount(ids, values, minlength=length)[1:]
    return total / np.maximum(np.bincount(ids, minlength=length)[1:], 1)


def _highest(ids: NDArray[np.int32], values: NDArray[Any], *, count: int) -> NDArray[np.float64]:
    """Give the highest value of each id; no value lies below 0."""
    highest = np.zeros(count + 1, values.dtype)  # another dtype would take thirty times as long
    np.maximum.at(highest, ids, values)
    return highest[1:]


def _rims(
    labels: NDArray[np.int32], at: NDArray[np.intp]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int32]]:
    """Find the outermost pixels of nuclei, those of them beside another nucleus, and the background next to nuclei.

    The first two are for the nuclei's pixels `at`. The third is flat, for all pixels: the id of the nucleus whose ring
    a background pixel is in, the larger id if two are as near, and 0 elsewhere.
    """
    # Pixels are repeated beyond the edge of the picture, so that nothing differs and nothing touches there.
    framed = np.pad(labels, 1, mode="edge")
    flat, width = framed.ravel(), framed.shape[1]
    row, col = np.divmod(at, labels.shape[1])
    here = (row + 1) * width + col + 1
    own = flat[here]
    edge, contact = np.zeros(len(at), np.bool_), np.zeros(len(at), np.bool_)
    for step in (-width, width, -1, 1):
        beside = flat[here + step]
        differs = beside != own
        edge |= differs
        contact |= differs & (beside > 0)
    # Background at the corner of a nucleus lies beside another of its pixels, too, so its outermost pixels reach all.
    around = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    outside = np.zeros_like(flat)
    np.maximum.at(outside, (here[edge] + around[:, None]).ravel(), np.tile(own[edge], len(around)))
    outside[flat > 0] = 0
    return edge, contact, outside.reshape(framed.shape)[1:-1, 1:-1].ravel()
