"""Label image to training maps. Legend in `nucleate.nets.unet`; labels are float (exact below 2 ** 24) or integer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["border_weights", "make_targets", "normalised_distance", "touching"]

_BORDER_REACH = 2  # pixels on either side of a meeting line that count as border


def normalised_distance(labels: NDArray[Any]) -> NDArray[np.float32]:
    """Give each pixel its distance to the edge of its nucleus, 1 at the nucleus' deepest pixel, 0 outside.

    Parameters
    ----------
    labels : (H, W) int ndarray
        Label image.

    Returns
    -------
    (H, W) float32 ndarray
        0..1. A nucleus that the edge of the picture cuts is not treated as ending there.
    """
    out = np.zeros(labels.shape, np.float32)
    for index, box in enumerate(ndimage.find_objects(np.asarray(labels)), start=1):
        if box is None:  # an id that does not occur
            continue  # type: ignore[unreachable]  # the stubs do not know None
        inside = labels[box] == index
        # One pixel of background is added on sides within the picture, and none where the picture ends.
        sides = [(int(part.start > 0), int(part.stop < size)) for part, size in zip(box, labels.shape, strict=True)]
        padded = np.pad(inside, sides)
        if padded.all():
            out[box] = 1.0
            continue
        depth = ndimage.distance_transform_edt(padded)
        core = depth[tuple(slice(a, n - b) for (a, b), n in zip(sides, padded.shape, strict=True))]
        out[box] = np.where(inside, core / core.max(), out[box])
    return out


def touching(labels_NHW: Tensor, reach: int = _BORDER_REACH) -> Tensor:
    """Mark pixels that have two different nuclei within `reach` pixels (square window), as bool (N, H, W)."""
    labels_N1HW = labels_NHW[:, None].float()
    far = torch.full_like(labels_N1HW, 2.0**24)
    highest = _highest_around(labels_N1HW, reach)
    lowest = -_highest_around(-torch.where(labels_N1HW > 0, labels_N1HW, far), reach)
    return ((highest > 0) & (lowest < highest))[:, 0]


def _highest_around(values_N1HW: Tensor, reach: int) -> Tensor:
    """Take the maximum of the square window, first along rows, then along columns."""
    # Pooling layers are ten times slower than whole pictures shifted against each other.
    padded_N1HW = functional.pad(values_N1HW, (reach, reach, reach, reach), value=-math.inf)
    return _highest_along(_highest_along(padded_N1HW, 2 * reach + 1, dim=3), 2 * reach + 1, dim=2)


def _highest_along(values: Tensor, window: int, *, dim: int) -> Tensor:
    """Take the maximum of each run of `window` values; there are ``window - 1`` fewer of them."""
    done = 1
    while done < window:
        step = min(done, window - done)
        length = values.shape[dim] - step
        values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, step, length))
        done += step
    return values


def make_targets(labels_NHW: Tensor, distance_NHW: Tensor, *, maps: tuple[str, ...]) -> Tensor:
    """Stack the wanted maps.

    ``mask`` 0/1; ``border`` 0/1 between touching nuclei; ``distance`` 0..1 to the centre; ``edge`` 0/1, the pixels of
    each nucleus with another nucleus or background beside or across a corner; ``inside`` 0/1, its other pixels;
    ``labels``, the ids themselves.
    """
    mask_NHW = labels_NHW > 0
    made = {
        "edge": lambda: (mask_NHW & _at_edge(labels_NHW)).float(),
        "inside": lambda: (mask_NHW & ~_at_edge(labels_NHW)).float(),
        "labels": lambda: labels_NHW.float(),
        "mask": lambda: mask_NHW.float(),
        "border": lambda: touching(labels_NHW).float(),
        "distance": lambda: distance_NHW * mask_NHW,
    }
    return torch.stack([made[name]() for name in maps], 1)


def _at_edge(labels_NHW: Tensor) -> Tensor:
    """Mark pixels whose 3 x 3 window holds more than one value; a nucleus does not end where the crop ends."""
    labels_N1HW = labels_NHW[:, None].float()
    return (_highest_around(labels_N1HW, 1) != -_highest_around(-labels_N1HW, 1))[:, 0]


def border_weights(labels_NHW: Tensor, weight: float) -> Tensor:
    """Weigh pixels: 1, and `weight` more where two nuclei are within four pixels."""
    return 1.0 + weight * touching(labels_NHW, 2 * _BORDER_REACH).float()
