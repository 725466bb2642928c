"""Whether a plate is the one whose results a folder holds, be it under another path."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nucleate.errors import UsageError
from nucleate.run.exports import EXPORTS
from nucleate.run.journal import JOURNAL_NAME, finished, rename_sources, sources_of
from nucleate.run.outputs import files_of
from nucleate.run.resuming import hash_if_readable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.run.inputs import Source

__all__ = ["left_over", "take_up"]


def take_up(fields: Path, sources: Sequence[Source]) -> None:
    """Take fields that were moved for those that they were, and refuse a plate of which no field is there.

    Fields are told by well and number, wherever their files lie and whatever these are called: a copy will do, and so
    will a folder for each well. Other inputs are told by the names of their files: `nucleate.run.resuming.moved`.

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
    OutputError
        If the journal cannot be read.
    """
    before = finished(fields / JOURNAL_NAME)
    if not before or any(before[one.key] == hash_if_readable(one) for one in sources if one.key in before):
        return
    here = {source.key for source in sources}
    gone: dict[str, dict[str | None, str]] = defaultdict(dict)
    for key, sha256 in before.items():
        if key not in here:
            gone[_stem(key)][sha256] = key
    looked = [one for one in sources if one.stem in gone]
    keys = {old: one.key for one in looked if (old := gone[one.stem].get(hash_if_readable(one)))}
    if not keys:
        raise UsageError(
            f"--resume: {fields.parent} holds the results of another plate: none of its pictures is in this one, or "
            "all of them were changed; choose another output folder"
        )
    # Those that failed or were changed moved with the others.
    taken = set(keys.values())
    last = {_stem(key): key for key in sources_of(fields / JOURNAL_NAME) if key not in here}
    keys |= {last[one.stem]: one.key for one in sources if one.key not in taken and one.stem in last}
    rename_sources(fields / JOURNAL_NAME, keys)


def left_over(fields: Path, sources: Sequence[Source]) -> list[Path]:
    """List the files of fields that are no longer in the plate; nothing is done to them.

    Parameters
    ----------
    fields : Path
        Folder of the results.
    sources : sequence of Source
        The fields of the plate now.

    Raises
    ------
    OutputError
        If the journal cannot be read.
    """
    here = {source.key for source in sources}
    gone = [name for key, name in sources_of(fields / JOURNAL_NAME).items() if key not in here]
    files = [path for name in gone for path in files_of(fields, name, exports=EXPORTS)]
    return sorted(path for path in files if path.parent == fields and path.exists())


def _stem(key: str) -> str:
    return key.rpartition("#")[2]
