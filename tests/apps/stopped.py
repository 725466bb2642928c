"""Runs that are killed again and again, and what must be left of them; for tests and for benchmarks/kills.py."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nucleate.run.journal import PARTS_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 1800.0

_TIMES = {
    "summary.csv": rb",\d+\.\d{3},",
    "run.json": rb'"command": .*',
}
"""What may differ between two runs: the seconds of each input, and the call, which has --resume in one of them."""


@dataclass
class Tally:
    """What the kills hit."""

    kills: int = 0
    early: int = 0
    half_written: int = 0
    in_strips: int = 0
    finished: int = 0


def contents(out: Path) -> dict[str, str]:
    """Hash every final file of a folder and of the folders in it, the parts of tables included, without times.

    Left out are the journal, strips of large images, files that were being written, and report.html, which shows times.
    """
    found = {}
    for path in sorted(out.rglob("*")):
        parts = path.relative_to(out).parts
        hidden = any((part.startswith(".") and part != PARTS_NAME) or part.endswith(".strips") for part in parts)
        if path.is_dir() or hidden or path.name == "report.html":
            continue
        content = path.read_bytes()
        if path.name in _TIMES:
            content = re.sub(_TIMES[path.name], b"", content)
        found["/".join(parts)] = hashlib.sha256(content).hexdigest()
    return found


def survive(
    start: Callable[[], subprocess.Popen[bytes]],
    out: Path,
    *,
    expected: dict[str, str],
    kills: int,
    moment: Callable[[], float],
) -> Tally:
    """Start, kill and start again; after each kill and at the end hold the folder to what an unbroken run wrote.

    Parameters
    ----------
    start : callable
        Starts the program, with ``--resume``.
    out : Path
        Where it writes.
    expected : dict
        `contents` of the unbroken run.
    kills : int
        How many; a run that ends before it is killed is compared too, and the next one starts from nothing.
    moment : callable
        Gives the seconds from start to kill.

    Raises
    ------
    AssertionError
        If a file differs, is half-written or is missing at the end.
    """
    tally = Tally()
    while tally.kills < kills:
        if _ends(start(), within=moment()):
            _compare(out, expected)
            shutil.rmtree(out)
            tally.finished += 1
            continue
        tally.kills += 1
        left = contents(out)
        wrong = sorted(name for name in left if left[name] != expected.get(name))
        assert not wrong, f"after kill {tally.kills}: {wrong} differ from the unbroken run"
        tally.early += not left
        tally.half_written += any(out.rglob(".writing-*"))
        tally.in_strips += any(out.rglob("strip-*"))
    assert _ends(start(), within=PATIENCE), "not finished in time"
    _compare(out, expected)
    return tally


def _ends(running: subprocess.Popen[bytes], *, within: float) -> bool:
    try:
        _, said = running.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        running.kill()
        running.communicate(timeout=PATIENCE)
        return False
    assert running.returncode == 0, said
    return True


def _compare(out: Path, expected: dict[str, str]) -> None:
    found = contents(out)
    wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    assert not wrong, f"{wrong} differ from the unbroken run"
    assert not [*out.rglob(".writing-*"), *out.rglob("*.strips")], "something half-written is left"
