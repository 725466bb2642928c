"""StarDist's fluorescence subset of the Data Science Bowl: trained on its 447 images alone, scored on its 50.

The published rows are those of papers that trained and tested on the same images. StarDist and the rows before it:
U. Schmidt et al., Cell Detection with Star-convex Polygons, MICCAI 2018, LNCS 11071, 265-273,
doi:10.1007/978-3-030-00934-2_30, arXiv:1806.03535. Cellpose and EmbedSeg, trained on the subset: M. Lalit et al.,
EmbedSeg: Embedding-based Instance Segmentation for Biomedical Microscopy Data, Medical Image Analysis 81 (2022) 102523,
doi:10.1016/j.media.2022.102523.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nucleate import __version__
from nucleate.core.files import write_text
from nucleate.data.samples import grouped_folds, load_samples, split
from nucleate.errors import UsageError
from nucleate.nets.build import build, count_parameters
from nucleate.report.tables import markdown_table, write_per_image, write_scores
from nucleate.run.engine import OnnxEngine
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import find_model
from nucleate.score.scores import evaluate_pairs
from nucleate.train.device import describe
from nucleate.train.finish import finish, train_network
from nucleate.train.loop import FINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.score.scores import Scores
    from nucleate.train.config import TrainConfig
    from nucleate.train.loop import Run

__all__ = ["NAME", "PUBLISHED", "SHOWN", "load_parts", "run_subset", "write_subset"]

NAME = "subset"
"""Name of the model that the run leaves."""

SHOWN = ("0.50", "0.55", "0.60", "0.65", "0.70", "0.75", "0.80", "0.85", "0.90")
"""Thresholds over which the published mean is taken."""

PUBLISHED = (
    ("3-class U-Net, components", 0.806, 0.578, 0.226, 0.594),
    ("Mask R-CNN", 0.832, 0.597, 0.189, 0.606),
    ("StarDist", 0.864, 0.586, 0.119, 0.598),
    ("Cellpose, trained on the subset", 0.853, 0.716, 0.402, 0.706),
    ("EmbedSeg, 8 turned copies", 0.876, 0.715, 0.399, 0.715),
)
"""Published rows: name, AP at 0.50, 0.75 and 0.90, and the mean from 0.50 to 0.90."""

_SHARE = 8  # one of so many parts of the training images is held out to fit what stands after the network
_LOOKS = {"plain": "**nucleate**", "twice": "**nucleate**, `--tta`: also enlarged"}
_PARTS = {
    "seen": f"one in {_SHARE} of those it was trained on",
    "kept": "those kept from it",
    "plain": "the test images",
}


def load_parts(data: Path, *, table: Path | None) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Give the images to train on, those held out of training to fit recipe and confidence, and the test images.

    Parameters
    ----------
    data : Path
        Folder or zip with ``train`` and ``test``, each with images and label images.
    table : Path, optional
        CSV with columns ``image_id`` and ``mosaic``, which says what images show one field of view: these are held
        out together. One image of the real subset is in no row; it is a field of its own.
    """
    train, test = (load_samples(data, part=part) for part in ("train", "test"))
    if table is not None:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            fields = {row["image_id"]: row["mosaic"] for row in csv.DictReader(stream)}
        train = [replace(one, group=fields.get(one.image_id) or one.group) for one in train]
    trained, held = split(grouped_folds(train, _SHARE, seed=0), 0)
    return trained, held, test


