"""StarDist's fluorescence subset of the Data Science Bowl: trained on its 447 images alone, scored on its 50.

The published rows are those of papers that trained and tested on the same images. StarDist and the rows before it:
U. Schmidt et al., Cell Detection with Star-convex Polygons, MICCAI 2018, LNCS 11071, 265-273,
doi:10.1007/978-3-030-00934-2_30, arXiv:1806.03535; AP is "evaluated across all images" (section 3.2). Cellpose and
EmbedSeg, trained on the subset: M. Lalit et al., EmbedSeg: Embedding-based Instance Segmentation for Biomedical
Microscopy Data, Medical Image Analysis 81 (2022) 102523, doi:10.1016/j.media.2022.102523; the program beside the paper
(github.com/juglab/EmbedSeg, EmbedSeg/test.py) takes AP of each image and then the mean of these, in which images with
few nuclei weigh more. So ours are given both ways.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nucleate import __version__
from nucleate.core.files import make_folder, write_text
from nucleate.data.samples import grouped_folds, load_samples, split
from nucleate.data.table import read_table
from nucleate.errors import UsageError
from nucleate.nets.build import build, count_parameters
from nucleate.report.tables import markdown_table, with_interval, write_per_image, write_scores
from nucleate.run.engine import OnnxEngine
from nucleate.run.segmenter import Segmenter, SegmentSettings
from nucleate.run.weights import find_model
from nucleate.score.bootstrap import interval
from nucleate.score.scores import AP_KEYS, evaluate_pairs
from nucleate.train.device import describe
from nucleate.train.finish import final_network, finish, train_network
from nucleate.train.pictures import check_nuclei, taught_facts
from nucleate.train.shipping import ship
from nucleate.train.tuning import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.run.weights import ModelFiles
    from nucleate.score.scores import Scores
    from nucleate.train.config import TrainConfig
    from nucleate.train.loop import Run

__all__ = ["NAME", "PUBLISHED", "SHOWN", "load_parts", "run_subset", "write_subset"]

NAME = "subset"
"""Name of the model that the run leaves."""

SHOWN = ("0.50", "0.55", "0.60", "0.65", "0.70", "0.75", "0.80", "0.85", "0.90")
"""Thresholds over which the published mean is taken."""

PUBLISHED = {
    "pooled": (
        ("3-class U-Net, components", 0.806, 0.578, 0.226, 0.594),
        ("Mask R-CNN", 0.832, 0.597, 0.189, 0.606),
        ("StarDist", 0.864, 0.586, 0.119, 0.598),
    ),
    "mean": (
        ("Cellpose, trained on the subset", 0.853, 0.716, 0.402, 0.706),
        ("EmbedSeg, 8 turned copies", 0.876, 0.715, 0.399, 0.715),
    ),
}
"""Published rows, pooled over images and means over them: name, AP at 0.50, 0.75, 0.90, and the mean over `SHOWN`."""

_SHARE = 8  # one of so many parts of the training images is held out to fit what stands after the network
_ALL = "all"  # folder of the network that is trained further, on all training images
_COUNTED = {"pooled": "counted over all test images together", "mean": "mean over the test images"}
_LOOKS = {
    "first": "**nucleate**, without the images that fit recipe and limit",
    "plain": "**nucleate**",
    "twice": "**nucleate**, `--tta`: also enlarged",
}
_PARTS = {
    "seen": f"one in {_SHARE} of those it was trained on",
    "kept": "those kept from it",
    "first": "the test images",
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
    train, test = (load_samples(f"{data}::{part}") for part in ("train", "test"))
    if table is not None:
        fields = {image_id: row["mosaic"] for image_id, row in read_table(table, ("mosaic",)).items()}
        train = [replace(one, group=fields.get(one.image_id) or one.group) for one in train]
    trained, held = split(grouped_folds(train, _SHARE, seed=0), 0)
    return trained, held, test


def run_subset(
    data: Path,
    out: Path,
    *,
    config: TrainConfig,
    then: TrainConfig | None = None,
    table: Path | None = None,
    resume: bool = False,
    device: str = "cpu",
    report: Callable[[TrainConfig, Run], None] = lambda config, run: None,
) -> dict[str, Scores]:
    """Train on the subset's training images and score its test images, once as they are and once also seen enlarged.

    One part of the training images is kept from the network, to fit recipe, confidence and limit. With `then`, the
    network goes on from there with all training images, and the fitted numbers stay.

    Images that it was trained on are scored as well: how much better their scores are tells whether the network has
    learnt its images by heart or could have learnt more.

    Parameters
    ----------
    data : Path
        See `load_parts`.
    out : Path
        Folder of the run.
    config : TrainConfig
        Settings of the network.
    then : TrainConfig, optional
        Settings with which it goes on, in the folder ``all`` within `out`; where it starts from is filled in.
    table : Path, optional
        See `load_parts`.
    resume : bool
        Go on with the run in `out`; if it is done, its weights are taken as they are.
    device : str
        ``cpu`` or ``cuda``, for training.
    report : callable
        Called after each epoch, with the settings in use.

    Returns
    -------
    dict
        ``plain`` and ``twice`` (as by ``--tta``): scores of the test images. Of the network before it went on:
        ``first``, scores of the test images, ``seen`` and ``kept``, of some of the images that it was trained on, and
        of those of the training images that were kept from it.

    Raises
    ------
    UsageError
        If `then` has another network or other maps than `config`, or as by `nucleate.train.finish.train_network`.
    DataError
        If the images kept from the network are of one field of view, or hold no nucleus.
    """
    trained, held, test = load_parts(data, table=table)
    parts_of(held)  # refused before the training, since the run could not be finished
    check_nuclei(held)
    if then is not None and (then.network, then.maps) != (config.network, config.maps):
        raise UsageError("the settings with which the network goes on have another network or other maps; use the same")
    learn = partial(train_network, held=held, resume=resume, device=device)
    learn(out, config, samples=trained, report=partial(report, config))
    finish(out, config, samples=trained, held=held, name=NAME, data=f"{data.name}: {len(trained)} training images")
    first = find_model(out / f"{NAME}.onnx")
    found = {
        name: _scores(first, part) for name, part in (("first", test), ("seen", trained[::_SHARE]), ("kept", held))
    }
    files = first
    if then is not None:
        card, run, every = first.card, make_folder(out / _ALL), [*trained, *held]
        later = then.replace(init=str(out / f"{NAME}.onnx"), recipe=card.recipe)
        learn(run, later, samples=every, report=partial(report, later))
        facts = {name: getattr(card, name) for name in ("confidence", "min_confidence", "diameter_px")}
        facts |= {"data": f"{data.name}: {len(every)} training images", **taught_facts(every, init=later.init)}
        ship(run, final_network(run), config=later, recipe=card.recipe, name=NAME, **facts)
        files = find_model(run / f"{NAME}.onnx")
    plain = found["first"] if then is None else _scores(files, test)
    return {**found, "plain": plain, "twice": _scores(files, test, tta=True)}


def _scores(files: ModelFiles, samples: Sequence[Sample], *, tta: bool = False) -> Scores:
    segmenter = Segmenter(OnnxEngine(files.read()), files.card, settings=SegmentSettings(tta=tta))
    pairs = ((one.image_id, one.labels, segmenter.segment_plane(one.image)[0]) for one in samples)
    return evaluate_pairs(pairs, groups={one.image_id: one.group for one in samples})


def write_subset(out: Path, found: Mapping[str, Scores], *, config: TrainConfig, command: str, device: str) -> str:
    """Write ``stardist.md``, ``stardist.json`` and ``stardist.csv`` (one row an image) and give the table's text."""
    write_scores(out / "stardist.json", found["plain"])
    write_per_image(out / "stardist.csv", found["plain"])
    looks = {name: says for name, says in _LOOKS.items() if name != "first" or found["first"] is not found["plain"]}
    aps = ["AP .50", "AP .75", "AP .90"]
    lines = ["# StarDist's fluorescence subset", ""]
    for way, says in _COUNTED.items():
        published = [[name, *(f"{value:.3f}" for value in values)] for name, *values in PUBLISHED[way]]
        ours = [[called, *_figures(found[name], way)] for name, called in looks.items()]
        bounds = [[called, *_intervals(found[name], way)] for name, called in looks.items()]
        lines += [
            *markdown_table([says, *aps, "mean .50-.90"], published + ours),
            "",
            *markdown_table([f"{says}, 95 % interval", *aps], bounds),
            "",
        ]
    parts = [[says, str(found[name].images), *_figures(found[name], "pooled")] for name, says in _PARTS.items()]
    lines += [
        "All are trained on the 447 images alone and scored by the subset's own masks, AP being TP / (TP + FP + FN):",
        f"{found['plain'].images} test images, {found['plain'].nuclei_true} nuclei. Rows without our name are as",
        f"published and stand where their authors counted so. Of the training images one in {_SHARE} was kept from the",
        "network at first, to fit recipe, confidence and limit; the test images chose nothing. 22 of them share a",
        "field of view with training images, in all rows alike. Intervals: bootstrap over images.",
        "",
        "A network that does much better on images it was trained on has learnt them by heart; one that does not could",
        "learn more from them. Counted over all images together, before it went on with all of them:",
        "",
        *markdown_table(["scored on", "images", *aps, "mean .50-.90"], parts),
        "",
        f"- Command: `{command}`",
        f"- One network of {count_parameters(build(config.network)):,} parameters, weights of the last epoch.",
        f"- nucleate {__version__}, {describe(device)}.",
    ]
    text = "\n".join(lines) + "\n"
    write_text(out / "stardist.md", text)
    return text


def _ap(scores: Scores, way: str) -> Mapping[str, float]:
    return scores.ap if way == "pooled" else scores.ap_by_image


def _figures(scores: Scores, way: str) -> list[str]:
    """Give AP at 0.50, 0.75 and 0.90 and the mean from 0.50 to 0.90."""
    ap = _ap(scores, way)
    mean = float(np.mean([ap[key] for key in SHOWN]))
    return [f"{value:.3f}" for value in (ap["0.50"], ap["0.75"], ap["0.90"], mean)]


def _intervals(scores: Scores, way: str) -> list[str]:
    ap, keys = _ap(scores, way), ("0.50", "0.75", "0.90")
    bounds: Sequence[tuple[float, float] | None]
    if way == "pooled":
        bounds = [scores.interval[f"ap {key}"] for key in keys]
    else:
        table = np.array([image.ap for image in scores.per_image])[:, [AP_KEYS.index(key) for key in keys]]
        found = interval(lambda weights: weights @ table / len(table), range(len(table)))
        bounds = list(zip(*found, strict=True)) if found else [None] * len(keys)
    return [with_interval(ap[key], bound) for key, bound in zip(keys, bounds, strict=True)]
