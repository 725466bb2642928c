"""The journal: what is written stays, what was cut off is dropped, other settings are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nucleate.errors import OutputError, UsageError
from nucleate.run.journal import Journal, Outcome

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

FIRST = Outcome("a", "/x/a.png", "ok", "00ff", 3, 12.5, 0.25)
SECOND = Outcome("b", "/x/b.png", "failed", error="bad")


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, {"scale": 1.0, "export": ["labels"]}, resume=False)
    journal.begin({"/x/a.png": "a", "/x/\udcff\n.png": "odd\udcff"})
    journal.add(FIRST)
    journal.add(SECOND)
    again = Journal(path, {"scale": 1.0, "export": ("labels",)}, resume=True)
    assert again.names == {"/x/a.png": "a", "/x/\udcff\n.png": "odd\udcff"}
    assert again.done == {"/x/a.png": FIRST, "/x/b.png": SECOND}


@pytest.mark.parametrize("lost", [1, 5, 40])
def test_a_line_cut_off_is_dropped_and_does_not_spoil_the_next(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, {}, resume=False)
    journal.begin({})
    journal.add(FIRST)
    journal.add(SECOND)
    path.write_bytes(path.read_bytes()[:-lost])
    again = Journal(path, {}, resume=True)
    assert list(again.done) == ["/x/a.png"] if lost > 1 else ["/x/a.png", "/x/b.png"]
    again.begin({})
    again.add(SECOND)
    assert Journal(path, {}, resume=True).done == {"/x/a.png": FIRST, "/x/b.png": SECOND}


@pytest.mark.parametrize(
    "damaged",
    [
        '{"kind": "done"}',
        '{"kind": "done", "name": "b", "source": "/x/b.png", "status": "ok", "sha256": "", "mass": 1}',
        '{"kind": "names"}',
        '{"kind": "names", "names": {"/x/b.png": 1}}',
        "[]",
        "{}",
    ],
)
def test_a_line_without_what_it_should_have_is_dropped_like_one_cut_off(tmp_path: Path, damaged: str) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, {}, resume=False)
    journal.begin({})
    journal.add(FIRST)
    path.write_text(f"{path.read_text()}{damaged}\n")
    again = Journal(path, {}, resume=True)
    assert again.done == {"/x/a.png": FIRST}
    again.begin({})
    again.add(SECOND)
    assert Journal(path, {}, resume=True).done == {"/x/a.png": FIRST, "/x/b.png": SECOND}


def test_the_last_word_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", {}, resume=False)
    journal.begin({})
    journal.add(SECOND)
    mended = Outcome("b", "/x/b.png", "ok", "11", 1, 4.0)
    journal.add(mended)
    assert Journal(tmp_path / "journal", {}, resume=True).done == {"/x/b.png": mended}


def test_without_resume_results_are_not_touched(tmp_path: Path) -> None:
    Journal(tmp_path / "journal", {}, resume=False).begin({})
    with pytest.raises(UsageError, match="add --resume"):
        Journal(tmp_path / "journal", {}, resume=False)


def test_other_settings_are_named(tmp_path: Path) -> None:
    before = Journal(tmp_path / "journal", {"scale": 1, "model": "m"}, resume=False)
    before.begin({FIRST.source: FIRST.name})
    assert Journal(tmp_path / "journal", {"scale": 2, "model": "m"}, resume=True).names == {}
    before.add(FIRST)
    with pytest.raises(UsageError, match="scale was 1, is now 2; use those"):
        Journal(tmp_path / "journal", {"scale": 2, "model": "m"}, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_where_all_failed_are_no_results(tmp_path: Path, *, resume: bool) -> None:
    path = tmp_path / "journal"
    first = Journal(path, {"scale": 1}, resume=False)
    first.begin({"/x/b.png": "b"})
    first.add(SECOND)
    assert Journal(path, {"scale": 1}, resume=True).done == {"/x/b.png": SECOND}
    anew = Journal(path, {"scale": 2}, resume=resume)
    assert (anew.names, anew.done) == ({}, {})
    anew.begin({"/x/a.png": "a"})
    anew.add(FIRST)
    anew.add(Outcome("a", "/x/a.png", "failed", error="cannot be read"))  # its results stay
    with pytest.raises(UsageError, match="of other settings" if resume else "add --resume"):
        Journal(path, {"scale": 1}, resume=resume)


@pytest.mark.parametrize("content", [b"hello\n", b"\xff\xfe", b"[1]\n", b'{"kind": "other"}\n'])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(OutputError, match="choose another output folder"):
        Journal(tmp_path / "journal", {}, resume=True)
