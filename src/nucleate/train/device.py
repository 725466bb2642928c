"""Where training runs."""

from __future__ import annotations

import functools
import platform
from typing import Literal

import torch

from nucleate.core.cores import processor
from nucleate.errors import UsageError

__all__ = ["best_precision", "choose_device", "describe"]


def choose_device(wanted: str, threads: int | None = None) -> str:
    """Choose ``cuda`` if there is one and it is not declined, else ``cpu``; set the CPU threads.

    Raises
    ------
    UsageError
        If ``cuda`` is asked for and there is none.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no NVIDIA card here; use --device cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return "cpu"
    torch.backends.cudnn.benchmark = True  # crops are all of one size: the search for the fastest way pays
    return "cuda"


def describe(device: str) -> str:
    """Name the versions and the processor, or for ``cuda`` the card, of a run, for the note under its figures."""
    if device == "cuda":
        place = torch.cuda.get_device_name()
    else:
        place = f"{processor()[0]}, {torch.get_num_threads()} thread(s)"
    return f"torch {torch.__version__}, Python {platform.python_version()}, {place}"


@functools.cache  # an optimiser asks at each step
def best_precision(device: str) -> Literal["float32", "bfloat16"]:
    """Give the arithmetic that ``cpu`` or ``cuda`` is made for here: bfloat16 where it has instructions for it."""
    if device != "cpu":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if processor()[1] & {"amx_bf16", "avx512_bf16"} else "float32"
