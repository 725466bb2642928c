"""The processor, and how many of its cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["MOST_THREADS", "cores", "processor"]

MOST_THREADS = 1024
"""Most threads that may be asked for: starting far more than there are cores takes minutes."""


def cores() -> int:
    """Count the cores that this process may use; ``taskset`` may allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> tuple[str, frozenset[str]]:
    """Give the name of the processor and its extra instructions, such as ``avx2``, as far as the system tells."""
    import platform

    name, features = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            name = value.strip() if key.strip() == "model name" else name
            features = value if key.strip() in {"flags", "Features"} else features
    except OSError:
        pass
    return name, frozenset(features.split())
