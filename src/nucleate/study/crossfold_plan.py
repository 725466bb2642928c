"""What a cross-validation is to run: its plan, the sides of each network, and whether one has yet to be trained."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from nucleate.errors import ModelError, UsageError
from nucleate.run.weights import find_model
from nucleate.study.plan import StudyPlan
from nucleate.train.config import AFTER, STATE, TrainConfig, load_config
from nucleate.train.loop import FINAL
from nucleate.train.pictures import check_nuclei, check_same, taught_facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample

__all__ = ["ALL", "CrossPlan", "check_place", "folds_of", "network_name", "sides_of", "to_train"]

ALL = "all"
"""Name of the network trained on all folds, and of the ending fitted to all."""

_LENGTH = ("epochs", "restarts", "calm")  # settings of the length of a training, with which `fit` can go on


@dataclass(frozen=True)
class CrossPlan(StudyPlan):
    """What to run.

    Parameters
    ----------
    config : TrainConfig
        Settings of every network.
    folds : tuple of int
        Folds held out in turn; all when empty.
    device : str
        ``cpu`` or ``cuda``.
    jobs : int
        Threads for what follows the network.
    train : bool
        Whether folds whose training is not complete are trained on; else their last weights are taken.
    """

    _: KW_ONLY
    config: TrainConfig
    folds: tuple[int, ...] = ()
    device: str = "cpu"
    jobs: int = 1
    train: bool = True

    @property
    def part(self) -> str:
        """The end of the names of results if only some folds were asked for, so that results of all folds stay."""
        return "-part" if self.folds else ""

    @property
    def looks(self) -> int:
        """Pictures that a network looks at at the same time; a graphics card may have room for one only."""
        return 1 if self.device == "cuda" else self.jobs


def network_name(fold: int | None) -> str:
    """Name the network that did not see a fold, which is also the name of its folder; `ALL` without a fold."""
    return ALL if fold is None else f"fold-{fold}"


def to_train(plan: CrossPlan, samples: Sequence[Sample], *, fold: int | None) -> bool:
    """Tell whether a network has yet to be trained; refuse one that cannot be, or that was trained by another plan.

    Parameters
    ----------
    plan : CrossPlan
    samples : sequence of Sample
        All pictures, with folds.
    fold : int, optional
        The fold held out of its training; None if it is trained on all pictures.

    Raises
    ------
    UsageError
        If it was trained with other settings or on other pictures, has no weights while `plan.train` is off, or all
        pictures are in its fold.
    DataError
        If there is no nucleus to train on; the held-out fold may well have none.
    """
    folder = plan.out / network_name(fold)
    done = (folder / FINAL).is_file() and (not plan.train or _epochs(folder) >= plan.config.epochs)
    _check_settings(plan.config, folder, whole=done and plan.train)
    taught, _ = sides_of(samples, fold)
    check_same(folder, taught, kinds=not done and plan.config.balance > 0, give="DATA and --table")
    if done:
        return False
    if not plan.train:
        raise UsageError(f"{folder} has no {FINAL}; train it, or leave this fold out with --folds")
    if not taught:
        raise UsageError(f"all {len(samples)} images are in fold {fold}; give a --table with at least two folds")
    check_nuclei(taught, "" if fold is None else f"to train on without fold {fold}")
    return True


def folds_of(plan: CrossPlan, samples: Sequence[Sample]) -> tuple[int, ...]:
    """Give the folds that are held out in turn."""
    return plan.folds or tuple(sorted({sample.fold for sample in samples if sample.fold is not None}))


def sides_of(samples: Sequence[Sample], fold: int | None) -> tuple[list[Sample], list[Sample]]:
    """Give the pictures that a network is trained on and those it is evaluated on; without a fold, all for both."""
    taught = [sample for sample in samples if sample.fold != fold]
    return taught, [sample for sample in samples if fold is None or sample.fold == fold]


def check_place(plan: CrossPlan, name: str, *, samples: Sequence[Sample]) -> None:
    """Refuse a name for the study's model that another model in its folder has.

    Parameters
    ----------
    plan : CrossPlan
    name : str
        Of the model to be written.
    samples : sequence of Sample
        All pictures, with folds.

    Raises
    ------
    UsageError
        If there is such a model. A model that an earlier call of the study wrote may be replaced.
    """
    onnx = plan.out / f"{name}.onnx"
    there = [path for path in (onnx, onnx.with_suffix(".toml")) if path.exists()]
    if there and not _is_own(plan, onnx, samples=samples):
        raise UsageError(f"{there[0]} is none of this study's and would be overwritten; give another name with --ship")


def _is_own(plan: CrossPlan, onnx: Path, *, samples: Sequence[Sample]) -> bool:
    """Tell by its card whether a model is one of the study's networks: same network, trained on the same pictures."""
    if (plan.out / STATE).is_file():  # the folder is that of a single run, too, whose model may look the same
        return False
    try:
        card = find_model(onnx).card
    except ModelError:
        return False
    sides = [sides_of(samples, fold)[0] for fold in {None, *(one.fold for one in samples)}]
    taught = [taught_facts(side, init=plan.config.init)["trained_on"] for side in sides]
    return (card.network, card.maps) == (plan.config.network.to_dict(), plan.config.maps) and card.trained_on in taught


def _check_settings(config: TrainConfig, folder: Path, *, whole: bool) -> None:
    """Refuse a network of other settings, except for steps after the training, and the length of an unfinished one."""
    path = folder / "config.json"
    if not path.is_file():
        return
    left_out = {*AFTER} if whole else {*AFTER, *_LENGTH}
    theirs, ours = (one.model_dump(exclude=left_out) for one in (load_config(path), config))
    other = ", ".join(name for name in ours if ours[name] != theirs[name])
    if other:
        raise UsageError(f"{folder} was trained with another {other}; give its settings with --config")


def _epochs(folder: Path) -> int:
    path = folder / "history.csv"
    return len(path.read_text(encoding="utf-8").splitlines()) - 1 if path.is_file() else 0
