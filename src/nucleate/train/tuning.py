"""Post-processing numbers chosen by score, on maps of pictures that the network was not trained on."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from nucleate.core.labels import areas
from nucleate.data.samples import deal
from nucleate.errors import UnfitDataError
from nucleate.score.images import ap_of_iou
from nucleate.train.confidence import true_iou

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.post.recipe import PostRecipe
    from nucleate.run.segmenter import Segmenter

__all__ = ["GRID", "StoredMaps", "Tick", "Trials", "each", "no_tick", "parts_of", "store_maps", "told", "tune"]

GRID: Mapping[str, Sequence[float | int | bool]] = {
    "level": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "light_level": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "marker_level": (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "smoothing": (0.0, 1.0, 2.0, 3.0, 4.0),
    "keep_unmarked": (True, False),
    "min_marker_area": (0, 4),
    "min_area": (0, 10, 20, 30, 40, 60, 80),
}
"""Values tried for each number of the recipe, one number at a time."""

_FEW = 80  # pictures that a first descent looks at, 120 at most
_LOOSENED = {"smoothing": 1, "marker_level": -1, "level": -1}  # upwards and downwards; `light_level` is low already

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, eq=False)
class StoredMaps:
    """Maps of one held-out picture with its truth.

    Parameters
    ----------
    image_id, group, kind : str
        As in `nucleate.data.sample.Sample`.
    maps_CHW : (C, H, W) float16 ndarray
        float16 halves the memory and is far finer than the levels tried. May be a file mapped into memory.
    labels : (H, W) int32 ndarray
        Truth.
    fold : int, optional
        The fold it was held out in; None if there is only one.
    scale : float
        Of the network's grid to the picture's when the maps were made; it brings recipes to the picture's grid.
    light : bool
        Whether its background is light.
    """

    image_id: str
    group: str
    kind: str
    maps_CHW: NDArray[np.float16]
    labels: NDArray[np.int32]
    fold: int | None = None
    scale: float = 1.0
    light: bool = False

    def nuclei(self, recipe: PostRecipe, names: Sequence[str]) -> NDArray[np.int32]:
        """Turn the maps into a label image (H, W)."""
        return self.own(recipe).apply(self.maps_CHW.astype(np.float32), names)

    def own(self, recipe: PostRecipe) -> PostRecipe:
        """Give a recipe in the form for this picture."""
        return recipe.on(light=self.light).at_scale(1 / self.scale)


class Tick(Protocol):
    """Takes the name of a step, how many items are done, and of how many if known; any thread may call it."""

    def __call__(self, what: str, done: int, *, total: int | None) -> None:
        """Take it."""


def no_tick(what: str, done: int, *, total: int | None) -> None:
    """Tell nobody."""


def told(items: Iterable[_In], what: str, *, tick: Tick, total: int, first: int = 0) -> Iterator[_In]:
    """Go through items and tell before each how many are done."""
    for done, item in enumerate(items, start=first):
        tick(what, done, total=total)
        yield item


def store_maps(segmenter: Segmenter, samples: Sequence[Sample], *, tick: Tick = no_tick) -> list[StoredMaps]:
    """Compute and keep the maps of held-out samples, each at the scale that the segmenter finds for it."""
    stored: list[StoredMaps] = []
    for s in told(samples, "images looked at", tick=tick, total=len(samples)):
        known = segmenter.survey(s.image)
        maps_CHW = segmenter.maps(s.image, known).astype(np.float16)
        bare = StoredMaps(s.image_id, s.group, s.kind, maps_CHW, s.labels)
        stored.append(replace(bare, scale=known.scale, light=known.scaling.invert))
    return stored


def each(work: Callable[[_In], _Out], items: Sequence[_In], *, jobs: int = 1) -> list[_Out]:
    """Do something to every item, in `jobs` threads; the results come in the order of the items."""
    if jobs == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(work, items))


class Trials:
    """Scores of recipes on stored pictures, each computed only once.

    Parameters
    ----------
    names : sequence of str
        Names of the maps.
    stored : sequence of StoredMaps
        Held-out pictures.
    jobs : int
        Threads.
    tick : callable
        Told of each picture that a recipe was tried on; callers report further steps to it, too.

    Raises
    ------
    DataError
        If there is no picture.
    """

    def __init__(
        self, names: Sequence[str], stored: Sequence[StoredMaps], *, jobs: int = 1, tick: Tick = no_tick
    ) -> None:
        if not stored:
            raise UnfitDataError("no held-out pictures to tune on; give a fold or a folder")
        self.names, self.stored, self.jobs, self.tick = tuple(names), list(stored), jobs, tick
        self._looks = itertools.count(1)
        # Small nuclei are removed last, so that one run of a recipe is enough for every `min_area`.
        self._found: dict[tuple[int, PostRecipe], tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
        self._asked: dict[PostRecipe, set[int]] = {}
        self.true_counts = [int(np.count_nonzero(areas(one.labels))) for one in stored]

    def kaggle(self, recipe: PostRecipe, among: Sequence[int]) -> NDArray[np.float64]:
        """Give the Kaggle score of each of some pictures, named by their places in `stored`."""
        self._asked.setdefault(recipe, set()).update(among)
        own = {place: self.stored[place].own(recipe) for place in among}
        bare = {place: replace(one, min_area=0) for place, one in own.items()}
        missing = [item for item in bare.items() if item not in self._found]
        self._found |= zip(missing, each(self._look, missing, jobs=self.jobs), strict=True)
        scores = []
        for place, one in own.items():
            iou, sizes = self._found[place, bare[place]]
            scores.append(ap_of_iou(iou[sizes >= one.min_area], self.true_counts[place]))
        return np.array(scores)

    def table(self) -> Iterator[tuple[PostRecipe, NDArray[np.float64]]]:
        """Give each recipe that was tried on every picture, in the order of asking, with the scores of the pictures."""
        everything = range(len(self.stored))
        for recipe, places in list(self._asked.items()):
            if len(places) == len(everything):
                yield recipe, self.kaggle(recipe, everything)

    def _look(self, item: tuple[int, PostRecipe]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        one, recipe = self.stored[item[0]], item[1]
        found = recipe.apply(one.maps_CHW.astype(np.float32), self.names)
        self.tick("recipes tried, image by image", next(self._looks), total=None)
        return true_iou(one.labels, found), areas(found)


def tune(
    recipe: PostRecipe,
    trials: Trials,
    *,
    among: Sequence[int] | None = None,
    grid: Mapping[str, Sequence[Any]] = GRID,
    spare: float = 0.0,
) -> tuple[PostRecipe, float]:
    """Improve a recipe one number at a time until no value of the grid is better.

    If there are many pictures, the search begins on a few of them, and ends on all. In the end, maps are smoothed and
    levels lowered as far as that costs no more than `spare`: a network is less sure of pictures unlike those it was
    trained on, where the numbers that are best on its own pictures cut nuclei up and outline them too closely.

    Parameters
    ----------
    recipe : PostRecipe
        Where to begin.
    trials : Trials
        Keeps the scores.
    among : sequence of int, optional
        Places of the pictures to look at; all when None.
    grid : mapping
        Field of the recipe to the values tried.
    spare : float
        Score to give up for smoother maps and lower levels.

    Returns
    -------
    recipe, score : PostRecipe, float
        The best recipe, with its mean Kaggle score on these pictures (optimistic, since it was chosen by them).
    """
    among = range(len(trials.stored)) if among is None else among
    if "light_level" in grid and recipe.light_level is None and any(trials.stored[place].light for place in among):
        recipe = replace(recipe, light_level=recipe.level)  # else one level could not move without the other

    def score(tried: PostRecipe, places: Sequence[int] = among) -> float:
        return float(trials.kaggle(tried, places).mean())

    if len(among) >= 2 * _FEW:
        few = among[:: len(among) // _FEW]
        recipe = _descend(recipe, lambda tried: score(tried, few), grid=grid)
    best = _descend(recipe, score, grid=grid)
    found = _loosen(best, score, grid=grid, least=score(best) - spare) if spare else best
    return found, score(found)


def _descend(
    best: PostRecipe, score: Callable[[PostRecipe], float], *, grid: Mapping[str, Sequence[Any]]
) -> PostRecipe:
    while True:
        before = best
        for field, values in grid.items():
            # A tie keeps the present value, so that a number that does not matter is not moved.
            best = max([best, *(replace(best, **{field: value}) for value in values)], key=score)
        if best == before:
            return best


def _loosen(
    recipe: PostRecipe, score: Callable[[PostRecipe], float], *, grid: Mapping[str, Sequence[Any]], least: float
) -> PostRecipe:
    """Move one number after the other of `_LOOSENED`, a step at a time, while the score is at least `least`."""
    for field, way in _LOOSENED.items():
        for value in sorted(grid.get(field, ()), reverse=way < 0):
            if way * (value - getattr(recipe, field)) > 0:
                looser = replace(recipe, **{field: value})
                if score(looser) < least:
                    break
                recipe = looser
    return recipe


def parts_of(stored: Sequence[StoredMaps] | Sequence[Sample]) -> list[tuple[list[int], list[int]]]:
    """Divide pictures for cross-fitting: the places of each part, and the places of all others.

    Parts are the folds, or if there is only one, two halves of about equal size, made of whole groups. No group is on
    both sides.

    Raises
    ------
    DataError
        If all pictures are of one group.
    """
    folds = sorted({one.fold for one in stored if one.fold is not None})
    if len(folds) > 1:
        side_of = {one.group: folds.index(one.fold) for one in stored if one.fold is not None}
    else:
        groups = [one.group for one in stored]
        side_of = deal({group: groups.count(group) for group in sorted(groups)}, 2)
    if len(set(side_of.values())) < 2:
        raise UnfitDataError(
            f"{len(stored)} held-out pictures of one field of view: to choose by one and score the other takes two; "
            "hold out more, or name the fields in a table"
        )
    sides = [side_of[one.group] for one in stored]
    return [
        ([i for i, at in enumerate(sides) if at == side], [i for i, at in enumerate(sides) if at != side])
        for side in sorted(set(sides))
    ]
