"""Score one source of label images against another: what `nucleate.evaluate` and `nucleate evaluate` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nucleate.errors import DataError, InputError, UsageError
from nucleate.score.images import score_image
from nucleate.score.scores import summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nucleate.score.scores import Scores

__all__ = ["Evaluation", "Labels", "Source", "evaluate_sources", "open_labels"]

Labels: TypeAlias = Mapping[str, NDArray[Any]]
"""Image id to label image (H, W); may read each image when it is asked for."""

Source: TypeAlias = Path | str | NDArray[Any] | Labels
"""A path that `nucleate.data.truth` can read, one label image, or label images by id."""


@dataclass(frozen=True)
class Evaluation:
    """Scores, and what could not be compared.

    Parameters
    ----------
    scores : Scores
        Of every image of the truth that could be compared.
    missing : tuple of str
        Images of the truth without prediction; they count as images in which nothing was found.
    ignored : tuple of str
        Predictions without truth; they do not count.
    failed : mapping
        Image id to the reason why it was left out of the scores.
    """

    scores: Scores
    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    failed: Mapping[str, str]


def evaluate_sources(
    pred: Source,
    truth: Source,
    *,
    images: Path | str | None = None,
    groups: Mapping[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    each: Callable[[list[str]], Iterable[str]] = iter,
) -> Evaluation:
    """Score predicted label images against true ones, image by image, holding one pair at a time.

    Parameters
    ----------
    pred, truth : path, (H, W) int ndarray, or mapping of id to (H, W) int ndarray
        Folders of label images, Kaggle folders or zips with masks, RLE CSVs; or arrays at hand, 0 background.
    images : path, optional
        Folder of the pictures, for the sizes of images that an RLE CSV does not give.
    groups, resamples, seed
        For the intervals, see `nucleate.score.scores.summarise`.
    each : callable
        Goes through the ids; a progress bar fits here.

    Returns
    -------
    Evaluation
        Images that cannot be read or whose shapes differ are in `Evaluation.failed`, the rest is scored.

    Raises
    ------
    UsageError
        If the two sources have no image in common.
    DataError
        If a source cannot be read, or no image at all could be compared.

    Examples
    --------
    >>> labels = np.array([[0, 1, 1, 0, 2, 2]])
    >>> evaluate_sources(labels, labels).scores.kaggle
    1.0
    """
    predicted, true = open_labels(pred, images=images), open_labels(truth, images=images)
    ids = sorted(true)
    missing = tuple(image_id for image_id in ids if image_id not in predicted)
    if len(missing) == len(ids):
        got = f"predictions {_first(sorted(predicted))}; truth {_first(ids)}"
        raise UsageError(f"no image is in both: {got}; give files of the same image the same name")
    per_image, failed = [], {}
    absent = set(missing)
    for image_id in each(ids):
        try:
            labels = true[image_id]
            found = np.zeros_like(labels) if image_id in absent else predicted[image_id]
            per_image.append(score_image(labels, found, image_id=image_id))
        except (DataError, InputError) as error:
            failed[image_id] = str(error)
    if not per_image:
        raise DataError(f"none of {len(ids)} images could be compared; the first, {ids[0]}: {failed[ids[0]]}")
    return Evaluation(
        scores=summarise(per_image, groups=groups, resamples=resamples, seed=seed),
        missing=missing,
        ignored=tuple(sorted(set(predicted) - set(true))),
        failed=failed,
    )


def open_labels(source: Source, *, images: Path | str | None = None) -> Labels:
    """Make label images by id out of a path, one array, or what is that already.

    Raises
    ------
    DataError
        If the path holds no label images.
    """
    if isinstance(source, np.ndarray):
        return {"image": source}
    if isinstance(source, Mapping):
        return source
    from nucleate.data.truth import read_labels_source

    return read_labels_source(Path(source), images=None if images is None else Path(images))


def _first(names: list[str]) -> str:
    shown = ", ".join(names[:3]) or "none"
    return shown + (f" ... ({len(names)})" if len(names) > 3 else "")
