"""From the mask of all nuclei to one label a nucleus, and the filling of holes.

A new way to split needs a branch in `PostRecipe.reach` too: how far beyond a region it looks. Where that is too short,
planes that are done part by part come out otherwise than as a whole, for which `tests/run/test_blocks.py` looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from nucleate.core.labels import drop_small, recoded
from nucleate.post.threshold import structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "BLUR_REACH",
    "components",
    "distance_markers",
    "fill_holes",
    "grow_markers",
    "level_markers",
    "load_watershed",
    "mask_distance",
    "smooth",
]

BLUR_REACH = 4.0
"""Sigmas after which a Gaussian is cut off."""

_STEPS = 64  # distances are compared in steps of 1/64 pixel: rounding noise on a flat ridge makes no peaks


def components(mask: NDArray[np.bool_], *, connectivity: int = 1) -> NDArray[np.int32]:
    """Label the connected regions of a mask 1..n in reading order of their first pixels."""
    return np.asarray(ndimage.label(mask, structure(connectivity))[0], np.int32)


def mask_distance(mask: NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    """Measure the distance of each mask pixel to the nearest background pixel, smoothed by a Gaussian of `sigma` px.

    The image border is not background: a nucleus cut by it does not get narrower there. A mask without any background
    gets zeros.
    """
    if mask.all():
        return np.zeros(mask.shape, np.float32)
    distance = np.asarray(ndimage.distance_transform_edt(mask), np.float32)
    return smooth(distance, sigma)


def smooth(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blur by a Gaussian of `sigma` pixels; 0 leaves the map as it is."""
    if sigma == 0:
        return values
    return np.asarray(ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=BLUR_REACH), np.float32)


def distance_markers(
    mask: NDArray[np.bool_], distance: NDArray[np.float32], *, min_distance: int, steps: int = _STEPS
) -> NDArray[np.int32]:
    """Put one marker pixel on every peak of a distance map.

    A peak is the highest mask pixel of its square of ``2 * min_distance + 1`` pixels a side. Of equal pixels the last
    in reading order counts, and a flat ridge gives one marker only.

    Parameters
    ----------
    mask : (H, W) bool ndarray
    distance : (H, W) float32 ndarray
        0 or more.
    min_distance : int
        Pixels.
    steps : int
        Steps to a unit of distance in which it is compared.

    Returns
    -------
    (H, W) int32 ndarray
        Single pixels 1..n in reading order, 0 elsewhere.
    """
    height = np.full(
        [side + 2 * min_distance for side in mask.shape], -1, np.int32
    )  # with a frame, so no step leaves it
    width = height.shape[1]
    at = np.flatnonzero(mask)
    row, col = np.divmod(at, mask.shape[1])
    among = (row + min_distance) * width + col + min_distance
    height.ravel()[among] = np.rint(distance.ravel()[at] * steps)
    sides = range(-min_distance, min_distance + 1)
    square = [down * width + right for down in sides for right in sides]
    # Nearly all pixels have a higher one right beside them, so the square around is looked at for few.
    peaks = _highest(height, among, beside=(1, -1, width, -width))
    peaks = _highest(height, peaks, beside=square)
    rank = np.zeros(height.shape, np.int32)
    rank.ravel()[peaks] = np.arange(1, len(peaks) + 1)
    kept = _highest(rank, peaks, beside=square)
    markers = np.zeros(mask.shape, np.int32)
    row, col = np.divmod(kept, width)
    markers[row - min_distance, col - min_distance] = np.arange(1, len(kept) + 1)
    return markers


def _highest(values: NDArray[np.int32], at: NDArray[np.intp], *, beside: Sequence[int]) -> NDArray[np.intp]:
    """Keep those of some pixels, as flat indices, which no pixel exceeds that lies one of some steps away."""
    flat = values.ravel()
    for step in beside:
        at = at[flat[at] >= flat[at + step]]
    return at


