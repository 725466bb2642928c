"""Hyper-parameters of a training set: short runs, each a trial of an Optuna study on disk.

A study that was stopped goes on with the trial it was in: the trial's own folder has the state of its run.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from nucleate.core.files import make_folder, write_rows, write_text
from nucleate.core.lock import locked
from nucleate.core.toml import toml_text
from nucleate.errors import DataError, UsageError
from nucleate.train.checkpoint import load_network
from nucleate.train.finish import starting_recipe, train_network
from nucleate.train.loop import FINAL
from nucleate.train.optuna_storage import open_study
from nucleate.train.pictures import check_nuclei, digest_of, digest_of_kinds
from nucleate.train.shipping import segmenter_of
from nucleate.train.start import check_start
from nucleate.train.tuning import parts_of
from nucleate.train.verdict import kaggle_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.train.config import TrainConfig
    from nucleate.train.loop import Run

__all__ = ["SPACE", "Sweep", "run_sweep", "varied"]

SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
    "weight_decay": optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True),
    "zoom": optuna.distributions.FloatDistribution(1.0, 2.5),
    "light": optuna.distributions.FloatDistribution(0.0, 0.6),
    "noise": optuna.distributions.FloatDistribution(0.0, 0.2),
    "blur": optuna.distributions.FloatDistribution(0.0, 2.0),
}
"""The settings that are drawn, by name; ``zoom`` is the largest change of size either way, ``light`` how far gamma and
gain go from 1."""


@dataclass(frozen=True)
class Sweep:
    """What to run.

    Parameters
    ----------
    folder : Path
        Gets ``study.journal``, a folder for each trial, ``trials.csv`` and ``best.toml``.
    settings : TrainConfig
        Settings that all trials share.
    samples, held : sequence of Sample
        To train on, and to score.
    trials : int
        Trials in all.
    device : str
        ``cpu`` or ``cuda``.
    """

    folder: Path
    settings: TrainConfig
    samples: Sequence[Sample]
    held: Sequence[Sample]
    trials: int = 20
    device: str = "cpu"


def run_sweep(
    sweep: Sweep,
    *,
    resume: bool = False,
    report: Callable[[int, Run], None] = lambda trial, run: None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Run trials until there are as many as asked for.

    Parameters
    ----------
    sweep : Sweep
    resume : bool
        Go on in a folder that holds this study.
    report : callable
        Called after each epoch with the number of the trial and its run.
    say : callable
        Takes one line a trial.

    Returns
    -------
    Path
        ``best.toml``, settings for ``nucleate train --config``.

    Raises
    ------
    UsageError
        If `folder` holds a study and `resume` is off, or a study with other settings or images, if another program
        works on it, or if the model to start from has another network.
    DataError
        If the held-out pictures are of one field of view, if they or those to train on hold no nucleus, or if no trial
        came to an end.
    """
    parts_of(sweep.held)
    for pictures in (sweep.samples, sweep.held):
        check_nuclei(pictures)
    check_start(sweep.settings)
    with locked(make_folder(sweep.folder) / "study.lock", wait=False) as ours:
        if not ours:
            raise UsageError(f"{sweep.folder}: another search is at this study; wait for it or give another folder")
        return _run(sweep, resume=resume, report=report, say=say)


def _run(sweep: Sweep, *, resume: bool, report: Callable[[int, Run], None], say: Callable[[str], None]) -> Path:
    study = _study(sweep, resume=resume)
    while (trial := _next(study, sweep.trials)) is not None:
        number, drawn = trial
        config = varied(sweep.settings, drawn)
        folder = sweep.folder / "trials" / f"{number:03d}"
        try:
            train_network(
                folder, config, samples=sweep.samples, held=sweep.held, resume=True, device=sweep.device,
                report=functools.partial(report, number),
            )  # fmt: skip
        except DataError as error:  # the loss diverged, which is a finding, not a fault
            study.tell(number, state=optuna.trial.TrialState.FAIL)
            say(f"trial {number}: {error}")
            continue
        score = _score(folder, config, held=sweep.held, device=sweep.device)
        study.tell(number, score)
        shown = ", ".join(f"{name} {value:.3g}" for name, value in drawn.items())
        say(f"trial {number}: Kaggle score {score:.3f} ({shown})")
        _write(sweep, study)
    return _write(sweep, study)


