"""Trials of the network: one choice changed at a time, cross-validated on the same few crops.

    OMP_NUM_THREADS=1 python benchmarks/trials.py stage1_train.zip images.csv OUT [--only NAME,...] [--crops N]
                                                  [--folds 0,1]

Each trial is trained once a fold. Recipe, confidence and limit are fitted anew for each, to the other folds; every
picture is scored at its own size by a network and an ending that never saw its field of view. Trials that are done are
kept in OUT/rows, so a trial can be added, and the same call a second time beside the first shares the trials out.
OUT/table.md, table.csv and gains.png tell what each is worth against the first, ``baseline``.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleate import __version__
from nucleate.core.files import make_folder, write_text
from nucleate.core.lock import locked
from nucleate.study.crossfold import fit_crossfold
from nucleate.study.crossfold_plan import CrossPlan
from nucleate.study.gains import BASELINE, kind_gains, row_of, write_gains
from nucleate.study.next_ideas import CHANCE, Idea, changed
from nucleate.study.next_steps import Outcome
from nucleate.train.config import load_config
from nucleate.train.device import choose_device, describe
from nucleate.train.loop import FINAL

if TYPE_CHECKING:
    from nucleate.train.config import TrainConfig

CONFIG = Path(__file__).with_suffix(".toml")
_PAST = {
    "full-size": "a level at full size in place of the fold",
    "offsets": "offsets to the centre, votes in place of markers",
    "grey-kept": "no colour from dye or lamp for grey crops",
    "colour-stem": "a first block of its own for pictures with colours",
    "colour-stem-kept": "both: no colour for grey crops, a first block for pictures with colours",
    "chosen-red": "as chosen, and red in place of grey where the ground is light",
    "native": "as chosen, and two fifths of the crops not resampled",
    "root": "as muon, and the root of brightness where the ground is dark",
}
"""Trials whose code is deleted; their rows stand in results/flagship/trials."""

_PARTS = 10  # of a run; a broken one goes on from the last whole part


def _heads(*maps: str, channels_in: int = 3) -> dict[str, Any]:
    network = {"channels_out": len(maps), "channels_in": channels_in}
    return {"maps": list(maps), "network": network, "normalizer": {"channels": channels_in}}


def trials(config: TrainConfig) -> dict[str, Idea]:
    """List the trials by name, in the order in which they run: what is changed of `trials.toml`."""
    plain = {"plain": 0.4}
    chosen = {**_heads("mask", "distance", channels_in=1), "augment": plain}
    muon = {**chosen, "optimiser": "muon", "lr": 4e-3}
    seen = {**muon, "normalizer": {"channels": 1, "polarity": "transmitted", "stain": "nuclear"}}
    small = {"batch": 4, "steps_per_epoch": 2 * (config.steps_per_epoch or 1)}
    rows = [
        Idea(BASELINE, "as first shipped: mask, border and distance"),
        Idea(CHANCE, "nothing but the seed: what chance alone is worth", {"seed": config.seed + 1}),
        Idea("mask-alone", "the mask alone, split by its own distance", _heads("mask")),
        Idea("no-border", "without the map of borders", _heads("mask", "distance")),
        Idea("no-distance", "without the map of distances", _heads("mask", "border")),
        Idea("grey", "grey for all pictures", _heads("mask", "border", "distance", channels_in=1)),
        Idea("grey-no-border", "both: grey, no map of borders", _heads("mask", "distance", channels_in=1)),
        Idea("no-dice", "cross-entropy alone", {"dice": 0.0}),
        Idea("small-batches", "batches of 4, twice as many steps", small),
        Idea("faster", "twice the learning rate", {"lr": 2 * config.lr}),
        Idea("plain", "a third of the crops moved, and not changed in light or colour", {"augment": {"plain": 0.33}}),
        Idea("chosen", "grey, no map of borders, two fifths of the crops plain", chosen),
        Idea("plainer", "as chosen, and seven tenths of the crops plain", {**chosen, "augment": {"plain": 0.7}}),
        Idea("narrow-zoom", "sizes changed by 0.6 to 1.7 only", {"augment": {"zoom": [0.6, 1.7]}}),
        Idea("muon", "as chosen, and Muon in place of Adam", muon),
        Idea("even-weights", "as muon, without weight between neighbours", {**muon, "border_weight": 0.0}),
        Idea("more-weight", "as muon, with weight 10 between neighbours, not 4", {**muon, "border_weight": 10.0}),
        Idea("drawn", "as muon, and 200 drawn pictures added", {**muon, "drawn": 200}),
        Idea("rules", "as muon, with the rules for dyed pictures", seen),
        Idea("stains", "as rules, and dyed pictures shown as haematoxylin too", {**seen, "stains": True}),
        Idea("tissue", "as muon, and rough tissue in up to half", {**muon, "augment": {**plain, "tissue": 0.5}}),
        Idea("hollow", "as muon, and clear middles on light ground", {**muon, "augment": {**plain, "hollow": 0.7}}),
        Idea("unequal", "as muon, and nuclei of unlike brightness", {**muon, "augment": {**plain, "unequal": 0.9}}),
    ]  # fmt: skip
    return {row.name: row for row in rows}


def short(config: TrainConfig, *, crops: int) -> TrainConfig:
    """Give the same settings for so many crops, in one cycle."""
    return config.replace(epochs=_PARTS, restarts=(), steps_per_epoch=max(1, round(crops / config.batch / _PARTS)))


def run(plan: CrossPlan, trial: Idea) -> list[Outcome]:
    """Cross-validate one trial; one outcome a fold."""

    def told(name: str, done: Any) -> None:  # noqa: ANN401 - a Run
        last = done.history[-1]
        sys.stderr.write(
            f"{trial.name}  {name}  part {len(done.history)}  {last['loss']:.4f}  {last['seconds']:.0f} s\n"
        )

    held, _, found = fit_crossfold(plan, resume=True, report=told)
    scores = {sample.image_id: one.kaggle for sample, one in zip(held, found.kept, strict=True)}
    outcomes = []
    for fold in plan.folds:
        folder = plan.out / f"fold-{fold}"
        with (folder / "history.csv").open(newline="", encoding="utf-8") as stream:
            seconds = sum(float(row["seconds"]) for row in csv.DictReader(stream))
        own = {sample.image_id: scores[sample.image_id] for sample in held if sample.fold == fold}
        size = (folder / FINAL).stat().st_size / 1e6
        outcomes.append(Outcome(trial.name, f"fold-{fold}", own, seconds, 0.0, round(size, 3), describe(plan.device)))
    return outcomes


def read(path: Path) -> list[Outcome]:
    """Read the outcomes of a trial that is done; none of another."""
    return [Outcome(**one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def tell(out: Path, plan: CrossPlan, *, known: dict[str, Idea], command: str) -> None:
    """Write table and figure of all trials that are done."""
    known = {**known, **{name: Idea(name, says) for name, says in _PAST.items()}}
    done = {name: outcomes for name in known if (outcomes := read(out / "rows" / f"{name}.json"))}
    if BASELINE not in done:
        return
    samples = plan.pictures(plan.folds)
    groups, kinds = ({s.image_id: value(s) for s in samples} for value in (lambda s: s.group, lambda s: s.kind))
    rows = [row_of(known[name], outcomes, baseline=done[BASELINE], groups=groups) for name, outcomes in done.items()]
    rows.sort(key=lambda row: (row.idea != BASELINE, -row.gain))
    config = plan.config
    crops = config.epochs * (config.steps_per_epoch or 0) * config.batch
    notes = [
        f"Kaggle score over {rows[0].images} held-out images, folds {', '.join(map(str, plan.folds))}, each at its own",
        "size, by recipe, confidence and limit fitted to the other folds. The gain is paired image by image, its",
        "interval a bootstrap over fields of view; what another training would give shows in",
        f"`{CHANCE}` and in the gains by fold. Seconds are of the clock, for one network.",
        "",
        f"- Command: `{command}`",
        f"- {crops} crops a network, one cycle; all else as in `benchmarks/{CONFIG.name}`.",
        f"- nucleate {__version__}, {rows[0].made}.",
    ]
    title = f"over the first shipped settings; {crops} crops; | each fold"
    write_gains(
        out, heading="Trials of the network", rows=rows, kinds=kind_gains(done, kinds=kinds), notes=notes, figure=title
    )


def main() -> None:
    """Run what is asked for and not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("table", type=Path, help="images.csv, with the folds")
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="names, with commas")
    parser.add_argument("--crops", type=int, default=3200)
    parser.add_argument("--folds", default="0,1")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    chosen = parser.parse_args()
    device = choose_device(chosen.device, 1)
    config = short(load_config(CONFIG), crops=chosen.crops)
    folds = tuple(int(word) for word in chosen.folds.split(","))
    plan = CrossPlan(chosen.data, chosen.out, chosen.table, config=config, folds=folds, device=device)
    known = trials(config)
    rows, locks = make_folder(chosen.out / "rows"), make_folder(chosen.out / "locks")
    told = [chosen.data.name, chosen.table.name, chosen.out.name, "--crops", str(chosen.crops), "--folds", chosen.folds]
    command = shlex.join(["python", "benchmarks/trials.py", *told])
    for name in chosen.only.split(",") if chosen.only else known:
        path = rows / f"{name}.json"
        with locked(locks / name, wait=False) as ours:
            if not ours or path.is_file():
                continue
            changes = changed(config, known[name].changes)
            own = CrossPlan(plan.data, plan.out / "runs" / name, plan.table, config=changes, folds=folds, device=device)
            outcomes = run(own, known[name])
            write_text(path, json.dumps([asdict(one) for one in outcomes], indent=1))
        tell(chosen.out, plan, known=known, command=command)
    tell(chosen.out, plan, known=known, command=command)


if __name__ == "__main__":
    main()
