"""What became of the inputs of an earlier run: they lie elsewhere, or are part of others now."""

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

__all__ = ["moved", "outdated"]

_logger = logging.getLogger(__name__)


def moved(sources: Sequence[Source], journal: Journal) -> dict[str, str]:
    """Find inputs that lie elsewhere now: the same file name and content, and there is no file where it was.

    Parameters
    ----------
    sources : sequence of Source
        Those of today.
    journal : Journal
        Those of earlier runs. What they did not finish is known by the file name alone.

    Returns
    -------
    dict of str to str
        The keys of today by those of then.
    """
    here = {source.key for source in sources}
    gone: dict[str, list[str]] = {}
    for key in journal.names:
        if key not in here and not os.path.lexists(split_part(key)[0]):
            gone.setdefault(_file_name(key), []).append(key)
    found: dict[str, str] = {}
    for source in sources:
        left = [] if source.key in journal.names else gone.get(_file_name(source.key), [])
        known = {key: done.sha256 for key in left if (done := journal.done.get(key)) and done.status == "ok"}
        sha256 = _hash(source) if known else ""
        old = next((key for key in left if known.get(key, sha256) == sha256), None)
        if old is not None:
            left.remove(old)
            found[old] = source.key
    return found


def outdated(sources: Sequence[Source], journal: Journal) -> dict[str, None]:
    """Find inputs of earlier runs whose planes are those of other inputs now, and say so.

    Parameters
    ----------
    sources : sequence of Source
        Those of today.
    journal : Journal
        Those of earlier runs.

    Returns
    -------
    dict of str to None
        Keys: of files that a set of today brings along, of a file of which several pictures are taken today or one
        instead of several, and of a set of which the first file is gone and others are taken by themselves.
    """
    here = {source.key for source in sources}
    parts = {source.path: source.picture is not None for source in sources if not source.member}
    split = {os.path.realpath(path): is_part for path, is_part in parts.items()}
    brought = brought_by(sources)
    found: dict[str, None] = {}
    for key in journal.names:
        file, part = split_part(key)
        real = os.path.realpath(file)
        if key in here or part.startswith("!"):
            continue
        is_other_part = real in split and split[real] != bool(part)
        files = () if os.path.lexists(file) or key not in journal.done else journal.done[key].files
        if real in brought or is_other_part or any(os.path.realpath(one) in split for one in files):
            found[key] = None
    if found:
        names = ", ".join(one_line(journal.names[key]) for key in found)
        _logger.warning("removed what was written of %s: other inputs have the same planes now", names)
    return found


def _file_name(key: str) -> str:
    return re.split(r"[/\\]", key)[-1]


def _hash(source: Source) -> str | None:
    try:
        return source.sha256()
    except InputError:
        return None
