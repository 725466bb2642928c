"""Where training runs."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from nucleate.errors import UsageError

__all__ = ["choose_device", "describe"]


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
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def describe() -> str:
    """Name the versions and the processor or card that a run is made on, for the note under its figures."""
    if torch.cuda.is_available():
        place = torch.cuda.get_device_name()
    else:
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        except (OSError, StopIteration):
            name = platform.processor() or platform.machine()
        place = f"{name}, {torch.get_num_threads()} thread(s)"
    return f"torch {torch.__version__}, Python {platform.python_version()}, {place}"
