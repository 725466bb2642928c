"""The paper's next steps as settings: each idea changes one thing of the paper's system.

The ideas are those that end the CS230 report of 2018 (see `nucleate.study.paper`), which tried none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nucleate.errors import UsageError
from nucleate.post.recipe import PAPER_RECIPE
from nucleate.study.gains import BASELINE
from nucleate.study.paper import NETWORKS, SIDE, system_config
from nucleate.train.config import CLASSES, START, TrainConfig, merged, parse_config, read_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nucleate.study.plan import NextPlan

__all__ = [
    "BEST",
    "CHANCE",
    "FLAGSHIP",
    "TYPES",
    "Idea",
    "baseline_config",
    "changed",
    "combine",
    "ideas",
    "names_of",
    "wanted_of",
]

BEST = "best-combination"
"""All ideas that helped, together."""

FLAGSHIP = "flagship"
"""The first network we shipped, with its own targets, loss, augmentation and recipe."""

CHANCE = "another-seed"
"""No idea at all: the baseline trained anew, to show what chance alone is worth."""

TYPES = "leave-one-type-out"
"""Not a change, but a question: how much is lost on a type of image that was never seen."""

_FIRST_SHIPPED = Path(__file__).with_name("next_flagship.toml")


@dataclass(frozen=True)
class Idea:
    """One row of the table.

    Parameters
    ----------
    name : str
        Of the row and of ``configs/next-<name>.toml``.
    says : str
        What is changed, for the table.
    changes : mapping
        Fields of `TrainConfig` that differ from the baseline, nested.
    touches : frozenset of str
        Parts of the system that it replaces: two ideas that touch the same part cannot be combined.
    """

    name: str
    says: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    touches: frozenset[str] = frozenset()


def baseline_config(plan: NextPlan) -> TrainConfig:
    """Give the paper's system: U-Net on resized grey pictures, Otsu's level, components."""
    steps = plan.steps(plan.batch)
    return system_config(
        plan, NETWORKS["base"], epochs=plan.parts, lr=plan.lr, steps_per_epoch=steps, recipe=PAPER_RECIPE
    )


def changed(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """Give a copy with some fields changed; tables are changed field by field."""
    return TrainConfig.model_validate(merged(config.model_dump(mode="json"), changes))


def combine(names: Sequence[str], plan: NextPlan) -> Idea:
    """Combine ideas; of those that touch the same part, the first one is taken.

    Parameters
    ----------
    names : sequence of str
        Ideas, the most helpful first.
    plan : NextPlan
        For the sizes.
    """
    known = ideas(plan)
    taken: list[str] = []
    touched: set[str] = set()
    changes: dict[str, Any] = {}
    for name in names:
        idea = known[name]
        if idea.touches and not idea.touches & touched:
            taken.append(name)
            touched |= idea.touches
            changes = merged(changes, idea.changes)
    return Idea(BEST, " + ".join(taken), changes)


def ideas(plan: NextPlan) -> dict[str, Idea]:
    """List the rows by name in the order in which they run: the cheap ones early, the flagship last."""
    rows = [Idea(BASELINE, "the paper's system"), *_recipes(), *_frames(plan), *_colours(), *_networks(), *_data(plan)]
    chance = Idea(CHANCE, "nothing but the seed: what chance alone is worth", {"seed": plan.seed + 1})
    detector = {"network": {"name": "mask-rcnn"}, "maps": ["labels"]}
    alone = frozenset({"net", "loss", "frame", "colour", "watershed", "hysteresis", "clean"})
    rows += [chance, Idea("mask-rcnn", "Mask R-CNN from scratch", detector, alone), _flagship(plan)]
    return {idea.name: idea for idea in rows}


def names_of(plan: NextPlan) -> list[str]:
    """List all names that can be asked for, in the order in which they run."""
    known = [name for name in ideas(plan) if name != FLAGSHIP]
    return [*known, BEST, FLAGSHIP, TYPES]


def wanted_of(plan: NextPlan, only: Sequence[str] = ()) -> list[str]:
    """List the names that are asked for; all of `names_of` when there are none.

    Raises
    ------
    UsageError
        If one is unknown.
    """
    known = names_of(plan)
    unknown = [name for name in only if name not in known]
    if unknown:
        raise UsageError(f"no idea {unknown[0]!r}; choose of {', '.join(known)}")
    return [*only] or known


def _frames(plan: NextPlan) -> list[Idea]:
    frame = frozenset({"frame"})
    groups = {"resize": None, "frame": "size-groups"}
    whole = {"resize": None, "frame": "image", "batch": 1, "steps_per_epoch": plan.steps(1), "beta1": 0.99}
    return [
        Idea("full-image", "no resizing: whole pictures, batch size 1, beta1 = 0.99", whole, frame),
        Idea("size-groups", "no resizing: batches of pictures of one size", groups, frame),
        Idea("crops", f"no resizing: random {SIDE} x {SIDE} crops", {"resize": None}, frame),
        Idea("full-size-inference", f"trained at {SIDE} x {SIDE}, run at full size", {"full_size": True}, frame),
    ]  # fmt: skip


def _colours() -> list[Idea]:
    three = {"network": {"channels_in": 3}, "normalizer": {"channels": 3}}
    stem = merged(three, {"network": {"name": "unet-colour-stem"}})
    return [
        Idea("colour-stem", "a first convolution of its own for coloured pictures", stem, frozenset({"colour", "net"})),
        Idea("colour-three", "three channels for all pictures, not grey", three, frozenset({"colour"})),
    ]


def _recipes() -> list[Idea]:
    levels = {"threshold": "hysteresis", "low": 0.3, "high": 0.6}
    parts: dict[str, tuple[str, dict[str, Any]]] = {
        "watershed": ("watershed on the distance to the mask's edge", {"split": "distance"}),
        "hysteresis": ("regions above s = 0.3 that reach t = 0.6", levels),
        "clean": ("holes filled, masks of at most 10 pixels removed", {"fill_holes": True, "min_area": 11}),
    }  # fmt: skip
    rows = [Idea(name, says, {"recipe": change}, frozenset({name})) for name, (says, change) in parts.items()]
    together = (("watershed", "hysteresis"), ("watershed", "clean"), ("hysteresis", "clean"), tuple(parts))
    for names in together:
        change: dict[str, Any] = {}
        for name in names:
            change |= parts[name][1]
        rows.append(Idea("-".join(names), " and ".join(names), {"recipe": change}))
    return rows


def _networks() -> list[Idea]:
    net = frozenset({"net"})
    classes = {
        "network": {"name": "unet-three-class", "channels_out": 3},
        "maps": list(CLASSES),
        "loss": "softmax",
        "recipe": {"threshold": "fixed", "level": 0.5, "split": "markers", "marker_level": 0.5, "smoothing": 0.0,
                   "keep_unmarked": False},
    }  # fmt: skip
    return [
        Idea("large-filters", "5 x 5 filters at the highest level", {"network": {"name": "unet-large-filters"}}, net),
        Idea("learned-upsampling", "transposed convolutions", {"network": {"name": "unet-learned-upsampling"}}, net),
        Idea("border-weights", "the loss weighed as in the U-Net paper, w0 = 10, sigma = 5", {"seam_weight": 10.0},
             frozenset({"loss"})),
        Idea("three-class", "softmax over background, inside and edge", classes,
             frozenset({"net", "loss", "watershed", "hysteresis"})),
    ]  # fmt: skip


def _data(plan: NextPlan) -> list[Idea]:
    heavy = {
        "rotate": True, "zoom": [0.5, 2.0], "gamma": [0.6, 1.6], "gain": [0.6, 1.3], "offset": [-0.1, 0.15],
        "noise": 0.12, "blur": 1.2, "invert": 0.1,
    }  # fmt: skip
    drawn = max(1, min(200, plan.budget // 10))
    return [
        Idea("heavy-augment", "rotation, zoom, contrast, noise, blur, inversion", {"augment": heavy},
             frozenset({"augment"})),
        Idea("more-data", f"{drawn} drawn pictures added (synthetic)", {"drawn": drawn}, frozenset({"data"})),
    ]  # fmt: skip


def _flagship(plan: NextPlan) -> Idea:
    first = parse_config(read_values(_FIRST_SHIPPED)).model_dump(mode="json")
    kept = ("maps", "loss", "schedule", "weight_decay", "ema", "balance", "normalizer", "augment")
    # 48 channels at half size cost about as much as 16 at full size, the width of a small study.
    network = {**first["network"], "width": min(first["network"]["width"], 3 * plan.width)}
    changes = {name: first[name] for name in kept}
    changes |= {"network": network, "resize": None, "lr": 1.5e-3, "recipe": START.to_dict()}
    return Idea(FLAGSHIP, "the first network we shipped, trained on the same budget", changes)
