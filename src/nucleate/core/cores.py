"""How many cores this process may use."""

from __future__ import annotations

import os

__all__ = ["MOST_THREADS", "cores"]

MOST_THREADS = 1024
"""More threads than any machine has cores for take minutes to begin."""


def cores() -> int:
    """Count them; ``taskset`` may allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
