"""The paper's Table I and its figures from the trained networks: scored, written, drawn."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nucleate import __version__
from nucleate.core.files import make_folder, write_rows, write_text
from nucleate.data.kaggle import list_images
from nucleate.data.source import open_source
from nucleate.data.truth import read_labels_source
from nucleate.errors import DataError, InputError, UnfitDataError
from nucleate.export.rle_csv import write_submission
from nucleate.post.recipe import PAPER_RECIPE
from nucleate.post.threshold import otsu_level
from nucleate.report.figures import draw_curves, draw_errors, draw_panels
from nucleate.report.tables import markdown_table, with_interval
from nucleate.score.scores import evaluate_pairs
from nucleate.study.paper import NORMALIZER, SIDE, PaperPlan, Split, paper_config
from nucleate.train.batches import make_batch, prepare
from nucleate.train.checkpoint import load_network
from nucleate.train.device import describe
from nucleate.train.pictures import digest_of
from nucleate.train.shipping import segmenter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from nucleate.data.sample import Sample
    from nucleate.data.truth import LabelMap
    from nucleate.run.segmenter import Segmenter

    Find: TypeAlias = Callable[[NDArray[Any]], NDArray[np.int32]]

__all__ = ["COLUMNS", "OTSU", "PUBLISHED", "KaggleTest", "check_kaggle", "score_all", "write_figures", "write_table"]

PUBLISHED = {"dev": 0.342, "test": 0.277}
"""The paper's scores on its own development set and on Kaggle's stage 1 test set."""

COLUMNS = ("pixel_accuracy", "pixel_precision", "pixel_iou", "kaggle")
"""The paper's columns: accuracy, precision, IoU, LB."""

OTSU = "otsu"
"""The system without a network."""

_TITLES = {OTSU: "grey, Otsu, no network", "base": "U-Net", "plus-one": "U-Net +1", "minus-one": "U-Net -1"}
_SHOWN = 4  # pictures in a figure


@dataclass(frozen=True)
class KaggleTest:
    """The real test set: a Kaggle folder or zip of pictures, and the solution as run-length codes."""

    images: Path
    solution: Path


def check_kaggle(kaggle: KaggleTest) -> None:
    """Refuse a test set that could not be scored: looked at here, it does not end a study after all its training.

    Raises
    ------
    UsageError
        If the images or the solution are not there or cannot be read, or do not fit together.
    """
    try:
        pictures = list_images(kaggle.images)
        truth = _solution(kaggle, [image_id for image_id, _ in pictures])
        for image_id, read in pictures:
            shape = next(read().planes()).shape[:2]
            if image_id in truth and (known := truth[image_id].shape) != shape:
                raise UnfitDataError(
                    f"{kaggle.solution} gives image {image_id} another size than {kaggle.images}: "
                    f"got {known}, the image has {shape}; give the solution of that set"
                )
    except (DataError, InputError) as error:
        raise UnfitDataError(str(error)) from error


def score_all(
    plan: PaperPlan, split: Split, *, networks: Mapping[str, Path], kaggle: KaggleTest | None = None
) -> dict[str, dict[str, Any]]:
    """Score every system on the dev and test folds, and on Kaggle's test set where it is given.

    Each outcome is kept as ``scores/<system>-<set>.json`` with the hashes of network and set, and not computed again.

    Returns
    -------
    dict
        System to set ("dev", "test", "kaggle") to the JSON of its scores.
    """
    folder = make_folder(plan.out / "scores")
    hashes = {"dev": digest_of(split.dev), "test": digest_of(split.test)}
    if kaggle is not None:
        hashes["kaggle"] = "-".join(open_source(path).fingerprint() for path in (kaggle.images, kaggle.solution))
    groups = {s.image_id: s.group for s in (*split.dev, *split.test)}
    results: dict[str, dict[str, Any]] = {}
    for name in (OTSU, *networks):
        path = networks.get(name)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path else OTSU
        find = _finder(plan, path)
        sets = {"dev": _known(find, split.dev), "test": _known(find, split.test)}
        if kaggle is not None:
            sets["kaggle"] = _unknown(find, kaggle, submission=plan.out / f"submission-{name}.csv")
        results[name] = {
            key: _scored(
                folder / f"{name}-{key}.json",
                {"network": digest, "images_sha256": hashes[key]},
                pairs=pairs,
                groups=groups,
            )
            for key, pairs in sets.items()
        }
    return results


