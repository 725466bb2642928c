"""Fitting what joins pieces of nuclei to pictures with truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nucleate.post.joining import JoinModel
from nucleate.post.logistic import in_spreads
from nucleate.train.logistic import fit_logistic
from nucleate.train.tuning import each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nucleate.post.recipe import PostRecipe
    from nucleate.train.tuning import StoredMaps, Trials

__all__ = ["LEVELS", "seams_of", "with_joining", "without_joining"]

LEVELS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
"""Levels of the chance that two pieces are of one nucleus among which one is chosen."""

_FEWEST = 100  # seams inside nuclei, and between them, that a fit needs
_APART = 3  # pixels between peaks
_FLOOR = 0.3  # of the energy, under which there are no peaks; what is joined in the end may begin lower than a marker
_SHARE = 0.25  # of a piece that lies in its true nucleus, at least
_RIDGE = 1e-3


def seams_of(
    one: StoredMaps, recipe: PostRecipe, *, names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Describe the seams between the pieces of a picture, and tell which lie inside a true nucleus.

    Where both pieces lie in the background, the seam is left out.

    Returns
    -------
    described : (n, 12) float64 ndarray
        See `nucleate.post.joining.FEATURES`.
    same : (n,) bool ndarray
    """
    labels, pieces = one.own(recipe).pieces(one.maps_CHW.astype(np.float32), names)
    owner = _owners(labels, one.labels)[pieces.ids[pieces.pairs]]
    known = (owner > 0).any(axis=1)
    return pieces.described(grid=1 / one.scale)[known], (owner[:, 0] == owner[:, 1])[known]


def _owners(pieces: NDArray[np.int32], truth: NDArray[np.int32]) -> NDArray[np.int64]:
    """Give the true nucleus in which most of each piece lies, 0 where that is less than a quarter; entry 0 is 0."""
    width = int(truth.max(initial=0)) + 1
    count = int(pieces.max(initial=0)) + 1
    both, pixels = np.unique(pieces.astype(np.int64).ravel() * width + truth.ravel(), return_counts=True)
    piece, nucleus = np.divmod(both, width)
    size = np.bincount(piece, pixels, minlength=count)
    fits = (nucleus > 0) & (piece > 0) & (pixels >= _SHARE * size[piece])
    piece, nucleus, pixels = piece[fits], nucleus[fits], pixels[fits]
    order = np.argsort(pixels, kind="stable")
    owners = np.zeros(count, np.int64)
    owners[piece[order]] = nucleus[order]
    return owners


def without_joining(recipe: PostRecipe) -> PostRecipe:
    """Give a recipe with markers in place of pieces that are joined.

    The markers begin at the level at which the pieces begin. That is the level that the markers had before pieces were
    joined if it was at most 0.3; a higher one was lowered to 0.3 by `with_joining` and is told nowhere in a card.
    """
    return replace(recipe, split="markers", join=None) if recipe.split == "joined" else recipe


def with_joining(
    recipe: PostRecipe,
    trials: Trials,
    *,
    among: Sequence[int],
    spare: float = 0.0,
    known: PostRecipe | None = None,
) -> PostRecipe:
    """Cut at every peak and join what is of one nucleus, if that scores more than the markers of a recipe.

    Parameters
    ----------
    recipe : PostRecipe
        Its markers are what joining has to beat. If it comes from `without_joining`, they begin at the level of the
        pieces, 0.3 at most, which may be lower than suits them. Recipes without markers stay as they are.
    trials : Trials
        Keeps the scores.
    among : sequence of int
        Places of the pictures to look at.
    spare : float
        Score to give up, but for no less than the markers have, so that more is joined: what is learnt of one
        laboratory's pictures cuts nuclei of others up.
    known : PostRecipe, optional
        How another network's pieces are joined, which is taken where there are too few seams to learn from and that
        scores no less than the markers.
    """
    if recipe.split != "markers":
        return recipe
    every = replace(recipe, min_distance=_APART, marker_level=min(recipe.marker_level, _FLOOR))
    found = each(lambda place: seams_of(trials.stored[place], every, names=trials.names), among, jobs=trials.jobs)
    described, same = (np.concatenate(parts) for parts in zip(*found, strict=True))

    def score(tried: PostRecipe) -> float:
        return float(trials.kaggle(tried, among).mean())

    if min(same.sum(), (~same).sum()) < _FEWEST:
        if known is None or known.split != "joined":
            return recipe
        joined = replace(every, split="joined", join=known.join, join_level=known.join_level)
        return joined if score(joined) >= score(recipe) else recipe
    joined = replace(every, split="joined", join=_fit(described, same))

    reached = np.array([score(replace(joined, join_level=level)) for level in LEVELS])
    near = [float(reached[max(i - 1, 0) : i + 2].mean()) for i in range(len(LEVELS))]  # one peak may be chance
    markers, best = score(recipe), max(near)
    if best <= markers:
        return recipe
    least = max(best - spare, markers)
    return replace(joined, join_level=next(level for level, value in zip(LEVELS, near, strict=True) if value >= least))


def _fit(described: NDArray[np.float64], same: NDArray[np.bool_]) -> JoinModel:
    mean, spread = described.mean(0).round(6), np.maximum(described.std(0), 1e-6).round(8)
    terms = in_spreads(described, mean=mean, spread=spread)
    weights, bias = fit_logistic(terms, same.astype(np.float64), ridge=_RIDGE)
    return JoinModel(tuple(mean.tolist()), tuple(spread.tolist()), weights, bias)
