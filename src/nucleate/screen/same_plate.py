"""Whether a plate is the one whose results a folder holds, even if it was moved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nucleate.errors import UsageError
from nucleate.run.exports import EXPORTS
from nucleate.run.journal import JOURNAL_NAME, begun, refuse_begun, sources_of
from nucleate.run.moved_inputs import are_there
from nucleate.run.outputs import files_of
from nucleate.screen.results import FIELDS_FOLDER, RECORD_NAME, read_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nucleate.run.inputs import Source
    from nucleate.screen.results import ScreenRecord

__all__ = ["left_over", "taken_up"]


def taken_up(
    output: Path, record: ScreenRecord, *, sources: Sequence[Source], resume: bool
) -> tuple[ScreenRecord, bool]:
    """Refuse a folder that holds other results; take over from an earlier run what is not said again.

    Parameters
    ----------
    output : Path
        Folder of the screen.
    record : ScreenRecord
        What is to be screened.
    sources : sequence of Source
        The fields of the plate now.
    resume : bool
        Whether an earlier run is to go on.

    Returns
    -------
    (ScreenRecord, bool)
        Whether that run has finished a field, too: one that has not settles no more than the unit.

    Raises
    ------
    UsageError
        If the folder holds results and this is no resume, or they are of another plate.
    OutputError
        If the journal cannot be read.
    """
    journal = output / FIELDS_FOLDER / JOURNAL_NAME
    if not resume:
        refuse_begun(journal)
        return record, False
    before = begun(journal)
    if before is None and sources_of(journal).keys().isdisjoint(source.key for source in sources):
        return record, False  # what failed may have been another plate
    earlier = read_record(output / RECORD_NAME) if (output / RECORD_NAME).exists() else record
    if before is not None:
        earlier.check_same_plate(record)
        _refuse_another(output, sources, before=before)
    return replace(record, unit=record.unit or earlier.unit), bool(before)


def _refuse_another(output: Path, sources: Sequence[Source], *, before: Mapping[str, str]) -> None:
    """Refuse a plate of which no field is one of those whose results are there, be it elsewhere by now.

    `before` has the hashes of fields that were finished, by their keys.
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
