"""Whether a plate is the one whose results a folder holds, be it under another path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleate.errors import UsageError
from nucleate.run.journal import JOURNAL_NAME, finished, rename_sources

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.run.inputs import Source

__all__ = ["take_up"]


def take_up(fields: Path, sources: Sequence[Source]) -> None:
    """Take fields that were moved for those that they were, and refuse a plate of which no field is there.

    Parameters
    ----------
    fields : Path
        Folder of the results.
    sources : sequence of Source
        The fields of the plate now.

    Raises
    ------
    UsageError
        If none of them was finished before, though others were.
    InputError, OutputError
        If a picture or the journal cannot be read.
    """
    before = finished(fields / JOURNAL_NAME)
    if not before or any(before.get(source.key) == source.sha256() for source in sources if source.key in before):
        return
    here = {source.key for source in sources}
    gone = {(key.rpartition("#")[2], sha): key for key, sha in before.items() if key not in here}
    stems = {stem for stem, _ in gone}
    keys = {
        old: source.key
        for source in sources
        if source.stem in stems and (old := gone.get((source.stem, source.sha256()))) is not None
    }
    if not keys:
        raise UsageError(
            f"--resume: {fields.parent} holds the results of another plate, none of its pictures is in this one; "
            "choose another output folder"
        )
    rename_sources(fields / JOURNAL_NAME, keys)