def level_markers(
    mask: NDArray[np.bool_], energy: NDArray[np.float32], *, level: float, min_area: int = 0, connectivity: int = 1
) -> NDArray[np.int32]:
    """Take the connected regions of the mask where `energy` lies above `level` as markers.

    Regions of fewer than `min_area` pixels are left out. Ids 1..n in reading order.
    """
    markers = components(mask & (energy > np.float32(level)), connectivity=connectivity)
    return drop_small(markers, min_area) if min_area > 1 else markers


def load_watershed() -> None:
    """Import what `grow_markers` needs, which takes a fifth of a second, while the first maps are waited for anyway."""
    from skimage.segmentation import watershed  # noqa: F401 - stays imported


def grow_markers(
    mask: NDArray[np.bool_],
    markers: NDArray[np.int32],
    *,
    height: NDArray[np.floating[Any]],
    connectivity: int = 1,
    keep_unmarked: bool = True,
) -> NDArray[np.int32]:
    """Grow markers downhill inside the mask until they meet (watershed on ``-height``).

    Only regions with two markers or more are flooded; a region with one marker is one nucleus.

    Parameters
    ----------
    mask : (H, W) bool ndarray
    markers : (H, W) int32 ndarray
        Connected markers 1..m inside the mask.
    height : (H, W) float ndarray
        High inside nuclei, low where they touch.
    connectivity : {1, 2}
    keep_unmarked : bool
        Whether a region without a marker is a nucleus of its own or is dropped.

    Returns
    -------
    (H, W) int32 ndarray
        Ids of the markers, then of the regions without one; some may be missing.

    References
    ----------
    S. Beucher and F. Meyer, "The morphological approach to segmentation: the watershed transformation", in
    Mathematical Morphology in Image Processing (1993).
    """
    regions = components(mask, connectivity=connectivity)
    count = int(markers.max(initial=0))
    at = np.flatnonzero(markers > 0)
    home = np.zeros(count + 1, np.int64)
    home[markers.ravel()[at]] = regions.ravel()[at]
    crowd = np.bincount(home[1:], minlength=int(regions.max(initial=0)) + 1)
    crowd[0] = 0
    ids = np.zeros(len(crowd), np.int32)
    ids[home] = np.arange(count + 1)
    ids[0] = 0
    crowded = crowd > 1
    ids[crowded] = 0
    if keep_unmarked:
        bare = np.flatnonzero(crowd == 0)[1:]
        ids[bare] = np.arange(count + 1, count + 1 + len(bare))
    labels = recoded(regions, ids)
    if crowded.any():
        at = np.flatnonzero(mask)
        at = at[crowded[regions.ravel()[at]]]
        flood = _flood(regions, crowded, at=at, markers=markers, height=height, connectivity=connectivity)
        labels.ravel()[at] = flood
    return labels


def _flood(
    regions: NDArray[np.int32],
    crowded: NDArray[np.bool_],
    *,
    at: NDArray[np.intp],
    markers: NDArray[np.int32],
    height: NDArray[np.floating[Any]],
    connectivity: int,
) -> NDArray[np.int32]:
    """Flood the crowded regions from their markers; give the ids of their pixels `at`.

    They are moved together onto a small picture first, since most of the plane has nothing to flood. Inside a region
    the order of pixels stays the same, so the flood does, too.
    """
    from skimage.segmentation import watershed  # slow to import, see load_watershed

    row, col = np.divmod(at, regions.shape[1])
    home = regions.ravel()[at]
    shift, shape = _packed(row, col, home=home, crowded=crowded)
    place = (row + shift[home, 0]) * shape[1] + col + shift[home, 1]
    inside, seeds, depth = np.zeros(shape, bool), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    inside.ravel()[place] = True
    seeds.ravel()[place] = markers.ravel()[at]
    depth.ravel()[place] = -height.ravel()[at]
    flooded = watershed(_without_ties(depth, seeds), seeds, mask=inside, connectivity=connectivity)  # type: ignore[no-untyped-call]
    return np.asarray(flooded.ravel()[place], np.int32)


