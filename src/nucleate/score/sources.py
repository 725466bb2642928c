"""Score predicted label images against true ones by image id: what `nucleate.evaluate` and `nucleate evaluate` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleate.core.pieces import Ids, look_at_ids, unnumbered_set
from nucleate.errors import DataError, InputError, UsageError
from nucleate.score.images import score_image
from nucleate.score.scores import summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nucleate.score.images import ImageScore
    from nucleate.score.scores import Scores

__all__ = ["LabelsById", "evaluate_sources"]

LabelsById: TypeAlias = Mapping[str, NDArray[Any]]
"""Image id to label image (H, W); may read each image when it is asked for."""


def evaluate_sources(
    pred: LabelsById,
    truth: LabelsById,
    *,
    groups: Mapping[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    each: Callable[[list[str]], Iterable[str]] = iter,
) -> Scores:
    """Score predicted label images against true ones, image by image, holding one pair at a time.

    Parameters
    ----------
    pred, truth : mapping of id to (H, W) int ndarray
        Label images, 0 background. `nucleate.data.truth.read_pair` makes such mappings of folders, files and arrays.
    groups, resamples, seed
        For the intervals, see `nucleate.score.scores.summarise`.
    each : callable
        Goes through the ids; a progress bar fits here.

    Returns
    -------
    Scores
        Of every image of the truth. An image without prediction counts as one in which nothing was found, and is named
        in `Scores.missing`. A prediction that cannot be read or has another shape than the truth counts as empty, too,
        so that no failure raises the score; an image whose truth cannot be read is left out; both are in
        `Scores.failed`. Predictions without truth do not count (`Scores.ignored`). A label image that looks like a
        binary mask is scored as it is, with a nucleus for each of its numbers, and named (`Scores.binary`).

    Raises
    ------
    UsageError
        If the two have no image in common.
    DataError
        If no image at all could be compared.

    Examples
    --------
    >>> labels = {"a": np.array([[0, 1, 1, 0, 2, 2]])}
    >>> evaluate_sources(labels, labels).kaggle
    1.0
    """
    ids = sorted(truth, key=_order)
    missing = tuple(image_id for image_id in ids if image_id not in pred)
    if len(missing) == len(ids):
        told = str if all(isinstance(name, str) for name in (*pred, *ids)) else repr
        got = f"predictions {_first(sorted(pred, key=_order), told)}; truth {_first(ids, told)}"
        raise UsageError(f"no image is in both: {got}; give files of the same image the same name")
    per_image, failed = [], {}
    seen: dict[str, tuple[Ids, Ids]] = {}
    absent = set(missing)
    for image_id in each(ids):
        try:
            labels = truth[image_id]
            found = np.zeros_like(labels) if image_id in absent else pred[image_id]
            per_image.append(score_image(labels, found, image_id=image_id))
            seen[image_id] = look_at_ids(labels), look_at_ids(found)
        except (DataError, InputError) as error:
            failed[image_id] = str(error)
            per_image += _as_empty(truth, image_id)
    if len(failed) == len(ids):
        raise DataError(f"none of {len(ids)} images could be compared; the first, {ids[0]}: {failed[ids[0]]}")
    scores = summarise(per_image, groups=groups, resamples=resamples, seed=seed)
    ignored = tuple(sorted(set(pred) - set(truth), key=_order))
    return replace(scores, missing=missing, ignored=ignored, binary=_unnumbered(seen), failed=failed)


def _unnumbered(seen: Mapping[str, tuple[Ids, Ids]]) -> tuple[str, ...]:
    """Name the images whose ids, true or predicted, cannot stand for nuclei, judged alone or among the others."""
    told = [unnumbered_set([ids[side] for ids in seen.values()]) for side in (0, 1)]
    return tuple(
        image_id
        for at, (image_id, ids) in enumerate(seen.items())
        if any(one.reason for one in ids) or any(side[at] for side in told)
    )


def _as_empty(true: LabelsById, image_id: str) -> list[ImageScore]:
    """Score an image as one in which nothing was found; give nothing if its truth is at fault."""
    try:
        labels = true[image_id]
        return [score_image(labels, np.zeros_like(labels), image_id=image_id)]
    except (DataError, InputError):
        return []


def _order(image_id: Any) -> tuple[str, Any]:  # noqa: ANN401 - whatever a caller's ids are
    return type(image_id).__name__, image_id


def _first(names: Sequence[object], told: Callable[[object], str]) -> str:
    shown = ", ".join(map(told, names[:3])) or "none"
    return shown + (f" ... ({len(names)})" if len(names) > 3 else "")
