"""Files of a plate that hold several pictures: stage positions of an OME-TIFF, scenes of a CZI, series of a LIF."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nucleate.core.text import one_line
from nucleate.run.inputs import Source
from nucleate.run.pictures import each_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.screen.layout import PlateField

__all__ = ["each_field"]


def each_field(fields: Sequence[PlateField], *, root: Path) -> tuple[list[PlateField], list[str]]:
    """Make a field of each picture of a file, numbered from 1, where names tell no fields apart.

    Parameters
    ----------
    fields : sequence of PlateField
        The fields that names tell.
    root : Path
        Folder of the plate.

    Returns
    -------
    (list of PlateField, list of str)
        All fields, and a line for each file some of whose pictures are left out. If names tell the fields, only files
        of the first field are opened, since a plate may have a hundred thousand files.
    """
    are_told = len({field.number for field in fields}) > 1
    looked = fields[:1] if are_told else fields
    found: list[PlateField] = []
    problems = []
    for field in looked:
        counts = [len(each_picture(Source(file.path), alone=file.alone)) for file in field.files]
        least = 1 if are_told else min(counts)
        for file, count in zip(field.files, counts, strict=True):
            if count > least:
                which = f"the first {least} are" if least > 1 else "one is"
                why = "names tell the fields" if are_told else f"another file of {field.well} holds {least}"
                shown = one_line(str(file.path.relative_to(root)))
                problems.append(f"{shown}: holds {count} pictures, but {why}: {which} taken; give each its own file")
        found += [field] if least == 1 else [_of_picture(field, number) for number in range(least)]
    return [*found, *fields[len(looked) :]], problems


def _of_picture(field: PlateField, number: int) -> PlateField:
    return replace(field, number=number + 1, files=tuple(replace(file, picture=number) for file in field.files))
