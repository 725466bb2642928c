"""The processor, and how many of its cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["MOST_THREADS", "cores", "processor"]

MOST_THREADS = 1024
"""More threads than any machine has cores for take minutes to begin."""


def cores() -> int:
    """Count them; ``taskset`` may allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> tuple[str, frozenset[str]]:
    """Give its name and the instructions it has beyond the usual, such as ``avx2``, as far as the system tells."""
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
