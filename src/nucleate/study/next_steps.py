"""The next steps, run: each row trained and scored on the same held-out pictures, kept as it is done.

A row is an idea on one held-out part. Rows depend on nothing but the plan: they can be run in any order, by several
processes at a time, and again. Ideas that differ only after the network share its training.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from nucleate.core.files import atomic_path, make_folder, plain_name, write_text
from nucleate.core.lock import locked
from nucleate.errors import DataError, UsageError
from nucleate.post.recipe import PAPER_RECIPE
from nucleate.score.images import score_image
from nucleate.study.crossfold_plan import network_name, sides_of
from nucleate.study.gains import BASELINE
from nucleate.study.next_ideas import baseline_config, changed
from nucleate.train.batches import atlas_for, prepare
from nucleate.train.checkpoint import load_network
from nucleate.train.config import TrainConfig
from nucleate.train.detector import find_nuclei, why_no_detector
from nucleate.train.device import describe
from nucleate.train.loop import FINAL, fit
from nucleate.train.shipping import segmenter_of
from nucleate.train.validation import mask_iou

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.study.next_ideas import Idea
    from nucleate.study.plan import NextPlan
    from nucleate.train.loop import Run

__all__ = ["Outcome", "Part", "Study", "fold_parts", "type_parts"]

_WATCHED = 8  # held-out pictures looked at after each epoch, 15 at most; nothing is chosen by them


@dataclass(frozen=True)
class Part:
    """Pictures to train on and pictures to score.

    Parameters
    ----------
    name : str
        ``fold-<number>`` or ``type-<name>``.
    train, held : list of Sample
        No group is in both.
    """

    name: str
    train: list[Sample]
    held: list[Sample]


@dataclass(frozen=True)
class Outcome:
    """What one idea reached on one part.

    Parameters
    ----------
    idea, part : str
        Names.
    scores : dict
        Image id -> Kaggle score.
    seconds : float
        All of the training, including that before a break: seconds of processor time, so that it does not matter who
        else uses the machine; with ``cuda``, seconds of the clock.
    predict_seconds : float
        From pictures to nuclei, the whole part; maps that were stored are not computed again.
    megabytes : float
        Weights on disk.
    made : str
        Versions and hardware.
    """

    idea: str
    part: str
    scores: dict[str, float]
    seconds: float
    predict_seconds: float
    megabytes: float
    made: str = ""


def fold_parts(plan: NextPlan, samples: Sequence[Sample]) -> list[Part]:
    """Hold out one fold of the plan after the other."""
    return [Part(network_name(fold), *sides_of(samples, fold)) for fold in plan.folds]


def type_parts(samples: Sequence[Sample]) -> list[Part]:
    """Hold out one type of image after the other; pictures that share a group with it are not trained on.

    Raises
    ------
    DataError
        If fewer than two types are known.
    """
    kinds = sorted({sample.kind for sample in samples} - {""})
    if len(kinds) < 2:
        raise DataError(f"{len(kinds)} types of image are known; leave-one-type-out needs a table with two or more")
    parts = []
    names = _folder_names(kinds)
    for kind in kinds:
        held = [sample for sample in samples if sample.kind == kind]
        groups = {sample.group for sample in held}
        rest = [sample for sample in samples if sample.kind != kind and sample.group not in groups]
        parts.append(Part(f"type-{names[kind]}", rest, held))
    return parts


def _folder_names(kinds: Sequence[str]) -> dict[str, str]:
    """Give each type a name for files: in small letters, with a mark if another type would have the same name."""
    plain = {kind: plain_name("-".join(kind.lower().split())) for kind in kinds}
    taken = Counter(plain.values())
    marks = {kind: f"-{hashlib.sha256(kind.encode()).hexdigest()[:6]}" for kind in kinds}
    return {kind: name + (marks[kind] if taken[name] > 1 else "") for kind, name in plain.items()}


class Study:
    """Runs rows of one plan and keeps them in its folder.

    Parameters
    ----------
    plan : NextPlan
    shown : sequence of Sample
        Pictures whose nuclei are kept for the overlay strips, wherever they are held out.
    device : str
        ``cpu`` or ``cuda``.
    report : callable
        Called after each epoch with the idea, the part and the run.
    """

    def __init__(
        self,
        plan: NextPlan,
        *,
        shown: Sequence[Sample] = (),
        device: str = "cpu",
        report: Callable[[str, str, Run], None] = lambda idea, part, run: None,
    ) -> None:
        self.plan = plan
        self.shown = {sample.image_id for sample in shown}
        self.device = device
        self.report = report

    def config(self, idea: Idea) -> TrainConfig:
        """Give the settings of an idea."""
        return changed(baseline_config(self.plan), idea.changes)

    def outcome(self, idea: Idea, part: Part, *, wait: bool = True) -> Outcome | None:
        """Train and score one idea on one part, or read what was found before.

        Parameters
        ----------
        idea : Idea
        part : Part
        wait : bool
            Wait for another process that works on the same network; otherwise None is given at once.

        Raises
        ------
        UsageError
            If the idea is a detector and torchvision cannot be used here; the message says why.
        """
        if known := self.known(idea, part.name):
            return known
        if reason := self.obstacle(idea):
            raise UsageError(f"{idea.name}: {reason}")
        folder = self._folder(self.config(idea), part)
        lock = make_folder(self.plan.out / "locks") / folder.name
        with locked(lock, wait=wait) as ours:
            return (self.known(idea, part.name) or self._run(idea, part, folder=folder)) if ours else None

    def _run(self, idea: Idea, part: Part, *, folder: Path) -> Outcome:
        config = self.config(idea)
        seconds = self._train(idea, part, folder=folder)
        began = self._clock()
        found = self._nuclei(config, part, folder=folder, store=idea.name == BASELINE)
        scores = {s.image_id: score_image(s.labels, one).kaggle for s, one in zip(part.held, found, strict=True)}
        shown = {s.image_id: one for s, one in zip(part.held, found, strict=True) if s.image_id in self.shown}
        predict_seconds = round(self._clock() - began, 3)
        megabytes = round((folder / FINAL).stat().st_size / 1e6, 3)
        outcome = Outcome(idea.name, part.name, scores, seconds, predict_seconds, megabytes, describe(self.device))
        path = self._row(idea.name, part.name)
        make_folder(path.parent)
        with atomic_path(path.with_suffix(".npz")) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **shown)  # type: ignore[arg-type]  # the stubs take it for allow_pickle
        _write_json(path, {"settings": config.model_dump(mode="json"), **asdict(outcome)})
        return outcome

    def known(self, idea: Idea, part: str) -> Outcome | None:
        """Read what was found before with the same settings; None if there is nothing."""
        path = self._row(idea.name, part)
        if not path.is_file():
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(**kept) if _same(kept.pop("settings"), self.config(idea)) else None

    def obstacle(self, idea: Idea) -> str:
        """Say in one line why an idea cannot be run here; empty if it can."""
        return why_no_detector() if self.config(idea).detector else ""

    def kept_labels(self, idea: str, part: str) -> dict[str, NDArray[Any]]:
        """Read the nuclei of the pictures shown that are held out in a part."""
        with np.load(self._row(idea, part).with_suffix(".npz")) as archive:
            return {name: archive[name] for name in archive.files}

    def copy_rows(self, out: Path) -> None:
        """Copy the rows that are done, without weights and maps: the study can go on from the copy."""
        rows = make_folder(out / "rows")
        for path in (self.plan.out / "rows").glob("[!.]*"):
            with atomic_path(rows / path.name) as temporary:
                shutil.copyfile(path, temporary)

    def _row(self, idea: str, part: str) -> Path:
        return self.plan.out / "rows" / f"{idea}-{part}.json"

    def _folder(self, config: TrainConfig, part: Part) -> Path:
        # Only settings that differ from the defaults, so that one that a later version adds leaves runs where they are.
        settings = _network_alone(config).model_dump_json(exclude_defaults=True)
        return self.plan.out / "runs" / f"{hashlib.sha256(settings.encode()).hexdigest()[:12]}-{part.name}"

    def _clock(self) -> float:
        return time.perf_counter() if self.device == "cuda" else time.process_time()

    def _train(self, idea: Idea, part: Part, *, folder: Path) -> float:
        """Train, or go on, or find that all is done; give the seconds that it took in all."""
        config = _network_alone(self.config(idea))
        watched = prepare(part.held[:: max(1, len(part.held) // _WATCHED)], config.normalizer, resize=config.resize)
        atlas = atlas_for(config, part.train)
        spent = make_folder(folder) / "seconds.json"
        seconds = json.loads(spent.read_text(encoding="utf-8")) if spent.is_file() else 0.0
        began = self._clock() - seconds

        def keep(run: Run) -> None:
            nonlocal seconds
            seconds = round(self._clock() - began, 6)
            _write_json(spent, seconds)
            self.report(idea.name, part.name, run)

        fit(
            config,
            atlas,
            folder=folder,
            validate=mask_iou(watched, config.replace(batch=1), device=self.device),
            resume=True,
            device=self.device,
            report=keep,
        )
        return float(seconds)

    def _nuclei(self, config: TrainConfig, part: Part, *, folder: Path, store: bool) -> list[NDArray[np.int32]]:
        # The last weights, not the best: an epoch chosen on the pictures that are scored would flatter the score.
        module, _, _ = load_network(folder / FINAL)
        if config.detector:
            return [find_nuclei(module, config, plane=sample.image, device=self.device) for sample in part.held]
        recipe = config.recipe or PAPER_RECIPE
        stored = folder / "maps.npz"
        if stored.is_file() and not config.full_size:
            with np.load(stored) as archive:
                maps = dict(archive)
        else:
            segmenter = segmenter_of(module, config, recipe=recipe, device=self.device)
            maps = {sample.image_id: segmenter.maps(sample.image).astype(np.float16) for sample in part.held}
            if store:
                with atomic_path(stored) as temporary, temporary.open("wb") as stream:
                    np.savez(stream, **maps)
        return [recipe.apply(maps[s.image_id].astype(np.float32), config.maps) for s in part.held]


def _network_alone(config: TrainConfig) -> TrainConfig:
    """Leave out settings of steps after the network, which are no part of its training."""
    return config.replace(recipe=None, full_size=False)


def _same(kept: dict[str, Any], config: TrainConfig) -> bool:
    """Whether stored settings equal these; settings that a later version added count as their defaults."""
    try:
        return TrainConfig.model_validate(kept) == config
    except ValidationError:
        return False


def _write_json(path: Path, values: object) -> None:
    write_text(path, json.dumps(values, indent=1))
