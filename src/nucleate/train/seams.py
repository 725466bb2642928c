"""The pixel weights of the original U-Net: classes balanced, the seams between neighbouring nuclei weighed up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["class_weights", "seam_weights"]

_REACH = 5.0  # in sigmas: beyond it the weight is below 4e-6 of w0


def seam_weights(labels: NDArray[Any], w0: float = 10.0, *, sigma: float = 5.0) -> NDArray[np.float32]:
    """Weigh each pixel by how close its two nearest nuclei are: ``w0 * exp(-(d1 + d2) ** 2 / (2 * sigma ** 2))``.

    d1 and d2 are the distances in pixels to the nearest and the second nearest nucleus, 0 inside a nucleus.

    Parameters
    ----------
    labels : (H, W) int ndarray
        Label image.
    w0 : float
        Weight where two nuclei meet; 10 in the paper.
    sigma : float
        In pixels; 5 in the paper.

    Returns
    -------
    (H, W) float32 ndarray
        The second term of equation 2 of the paper, 0..w0; 0 where the second nearest nucleus is farther than five
        sigma.

    References
    ----------
    Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
    equation 2, doi:10.1007/978-3-319-24574-4_28.

    Examples
    --------
    >>> seam_weights(np.array([[1, 0, 2]]), 10.0, sigma=2.0).astype(float).round(2).tolist()
    [[6.07, 6.07, 6.07]]
    """
    reach = math.ceil(_REACH * sigma)
    nearest = np.full(labels.shape, np.inf, np.float32)
    second = nearest.copy()
    for index, box in enumerate(ndimage.find_objects(np.asarray(labels)), start=1):
        if box is None:  # an id that does not occur
            continue  # type: ignore[unreachable]  # the stubs do not know None
        around = tuple(slice(max(0, part.start - reach), part.stop + reach) for part in box)
        away = np.asarray(ndimage.distance_transform_edt(labels[around] != index), np.float32)
        second[around] = np.minimum(second[around], np.maximum(nearest[around], away))
        nearest[around] = np.minimum(nearest[around], away)
    weights: NDArray[np.float32] = np.where(
        second <= reach, w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2)), 0
    )
    return weights.astype(np.float32)


def class_weights(labels: Iterable[NDArray[Any]]) -> tuple[float, float]:
    """Balance the classes over a training set: the term w_c of the same equation.

    Returns
    -------
    background, nucleus : float
        Half of all pixels over those of the class, so that the mean over all pixels is 1; 1 for a class without any.
    """
    total = inside = 0
    for truth in labels:
        total += truth.size
        inside += int(np.count_nonzero(truth))
    return tuple(total / (2 * count) if count else 1.0 for count in (total - inside, inside))  # type: ignore[return-value]
