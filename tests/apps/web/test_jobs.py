"""Runs asked for on the page, with a segmenter that is none."""

from __future__ import annotations

import shlex
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from tests.fakes import FakeSegmentation, FakeSegmenter, breaks_off, dressed

from nucleate.apps.web.choices import Choices, Machine, command
from nucleate.apps.web.jobs import Job, Worker, results_folder
from nucleate.apps.web.session import Session
from nucleate.apps.web.store import Store
from nucleate.run.batch import Progress
from nucleate.run.inputs import expand
from nucleate.run.threads import WORKER_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nucleate.core.image import Image as Picture

    _Make = Callable[..., tuple[Store, Worker]]

pytestmark = pytest.mark.base


def _fake(choices: Choices, *, delay: float = 0.0) -> Any:  # noqa: ANN401 - for a Segmenter
    return dressed(FakeSegmenter(delay), scale=choices.scale, min_area=choices.min_area)


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    paths = []
    for number in range(3):
        picture = np.full((40, 50), 10, np.uint8)
        picture[5:15, 5:20] = 200
        paths.append(str(tmp_path / f"f{number}.png"))
        Image.fromarray(picture).save(paths[-1])
    return paths


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., tuple[Store, Worker]]]:
    """Give a function that opens images and makes a worker for them; all of them are closed in the end."""
    made: list[Worker] = []

    def worker(
        words: list[str], load: Callable[[Choices, Machine], Any] = lambda choices, _: _fake(choices)
    ) -> tuple[Store, Worker]:
        store = Store()
        for word in words:
            store.add(expand([word]), word)
        made.append(Worker(store, Machine(tmp_path / "out"), load=load))
        return store, made[-1]

    yield worker
    for one in made:
        one.close(5.0)


def _wait(worker: Worker, *states: str) -> Job:
    wanted = states or ("done", "stopped", "failed")
    end = time.monotonic() + 30
    while time.monotonic() < end:
        job = worker.job
        if job is not None and job.state in wanted and (states or not worker.waiting):
            return job
        time.sleep(0.01)
    pytest.fail(f"no run became one of {wanted}")


def test_a_bad_image_does_not_stop_the_others(make: _Make, tmp_path: Path, images: list[str]) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    store, worker = make([images[0], str(bad), images[1]])
    worker.submit(store.entries(), Choices(), inputs=store.words())
    assert _wait(worker).state == "done"
    assert [entry.status for entry in store.entries()] == ["ok", "failed", "ok"]
    assert "damaged PNG" in store.entries()[1].error
    assert (tmp_path / "out" / "summary.csv").read_text().count(",ok,1,") == 2


def test_other_settings_go_to_another_folder_and_equal_ones_go_on(
    make: _Make, tmp_path: Path, images: list[str]
) -> None:
    store, worker = make(images)
    folders = []
    for choices in (Choices(), Choices(min_area=3), Choices()):
        worker.submit(store.entries(), choices, inputs=images)
        job = _wait(worker)
        assert job.folder is not None
        folders.append((job.folder.name, job.fresh))
    assert folders == [("out", 3), ("out-2", 3), ("out", 0)]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.csv").write_text("mine")
    (tmp_path / "out-2").write_text("a file")
    assert results_folder(tmp_path / "out", {"a": 1}) == tmp_path / "out-3"


@breaks_off
def test_stop_ends_the_run_and_those_that_wait(make: _Make, tmp_path: Path, images: list[str]) -> None:
    store, worker = make(images, load=lambda choices, _: _fake(choices, delay=0.5))
    first = worker.submit(store.entries(), Choices(), inputs=images)
    second = worker.submit(store.entries(), Choices(), inputs=images)
    _wait(worker, "running")
    started = time.monotonic()
    worker.close(2.0)
    assert time.monotonic() - started < 2.0
    assert (first.state, second.state) == ("stopped", "stopped")
    assert worker.job is first, "the other one never began"
    assert {entry.status for entry in store.entries()} <= {"new", "ok"}


