"""What counts as free memory."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from nucleate.run.memory import available_bytes, keep_freed_memory_together
from nucleate.run.settings import BatchSettings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def _system(top: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n"}
V1 = "sys/fs/cgroup/memory/memory."
V2 = "sys/fs/cgroup/slurm/job_1/"
JOB = {"proc/self/cgroup": "0::/slurm/job_1/task\n"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 4000 * 1024),
        ({"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"}, 4000 * 1024),
        ({"sys/fs/cgroup/memory.max": "1000000\n", "sys/fs/cgroup/memory.current": "400000\n"}, 600_000),
        ({"sys/fs/cgroup/memory.max": "10\n", "sys/fs/cgroup/memory.current": "40\n"}, 0),
        ({f"{V1}limit_in_bytes": "1000000\n", f"{V1}usage_in_bytes": "400000\n"}, 600_000),
        ({f"{V2}memory.max": "1000000\n", f"{V2}memory.current": "400000\n", **JOB}, 600_000),
        ({f"{V2}task/memory.max": "max\n", f"{V2}memory.max": "9000\n", f"{V2}memory.current": "0\n", **JOB}, 9000),
        ({f"{V2}task/memory.max": "7\n", f"{V2}task/memory.current": "0\n", **JOB}, 7),
        (
            {
                "proc/self/cgroup": "4:cpu:/x\n5:memory:/job\n",
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "1000000\n",
                "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "900000\n",
                "sys/fs/cgroup/memory/job/memory.stat": "cache 800000\ntotal_inactive_file 700000\n",
            },
            800_000,
        ),
        ({"proc/self/cgroup": "0::/../..\nnonsense\n"}, 4000 * 1024),
    ],
)
def test_the_tighter_limit_counts(tmp_path: Path, files: dict[str, str], free: int) -> None:
    assert available_bytes(_system(tmp_path, MEMINFO | files)) == free


def test_a_limit_of_the_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="no limits on this system")
    page = resource.getpagesize()
    system = _system(tmp_path, MEMINFO | {"proc/self/statm": "100 50 10 1 0 40 0\n"})
    for limit, free in ((110 * page, 10 * page), (90 * page, 0), (resource.RLIM_INFINITY, 4000 * 1024)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, resource.RLIM_INFINITY))
        assert available_bytes(system) == free


def test_the_machine_s_own_memory_is_told() -> None:
    free = available_bytes()
    assert free is not None
    assert free > 1_000_000


def test_glibc_keeps_one_pool_when_asked() -> None:
    assert keep_freed_memory_together() == (platform.libc_ver()[0] == "glibc")


def test_what_was_allowed_is_what_is_recorded() -> None:
    settings = BatchSettings(channel="DAPI").told("nucleate", device="cpu", threads=2, memory_gb=1.5)
    assert (settings.channel, settings.max_bytes) == ("DAPI", 1_500_000_000)
    assert settings.record == {"command": "nucleate", "device": "cpu", "threads": 2, "memory_gb": 1.5}
    free = BatchSettings().told("", device="auto", threads=None, memory_gb=None).max_bytes
    assert free == pytest.approx(available_bytes(), rel=0.5)
