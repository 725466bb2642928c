"""What the plans of studies share: annotated pictures divided by fold, and a folder that holds one study."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar, Literal

from nucleate.core.files import make_folder, write_text
from nucleate.data.samples import FOLDS, attach_table, grouped_folds, load_samples
from nucleate.errors import UsageError
from nucleate.train.pictures import digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample

__all__ = ["NetworkPlan", "NextPlan", "StudyPlan"]

_IMAGES = "images_sha256"
_PARTS = 10  # of a run of the next steps; a broken run goes on from the last whole part
_FEWEST_FOLDS = 3


@dataclass(frozen=True)
class StudyPlan:
    """The data of a study, and its folder.

    Parameters
    ----------
    data : Path
        Annotated pictures, any layout that `nucleate.data.samples` reads.
    out : Path
        Folder of the outcome.
    table : Path, optional
        CSV with folds and types; without one, four folds are dealt by picture.
    loaded : sequence of Sample, optional
        The pictures of `data`, if they are loaded already, with the folds of a table or none; else they are loaded
        whenever they are asked for.
    """

    data: Path
    out: Path
    table: Path | None = None
    loaded: Sequence[Sample] | None = field(default=None, kw_only=True, repr=False, compare=False)

    def pictures(self, folds: Sequence[int] = (), *, seed: int = 0) -> list[Sample]:
        """Give the data with folds, groups and types; no field of view is in two folds.

        Parameters
        ----------
        folds : sequence of int
            Folds that must have pictures.
        seed : int
            Of the dealing.

        Raises
        ------
        UsageError
            If one of `folds` holds no picture.
        """
        samples = load_samples(self.data) if self.loaded is None else [*self.loaded]
        if self.table is not None:
            samples = attach_table(samples, self.table)
        elif samples[0].fold is None:
            samples = grouped_folds(samples, FOLDS, seed=seed)
        known = sorted({sample.fold for sample in samples if sample.fold is not None})
        missing = [fold for fold in folds if fold not in known]
        if missing:
            raise UsageError(f"no fold {missing[0]} in {self.data}; choose of {', '.join(map(str, known))}")
        return samples


@dataclass(frozen=True)
class NetworkPlan(StudyPlan):
    """A study whose networks follow from a few numbers.

    Parameters
    ----------
    width : int
        Channels at full size; the paper's is 64.
    batch : int
        Crops or pictures a batch, where nothing else is said.
    precision : {"float32", "bfloat16"}
        Of the networks' arithmetic.
    seed : int
        Everything random follows from it.
    """

    width: int = 64
    batch: int = 8
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    may_change: ClassVar[frozenset[str]] = frozenset()
    """Names of fields that may differ when a study goes on."""

    def settings(self) -> dict[str, object]:
        """Give what decides the results, for comparison on resume."""
        left_out = {one.name for one in fields(StudyPlan)} | self.may_change
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in left_out}

    def claim(self, samples: Sequence[Sample], *, resume: bool, new: bool = True) -> None:
        """Take the folder for this plan.

        Parameters
        ----------
        samples : sequence of Sample
            All pictures, with folds, groups and types. A study that an older version began has no record of its
            pictures, and goes on with any.
        resume : bool
            Go on with the study that is there.
        new : bool
            Begin one where there is none.

        Raises
        ------
        UsageError
            If it holds another study or one of other pictures, this study while `resume` is off, or no study while
            `new` is off.
        """
        path, ours = self.out / "plan.json", self.settings()
        if path.is_file():
            if not resume:
                raise UsageError(f"{self.out} already holds a study; go on with --resume or give another folder")
            theirs = json.loads(path.read_text(encoding="utf-8"))
            images = theirs.pop(_IMAGES, None)
            if theirs != json.loads(json.dumps(ours)):
                raise UsageError(f"{self.out} holds a study with other settings; give the same ones or another folder")
            if images not in (None, _digest(samples)):
                raise UsageError(
                    f"{self.out} holds a study of other images, folds or types; "
                    "give the same DATA and --table, or another folder"
                )
        elif not new:
            raise UsageError(f"{self.out} holds no study; give the folder of one")
        else:
            make_folder(self.out)
            write_text(path, json.dumps({**ours, _IMAGES: _digest(samples)}, indent=1) + "\n")


@dataclass(frozen=True)
class NextPlan(NetworkPlan):
    """The paper's next steps, each against its system: what to run (see `nucleate.study.next_ideas`).

    Parameters
    ----------
    folds : tuple of int
        Held out one after the other, at least three.
    budget : int
        Crops, or whole pictures, that each network is trained on.
    lr : float
        Learning rate of all rows.

    Raises
    ------
    UsageError
        With fewer than three folds, or a budget below one batch.
    """

    folds: tuple[int, ...] = (0, 1, 2)
    budget: int = 10_000
    lr: float = 3e-4

    may_change = frozenset({"folds"})

    def __post_init__(self) -> None:
        if len(set(self.folds)) < _FEWEST_FOLDS or len(set(self.folds)) != len(self.folds):
            raise UsageError(f"folds {', '.join(map(str, self.folds))}; give at least three different ones")
        if self.budget < self.batch:
            raise UsageError(f"a budget of {self.budget} crops is less than one batch of {self.batch}; give more")

    @property
    def parts(self) -> int:
        """Parts of a run, the epochs of its settings."""
        return min(_PARTS, self.budget // self.batch)

    def steps(self, batch: int) -> int:
        """Count the steps a part that spend the budget in batches of `batch`."""
        return max(1, round(self.budget / (batch * self.parts)))


def _digest(samples: Sequence[Sample]) -> str:
    """Hash pictures and how they are divided, in any order."""
    places = sorted((one.image_id, one.group, one.kind, str(one.fold)) for one in samples)
    return hashlib.sha256(json.dumps([digest_of(samples), places]).encode()).hexdigest()
