"""How much memory may be used."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath

from nucleate.io.faults import machine_memory

__all__ = ["allowed_bytes", "available_bytes", "bytes_beyond_labels", "keep_freed_memory_together"]

_NEW = ("memory.max", "memory.current", "inactive_file")
_OLD = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes(system: Path = Path("/")) -> int | None:
    """Tell how much memory is free for this process: the machine's, or less where its group or ``ulimit`` allows less.

    Parameters
    ----------
    system : Path
        Root of the system's files.

    Returns
    -------
    int or None
        Bytes; None where the system does not tell.
    """
    known = [n for n in (_machine(system), _group(system), _own(system)) if n is not None]
    return min(known) if known else None


def allowed_bytes(gigabytes: float | None) -> int | None:
    """Tell how many bytes so many gigabytes are, or how many are free where nothing was said."""
    return available_bytes() if gigabytes is None else int(gigabytes * 1e9)


def bytes_beyond_labels(shape_HW: tuple[int, int], max_bytes: int | None) -> int | None:
    """Tell how much of `max_bytes`, or of the free memory, is left beside the labels of a plane.

    Labels that were made a moment ago still count as free memory, since they are not written yet.
    """
    limit = available_bytes() if max_bytes is None else max_bytes
    return None if limit is None else max(limit - 4 * shape_HW[0] * shape_HW[1], 0)


def _machine(system: Path) -> int | None:
    try:
        for line in (system / "proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return machine_memory()


def _own(system: Path) -> int | None:
    """Give what the process may still map, as ``ulimit -v`` counts it; None if it has no limit."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        mapped = int((system / "proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(limit - mapped, 0)


def _group(system: Path) -> int | None:
    """Give the least memory that the process's control group and those above leave; None if none has a limit."""
    top = system / "sys/fs/cgroup"
    folders = [(top, _NEW), (top / "memory", _OLD)]  # in a container, the uppermost group is its own
    with contextlib.suppress(OSError, ValueError):
        for line in (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, kinds, inside = line.split(":", 2)
            if kinds in {"", "memory"} and ".." not in inside:
                root, names = folders[kinds == "memory"]
                own = PurePosixPath(inside.strip("/"))
                folders += [(root / group, names) for group in (own, *own.parents)]
    found = [_left(folder, names) for folder, names in folders]
    return min((left for left in found if left is not None), default=None)


def _left(folder: Path, names: tuple[str, str, str]) -> int | None:
    """Give the memory that one group leaves; cached files, which can be read again, count as free."""
    limit, used, kept = names
    try:
        allowed, taken = (int((folder / name).read_text(encoding="ascii")) for name in (limit, used))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return None
    with contextlib.suppress(OSError, ValueError):
        known = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        taken -= int(known.get(kept, 0))
    return max(allowed - taken, 0)


def keep_freed_memory_together() -> bool:
    """Ask glibc for one pool of freed memory instead of one a thread, which together kept 2.5 GB of decoded chunks.

    Returns
    -------
    bool
        Whether that was possible; other C libraries have no such pools, or no such switch.
    """
    import ctypes

    most_pools = -8  # M_ARENA_MAX of mallopt
    try:
        return bool(ctypes.CDLL(None).mallopt(most_pools, 1))
    except (AttributeError, OSError, TypeError):
        return False