@breaks_off
def test_stop_waits_for_what_computes(make: _Make, images: list[str]) -> None:
    before = {thread for thread in threading.enumerate() if thread.name == WORKER_NAME}
    store, worker = make(images, load=lambda choices, _: _fake(choices, delay=0.3))
    own = {thread for thread in threading.enumerate() if thread.name == WORKER_NAME} - before
    worker.submit(store.entries(), Choices(), inputs=images)
    _wait(worker, "running")
    worker.stop()
    assert worker.job is not None
    assert worker.job.shown(Machine())["stopping"] is True
    assert _wait(worker, "stopped").shown(Machine())["stopping"] is False
    assert {thread for thread in threading.enumerate() if thread.name == WORKER_NAME} - before == own


@breaks_off
def test_stop_breaks_off_an_image_and_the_next_run_is_another_one(make: _Make, images: list[str]) -> None:
    class Endless(FakeSegmenter):
        def segment(self, image: Picture, *, max_bytes: int | None = None) -> FakeSegmentation:
            while self.delay:
                time.sleep(0.01)
            return super().segment(image, max_bytes=max_bytes)

    endless = dressed(Endless(delay=0.1))
    store, worker = make(images, load=lambda *_: endless)
    worker.submit(store.entries(), Choices(), inputs=images)
    _wait(worker, "running")
    started = time.monotonic()
    worker.stop()
    assert _wait(worker).state == "stopped"
    assert time.monotonic() - started < 2.0
    assert {entry.status for entry in store.entries()} == {"new"}
    endless.delay = 0.0
    worker.submit(store.entries(), Choices(), inputs=images)
    assert _wait(worker).state == "done"


def test_what_is_kept_of_a_large_image_is_told_after_a_stop(make: _Make, images: list[str]) -> None:
    store, worker = make(images)
    job = Job(store.entries([1]), Choices(), images[:1])
    for state, parts in (("stopped", 3), ("done", None)):
        job.note_part(Progress("big", 3, 9))
        worker._end(job, state)
        told = job.shown(Machine())["part"]
        assert (told and told["done"]) == parts


@breaks_off
def test_many_runs_wait_and_all_are_stopped(make: _Make, tmp_path: Path, images: list[str]) -> None:
    store, worker = make(images, load=lambda choices, _: _fake(choices, delay=0.3))
    assert store.add(expand([images[0], str(tmp_path / "gone.png")]), "gone") == [1, 4]
    jobs = [worker.submit(store.entries([number]), Choices(), inputs=["a"]) for number in (1, 2, 3, 4) * 8]
    _wait(worker, "running")
    worker.stop()
    _wait(worker)
    assert {job.state for job in jobs} == {"stopped"}
    assert {entry.status for entry in store.entries([1, 2, 3])} <= {"new", "ok"}
    [gone] = store.entries([4])
    assert gone.status == "failed"
    assert gone.error


def test_failed_images_are_counted(make: _Make, tmp_path: Path, images: list[str]) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    store, worker = make([*images, str(tmp_path / "bad.png")])
    worker.submit(store.entries(), Choices(), inputs=images)
    told = _wait(worker).shown(Machine())
    assert (told["done"], told["failed"], told["total"]) == (4, 1, 4)


def test_how_long_a_large_image_takes_is_told_whatever_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    job = Job([], Choices(), [], state="running", started=90.0, done=1, fresh=1)
    for total, together in ((1, 30.0), (3, None)):
        job.entries = [None] * (total + 1)  # type: ignore[list-item]  # they are only counted
        now, job.part = 100.0, None
        job.note_part(Progress("big", 2, 10))
        assert job.shown(Machine())["part"]["seconds_left"] is None
        now = 110.0
        job.note_part(Progress("big", 4, 10))
        told = job.shown(Machine())
        assert (told["part"]["seconds_left"], told["seconds_left"]) == (30.0, together)