def _scored(
    path: Path,
    stamp: dict[str, str],
    *,
    pairs: Iterable[tuple[str, NDArray[Any], NDArray[Any]]],
    groups: Mapping[str, str],
) -> dict[str, Any]:
    """Read the scores that are kept with this stamp, or compute and keep them."""
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if stamp.items() <= kept.items():
            return kept
    scores = {**stamp, **evaluate_pairs(pairs, groups=groups).to_json()}
    write_text(path, json.dumps(scores, indent=1))
    return scores


def _segmenter(plan: PaperPlan, path: Path) -> Segmenter:
    module, _, facts = load_network(path)
    return segmenter_of(module, paper_config(plan, path.stem, lr=facts["lr"]), recipe=PAPER_RECIPE)


def _finder(plan: PaperPlan, path: Path | None) -> Find:
    """Give a function that finds the nuclei of a plane: by a network, or by the paper's steps with grey as the map."""
    if path is None:
        return lambda plane: PAPER_RECIPE.apply(NORMALIZER(plane), ("mask",))
    segmenter = _segmenter(plan, path)
    return lambda plane: segmenter.segment_plane(plane)[0]


def _known(find: Find, samples: Iterable[Sample]) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    for sample in samples:
        yield sample.image_id, sample.labels, find(sample.image)


