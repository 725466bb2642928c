"""Find every cell nucleus in a microscope image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nucleate.api import load_segmenter, open_image, read_image, segment
    from nucleate.data.truth import LabelsAt
    from nucleate.score.scores import Scores

__all__ = ["__version__", "evaluate", "load_segmenter", "open_image", "read_image", "segment"]

__version__ = "0.1.0"

_LAZY = ("load_segmenter", "open_image", "read_image", "segment")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what the module says
    # They bring scipy, pydantic and the readers: `import nucleate` stays fast without them.
    if name in _LAZY:
        from nucleate import api

        return getattr(api, name)
    raise AttributeError(f"module 'nucleate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def evaluate(
    pred: LabelsAt,
    truth: LabelsAt,
    *,
    images: Path | str | None = None,
    groups: Mapping[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Score predicted nuclei against true ones: what ``nucleate evaluate`` does.

    Parameters
    ----------
    pred, truth : path, (H, W) int ndarray or Segmentation, or mapping of id to such
        Folders or zips of label images, Kaggle folders or zips with masks, Kaggle RLE CSVs; or label images at hand,
        0 background. Images are paired by name; a lone array or file with the other such, whatever they are called.
        Of a stack, (..., H, W), each plane is compared with the same plane of the other side.
    images : path, optional
        Folder or zip of the pictures, for the sizes that an RLE CSV does not give.
    groups : mapping, optional
        Image id to the group it belongs to; whole groups are drawn for the intervals.
    resamples, seed : int
        Bootstrap draws for the intervals, and their start.

    Returns
    -------
    Scores
        Numbers, intervals, and in `missing`, `ignored` and `failed` the images that could not be compared.

    Raises
    ------
    UsageError
        If the two have no image in common, or an option has a value that cannot be.
    DataError
        If a path holds no label images, or no image at all could be compared.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array([[0, 1, 1, 0, 2, 2]])
    >>> evaluate(labels, labels).kaggle
    1.0
    """
    from nucleate.core.checks import check_number
    from nucleate.data.truth import read_pair
    from nucleate.score.sources import evaluate_sources

    check_number("resamples", resamples, least=0, whole=True)
    check_number("seed", seed, least=0, whole=True)
    found, true = read_pair(pred, truth, images=images)
    return evaluate_sources(found, true, groups=groups, resamples=resamples, seed=seed)
