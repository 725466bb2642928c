"""Cross-validation of one network: every picture scored by a network that never saw its field of view.

::

    OUT/fold-<k>/         the network trained on the other folds (see train/loop.py)
    OUT/maps/fold-<k>/    its maps of the pictures of fold k, one file a picture
    OUT/endings.json      recipe, confidence and limit: for each fold fitted to the other folds, and to all
    OUT/results/          the tables and figures (see study/crossfold_table.py)

If only some folds are asked for, the last two are ``endings-part.json`` and ``results-part``, so that those of all
folds stay. A fold that is trained is taken as it is, and maps that belong to its weights are not computed again.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nucleate.core.files import atomic_path, make_folder, write_text
from nucleate.core.plane import as_plane
from nucleate.errors import DataError, UsageError
from nucleate.run.segmenter import SegmentSettings
from nucleate.run.weights import check_name, find_model, read_card
from nucleate.study.crossfold_plan import ALL, check_place, folds_of, network_name, sides_of, to_train
from nucleate.train.config import CardConfig
from nucleate.train.crossfit import Ending, EndingFitter, at_own_scale, cross_fit
from nucleate.train.device import choose_device
from nucleate.train.finish import card_scores, final_network, median_diameter, starting_recipe, train_network
from nucleate.train.loop import FINAL
from nucleate.train.pictures import check_nuclei, digest_of, taught_facts
from nucleate.train.quantise import add_int8
from nucleate.train.shipping import card_of, check_unchanged, segmenter_of, ship
from nucleate.train.tuning import StoredMaps, Trials, each, no_tick, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.run.segmenter import Segmenter
    from nucleate.study.crossfold_plan import CrossPlan
    from nucleate.train.crossfit import CrossFit
    from nucleate.train.loop import Run
    from nucleate.train.tuning import Tick

__all__ = [
    "CrossResult",
    "check_shipped",
    "fit_crossfold",
    "load_fold",
    "read_endings",
    "run_crossfold",
    "ship_model",
    "train_on_all",
]


@dataclass(frozen=True, eq=False)
class CrossResult:
    """The results of a cross-validation.

    Parameters
    ----------
    samples : list of Sample
        The pictures that were held out, with fold, kind and group.
    stored : list of StoredMaps
        Their maps, in the same order, made at the scale that the rule chose for each.
    fitter : EndingFitter
        With the scores of all recipes tried, on maps made at scale 1.
    unscaled, found : CrossFit
        Endings fitted at scale 1; the pictures scored at scale 1, and as a user gets them, each at its own scale.
    ending : Ending
        Fitted to all pictures.
    """

    samples: list[Sample]
    stored: list[StoredMaps]
    fitter: EndingFitter
    unscaled: CrossFit
    found: CrossFit
    ending: Ending

    @property
    def groups(self) -> dict[str, str]:
        """Id of a picture -> its group."""
        return {one.image_id: one.group for one in self.stored}


def run_crossfold(
    plan: CrossPlan,
    *,
    resume: bool = False,
    report: Callable[[str, Run], None] = lambda name, run: None,
    say: Callable[[str], None] = lambda line: None,
    tick: Tick = no_tick,
) -> CrossResult:
    """Train the folds that are not trained yet, make their maps, fit and score; then let the rule choose the scales.

    Parameters
    ----------
    plan : CrossPlan
    resume : bool
        Go on with folds that were begun.
    report : callable
        Called after each epoch with the name of the fold and the run.
    say : callable
        Takes one line for the user.
    tick : callable
        Told what is being done, how many are done and of how many.

    Raises
    ------
    UsageError
        If there is no such fold, a fold was trained with other settings, or it has no weights and `plan.train` is off.
    DataError
        If there are too few pictures to fit and score on, or no nuclei in them. This is checked before any training.
    """
    held, fitter, unscaled = fit_crossfold(plan, resume=resume, report=report, say=say, tick=tick)
    say("scales")
    stored, found = at_own_scale(
        unscaled,
        fitter.trials,
        images=[sample.image for sample in held],
        opened=lambda ending, fold: load_fold(plan, network_name(fold), ending=ending),
        jobs=plan.looks,
    )
    result = CrossResult(held, stored, fitter, unscaled, found, fitter.fit(range(len(stored))))
    _write_endings(plan.out / f"endings{plan.part}.json", result)
    return result


def fit_crossfold(
    plan: CrossPlan,
    *,
    resume: bool = False,
    report: Callable[[str, Run], None] = lambda name, run: None,
    say: Callable[[str], None] = lambda line: None,
    tick: Tick = no_tick,
) -> tuple[list[Sample], EndingFitter, CrossFit]:
    """Train, make maps and fit as `run_crossfold` does, every picture at its own size.

    Returns
    -------
    held : list of Sample
        The pictures that were held out.
    fitter : EndingFitter
        With their maps, in the same order.
    unscaled : CrossFit
        Their scores, each by an ending fitted to the other folds.
    """
    samples = plan.pictures(plan.folds)
    folds = folds_of(plan, samples)
    held = [sample for fold in folds for sample in samples if sample.fold == fold]
    _check_fitting(held)
    for fold in folds:
        to_train(plan, samples, fold=fold)
    for fold in folds:
        _train(plan, samples, fold=fold, resume=resume, report=report, tick=tick)
    stored = []
    for fold in folds:
        say(f"maps of fold {fold}")
        stored += _store(plan, fold, samples=[sample for sample in held if sample.fold == fold], tick=tick)
    say("recipe and confidence")
    config = plan.config
    trials = Trials(config.maps, stored, jobs=plan.jobs, tick=tick)
    fitter = EndingFitter(trials, starting_recipe(config), tuned=config.recipe is None, spare=config.spare)
    return held, fitter, cross_fit(fitter)


def _check_fitting(held: Sequence[Sample]) -> None:
    """Refuse held-out pictures if some part would be scored by an ending fitted to pictures without nuclei."""
    parts = parts_of(held)
    check_nuclei(held)
    if len({one.fold for one in held}) == 1:
        return
    for own, others in parts:
        check_nuclei([held[place] for place in others], f"held out beside fold {held[own[0]].fold}")


def load_fold(plan: CrossPlan, fold: str, *, ending: Ending, settings: SegmentSettings | None = None) -> Segmenter:
    """Open the network of one fold, ``fold-0`` and so on, with an ending and the rule of scales."""
    module = final_network(plan.out / fold)
    return segmenter_of(module, plan.config, device=plan.device, settings=settings, **ending.facts())


def read_endings(out: Path) -> dict[str, Ending]:
    """Read the endings of a study by name: ``fold-0`` and so on, and `ALL`; those of some folds if it has no others.

    Raises
    ------
    DataError
        If there are no endings.
    """
    path, part = out / "endings.json", out / "endings-part.json"
    if part.is_file() and not path.exists():
        path = part
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; run nucleate crossval first") from error
    return {name: Ending.from_dict(value) for name, value in values.items()}


def check_shipped(plan: CrossPlan, *, network: str, name: str) -> None:
    """Refuse before the training a model that `ship_model` could not write after it; the parameters are the same.

    Raises
    ------
    UsageError
        If it is no name for a model, or the name of another model in OUT or of one whose card was changed, the study
        has no such network, or the model that it starts from is not there.
    """
    check_name(name)
    if plan.config.init is not None:
        find_model(plan.config.init)  # its card is read once more when all is done
    samples = plan.pictures(plan.folds)
    check_place(plan, name, samples=samples)
    _check_numbers(plan.out, name)
    if network == ALL:
        to_train(plan, samples, fold=None)
        return
    known = [network_name(fold) for fold in folds_of(plan, samples)]
    if network not in known and not (plan.out / network / FINAL).is_file():
        raise UsageError(f"no network {network} in this study; choose of {', '.join([*known, ALL])}")


def _check_numbers(out: Path, name: str) -> None:
    """Refuse to overwrite numbers that are not from the study, such as those that ``nucleate tune`` stores."""
    path = out / f"{name}.toml"
    check_unchanged(path)
    if not (path.is_file() and (out / "endings.json").is_file()):
        return
    card = read_card(path)
    if card.sha256_card is not None:
        return
    ending = read_endings(out)[ALL]  # an older card does not tell what its numbers were
    if card.model_copy(update=ending.facts()) != card:
        raise UsageError(
            f"{path} has another recipe or confidence than {out / 'endings.json'} and would be overwritten; give "
            "another name with --ship, or take it away"
        )


def ship_model(
    plan: CrossPlan,
    result: CrossResult,
    *,
    network: str,
    name: str,
    tick: Tick = no_tick,
    **facts: Any,  # noqa: ANN401 - card fields
) -> Path:
    """Write ``OUT/<name>.onnx`` with its card: one network, with recipe and confidence fitted to all pictures.

    ``OUT/<name>.int8.onnx`` is the same network in integers, measured on pictures that it was trained on. A card of
    that name keeps its texts where the settings have none.

    Parameters
    ----------
    plan : CrossPlan
    result : CrossResult
        Of `run_crossfold`.
    network : str
        Folder of the network under OUT: ``fold-0`` and so on, or `ALL`.
    name : str
        Of the model.
    tick : callable
        Told of each crop that is measured for the integers.
    **facts
        Further text fields of the card.

    Returns
    -------
    Path
        The ONNX file.
    """
    seen = [sample for sample in plan.pictures(plan.folds) if network_name(sample.fold) != network]
    ship(
        plan.out,
        final_network(plan.out / network),
        config=plan.config,
        name=name,
        scores=card_scores(result.found, result.stored),
        diameter_px=median_diameter(result.samples),
        **taught_facts(seen, init=plan.config.init),
        **result.ending.facts(),
        **facts,
    )
    path = plan.out / f"{name}.onnx"
    add_int8(path, plan.config, samples=seen, tick=tick)
    return path


def train_on_all(plan: CrossPlan, *, resume: bool, report: Callable[[str, Run], None], tick: Tick = no_tick) -> None:
    """Train the network of `ALL` folds if it is not trained yet; it was also trained on the pictures that watch it."""
    _train(plan, plan.pictures(plan.folds), fold=None, resume=resume, report=report, tick=tick)


def _train(
    plan: CrossPlan,
    samples: Sequence[Sample],
    *,
    fold: int | None,
    resume: bool,
    report: Callable[[str, Run], None],
    tick: Tick,
) -> None:
    if not to_train(plan, samples, fold=fold):
        return
    name = network_name(fold)
    taught, held = sides_of(samples, fold)
    choose_device(plan.device, plan.jobs)
    train_network(
        plan.out / name,
        plan.config,
        samples=taught,
        held=held,
        resume=resume,
        device=plan.device,
        report=lambda run: report(name, run),
        tick=lambda step, total: tick(f"batches of {name}", step, total=total),
    )


def _store(plan: CrossPlan, fold: int, *, samples: Sequence[Sample], tick: Tick) -> list[StoredMaps]:
    """Make the maps of a fold if they are not there yet, and open them without reading."""
    folder = _maps_folder(plan, network_name(fold))
    paths = [folder / f"{digest_of([sample])[:24]}.npy" for sample in samples]
    missing = [(sample, path) for sample, path in zip(samples, paths, strict=True) if not path.is_file()]
    if missing:
        start = Ending(starting_recipe(plan.config))
        segmenter = load_fold(plan, network_name(fold), ending=start, settings=SegmentSettings(scale=1.0))
        made = itertools.count(1)

        def make(item: tuple[Sample, Path]) -> None:
            with atomic_path(item[1]) as temporary:
                np.save(temporary, segmenter.maps(item[0].image).astype(np.float16))
            tick(f"images of fold {fold}", next(made), total=len(missing))

        choose_device(plan.device, 1)  # one picture for each thread is faster than one over all threads
        each(make, missing, jobs=plan.looks)
    return [
        StoredMaps(
            s.image_id,
            s.group,
            s.kind,
            np.load(path, mmap_mode="r"),
            s.labels,
            s.fold,
            light=plan.config.normalizer.measure(as_plane(s.image)).invert,
        )
        for s, path in zip(samples, paths, strict=True)
    ]


def _maps_folder(plan: CrossPlan, network: str) -> Path:
    """Give the folder of a network's maps, emptied if they were made by other weights or settings."""
    folder = make_folder(plan.out / "maps" / network)
    bare = plan.config.replace(card=CardConfig(ground=plan.config.card.ground), recipe=None)  # these change no map
    card = card_of(bare, starting_recipe(bare), weights=(plan.out / network / FINAL).read_bytes())
    stamp, made = card.model_dump_json(exclude_defaults=True), folder / "made.json"
    if not made.is_file() or made.read_text(encoding="utf-8") != stamp:
        for old in folder.glob("*.npy"):
            old.unlink()
        write_text(made, stamp)
    return folder


def _write_endings(path: Path, result: CrossResult) -> None:
    found = result.found
    if len({one.fold for one in result.stored}) > 1:
        names = [network_name(result.stored[part[0]].fold) for part in found.parts]
    else:
        names = [f"half-{index}" for index in range(len(found.parts))]
    endings = dict(zip(names, found.endings, strict=True)) | {ALL: result.ending}
    write_text(path, json.dumps({name: ending.to_dict() for name, ending in endings.items()}, indent=1))
