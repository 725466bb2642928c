"""Whether a trained model is better than the one it started from, on pictures that neither was trained on here."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from nucleate.run.engine import OnnxEngine
from nucleate.run.segmenter import Segmenter
from nucleate.run.weights import find_model
from nucleate.score.images import score_image
from nucleate.score.t_interval import half_width
from nucleate.train.shipping import write_own_card
from nucleate.train.tuning import no_tick, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.train.tuning import Tick

__all__ = ["Verdict", "compare", "conclude", "kaggle_scores"]


@dataclass(frozen=True)
class Verdict:
    """Two models on the same pictures.

    Parameters
    ----------
    start : str
        Name of the model before.
    images : int
        Pictures.
    before, after : float
        Mean Kaggle scores.
    gain_low, gain_high : float or None
        95 % interval of the gain, Student's t over groups of pictures; None with fewer than three groups.
    """

    start: str
    images: int
    before: float
    after: float
    gain_low: float | None = None
    gain_high: float | None = None

    @property
    def gain(self) -> float:
        """By how much the score of the model after is higher."""
        return self.after - self.before

    @property
    def word(self) -> str:
        """``better``, ``worse``, or ``no clear difference``."""
        if self.gain_low is not None and self.gain_low > 0:
            return "better"
        return "worse" if self.gain_high is not None and self.gain_high < 0 else "no clear difference"

    def rounded(self) -> dict[str, str | int | float | None]:
        """Give plain values for a card."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}

    def line(self) -> str:
        """Put the verdict into one line."""
        bounds = "too few groups for an interval"
        if self.gain_low is not None and self.gain_high is not None:
            bounds = f"95 % interval {self.gain_low:+z.3f} to {self.gain_high:+z.3f}"
        than = {"no clear difference": "to", "better": "than", "worse": "than"}[self.word]
        return (
            f"{self.word} {than} {self.start} on {self.images} held-out images: "
            f"{self.after:.3f} against {self.before:.3f}, {self.gain:+z.3f} ({bounds})"
        )


def compare(before: Sequence[float], after: Sequence[float], *, groups: Sequence[str], start: str) -> Verdict:
    """Compare two models by their scores on the same pictures.

    Parameters
    ----------
    before, after : sequence of n float
        Kaggle scores in one order.
    groups : sequence of n str
        Pictures that belong together count as one: see `nucleate.score.t_interval.half_width`.
    start : str
        Name of the model before.
    """
    gains = np.subtract(after, before)
    gain, half = float(gains.mean()), half_width(gains.tolist(), groups)
    low, high = (None, None) if half is None else (gain - half, gain + half)
    return Verdict(start, len(after), float(np.mean(before)), float(np.mean(after)), low, high)


def kaggle_scores(segmenter: Segmenter, samples: Iterable[Sample]) -> list[float]:
    """Score a model on pictures as a user gets it; Kaggle scores in order."""
    return [score_image(sample.labels, segmenter.segment_plane(sample.image)[0]).kaggle for sample in samples]


def conclude(run: Path, name: str, *, start: str, held: Sequence[Sample], tick: Tick = no_tick) -> Verdict:
    """Judge a finished run and write the verdict into its card.

    Parameters
    ----------
    run : Path
        With the model and ``held-out.csv``, as `nucleate.train.finish.finish` leaves it.
    name : str
        Of its model.
    start : str
        The model it started from, by name or file.
    held : sequence of Sample
        The pictures in ``held-out.csv``.
    tick : callable
        Told of each picture that is scored.
    """
    with (run / "held-out.csv").open(newline="", encoding="utf-8") as stream:
        after: Mapping[str, float] = {row["image"]: float(row["kaggle"]) for row in csv.DictReader(stream)}
    files, ours = find_model(start), find_model(run / f"{name}.onnx")
    verdict = compare(
        kaggle_scores(
            Segmenter(OnnxEngine(files.read()), files.card), told(held, "images scored", tick=tick, total=len(held))
        ),
        [after[sample.image_id] for sample in held],
        groups=[sample.group for sample in held],
        start=files.card.name,
    )
    scores = {**ours.card.scores, "verdict": verdict.rounded()}
    write_own_card(ours.onnx.with_suffix(".toml"), ours.card.model_copy(update={"scores": scores}))
    return verdict
