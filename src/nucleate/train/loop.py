"""The training loop, in view on one page."""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from nucleate.core.files import make_folder, write_rows, write_text
from nucleate.core.text import one_line
from nucleate.errors import DataError, ModelError, UsageError
from nucleate.train.augment import seeded
from nucleate.train.batches import Atlas, Batch, make_batch, steps_per_epoch
from nucleate.train.checkpoint import facts_of_state, load_state, save_network, save_state
from nucleate.train.config import AFTER, STATE, TrainConfig
from nucleate.train.device import best_precision
from nucleate.train.losses import loss_of
from nucleate.train.muon import Muon
from nucleate.train.parallel import across, meet, rank, share, size
from nucleate.train.start import first_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from nucleate.train.checkpoint import Parts

__all__ = ["BEST", "FINAL", "Run", "fit", "learning_rate"]

BEST = "best.safetensors"
FINAL = "final.safetensors"

_LATER = (*AFTER, "epochs", "restarts")  # settings that may differ when a run goes on
_CALMER = "try a lower lr, or precision = 'float32'"

_logger = logging.getLogger(__name__)


@dataclass
class Run:
    """A run as it stands.

    Parameters
    ----------
    step : int
        Batches done.
    history : list of dict
        One entry an epoch: epoch, loss, lr, seconds and whatever the validation measured.
    best : float
        Highest ``score`` of the validation so far; -inf before the first.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = -math.inf


def fit(
    config: TrainConfig,
    atlas: Atlas,
    *,
    folder: Path,
    validate: Callable[[nn.Module], dict[str, float]],
    resume: bool = False,
    device: str = "cpu",
    report: Callable[[Run], None] = lambda run: None,
    tick: Callable[[int, int], None] = lambda step, total: None,
) -> Run:
    """Train one network and keep it in a folder.

    Started by torchrun, every process takes its share of each batch; the first one validates, writes and reports.

    Parameters
    ----------
    config : TrainConfig
        Everything that decides the result.
    atlas : Atlas
        The training pictures.
    folder : Path
        Gets ``best.safetensors`` (the epoch of the highest validation ``score``), ``final.safetensors``,
        ``history.csv``, ``config.json`` and the state to go on from.
    validate : callable
        Takes the network in evaluation mode after each epoch, gives measures; ``score`` is needed, larger is better.
    resume : bool
        Go on from the state in `folder`; the result equals the unbroken run bit for bit on the CPU. A run that is
        done goes on too, where `config` has more epochs and a restart at its end.
    device : str
        ``cpu`` or ``cuda``.
    report : callable
        Called after each epoch.
    tick : callable
        Called after each batch with the number of batches done, and of all.

    Returns
    -------
    Run
        With the whole history.

    Raises
    ------
    UsageError
        If `folder` holds a run and `resume` is off, or the run there has another configuration.
    DataError
        If the loss or a weight is no number any more, or too large.
    """
    place = torch.device(device)
    if config.precision == "bfloat16" and best_precision(place.type) == "float32":
        _logger.warning("no instructions for bfloat16 here: training is many times faster with precision = 'float32'")
    begun = _begun(config, folder, resume=resume)
    atlas = atlas.to(place)
    torch.manual_seed(int(seeded(config.seed, 0).initial_seed()))
    module = first_network(config).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(module).requires_grad_(requires_grad=False) if config.ema else None
    optimiser = _optimiser(module, config, place=place)
    parts = (module, average, optimiser)
    run = _start(config, folder, begun=begun, parts=parts)
    network: Callable[..., Tensor] = share(module, shards=config.shards)
    network = torch.compile(network) if config.compiled else network
    ours = range(rank(), config.shards, size())
    per_epoch = steps_per_epoch(config, len(atlas))
    while run.step < config.epochs * per_epoch:
        began, total = time.perf_counter(), torch.zeros((), dtype=torch.float64, device=place)
        _teach(module, config)
        torch.manual_seed(int(seeded(config.seed, 5, run.step // per_epoch).initial_seed()))  # as in a run that goes on
        now = config.during(run.step // per_epoch)
        for step in range(run.step, run.step + per_epoch):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(now, step, steps=config.epochs * per_epoch)
            loss = _loss(network, make_batch(atlas, now, step=step, shards=ours), config=config)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if average is not None:
                _follow(average, module, decay=config.ema, step=step)
            total += loss.detach()  # read once an epoch, since reading it here would make a graphics card wait
            tick(step + 1, config.epochs * per_epoch)
        run.step += per_epoch
        loss_mean = _mean(total, per_epoch, epoch=run.step // per_epoch)
        _check_finite(module, epoch=run.step // per_epoch)
        if rank() == 0:
            kept = average if average is not None else module
            measures = validate(kept.eval())
            lr = optimiser.param_groups[0]["lr"]
            entry = {"epoch": len(run.history) + 1, "loss": loss_mean, "lr": lr, **measures}
            run.history.append({**entry, "seconds": round(time.perf_counter() - began, 3)})
            _keep(config, folder, run=run, kept=kept, parts=parts)
            report(run)
        meet()
    return run


def _optimiser(module: nn.Module, config: TrainConfig, *, place: torch.device) -> torch.optim.Optimizer:
    if config.optimiser == "muon":
        return Muon(module.parameters(), config.lr, weight_decay=config.weight_decay)
    betas = (config.beta1, 0.999)
    fused = True if place.type == "cuda" else None
    return torch.optim.AdamW(module.parameters(), config.lr, betas=betas, weight_decay=config.weight_decay, fused=fused)


def _teach(module: nn.Module, config: TrainConfig) -> None:
    """Put a network into training mode, but for normalisation that keeps its statistics."""
    module.train()
    if config.freeze_norms:
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()


def _mean(total: Tensor, steps: int, *, epoch: int) -> float:
    mean = across(total).item() / size() / steps
    if not math.isfinite(mean):
        raise DataError(f"the loss is {mean} in epoch {epoch}; {_CALMER}")
    return mean


def _check_finite(module: nn.Module, *, epoch: int) -> None:
    # A model's file holds halves, which end at 65,504.
    if not all(bool(torch.isfinite(weight.half()).all()) for weight in module.parameters()):
        raise DataError(f"a weight is too large, or no number any more, in epoch {epoch}; {_CALMER}")


def _loss(network: Callable[..., Tensor], batch: Batch, *, config: TrainConfig) -> Tensor:
    batch_NCHW = batch.batch_NCHW.contiguous(memory_format=torch.channels_last)
    with torch.autocast(batch_NCHW.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        if config.detector:  # it has losses of its own
            return network(batch_NCHW, batch.targets_NCHW[:, 0])
        logits_NCHW = network(batch_NCHW)
    return loss_of(config)(logits_NCHW.float(), batch.targets_NCHW, batch.weights_NHW)


def learning_rate(config: TrainConfig, step: int, *, steps: int) -> float:
    """Give the learning rate of a step."""
    if config.schedule == "constant":
        return config.lr
    ends = [epochs * steps // config.epochs for epochs in config.falls]
    start = max(end for end in ends if end <= step)
    step, steps = step - start, ends[ends.index(start) + 1] - start
    warm = max(1, round(0.02 * steps))
    if step < warm:
        return config.lr * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def _follow(average: nn.Module, module: nn.Module, *, decay: float, step: int) -> None:
    """Move the running mean a little towards the weights; faster at the start, when they still change a lot."""
    decay = min(decay, (1 + step) / (10 + step))
    ours, theirs = average.state_dict(), module.state_dict()
    moving = [name for name, value in theirs.items() if value.is_floating_point()]
    with torch.no_grad():
        # One call for all, since hundreds of small calls would take longer than the network on a graphics card.
        torch._foreach_lerp_([ours[name] for name in moving], [theirs[name] for name in moving], 1 - decay)
        for name in theirs.keys() - set(moving):
            ours[name].copy_(theirs[name])


def _begun(config: TrainConfig, folder: Path, *, resume: bool) -> Run | None:
    """Give the run that the folder holds, if this run goes on with it; None if there is none."""
    state = make_folder(folder) / STATE
    known = state.is_file()
    meet()  # before the first process writes what the others look for
    if not known:
        return None
    if not resume:
        raise UsageError(f"{folder} already holds a run; go on with --resume or give another folder")
    facts = facts_of_state(state)
    try:
        begun = TrainConfig.model_validate(facts["config"])
        best = -math.inf if facts["best"] is None else facts["best"]
        run = Run(facts["step"], facts["history"], best)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{state}: not a state of this version; use another run folder") from error
    if not _goes_on(begun, config):
        raise UsageError(
            f"{folder} holds a run with other settings: {_differences(begun, config)}; "
            "give the same ones or another folder"
        )
    return run


def _start(config: TrainConfig, folder: Path, *, begun: Run | None, parts: Parts) -> Run:
    """Load the state of the run to go on with, or begin a new run; write the settings beside it."""
    if begun is not None:
        load_state(folder / STATE, parts)
    settings, path = config.model_dump_json(indent=1), folder / "config.json"
    if rank() == 0 and not (path.is_file() and path.read_text(encoding="utf-8") == settings):  # unchanged: left alone
        write_text(path, settings)
    return begun or Run()


def _differences(begun: TrainConfig, config: TrainConfig) -> str:
    before, now = begun.model_dump(mode="json"), config.model_dump(mode="json")
    other = [name for name in now if now[name] != before.get(name)]
    other = [name for name in other if name not in _LATER] or other
    return one_line(", ".join(f"{name} was {before.get(name)}, is now {now[name]}" for name in other))


def _goes_on(begun: TrainConfig, config: TrainConfig) -> bool:
    """Tell whether a run of `config` does all that a run of `begun` does; steps after the training may differ."""
    if config.falls[: len(begun.falls)] != begun.falls:
        return False
    later = {name: getattr(config, name) for name in _LATER} | {"calm": None}
    return all(
        begun.during(epoch).replace(**later) == config.during(epoch).replace(**later) for epoch in range(begun.epochs)
    )


def _keep(config: TrainConfig, folder: Path, *, run: Run, kept: nn.Module, parts: Parts) -> None:
    score = run.history[-1]["score"]
    if score > run.best:
        run.best = score
        save_network(folder / BEST, kept, config=config.network, facts=run.history[-1])
    save_network(folder / FINAL, kept, config=config.network, facts=run.history[-1])
    names = list(run.history[0])
    write_rows(folder / "history.csv", ([row[name] for name in names] for row in run.history), header=names)
    best = run.best if math.isfinite(run.best) else None
    facts = {"config": config.model_dump(mode="json"), "step": run.step, "history": run.history, "best": best}
    # Written last, so that the files beside it are at least as new.
    save_state(folder / STATE, parts, facts=facts)
