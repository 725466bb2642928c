"""How much memory may be used."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_bytes", "keep_freed_memory_together"]


def available_bytes(system: Path = Path("/")) -> int | None:
    """Tell how much memory is free for this process: the machine's, or less where its control group allows less.

    Parameters
    ----------
    system : Path
        Root of the system's files.

    Returns
    -------
    int or None
        Bytes; None where the system does not tell.
    """
    known = [n for n in (_machine(system), _group(system)) if n is not None]
    return min(known) if known else None


def _machine(system: Path) -> int | None:
    try:
        for line in (system / "proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _group(system: Path) -> int | None:
    folder = system / "sys/fs/cgroup"
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            allowed, taken = ((folder / name).read_text(encoding="ascii").strip() for name in (limit, used))
            return max(int(allowed) - int(taken), 0)
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
    return None


def keep_freed_memory_together() -> bool:
    """Ask glibc for one pool of freed memory instead of one a thread, which together kept 2.5 GB of decoded chunks.

    Returns
    -------
    bool
        Whether it was done; other C libraries have no such pools, or no such switch.
    """
    import ctypes

    most_pools = -8  # M_ARENA_MAX of mallopt
    try:
        return bool(ctypes.CDLL(None).mallopt(most_pools, 1))
    except (AttributeError, OSError, TypeError):
        return False
