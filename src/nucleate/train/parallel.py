"""One run on several graphics cards, a process each, started by torchrun. Legend in `nucleate.nets.unet`.

Several processes compute what one would compute on the same batch, but for rounding: each takes its parts of the batch
(see `TrainConfig.shards`), and functions of the whole batch, normalisation and the Dice loss, add up over all of them.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from nucleate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["across", "joined", "launched", "meet", "rank", "share", "size"]

_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@contextlib.contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the other processes of torchrun, if it started this one; give the device of this process.

    Parameters
    ----------
    device : str
        ``cpu`` or ``cuda``; on ``cuda`` each process has its own card.
    """
    if launched() == 1:
        yield device
        return
    if device != "cpu":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    # Imported while there is no group: functions in it keep a group, with its threads, as a default argument, and a
    # thread that outlives the group may abort the process as Python ends.
    importlib.import_module("torch.distributed.nn")
    distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield device
    finally:
        distributed.destroy_process_group()
        gc.collect()  # a shared network, in a circle of references, keeps the group alive, too


def launched() -> int:
    """Count the processes that torchrun started, before they have joined.

    Raises
    ------
    UsageError
        If the environment names several processes, but not all that they need to find each other.
    """
    told = os.environ.get("WORLD_SIZE", "1")
    if told.strip() == "1":
        return 1
    missing = [name for name in _OF_TORCHRUN if name not in os.environ]
    if not told.isdecimal() or missing:
        what = f"{missing[0]} is not set" if missing else "that is no number"
        raise UsageError(f"WORLD_SIZE = {told}, but {what}; start with torchrun, or unset WORLD_SIZE")
    return int(told)


def rank() -> int:
    """Give the number of this process, 0 for the one that writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """Count the processes of the run."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def meet() -> None:
    """Wait until every process is here."""
    if size() > 1:
        distributed.barrier()


def across(values: Tensor) -> Tensor:
    """Add up over all processes; gradients flow back to each."""
    if size() == 1:
        return values
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def share(module: nn.Module, *, shards: int) -> nn.Module:
    """Wrap a network so that its gradients are the means over all processes.

    Parameters
    ----------
    module : nn.Module
        Its normalisation is made to look at the whole batch.
    shards : int
        Parts of a batch.

    Raises
    ------
    UsageError
        If the parts cannot be dealt out evenly.
    """
    if size() == 1:
        return module
    if shards % size():
        raise UsageError(f"shards = {shards} cannot be dealt to {size()} processes; use --set shards={size()}")
    for part in module.modules():
        if type(part) is nn.BatchNorm2d:
            part.__class__ = _SharedNorm
    together = nn.parallel.DistributedDataParallel
    # Every process computes the same buffers. Newer releases have another name for the option that keeps them.
    new = "forward_sync_buffers" in inspect.signature(together).parameters
    kept: dict[str, Any] = {"forward_sync_buffers" if new else "broadcast_buffers": False}
    return together(module, **kept)


class _SharedNorm(nn.BatchNorm2d):
    """Batch normalisation by the mean and variance of the whole batch; torch's own kind for this has no CPU."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Keep the shape."""
        if not self.training:
            return super().forward(x_NCHW)
        assert self.running_mean is not None
        assert self.running_var is not None
        wide_NCHW = x_NCHW.float()
        count = size() * x_NCHW.numel() // x_NCHW.shape[1]
        mean_C = across(wide_NCHW.sum((0, 2, 3))) / count
        centred_NCHW = wide_NCHW - mean_C[:, None, None]
        var_C = across(centred_NCHW.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            momentum = self.momentum or 0.0
            self.running_mean.lerp_(mean_C, momentum)
            self.running_var.lerp_(var_C * count / max(1, count - 1), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scale_C = self.weight * (var_C + self.eps).rsqrt()
        return (centred_NCHW * scale_C[:, None, None] + self.bias[:, None, None]).to(x_NCHW.dtype)