def run_subset(
    data: Path,
    out: Path,
    *,
    config: TrainConfig,
    table: Path | None = None,
    train: bool = True,
    resume: bool = False,
    device: str = "cpu",
    report: Callable[[Run], None] = lambda run: None,
) -> dict[str, Scores]:
    """Train on the subset's training images and score its test images, once as they are and once seen enlarged too.

    Images that it was trained on are scored as well: how much better they come out says whether the network has learnt
    its images by heart or could have learnt more.

    Parameters
    ----------
    data : Path
        See `load_parts`.
    out : Path
        Folder of the run.
    config : TrainConfig
        Settings of the network.
    table : Path, optional
        See `load_parts`.
    train : bool
        Whether to train; else the last weights in `out` are taken.
    resume : bool
        Go on with the run in `out`.
    device : str
        ``cpu`` or ``cuda``, for training.
    report : callable
        Called after each epoch.

    Returns
    -------
    dict
        ``plain`` and ``twice`` (as by ``--tta``): scores of the test images; ``seen`` and ``kept``: of some of the
        images that the network was trained on, and of those of the training images that were kept from it.

    Raises
    ------
    UsageError
        If `train` is off and there are no weights.
    """
    trained, held, test = load_parts(data, table=table)
    if train:
        train_network(out, config, samples=trained, held=held, resume=resume, device=device, report=report)
    elif not (out / FINAL).is_file():
        raise UsageError(f"{out} has no {FINAL}; train it first")
    finish(out, config, held=held, name=NAME, data=f"{data.name}: {len(trained) + len(held)} training images")
    files = find_model(out / f"{NAME}.onnx")
    once, twice = (
        Segmenter(OnnxEngine(files.read()), files.card, settings=SegmentSettings(tta=tta)) for tta in (False, True)
    )
    return {
        "plain": _scores(once, test),
        "twice": _scores(twice, test),
        "seen": _scores(once, trained[::_SHARE]),
        "kept": _scores(once, held),
    }


def _scores(segmenter: Segmenter, samples: Sequence[Sample]) -> Scores:
    pairs = ((one.image_id, one.labels, segmenter.segment_plane(one.image)[0]) for one in samples)
    return evaluate_pairs(pairs, groups={one.image_id: one.group for one in samples})


def write_subset(out: Path, found: Mapping[str, Scores], *, config: TrainConfig, command: str) -> str:
    """Write ``stardist.md``, ``stardist.json`` and ``stardist.csv`` (one row an image) and give the table's text."""
    write_scores(out / "stardist.json", found["plain"])
    write_per_image(out / "stardist.csv", found["plain"])
    published = [[name, *(f"{value:.3f}" for value in values)] for name, *values in PUBLISHED]
    ours = [[says, *_figures(found[name])] for name, says in _LOOKS.items()]
    parts = [[says, str(found[name].images), *_figures(found[name])] for name, says in _PARTS.items()]
    every = [
        [says, *(_with_interval(found[name], key) for key in ("0.50", "0.75", "0.90"))] for name, says in _LOOKS.items()
    ]
    aps = ["AP .50", "AP .75", "AP .90"]
    lines = [
        "# StarDist's fluorescence subset",
        "",
        *markdown_table(["trained on the 447 images alone", *aps, "mean .50-.90"], published + ours),
        "",
        f"{found['plain'].images} test images, {found['plain'].nuclei_true} nuclei, the subset's own masks. AP is",
        "TP / (TP + FP + FN), pooled over the test images. Rows without our name are as published. Of the training",
        f"images one in {_SHARE} was kept from the network, to fit recipe, confidence and limit; the test images chose",
        "nothing. 22 of them share a field of view with training images, in all rows alike.",
        "",
        *markdown_table(["95 % interval, bootstrap over images", *aps], every),
        "",
        "A network that does much better on images it was trained on has learnt them by heart; one that does not could",
        "learn more from them.",
        "",
        *markdown_table(["scored on", "images", *aps, "mean .50-.90"], parts),
        "",
        f"- Command: `{command}`",
        f"- One network of {count_parameters(build(config.network)):,} parameters, weights of the last epoch.",
        f"- nucleate {__version__}, {describe()}.",
    ]
    text = "\n".join(lines) + "\n"
    write_text(out / "stardist.md", text)
    return text


def _figures(scores: Scores) -> list[str]:
    """Give AP at 0.50, 0.75 and 0.90 and the mean from 0.50 to 0.90."""
    mean = float(np.mean([scores.ap[key] for key in SHOWN]))
    return [f"{value:.3f}" for value in (scores.ap["0.50"], scores.ap["0.75"], scores.ap["0.90"], mean)]


def _with_interval(scores: Scores, key: str) -> str:
    low, high = scores.interval[f"ap {key}"]
    return f"{scores.ap[key]:.3f} [{low:.3f}, {high:.3f}]"