def _packed(
    row: NDArray[np.intp], col: NDArray[np.intp], *, home: NDArray[np.int32], crowded: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Lay the boxes of the crowded regions, whose pixels are given, side by side in rows, a pixel apart.

    Returns
    -------
    shift : (n + 1, 2) int64 ndarray
        Rows and columns by which region `i` is moved.
    shape : (int, int)
        Of the picture that holds them.
    """
    wanted = np.flatnonzero(crowded)
    first, last = (np.full((len(crowded), 2), start) for start in (np.iinfo(np.int64).max, 0))
    for side, values in enumerate((row, col)):
        np.minimum.at(first[:, side], home, values)
        np.maximum.at(last[:, side], home, values)
    size = last[wanted] - first[wanted] + 2
    order = np.argsort(-size[:, 0], kind="stable")  # boxes of one row have about the same height
    width = max(int(np.sqrt(size.prod(axis=1).sum())), int(size[:, 1].max()))
    shift = np.zeros((len(crowded), 2), np.int64)
    top = left = bottom = 0
    for index in order.tolist():
        rows, cols = size[index].tolist()
        if left + cols > width:
            top, left = bottom, 0
        bottom = max(bottom, top + rows)
        shift[wanted[index]] = (top, left) - first[wanted[index]]
        left += cols
    return shift, (bottom, width)


def _without_ties(depth: NDArray[np.floating[Any]], seeds: NDArray[np.int32]) -> NDArray[np.float64]:
    """Put seeds of equal depth in reading order, each still above all that is deeper.

    With which of equal seeds a watershed begins depends on all other seeds in the picture, so a region could come out
    differently in a part of the picture.
    """
    plain = depth.astype(np.float32)
    result = plain.astype(np.float64)
    at = np.flatnonzero(seeds)
    below = np.nextafter(plain.ravel()[at], np.float32(-np.inf)).astype(np.float64)
    share = np.arange(1, len(at) + 1) / (len(at) + 1)
    result.ravel()[at] = below + share * (result.ravel()[at] - below)
    return result


def fill_holes(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Fill the background regions that lie wholly inside one nucleus.

    A region (pixels joined by edges) that reaches the image border or touches two nuclei stays background, so that
    neighbours around a gap are never joined.

    Examples
    --------
    >>> fill_holes(np.array([[1, 1, 1, 2, 2], [1, 0, 1, 0, 2], [1, 1, 1, 2, 2]], np.int32))
    array([[1, 1, 1, 2, 2],
           [1, 1, 1, 0, 2],
           [1, 1, 1, 2, 2]], dtype=int32)
    """
    gaps, count = ndimage.label(labels == 0)
    inside = np.ones(count + 1, bool)
    inside[0] = False
    for side in (gaps[:1], gaps[-1:], gaps[:, :1], gaps[:, -1:]):
        inside[side] = False
    if not inside.any():
        return labels
    # The first gap mostly is the background around everything, nearly all of the picture.
    at = np.flatnonzero(gaps > (0 if inside[1] else 1))
    at = at[inside[gaps.ravel()[at]]]  # none lies at the picture's edge, so each has four neighbours
    flat, gap = labels.ravel(), gaps.ravel()[at]
    lowest = np.full(count + 1, np.iinfo(np.int32).max, np.int32)
    highest = np.zeros(count + 1, np.int32)
    for step in (-labels.shape[1], labels.shape[1], -1, 1):
        beside = flat[at + step]
        np.minimum.at(lowest, gap[beside > 0], beside[beside > 0])
        np.maximum.at(highest, gap, beside)
    filled = labels.copy()
    filled.ravel()[at] = np.where(lowest == highest, highest, 0)[gap]
    return filled
