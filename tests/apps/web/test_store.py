"""The list of opened images."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from nucleate.apps.web.store import Store
from nucleate.run.content import content_hash
from nucleate.run.inputs import expand

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base


def test_what_is_opened_again_is_as_it_is_now(tmp_path: Path) -> None:
    store, link = Store(), tmp_path / "in" / "a.png"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "later.png")
    (tmp_path / "in" / "b.png").write_bytes(b"b")
    first = store.add(expand([str(link.parent)]), "in")
    assert [(one.status, "a link to nothing" in one.error) for one in store.entries()] == [
        ("failed", True),
        ("new", False),
    ]
    (tmp_path / "later.png").write_bytes(b"a")
    store.change(first[1], status="failed", error="damaged")
    assert store.add(expand([str(link.parent)]), "in") == first
    assert [(one.status, one.error, one.source.problem) for one in store.entries()] == [
        ("new", "", ""),
        ("failed", "damaged", ""),
    ]
    (tmp_path / "later.png").unlink()
    store.add(expand([str(link.parent)]), "in")
    assert store.entries()[0].status == "failed"


def test_an_archive_that_is_opened_again_is_looked_into_anew(tmp_path: Path) -> None:
    store, path = Store(), tmp_path / "a.zip"
    for names in ("bc", "abc"):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(f"{name}.png", name * len(names))
        store.add(sources := expand([str(path)]), "a.zip")
    assert [one.source.member for one in store.entries()] == ["b.png", "c.png", "a.png"]
    kept = {one.source.key: one.source.entry for one in store.entries()}
    assert kept == {one.key: one.entry for one in sources}
    assert len({content_hash(one.source) for one in store.entries()}) == 3
