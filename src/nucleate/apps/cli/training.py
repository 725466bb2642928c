"""What the training verbs share: the device, the precision, and where the folds stand."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Literal

from nucleate.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_precision", "default_table", "import_training"]


def import_training(device: str, threads: int | None) -> str:
    """Check that training is possible, set the threads, and choose between ``cpu`` and ``cuda``."""
    if device not in {"auto", "cpu", "cuda"}:
        raise UsageError(f"--device {device!r}; use auto, cpu or cuda")
    for library in ("torch", "optuna", "safetensors", "matplotlib"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtraError(library, "train")
    from nucleate.train.device import choose_device

    return choose_device(device, threads)


def check_precision(precision: str) -> Literal["float32", "bfloat16"]:
    """Give the precision if there is such a one."""
    known: dict[str, Literal["float32", "bfloat16"]] = {"float32": "float32", "bfloat16": "bfloat16"}
    if precision not in known:
        raise UsageError(f"--precision {precision!r}; use float32 or bfloat16")
    return known[precision]


def default_table(data: Path) -> Path | None:
    """Find the table of folds beside a data set."""
    table = data.parent / "images.csv"
    return table if table.is_file() else None