def varied(settings: TrainConfig, drawn: dict[str, Any]) -> TrainConfig:
    """Give settings with the values that were drawn for a trial, see `SPACE`."""
    zoom, light = drawn["zoom"], drawn["light"]
    augment = {
        "zoom": (1 / zoom, zoom),
        "gamma": (1 / (1 + light), 1 + light),
        "gain": (1 / (1 + light), 1 + light / 2),
        "noise": drawn["noise"],
        "blur": drawn["blur"],
    }
    changes = {name: drawn[name] for name in ("lr", "weight_decay")}
    return settings.replace(**changes, augment={**settings.augment.model_dump(), **augment})


def _study(sweep: Sweep, *, resume: bool) -> optuna.Study:
    journal = sweep.folder / "study.journal"
    if journal.is_file() and not resume:
        raise UsageError(f"{sweep.folder} already holds a study; go on with --resume or give another folder")
    study = open_study(journal, "search")
    ours: dict[str, tuple[Any, str]] = {
        "settings": (sweep.settings.model_dump(mode="json"),
                     "with other settings; give the same ones or another folder"),
        "pictures": ([digest_of(part) for part in (sweep.samples, sweep.held)],
                     "of other images; give the same DATA, --table and --val"),
        "kinds": (digest_of_kinds(sweep.samples), "with other types of image; give the same --table"),
    }  # fmt: skip
    for name, (value, wrong) in ours.items():
        matters = name != "kinds" or sweep.settings.balance > 0
        if matters and study.user_attrs.get(name, value) != value:
            raise UsageError(f"{sweep.folder} holds a study {wrong}")
        study.set_user_attr(name, value)
    return study


def _next(study: optuna.Study, trials: int) -> tuple[int, dict[str, Any]] | None:
    """Give number and values of the trial to run: the one that was stopped, or a new one."""
    known = _drawn(study)
    for trial in study.trials:
        if trial.state != optuna.trial.TrialState.RUNNING:
            continue
        if trial in known:
            return trial.number, trial.params
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # stopped while it was drawn: does not count
    if len(known) >= trials:
        return None
    # Every trial has its own sampler, so that a study that was stopped draws the same values as an unbroken one.
    study.sampler = optuna.samplers.TPESampler(seed=len(known), n_startup_trials=8)
    asked = study.ask(SPACE)
    return asked.number, asked.params


def _drawn(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Give the trials with all values, since some may have been stopped, or their lines damaged."""
    return [trial for trial in study.trials if trial.params.keys() == SPACE.keys()]


def _score(folder: Path, config: TrainConfig, *, held: Sequence[Sample], device: str) -> float:
    """Give the mean Kaggle score on held-out pictures with a recipe that is the same for all trials."""
    module, _, _ = load_network(folder / FINAL)
    segmenter = segmenter_of(module, config, recipe=starting_recipe(config), device=device)
    return float(np.mean(kaggle_scores(segmenter, held)))


def _write(sweep: Sweep, study: optuna.Study) -> Path:
    done = [trial for trial in _drawn(study) if trial.state == optuna.trial.TrialState.COMPLETE]
    if not done:
        raise DataError("no trial came to an end; look at the settings with nucleate train")
    rows = ([t.number, f"{t.value:.4f}", *(t.params[name] for name in SPACE)] for t in done)
    write_rows(sweep.folder / "trials.csv", rows, header=["trial", "kaggle", *SPACE])
    first = max(done, key=lambda trial: trial.value or 0.0)
    best = varied(sweep.settings, first.params)
    target = sweep.folder / "best.toml"
    head = f"# Best of {len(done)} trials: Kaggle score {first.value:.3f} on {len(sweep.held)} images.\n"
    write_text(target, head + toml_text(best.model_dump(mode="json", exclude_none=True)))
    return target