def _unknown(find: Find, kaggle: KaggleTest, *, submission: Path) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Segment the test set, write the submission, and give the pictures that the solution knows."""
    found = {image_id: find(next(read().planes())) for image_id, read in list_images(kaggle.images)}
    write_submission(submission, found.items())
    truth = _solution(kaggle, found)
    for image_id in found:
        if image_id in truth:
            yield image_id, truth[image_id], found[image_id]


def _solution(kaggle: KaggleTest, pictures: Collection[str]) -> LabelMap:
    truth = read_labels_source(kaggle.solution, images=kaggle.images)
    if not any(image_id in truth for image_id in pictures):
        raise UnfitDataError(f"{kaggle.solution} knows no picture of {kaggle.images}; give the solution of that set")
    return truth


def write_table(
    plan: PaperPlan,
    results: Mapping[str, Mapping[str, Any]],
    *,
    networks: Mapping[str, Path],
    command: str,
    device: str,
) -> None:
    """Write Table I as ``table.csv`` and ``table.md``, the paper's figures beside ours.

    Parameters
    ----------
    plan : PaperPlan
        For the folder and the settings that stand under the table.
    results : mapping
        From `score_all`.
    networks : mapping
        The kept networks, for their learning rates.
    command : str
        The call that made it.
    device : str
        On which it was made, ``cpu`` or ``cuda``.
    """
    sets = list(next(iter(results.values())))
    rows: list[list[object]] = []
    for name, of_set in results.items():
        for key, scores in of_set.items():
            numbers = [f"{scores[column]:.4f}" for column in COLUMNS]
            bounds = [f"{bound:.4f}" for bound in scores["interval"]["kaggle"] or ()] or ["", ""]
            rows.append([name, key, scores["images"], *numbers, *bounds])
    header = ["system", "set", "images", *COLUMNS, "kaggle_low", "kaggle_high"]
    write_rows(plan.out / "table.csv", rows, header=header)
    # The paper's test score is that of Kaggle's set, so it is put there if that set is scored, too.
    known = {"dev": PUBLISHED["dev"], sets[-1]: PUBLISHED["test"]}
    published = [cell for key in sets for cell in ("-", "-", "-", f"{known[key]:.3f}" if key in known else "-")]
    cells = [["the paper, as published", "-", *published]]
    for name, of_set in results.items():
        rate = f"{load_network(networks[name])[2]['lr']:.2e}" if name in networks else "-"
        cells.append([_TITLES[name], rate, *(cell for key in sets for cell in _cells(of_set[key]))])
    columns = ("accuracy", "precision", "IoU", "LB [95 %]")
    heads = ["system", "learning rate", *(f"{key} {column}" for key in sets for column in columns)]
    notes = _notes(plan, results, command=command, device=device)
    lines = ["# Table I", "", *markdown_table(heads, cells), "", *notes]
    write_text(plan.out / "table.md", "\n".join(lines) + "\n")


def _cells(scores: Mapping[str, Any]) -> list[str]:
    plain = [f"{scores[column]:.3f}" for column in COLUMNS[:-1]]
    return [*plain, with_interval(scores["kaggle"], scores["interval"]["kaggle"])]


def _notes(plan: PaperPlan, results: Mapping[str, Mapping[str, Any]], *, command: str, device: str) -> list[str]:
    counts = ", ".join(f"{key} {scores['images']} images" for key, scores in results[OTSU].items())
    rates = f"{plan.trials} draws of the learning rate in [{plan.lr_low:g}, {plan.lr_high:g}]"
    return [
        "Accuracy, precision and IoU are those of the merged masks, mean over images; LB is Kaggle's score. Intervals",
        "are by bootstrap over fields of view. The published test score is of other images: Kaggle's stage 1 test set.",
        "",
        f"- Command: `{command}`",
        f"- Split: dev is fold {plan.dev_fold}, test is fold {plan.test_fold}, scored once; the rest trains; {counts}.",
        f"- Width {plan.width} (the paper's is 64), {plan.epochs} epochs, batches of {plan.batch}, {rates},",
        f"  {plan.precision}, seed {plan.seed}.",
        f"- nucleate {__version__}, {describe(device)}.",
    ]


def write_figures(plan: PaperPlan, split: Split, *, networks: Mapping[str, Path]) -> None:
    """Draw the learning curves, an augmented pair, the steps from map to nuclei, and the errors circled."""
    curves = {}
    for name, path in networks.items():
        with (plan.out / "draws" / load_network(path)[2]["draw"] / "history.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        curves[_TITLES[name]] = {
            "loss": [float(row["loss"]) for row in rows],
            "dev IoU": [float(row["score"]) for row in rows],
        }
    draw_curves(plan.out / "curves.png", curves, title="best draw of each network")
    _draw_augmented(plan, split)
    segmenter = _segmenter(plan, networks["base"])
    shown = split.dev[:: max(1, len(split.dev) // _SHOWN)][:_SHOWN]
    rows_shown, cases = [], []
    for sample in shown:
        map_HW = segmenter.maps(sample.image)[0]
        found = segmenter.segment_plane(sample.image)[0]
        grey = NORMALIZER(sample.image)[0]
        mask = map_HW > otsu_level(map_HW)
        rows_shown.append(
            [("picture", grey), ("map", map_HW), ("Otsu", mask), ("found", found), ("truth", sample.labels)]
        )
        kaggle = evaluate_pairs([(sample.image_id, sample.labels, found)], resamples=0).kaggle
        cases.append((f"{sample.image_id[:8]}  LB {kaggle:.2f}", grey, sample.labels, found))
    draw_panels(plan.out / "steps.png", rows_shown)
    draw_errors(plan.out / "errors.png", cases)


def _draw_augmented(plan: PaperPlan, split: Split) -> None:
    config = paper_config(plan, "base", lr=plan.lr_low).replace(batch=_SHOWN)
    atlas = prepare(split.train[:_SHOWN], NORMALIZER, resize=SIDE)
    still = config.replace(augment=config.augment.model_copy(update={"flips": False, "displace": (0.0, 0.0)}))
    before, after = make_batch(atlas, still, step=0), make_batch(atlas, config, step=0)
    draw_panels(
        plan.out / "augmented.png",
        [
            [
                ("picture", before.batch_NCHW[i, 0].numpy()),
                ("mask", before.targets_NCHW[i, 0].numpy()),
                ("augmented", after.batch_NCHW[i, 0].numpy()),
                ("its mask", after.targets_NCHW[i, 0].numpy()),
            ]
            for i in range(len(before.batch_NCHW))
        ],
    )
