"""The end of a run: the recipe tuned, the held-out pictures scored, the model written."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path
from nucleate.core.labels import areas
from nucleate.post.recipe import PostRecipe
from nucleate.score.scores import summarise
from nucleate.train.card import segmenter_of
from nucleate.train.checkpoint import load_network
from nucleate.train.confidence import (
    FEWEST,
    calibration_error,
    cross_fitted_confidence,
    described_nuclei,
    fit_confidence,
)
from nucleate.train.loop import FINAL
from nucleate.train.shipping import ship
from nucleate.train.tuning import apply_all, cross_fitted, store_maps, tune

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.score.images import ImageScore
    from nucleate.train.config import TrainConfig
    from nucleate.train.tuning import StoredMaps

__all__ = ["LEAST_CONFIDENCE", "START", "finish", "starting_recipe"]

LEAST_CONFIDENCE = 0.3
"""Nuclei whose expected IoU is lower are left out by the model unless the user says otherwise.

Chosen after a look at the first model's held-out fold (results/first-model/README.md), for every model alike."""

START = PostRecipe(split="markers", marker_level=0.4, min_area=10)
"""Where tuning begins for networks that learn a distance or a border map."""


def finish(run: Path, config: TrainConfig, *, held: Sequence[Sample], name: str, **facts: object) -> dict[str, Any]:
    """Turn the last weights of a run into a model.

    The last epoch is taken, not the best: choosing an epoch on the held-out pictures would flatter their score.

    Parameters
    ----------
    run : Path
        Folder of the run; gets ``<name>.onnx``, ``<name>.toml`` and ``held-out.csv`` (one row a picture).
    config : TrainConfig
        Its settings.
    held : sequence of Sample
        Pictures that were not trained on.
    name : str
        Of the model.
    **facts
        Further text fields of the card.

    Returns
    -------
    dict
        The scores that stand in the card: cross-fitted (see `nucleate.train.tuning.cross_fitted`), no nucleus left out
        for its confidence, and the calibration error of the confidence where there are nuclei enough to fit one.
    """
    module, _, _ = load_network(run / FINAL)
    start = config.recipe or starting_recipe(config)
    stored = store_maps(segmenter_of(module, config, recipe=start), held)
    if config.recipe is None:
        found = cross_fitted(start, config.maps, stored=stored)
        recipe, _ = tune(start, config.maps, stored=stored)
    else:
        recipe = config.recipe
        found = apply_all(recipe, config.maps, stored=stored)
    scores = _card_scores(found, stored)
    _write_rows(run / "held-out.csv", found, stored=stored)
    nuclei = described_nuclei(recipe, config.maps, stored=stored)
    confidence = fit_confidence(nuclei) if len(nuclei.iou) >= 4 * FEWEST else None
    if confidence is not None:
        predicted, iou = cross_fitted_confidence(recipe, config.maps, stored=stored)
        scores["confidence_error"] = round(calibration_error(predicted, iou), 4)
        facts["min_confidence"] = LEAST_CONFIDENCE
    facts |= {"confidence": confidence, "scores": scores, "diameter_px": _diameter(held)}
    ship(run, module, config=config, recipe=recipe, name=name, **facts)
    return scores


def starting_recipe(config: TrainConfig) -> PostRecipe:
    """Give the recipe that tuning begins with: markers where the network learns them, else the mask's own distance."""
    if {"distance", "border", "inside"} & set(config.maps):
        return START
    return PostRecipe(split="distance", min_area=10)


def _card_scores(found: Sequence[ImageScore], stored: Sequence[StoredMaps]) -> dict[str, Any]:
    groups = {one.image_id: one.group for one in stored}
    kinds = {one.image_id: one.kind or "all" for one in stored}
    whole = summarise(found, groups=groups)
    low, high = whole.interval.get("kaggle", (whole.kaggle, whole.kaggle))
    scores: dict[str, Any] = {
        "kaggle": round(whole.kaggle, 4),
        "kaggle_low": round(low, 4),
        "kaggle_high": round(high, 4),
        "f1_50": round(whole.f1_50, 4),
        "aji": round(whole.aji, 4),
        "images": whole.images,
    }
    for kind in sorted(set(kinds.values()) - {"all"}):
        of_kind = [score.kaggle for score in found if kinds[score.image_id] == kind]
        scores[f"kaggle_{kind}"] = round(float(np.mean(of_kind)), 4)
    return scores


def _write_rows(path: Path, found: Sequence[ImageScore], *, stored: Sequence[StoredMaps]) -> None:
    kinds = {one.image_id: one.kind for one in stored}
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "kind", "kaggle", "nuclei_true", "nuclei_pred"])
        for one in sorted(found, key=lambda score: score.kaggle):
            writer.writerow([one.image_id, kinds[one.image_id], f"{one.kaggle:.4f}", one.nuclei_true, one.nuclei_pred])


def _diameter(samples: Sequence[Sample]) -> float:
    """Median diameter of the circle as large as a nucleus, pixels."""
    sizes = np.concatenate([areas(sample.labels) for sample in samples])
    return round(float(2 * np.sqrt(np.median(sizes) / np.pi)), 1) if sizes.size else 1.0
