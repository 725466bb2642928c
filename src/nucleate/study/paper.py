"""The student paper, whole: its three networks, its draws and its scores, on the data at hand.

Source: a Stanford CS230 project of 2018 on the Data Science Bowl set. 256 x 256 grey pictures, inverted when bright;
flips and piecewise affine augmentation; U-Nets trained with binary cross-entropy and Adam for 20 epochs at learning
rates drawn in log space; the best epoch by IoU; Otsu's threshold on the whole map, connected components.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import make_folder
from nucleate.core.lock import locked_folder
from nucleate.core.normalize import Normalizer
from nucleate.errors import UsageError
from nucleate.nets.build import NetConfig
from nucleate.study.plan import NetworkPlan
from nucleate.train.augment_config import AugmentConfig
from nucleate.train.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.train.loop import Run

__all__ = [
    "AUGMENT",
    "NETWORKS",
    "NORMALIZER",
    "SIDE",
    "PaperPlan",
    "Split",
    "drawn_learning_rate",
    "load_split",
    "paper_config",
    "system_config",
    "train_networks",
]

NETWORKS = {"base": "unet", "plus-one": "unet-plus-one", "minus-one": "unet-minus-one"}
"""The paper's networks by their name in `nucleate.nets.build`."""

NORMALIZER = Normalizer(channels=1, scaling="range", polarity="dark-background")
"""Grey, 0..1 of the dtype's range, inverted when the mean lies above the middle."""

AUGMENT = AugmentConfig(flips=True, displace=(0.01, 0.04), displace_grid=4)
"""Flips, and a piecewise affine displacement."""

SIDE = 256
"""Side of the square every picture is resized to."""


@dataclass(frozen=True)
class PaperPlan(NetworkPlan):
    """What to run.

    Parameters
    ----------
    epochs : int
        The paper's is 20.
    trials : int
        Draws of the learning rate, each shared by the three networks.
    lr_low, lr_high : float
        Range of the draws.
    dev_fold, test_fold : int
        Held out: the first to choose epoch and learning rate, the second to be scored once at the end.
    """

    epochs: int = 20
    trials: int = 10
    lr_low: float = 3e-5
    lr_high: float = 3e-3
    dev_fold: int = 0
    test_fold: int = 1

    may_change = frozenset({"trials"})


@dataclass(frozen=True)
class Split:
    """Samples to train on, to choose on (dev) and to score once (test)."""

    train: list[Sample]
    dev: list[Sample]
    test: list[Sample]


def load_split(plan: PaperPlan) -> Split:
    """Load the data and divide it by fold; no mosaic is on two sides.

    Raises
    ------
    UsageError
        If one of the two folds that are held out has no picture, or there is none beside them.
    """
    held = (plan.dev_fold, plan.test_fold)
    samples = plan.pictures(held, seed=plan.seed)
    if all(sample.fold in held for sample in samples):
        raise UsageError(
            f"all {len(samples)} images are in folds {held[0]} and {held[1]}, which are held out; "
            "give a --table with a third one"
        )
    return Split(
        [s for s in samples if s.fold not in held],
        [s for s in samples if s.fold == plan.dev_fold],
        [s for s in samples if s.fold == plan.test_fold],
    )


def paper_config(plan: PaperPlan, network: str, *, lr: float) -> TrainConfig:
    """Give the settings of one of the paper's runs; `network` is a key of `NETWORKS`."""
    return system_config(plan, NETWORKS[network], epochs=plan.epochs, lr=lr)


def system_config(plan: NetworkPlan, network: str, **others: Any) -> TrainConfig:  # noqa: ANN401 - settings
    """Give the settings of the paper's system with a network of `nucleate.nets.build`, and others beside them."""
    return TrainConfig(
        network=NetConfig(network, width=plan.width),
        normalizer=NORMALIZER,
        augment=AUGMENT,
        resize=SIDE,
        crop=SIDE,
        batch=plan.batch,
        precision=plan.precision,
        seed=plan.seed,
        **others,
    )


def drawn_learning_rate(seed: int, draw: int, *, low: float, high: float) -> float:
    """Draw a learning rate log-uniformly from [low, high]; the same seed and draw number give the same one."""
    exponent = np.random.default_rng([seed, draw]).uniform(math.log10(low), math.log10(high))
    return float(10**exponent)


def train_networks(
    plan: PaperPlan, split: Split, *, resume: bool, device: str, report: Callable[[int, str, Run], None]
) -> dict[str, Path]:
    """Train the three networks at every drawn learning rate and keep each one's best epoch of all draws.

    Returns
    -------
    dict
        Network to its ``networks/<name>.safetensors`` in the plan's folder.

    Raises
    ------
    UsageError
        If the folder holds another study or one of other pictures, or this study while `resume` is off.
    """
    from nucleate.train.batches import prepare
    from nucleate.train.checkpoint import load_network, save_network
    from nucleate.train.loop import BEST, fit
    from nucleate.train.optuna_storage import open_study, record_draw
    from nucleate.train.validation import mask_iou

    plan.claim([*split.train, *split.dev, *split.test], resume=resume)
    atlas = prepare(split.train, NORMALIZER, resize=SIDE)
    dev = prepare(split.dev, NORMALIZER, resize=SIDE)
    study = open_study(plan.out / "draws.journal", "paper")
    bounds = (plan.lr_low, plan.lr_high)
    best: dict[str, tuple[float, Path, float]] = {}
    for draw in range(plan.trials):
        lr = drawn_learning_rate(plan.seed, draw, low=bounds[0], high=bounds[1])
        scores = {}
        for name in NETWORKS:
            folder = plan.out / "draws" / f"{draw:02d}-{name}"
            config = paper_config(plan, name, lr=lr)
            validate = mask_iou(dev, config, device=device)
            # A draw's own folder goes on where it stopped; the study as a whole was claimed above.
            say = functools.partial(report, draw, name)
            with locked_folder(make_folder(folder), "run.lock"):
                run = fit(config, atlas, folder=folder, validate=validate, resume=True, device=device, report=say)
            scores[name] = run.best
            if name not in best or run.best > best[name][0]:
                best[name] = (run.best, folder, lr)
        record_draw(study, draw, lr=lr, bounds=bounds, scores=scores)
    kept = {}
    for name, (_, folder, lr) in best.items():
        module, network, facts = load_network(folder / BEST)
        kept[name] = make_folder(plan.out / "networks") / f"{name}.safetensors"
        save_network(kept[name], module, config=network, facts={**facts, "lr": lr, "draw": folder.name})
    return kept