def test_a_run_that_cannot_begin_says_why(make: _Make, tmp_path: Path, images: list[str]) -> None:
    def load(choices: Choices, machine: Machine) -> Any:  # noqa: ANN401
        raise RuntimeError(f"no {choices.model} for {machine.device}")

    store, worker = make(images, load=load)
    worker.submit(store.entries(), Choices(model="x"), inputs=images)
    job = _wait(worker)
    assert (job.state, job.error) == ("failed", "unexpected RuntimeError: no x for auto")
    assert {entry.status for entry in store.entries()} == {"new"}


def test_a_model_is_loaded_once_for_what_it_does_alike(tmp_path: Path, images: list[str]) -> None:
    loaded: list[Choices] = []

    def load(choices: Choices, _: Machine) -> Any:  # noqa: ANN401
        loaded.append(choices)
        return _fake(choices)

    machine = Machine(tmp_path / "out", model="m.onnx")
    store = Store()
    store.add(expand(images), "images")
    worker = Worker(store, machine, load=load, ready=_fake(Choices()))
    for choices in (Choices(), Choices(project="max"), Choices(model="m.onnx", channel="0"), Choices(min_area=3)):
        worker.submit(store.entries(), choices, inputs=images)
        _wait(worker)
    worker.close(5.0)
    assert [one.min_area for one in loaded] == [3]


def test_choices_are_checked() -> None:
    with pytest.raises(ValidationError):
        Choices.model_validate({"project": "sum"})
    with pytest.raises(ValidationError):
        Choices.model_validate({"threads": 4})


def test_the_command_line_says_the_same() -> None:
    from nucleate.apps.cli.console import parse_scale

    chosen = Choices(channel="DAPI 1", scale=0.25, tta=True, min_area=7, min_confidence=0.5, project="max")
    words = shlex.split(command(["a b.tif"], chosen, machine=Machine(Path("out"), threads=2, memory=1.5)))
    given = dict(zip(words[3::2], words[4::2], strict=False))
    assert words[:4] == ["nucleate", "segment", "a b.tif", "-o"]
    assert {"--channel", "--scale", "--min-area", "--min-confidence", "--project", "--tta", "--resume"} <= set(words)
    assert "--model" not in words
    assert "--model m.onnx" in command(["a"], Choices(), machine=Machine(model="m.onnx"))
    assert "--model n" in command(["a"], Choices(model="n"), machine=Machine(model="m.onnx"))
    exact = command(["-a.png"], Choices(scale=0.12345678), machine=Machine(memory=12.3456789))
    assert exact == "nucleate segment ./-a.png -o nucleate-results --scale 0.12345678 --memory 12.3456789 --resume"
    assert (given["--channel"], parse_scale(given["--scale"])) == ("DAPI 1", 0.25)


def test_the_page_is_told_what_changed(make: _Make, tmp_path: Path, images: list[str]) -> None:
    store, _ = make(images)
    first = store.since(-1)
    assert len(first["images"]) == 3
    assert store.since(first["revision"])["images"] == []
    assert store.add(expand([images[0]]), images[0]) == [1], "what is open is not opened twice"
    store.change(2, status="running")
    assert [one["id"] for one in store.since(first["revision"])["images"]] == [2]
    store.clear()
    assert store.since(first["revision"]) | {"revision": 0} == {"revision": 0, "anew": True, "images": [], "count": 0}
    assert asdict(Machine())["output"] == Path("nucleate-results")


def test_a_run_that_cannot_end_leaves_nothing(
    tmp_path: Path, images: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    begun, go_on = threading.Event(), threading.Event()

    class Slow(FakeSegmenter):
        def segment(self, image: Picture, *, max_bytes: int | None = None) -> FakeSegmentation:
            begun.set()
            go_on.wait(30)
            return super().segment(image, max_bytes=max_bytes)

    session = Session(Machine(tmp_path / "out"), load=lambda *_: dressed(Slow()))
    session.open(images[0])
    job = session.run(None, Choices())
    assert begun.wait(30)
    session.close(0.1)
    assert list((tmp_path / "scratch").iterdir()) == []
    go_on.set()
    end = time.monotonic() + 30
    while job.state == "running" and time.monotonic() < end:
        time.sleep(0.01)
    assert job.state == "stopped"
    assert list((tmp_path / "scratch").iterdir()) == []
