"""Inputs done beside each other: how many, which of them alone, and that results do not depend on it."""

from __future__ import annotations

import os
import signal
import threading
import time
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from tests.fakes import FakeSegmenter, breaks_off

from nucleate.errors import NucleateError
from nucleate.run.batch import BatchSummary, Report, run_batch
from nucleate.run.inputs import expand
from nucleate.run.journal import JOURNAL_NAME
from nucleate.run.settings import BatchSettings
from nucleate.run.single import WorkBench
from nucleate.run.threads import WORKER_NAME, ThreadCrew, _Room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nucleate.core.image import Image

SMALL, LARGE = 48, 200
SHARE = 2_000_000  # of three; a small one needs 0.2 million bytes, a large one 2.6
PATIENCE = 20.0


def spots(side: int, seed: int) -> NDArray[np.uint8]:
    image = np.full((side, side), 10, np.uint8)
    for row, col in np.random.default_rng(seed).integers(0, side // 8, (5, 2)) * 8:
        image[row : row + 6, col : col + 6] = 200
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for seed, side in enumerate([SMALL, SMALL, SMALL, LARGE, SMALL, LARGE, LARGE, SMALL, SMALL]):
        Pillow.fromarray(spots(side, seed)).save(tmp_path / "in" / f"{seed}.png")
    return tmp_path / "in"


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    end = time.monotonic() + PATIENCE
    while any(thread.name == WORKER_NAME for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


class Watching(FakeSegmenter):
    """Counts who is at work at the same time, and waits until so many `together` are."""

    def __init__(self, together: int = 1) -> None:
        super().__init__()
        self.changed, self.together = threading.Condition(), together
        self.inside: list[int] = []
        self.most, self.beside_large, self.met = 0, 0, False

    def segment(self, image: Image, *, max_bytes: int | None = None) -> Any:  # noqa: ANN401 - a fake's
        side = image.shape_HW[0]
        with self.changed:
            self.inside.append(side)
            self.most = max(self.most, len(self.inside))
            if LARGE in self.inside:
                self.beside_large = max(self.beside_large, len(self.inside) - 1)
            self.met |= len(self.inside) >= self.together
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.met, timeout=PATIENCE)
        found = super().segment(image, max_bytes=max_bytes)
        with self.changed:
            self.inside.remove(side)
        return found


def go(
    top: Path,
    out: Path,
    at_once: int,
    *,
    segmenter: FakeSegmenter | None = None,
    notify: Callable[[Report], None] = lambda _: None,
    resume: bool = False,
    fail_fast: bool = False,
) -> BatchSummary:
    settings = BatchSettings(at_once=at_once, max_bytes=3 * SHARE, resume=resume, fail_fast=fail_fast)
    return run_batch(
        expand([str(top)], output=out), out, segmenter=segmenter or FakeSegmenter(), settings=settings, notify=notify
    )


def contents(out: Path) -> dict[str, bytes]:
    # The summary has the seconds, the journal the order in which they ended.
    return {
        p.name: p.read_bytes() for p in out.iterdir() if p.is_file() and p.name not in {"summary.csv", JOURNAL_NAME}
    }


def test_small_ones_beside_each_other_and_a_large_one_alone(folder: Path, tmp_path: Path) -> None:
    watching = Watching(together=3)
    summary = go(folder, tmp_path / "beside", 3, segmenter=watching)
    assert summary.count("ok") == 9
    assert watching.most == 3
    assert watching.beside_large == 0
    go(folder, tmp_path / "single", 1)
    beside, single = contents(tmp_path / "beside"), contents(tmp_path / "single")
    assert beside.keys() == single.keys()
    assert [name for name in beside if beside[name] != single[name]] == []
    assert [o.name for o in summary.outcomes] == [str(i) for i in range(9)]


def test_no_more_are_in_memory_than_may_be(folder: Path, tmp_path: Path) -> None:
    begun, ahead = 0, []
    lock = threading.Lock()

    class Counting(FakeSegmenter):
        def segment(self, image: Image, *, max_bytes: int | None = None) -> Any:  # noqa: ANN401 - a fake's
            nonlocal begun
            with lock:
                begun += 1
            return super().segment(image, max_bytes=max_bytes)

    def notify(report: Report) -> None:
        threading.Event().wait(0.05)
        ahead.append(begun - report.done)

    go(folder, tmp_path / "out", 2, segmenter=Counting(), notify=notify)
    assert len(ahead) == 9
    assert max(ahead) == 1


def test_ctrl_c_keeps_what_is_finished(folder: Path, tmp_path: Path) -> None:
    def interrupt(report: Report) -> None:
        if report.done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "out"
    summary = go(folder, out, 3, notify=interrupt)
    assert summary.interrupted
    assert summary.count("ok") == 2
    assert go(folder, out, 3, resume=True).count("ok") == 9
    go(folder, tmp_path / "whole", 1)
    names = contents(out).keys()
    assert names == contents(tmp_path / "whole").keys()
    assert (out / "measurements.csv").read_bytes() == (tmp_path / "whole" / "measurements.csv").read_bytes()


def test_one_that_fails_among_others(folder: Path, tmp_path: Path) -> None:
    (folder / "1.png").write_bytes(b"no picture")
    summary = go(folder, tmp_path / "out", 3)
    assert [o.status for o in summary.outcomes] == ["ok", "failed", *["ok"] * 7]
    stopped = go(folder, tmp_path / "stopped", 3, fail_fast=True)
    assert stopped.count("failed") == 1
    assert stopped.count("ok") < 8


def test_members_of_one_name_are_unpacked_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for seed in range(12):
            path = tmp_path / "image.tif"
            tifffile.imwrite(path, spots(SMALL, seed))
            archive.write(path, f"{seed:02d}/image.tif")
    expected = [len(np.unique(spots(SMALL, seed))) for seed in range(12)]
    assert expected == [2] * 12
    found = [
        run_batch(
            expand([str(tmp_path / "all.zip")]),
            tmp_path / str(n),
            segmenter=FakeSegmenter(),
            settings=BatchSettings(at_once=n),
        )
        for n in (1, 4)
    ]
    assert [o.nuclei for o in found[0].outcomes] == [o.nuclei for o in found[1].outcomes]
    assert found[1].count("ok") == 12


class FatalError(NucleateError):
    pass


def test_an_error_that_ends_the_run_ends_the_threads(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="no model"):
        go(folder, tmp_path / "out", 3, segmenter=FakeSegmenter(error=FatalError("no model")))


def test_nobody_enters_before_one_that_needs_all_the_room() -> None:
    room, order = _Room(2), []
    assert room.enter()
    assert room.enter()

    def large() -> None:
        room.take_all()
        order.append("large")
        room.leave(2)

    def small() -> None:
        room.enter()
        order.append("small")

    first = threading.Thread(target=large)
    first.start()
    with room._changed:
        room._changed.wait_for(lambda: room._queue == 1, timeout=PATIENCE)
    second = threading.Thread(target=small)
    second.start()
    second.join(0.1)
    assert order == []
    room.leave(1)
    for thread in (first, second):
        thread.join(PATIENCE)
    assert order == ["large", "small"]


@breaks_off
def test_a_batch_that_is_told_to_stop_ends_as_after_ctrl_c(folder: Path, tmp_path: Path) -> None:
    sources, out = expand([str(folder)]), tmp_path / "out"
    slow, settings = FakeSegmenter(delay=0.05), BatchSettings(resume=True)
    crew = ThreadCrew(WorkBench(slow, settings, output=out, scratch=tmp_path), at_once=settings.at_once)

    def notify(report: Report) -> None:
        if report.done == 2:
            crew.interrupt()

    stopped = run_batch(sources, out, segmenter=slow, settings=settings, notify=notify, crew=crew)
    assert (stopped.interrupted, stopped.count("ok"), stopped.count("not done")) == (True, 2, 7)
    assert (out / "summary.csv").read_text(encoding="utf-8").count(",ok,") == 2
    went_on = run_batch(sources, out, segmenter=FakeSegmenter(), settings=settings)
    assert (went_on.interrupted, went_on.count("ok")) == (False, 9)


@breaks_off
@pytest.mark.parametrize("busy", ["finding", "writing"])
def test_what_is_being_done_is_broken_off(
    busy: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_ends(*_: object, **__: object) -> None:
        threading.Timer(0.2, crew.interrupt).start()
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            time.sleep(0.01)

    sources, out = expand([str(folder)]), tmp_path / "out"
    fake, settings = FakeSegmenter(), BatchSettings(resume=True)
    with monkeypatch.context() as patched:
        if busy == "finding":
            patched.setattr(fake, "segment", never_ends)
        else:
            patched.setattr("nucleate.run.outputs.write_result", never_ends)
        crew = ThreadCrew(WorkBench(fake, settings, output=out, scratch=tmp_path), at_once=2)
        started = time.monotonic()
        stopped = run_batch(sources, out, segmenter=fake, settings=settings, crew=crew)
        assert time.monotonic() - started < PATIENCE
    assert (stopped.interrupted, stopped.count("not done")) == (True, 9)
    assert not [*out.glob(".writing-*")]
    assert run_batch(sources, out, segmenter=FakeSegmenter(), settings=settings).count("ok") == 9


def test_one_that_is_told_before_it_begins_does_nothing(folder: Path, tmp_path: Path) -> None:
    settings, fake = BatchSettings(), FakeSegmenter(error=AssertionError("it was begun"))
    crew = ThreadCrew(WorkBench(fake, settings, output=tmp_path / "out", scratch=tmp_path), at_once=2)
    crew.interrupt()
    stopped = run_batch(expand([str(folder)]), tmp_path / "out", segmenter=fake, settings=settings, crew=crew)
    assert (stopped.interrupted, stopped.count("not done")) == (True, 9)
