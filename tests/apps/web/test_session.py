"""What is opened, and what the command line for it is."""

from __future__ import annotations

import shlex
import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tests.io import ome_sets

from nucleate.apps.web.choices import Choices, Machine
from nucleate.apps.web.session import Session
from nucleate.apps.web.store import Finished
from nucleate.errors import UsageError
from nucleate.run.inputs import expand
from nucleate.run.journal import Outcome

pytestmark = pytest.mark.base

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(Machine(tmp_path / "out"))
    yield made
    made.close()


def _picture(path: Path) -> Path:
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(path, format="PNG")
    return path


@pytest.mark.parametrize("name", ["a.png ", " a.png", "'a.png'", "a.png\t"])
def test_a_name_is_taken_as_it_stands(name: str, session: Session, tmp_path: Path) -> None:
    path = _picture(tmp_path / name)
    [number] = session.open(str(path))
    entry = session.store.get(number)
    assert entry is not None
    assert entry.source.path == path


@pytest.mark.parametrize("form", [" {} ", '"{}"', "'{}'\n", "{}\n"])
def test_what_was_copied_along_with_a_path_is_left_out(form: str, session: Session, tmp_path: Path) -> None:
    path = _picture(tmp_path / "a.png")
    assert session.open(form.format(path)) == session.open(str(path))


def test_what_is_no_image_is_said_at_once(session: Session, tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_bytes(b"PK no image")
    [entry] = session.store.entries(session.open(str(tmp_path / "notes.docx")))
    assert (entry.status, "not an image format" in entry.error) == ("failed", True)
    [entry] = session.store.entries(session.open(str(_picture(tmp_path / "a.png"))))
    assert (entry.status, entry.error) == ("new", "")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_files_of_a_set_that_came_one_by_one_are_done_as_one_picture(
    order: tuple[int, ...], session: Session, tmp_path: Path
) -> None:
    (tmp_path / "sent").mkdir()
    files = ome_sets.write_set(tmp_path / "sent", [[f"c{number}.ome.tif" for number in range(3)]])
    session.open(str(_picture(tmp_path / "other.png")))
    for number in order:
        session.open(str(shutil.copy(files[number], tmp_path / files[number].name)))
    known = session.store.since(0)["revision"]
    asked = session.run(None, Choices()).entries
    assert [entry.source.path.name for entry in asked] == ["other.png", "c0.ome.tif"]
    now = session.store.since(known)
    assert (now["anew"], [one["name"] for one in now["images"]], now["count"]) == (True, ["other", "c0.ome"], 2)


def test_an_image_with_results_stays_when_it_becomes_part_of_another(session: Session, tmp_path: Path) -> None:
    files = ome_sets.write_set(tmp_path, [["c0.ome.tif", "c1.ome.tif", "c2.ome.tif"]])
    ours, waiting = (session.open(str(file))[0] for file in files[1:])
    finished = Finished(Outcome("", "c1.ome", "ok"), tmp_path, Choices())
    session.store.change(ours, status="ok", finished=finished)
    session.store.change(waiting, status="waiting")
    session.open(str(files[0]))
    assert [one.source.path.name for one in session.run(None, Choices()).entries] == ["c0.ome.tif"]
    first, second, _ = session.store.entries()
    assert (first.source.path.name, first.finished) == ("c1.ome.tif", finished)
    assert (first.error, second.error) == ("part of another open image now; its results are those from before", "")


@pytest.mark.parametrize("word", ["", " ", "\t", '""'])
def test_no_path_is_none(word: str, session: Session) -> None:
    with pytest.raises(UsageError, match="no path given"):
        session.open(word)


def test_the_command_for_one_picture_names_that_one(session: Session, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("one.png", "two.png"):
            archive.write(_picture(tmp_path / name), name)
    _, two = session.open(str(tmp_path / "a.zip"))
    told = session.run([two], Choices()).shown(session.machine)["command"]
    word = shlex.split(told)[2]
    assert [source.stem for source in expand([word])] == ["two"]
    assert session.run(None, Choices()).inputs == [str(tmp_path / "a.zip")]
