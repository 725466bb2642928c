"""Whether a plate is the one whose results a folder holds, even if it was moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleate.errors import UsageError
from nucleate.run.exports import EXPORTS
from nucleate.run.journal import JOURNAL_NAME, sources_of
from nucleate.run.moved_inputs import are_there
from nucleate.run.outputs import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nucleate.run.inputs import Source

__all__ = ["left_over", "refuse_another"]


def refuse_another(output: Path, sources: Sequence[Source], *, before: Mapping[str, str]) -> None:
    """Refuse a plate if none of its fields, even under another path, is among those whose results are there.

    Parameters
    ----------
    output : Path
        Folder of the screen.
    sources : sequence of Source
        The fields of the plate now.
    before : mapping of str to str
        The hashes of fields that were finished, by their keys.

    Raises
    ------
    UsageError
        If none of them was finished before, though others were.
    """
    if before and not are_there(sources, before):
        raise UsageError(
            f"--resume: {output} holds the results of another plate: none of its pictures is in this one, or "
            "all of them were changed; choose another output folder"
        )


def left_over(fields: Path, sources: Sequence[Source]) -> list[Path]:
    """List the result files of fields that are no longer in the plate; the files are not changed.

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
