"""What became of the inputs of an earlier run: they lie elsewhere, or other inputs have their planes now."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

from nucleate.core.text import one_line
from nucleate.errors import InputError
from nucleate.run.pictures import brought_by, split_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nucleate.run.inputs import Source
    from nucleate.run.journal import Journal

__all__ = ["hash_if_readable", "moved", "tell_of_twice"]

_logger = logging.getLogger(__name__)


def moved(sources: Sequence[Source], journal: Journal) -> dict[str, str]:
    """Find inputs that lie elsewhere now: the same file name and content, and there is no file where it was.

    Parameters
    ----------
    sources : sequence of Source
        Those of today.
    journal : Journal
        Those of earlier runs. What they did not finish moved along with its folder.

    Returns
    -------
    dict of str to str
        The keys of today by those of then.
    """
    here = {source.key for source in sources}
    away = [key for key in journal.names if key not in here]
    gone: dict[str, list[str]] = {}
    for key in away:
        if not os.path.lexists(split_part(key)[0]):
            gone.setdefault(_place(key)[1], []).append(key)
    new = [source for source in sources if source.key not in journal.names and _place(source.key)[1] in gone]
    found: dict[str, str] = {}
    folders: set[tuple[str, str]] = set()
    for source in new:
        folder, name = _place(source.key)
        done = {key: journal.done[key] for key in gone[name] if key in journal.done and key not in found}
        known = {key: one.sha256 for key, one in done.items() if one.status == "ok"}
        sha256 = hash_if_readable(source) if known else ""
        old = next((key for key, then in known.items() if then == sha256), None)
        if old is not None:
            found[old] = source.key
            folders.add((_place(old)[0], folder))
    taken = set(found.values())
    for source in new:
        folder, name = _place(source.key)
        for key in gone[name] if source.key not in taken else ():
            is_done = key in journal.done and journal.done[key].status == "ok"
            if key not in found and not is_done and (_place(key)[0], folder) in folders:
                found[key] = source.key
                break
    return found


def tell_of_twice(sources: Sequence[Source], journal: Journal) -> None:
    """Say which results of earlier runs have the planes of inputs of today; they are kept, as all results are.

    They are of files that a set brings along now, of a file of which several pictures are taken now, and of a set of
    which the first file is gone and others are taken by themselves.

    Parameters
    ----------
    sources : sequence of Source
        Those of today.
    journal : Journal
        Those of earlier runs.
    """
    here = {source.key for source in sources}
    done = [key for key, outcome in journal.done.items() if outcome.status == "ok" and key not in here]
    away = {key: place for key in done if not (place := split_part(key))[1].startswith("!")}
    if not away:
        return
    usable = [source for source in sources if not source.member and not source.problem]
    taken = {os.path.realpath(source.path) for source in usable}
    apart = {os.path.realpath(source.path) for source in usable if source.picture is not None}
    brought = brought_by(usable)

    def is_again(key: str, file: str, part: str) -> bool:
        real = os.path.realpath(file)
        if os.path.lexists(file):
            return real in brought or (real in apart and not part)
        return any(os.path.realpath(one) in taken for one in journal.done[key].files)

    again = [key for key, (file, part) in away.items() if is_again(key, file, part)]
    if again:
        names = ", ".join(one_line(journal.names[key]) for key in again)
        _logger.warning(
            "kept what was written of %s: other inputs have the same planes now, so the tables have their nuclei "
            "twice; choose another output folder to count them once",
            names,
        )


def _place(key: str) -> tuple[str, str]:
    """Part a key into folder and file name, with what it names in the file."""
    *folders, name = re.split(r"[/\\]", key)
    return "/".join(folders), name


def hash_if_readable(source: Source) -> str | None:
    """Compute the hash of an input; None if it cannot be read."""
    try:
        return source.sha256()
    except InputError:
        return None
