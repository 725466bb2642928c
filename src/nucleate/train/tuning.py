"""Post-processing numbers chosen by score, on maps of pictures that the network was not trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.errors import DataError
from nucleate.score.images import ImageScore, score_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.post.recipe import PostRecipe
    from nucleate.run.segmenter import Segmenter

__all__ = ["GRID", "StoredMaps", "apply_all", "cross_fitted", "halves", "store_maps", "tune"]

GRID: Mapping[str, Sequence[float | int | bool]] = {
    "level": (0.3, 0.4, 0.5, 0.6),
    "marker_level": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    "smoothing": (0.0, 1.0, 2.0),
    "keep_unmarked": (True, False),
    "min_marker_area": (0, 4),
    "min_area": (0, 10, 20, 40),
}
"""Values tried for each number of the recipe, one number at a time."""


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """Maps of one held-out picture with its truth.

    Parameters
    ----------
    image_id, group, kind : str
        As in `nucleate.data.sample.Sample`.
    maps_CHW : (C, H, W) float16 ndarray
        Halves the memory; far finer than the levels tried.
    labels : (H, W) int32 ndarray
        Truth.
    """

    image_id: str
    group: str
    kind: str
    maps_CHW: NDArray[np.float16]
    labels: NDArray[np.int32]


def store_maps(segmenter: Segmenter, samples: Iterable[Sample]) -> list[StoredMaps]:
    """Compute and keep the maps of held-out samples."""
    return [
        StoredMaps(s.image_id, s.group, s.kind, segmenter.maps(s.image).astype(np.float16), s.labels) for s in samples
    ]


def tune(
    recipe: PostRecipe,
    names: Sequence[str],
    *,
    stored: Sequence[StoredMaps],
    grid: Mapping[str, Sequence[Any]] = GRID,
    report: Callable[[PostRecipe, float], None] = lambda recipe, score: None,
) -> tuple[PostRecipe, float]:
    """Improve a recipe one number at a time until no value of the grid is better.

    Parameters
    ----------
    recipe : PostRecipe
        Where to begin.
    names : sequence of str
        Names of the maps.
    stored : sequence of StoredMaps
        Held-out pictures.
    grid : mapping
        Field of the recipe to the values tried.
    report : callable
        Called with each recipe tried and its score.

    Returns
    -------
    recipe, score : PostRecipe, float
        The best found, with its mean Kaggle score on `stored` (optimistic: it was chosen there).

    Raises
    ------
    DataError
        If there is no picture.
    """
    if not stored:
        raise DataError("no held-out pictures to tune on; give a fold or a folder")
    known: dict[PostRecipe, float] = {}

    def score(candidate: PostRecipe) -> float:
        if candidate not in known:
            known[candidate] = float(np.mean([found.kaggle for found in apply_all(candidate, names, stored=stored)]))
            report(candidate, known[candidate])
        return known[candidate]

    best = recipe
    while True:
        before = best
        for field, values in grid.items():
            # A tie keeps the value that stands, so that a number that does not matter is not moved.
            best = max([best, *(replace(best, **{field: value}) for value in values)], key=score)
        if best == before:
            return best, score(best)


def cross_fitted(
    recipe: PostRecipe, names: Sequence[str], *, stored: Sequence[StoredMaps], grid: Mapping[str, Sequence[Any]] = GRID
) -> list[ImageScore]:
    """Score each half of the pictures with the recipe tuned on the other half: no picture is scored by its own numbers.

    Halves are made by `halves`.
    """
    scores = []
    for own, others in halves(stored):
        chosen, _ = tune(recipe, names, stored=others, grid=grid)
        scores += apply_all(chosen, names, stored=own)
    return scores


def halves(stored: Sequence[StoredMaps]) -> list[tuple[list[StoredMaps], list[StoredMaps]]]:
    """Part pictures into two halves of whole groups and about equal size: each half with the other beside it."""
    sizes: dict[str, int] = {}
    for one in stored:
        sizes[one.group] = sizes.get(one.group, 0) + 1
    sides: tuple[set[str], set[str]] = (set(), set())
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        min(sides, key=lambda side: sum(sizes[name] for name in side)).add(group)
    return [([s for s in stored if s.group in side], [s for s in stored if s.group not in side]) for side in sides]


def apply_all(recipe: PostRecipe, names: Sequence[str], *, stored: Iterable[StoredMaps]) -> list[ImageScore]:
    """Turn stored maps into nuclei and score each picture."""
    return [
        score_image(one.labels, recipe.apply(one.maps_CHW.astype(np.float32), names), image_id=one.image_id)
        for one in stored
    ]
