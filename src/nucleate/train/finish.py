"""The end of a run: recipe and confidence fitted, the held-out pictures scored, the model written."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import make_folder, write_rows
from nucleate.core.labels import areas
from nucleate.core.lock import locked_folder
from nucleate.nets.to_onnx import halve
from nucleate.post.recipe import PostRecipe
from nucleate.run.segmenter import SegmentSettings
from nucleate.run.weights import find_model
from nucleate.score.scores import summarise
from nucleate.train.batches import atlas_for, prepare
from nucleate.train.checkpoint import load_network
from nucleate.train.config import START, STATE
from nucleate.train.crossfit import Ending, EndingFitter, at_own_scale, cross_fit
from nucleate.train.loop import FINAL, fit
from nucleate.train.parallel import rank
from nucleate.train.pictures import check_nuclei, check_same, keep, taught_facts
from nucleate.train.quantise import add_int8
from nucleate.train.shipping import segmenter_of, ship
from nucleate.train.start import check_start
from nucleate.train.tuning import Trials, no_tick, store_maps
from nucleate.train.validation import mask_iou

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from nucleate.data.sample import Sample
    from nucleate.train.config import TrainConfig
    from nucleate.train.crossfit import CrossFit
    from nucleate.train.loop import Run
    from nucleate.train.tuning import StoredMaps, Tick

__all__ = ["card_scores", "final_network", "finish", "median_diameter", "starting_recipe", "train_network"]

_WATCHED = 32  # held-out pictures looked at after each epoch, 63 at most; nothing is chosen by them


def train_network(
    run: Path,
    config: TrainConfig,
    *,
    samples: Sequence[Sample],
    held: Sequence[Sample],
    resume: bool,
    device: str,
    report: Callable[[Run], None],
    tick: Callable[[int, int], None] = lambda step, total: None,
) -> None:
    """Train one network and keep it in a folder; some of the held-out pictures are looked at after each epoch.

    Parameters
    ----------
    run : Path
        Folder of the run, see `nucleate.train.loop.fit`.
    config : TrainConfig
        Its settings.
    samples, held : sequence of Sample
        Pictures to train on, and held-out ones; nothing is chosen by these, so that they may be without nuclei.
    resume, device, report, tick
        As in `nucleate.train.loop.fit`.

    Raises
    ------
    DataError
        If there is no nucleus in the pictures to train on.
    UsageError
        If the folder holds a run on other pictures, or of other kinds where these are balanced, if another program
        trains in it, or if the model to start from has another network. That is looked at before the folder is made.
    """
    check_nuclei(samples)
    check_start(config)
    with locked_folder(make_folder(run), "run.lock") if rank() == 0 else contextlib.nullcontext():
        if (run / STATE).is_file():
            check_same(run, samples, held=held, kinds=config.balance > 0)
        elif rank() == 0:
            keep(run, samples, held=held)
        watched = prepare(held[:: max(1, len(held) // _WATCHED)], config.normalizer, resize=config.resize)
        validate = mask_iou(watched, config, device=device)
        atlas = atlas_for(config, samples)
        fit(config, atlas, folder=run, validate=validate, resume=resume, device=device, report=report, tick=tick)


def final_network(run: Path) -> nn.Module:
    """Open the network of a run's last epoch, its weights rounded as a model's file holds them."""
    module, _, _ = load_network(run / FINAL)
    halve(module)
    return module


def finish(
    run: Path,
    config: TrainConfig,
    *,
    samples: Sequence[Sample],
    held: Sequence[Sample],
    name: str,
    jobs: int = 1,
    tick: Tick = no_tick,
    **facts: Any,  # noqa: ANN401 - card fields
) -> dict[str, Any]:
    """Turn the last weights of a run into a model.

    The last epoch is taken, not the best: choosing an epoch on the held-out pictures would flatter their score.

    Parameters
    ----------
    run : Path
        Folder of the run; gets ``<name>.onnx``, ``<name>.toml`` and ``held-out.csv`` (one row a picture); and
        ``<name>.int8.onnx``, the network in integers, if that is as good.
    config : TrainConfig
        Its settings.
    samples : sequence of Sample
        Pictures that were trained on.
    held : sequence of Sample
        Pictures that were not trained on.
    name : str
        Of the model.
    jobs : int
        Pictures that are scored at once.
    tick : callable
        Told what is being done, how many are done and of how many (`nucleate.train.tuning.Tick`).
    **facts
        Further text fields of the card.

    Returns
    -------
    dict
        The scores that stand in the card: cross-fitted (see `nucleate.train.crossfit`).
    """
    module = final_network(run)
    start = starting_recipe(config)
    diameter = median_diameter(held)
    unscaled = SegmentSettings(scale=1.0)
    segmenter = segmenter_of(module, config, recipe=start, settings=unscaled, diameter_px=diameter)
    whole = store_maps(segmenter, held, tick=tick)
    fitter = EndingFitter(
        Trials(config.maps, whole, jobs=jobs, tick=tick),
        start,
        tuned=config.recipe is None,
        spare=config.spare,
        known=None if config.init is None else Ending.of_card(find_model(config.init).card),
    )
    stored, found = at_own_scale(
        cross_fit(fitter),
        fitter.trials,
        images=[sample.image for sample in held],
        opened=lambda ending, _: segmenter_of(module, config, diameter_px=diameter, **ending.facts()),
    )
    scores = card_scores(found, stored)
    _write_rows(run / "held-out.csv", found, stored=stored)
    ending = fitter.fit(range(len(stored)))
    facts |= {"scores": scores, "diameter_px": diameter, **taught_facts(samples, init=config.init)}
    ship(run, module, config=config, name=name, **ending.facts(), **facts)
    add_int8(run / f"{name}.onnx", config, samples=samples, judged_by=held, tick=tick)
    return scores


def starting_recipe(config: TrainConfig) -> PostRecipe:
    """Give the recipe that tuning begins with: markers if the network learns them, else the mask's own distance.

    If the settings have a recipe, that one is given, and nothing is tuned.
    """
    learns_markers = {"distance", "border", "inside"} & set(config.maps)
    return config.recipe or (START if learns_markers else PostRecipe(split="distance", min_area=10))


def card_scores(found: CrossFit, stored: Sequence[StoredMaps]) -> dict[str, Any]:
    """Give the scores for a card: nuclei under the limit are left out, and no picture took part in its own score."""
    groups = {one.image_id: one.group for one in stored}
    whole = summarise(found.kept, groups=groups)
    low, high = whole.interval.get("kaggle", (whole.kaggle, whole.kaggle))
    scores: dict[str, Any] = {
        "kaggle": round(whole.kaggle, 4),
        "kaggle_low": round(low, 4),
        "kaggle_high": round(high, 4),
        "f1_50": round(whole.f1_50, 4),
        "aji": round(whole.aji, 4),
        "images": whole.images,
    }
    if found.calibration_error is not None:
        scores["confidence_error"] = round(found.calibration_error, 4)
    by_kind: dict[str, list[float]] = {}
    for one, score in zip(stored, found.kept, strict=True):
        by_kind.setdefault(one.kind, []).append(score.kaggle)
    # A table of its own, since a kind may have the name of a score.
    means = {kind: round(float(np.mean(kaggle)), 4) for kind, kaggle in sorted(by_kind.items()) if kind}
    return {**scores, "kaggle_by_type": means} if means else scores


def _write_rows(path: Path, found: CrossFit, *, stored: Sequence[StoredMaps]) -> None:
    """Write the scores with all their digits, since a verdict compares them with scores that are not rounded."""
    scored = sorted(zip(stored, found.kept, strict=True), key=lambda pair: pair[1].kaggle)
    rows = ([one.image_id, one.kind, score.kaggle, score.nuclei_true, score.nuclei_pred] for one, score in scored)
    write_rows(path, rows, header=["image", "kind", "kaggle", "nuclei_true", "nuclei_pred"])


def median_diameter(samples: Sequence[Sample]) -> float:
    """Give the median diameter of the circle as large as a nucleus, pixels; 1 where there is none."""
    sizes = np.concatenate([areas(sample.labels) for sample in samples])
    return round(float(2 * np.sqrt(np.median(sizes) / np.pi)), 1) if sizes.size else 1.0
