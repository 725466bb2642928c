"""Names of the parts that leave a type out: each has files of its own."""

from __future__ import annotations

from dataclasses import replace

from tests.train.drawn import disks

from nucleate.study.next_steps import type_parts


def test_types_of_like_names_have_files_of_their_own() -> None:
    kinds = ["HE", "he", "H/E", "Small round", "..", "h_e dark"]
    names = [part.name for part in type_parts([replace(disks(1)[0], kind=kind, group=kind) for kind in kinds])]
    assert len({name.lower() for name in names}) == len(kinds)
    assert not [name for name in names if "/" in name]
    assert {"type-h_e", "type-small-round"} < set(names)  # as ever where nothing speaks against it
