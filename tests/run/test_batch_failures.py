"""Inputs that fail where they had not, and calls that are refused: what is left in the folder."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.fakes import FakeSegmenter

from nucleate.core.image import Image
from nucleate.errors import TooLargeError, UsageError
from nucleate.run.batch import BatchSummary, run_batch
from nucleate.run.inputs import expand
from nucleate.run.segmentation import Segmentation
from nucleate.run.settings import BatchSettings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.base

EXPORTS = ("labels", "overlay", "measurements", "rle", "geojson", "coco")
LIBRARIES = {"zarr": "zarr", "parquet": "pyarrow", "anndata": "anndata"}


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((40, 50), 10, np.uint8)
    image[4:10, 3:9] = image[20:30, 20:30] = 200
    Pillow.fromarray(image).save(path)
    return path


def go(*inputs: Path, out: Path, **settings: Any) -> BatchSummary:  # noqa: ANN401
    chosen = BatchSettings(**{"exports": EXPORTS} | settings)
    return run_batch(expand(map(str, inputs), output=out), out, segmenter=FakeSegmenter(), settings=chosen)


def files(out: Path) -> set[str]:
    """Name everything in a folder, parts of tables included."""
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore")  # of the libraries, about each other
def test_an_input_that_fails_now_leaves_nothing_of_its_earlier_results(tmp_path: Path) -> None:
    more = tuple(name for name, library in LIBRARIES.items() if importlib.util.find_spec(library))
    cells, exports = save(tmp_path / "cells.png"), (*EXPORTS, *more)
    go(cells, out=tmp_path / "out", exports=exports)
    assert {"cells.labels.tif", "measurements.csv", "coco.json"} < files(tmp_path / "out")
    cells.write_bytes(b"broken")
    go(cells, out=tmp_path / "fresh", exports=exports)
    for _ in range(2):
        assert go(cells, out=tmp_path / "out", exports=exports, resume=True).count("failed") == 1
        assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_what_others_gave_stays_in_the_tables(tmp_path: Path) -> None:
    cells, others = save(tmp_path / "cells.png"), save(tmp_path / "others.png")
    go(cells, others, out=tmp_path / "out")
    mine = Segmentation(np.eye(4, dtype=np.int32), np.ones(1, np.float32), Image(np.eye(4), name="mine.tif"))
    mine.save(tmp_path / "out", ["measurements"])
    for path, left in ((cells, ["others", "others", "mine"]), (others, ["mine"])):
        path.write_bytes(b"broken")
        go(cells, others, out=tmp_path / "out", resume=True)
        rows = (tmp_path / "out" / "measurements.csv").read_text().splitlines()[1:]
        assert [row.split(",")[0] for row in rows] == left


def test_what_the_user_put_in_the_place_of_a_failure_stays(tmp_path: Path) -> None:
    (tmp_path / "cells.png").write_bytes(b"broken")
    go(tmp_path / "cells.png", out=tmp_path / "out")
    (tmp_path / "out" / "cells.labels.tif").write_text("drawn by hand")
    assert go(tmp_path / "cells.png", out=tmp_path / "out", resume=True).count("failed") == 1
    assert (tmp_path / "out" / "cells.labels.tif").read_text() == "drawn by hand"


def test_a_refused_call_is_refused_in_the_same_words_again(tmp_path: Path) -> None:
    cells, out = save(tmp_path / "cells.png"), tmp_path / "out"
    out.mkdir()
    (out / "cells.labels.tif").write_text("mine")
    for resume in (False, False, True):
        with pytest.raises(UsageError, match=r"already has cells\.labels\.tif, which would be overwritten"):
            go(cells, out=out, resume=resume)
    (out / "cells.labels.tif").unlink()
    assert go(cells, out=out).count("ok") == 1


def test_a_run_that_was_killed_in_its_first_input_leaves_nothing_to_one_of_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, out = save(tmp_path / "in" / "cells.png"), tmp_path / "out"
    out.mkdir()
    (out / "cells.geojson").write_text("mine")
    with monkeypatch.context() as killing:
        killing.setattr("nucleate.run.journal.Journal.add", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            go(cells, out=out, exports=("labels", "overlay", "measurements"))
    assert {"cells.labels.tif", "cells.overlay.png"} < files(out)
    go(cells, out=out, exports=("rle", "measurements"), channel=0, resume=True)
    assert {one for one in files(out) if one.startswith("cells.")} == {"cells.geojson"}
    assert (out / "measurements.csv").exists()


def test_an_input_called_as_half_written_files_are_is_done(tmp_path: Path) -> None:
    names = (".writing-a.png", "a.png")
    summary = go(*(save(tmp_path / "in" / name) for name in names), out=tmp_path / "out")
    assert [(one.name, one.status) for one in summary.outcomes] == [("_writing-a", "ok"), ("a", "ok")]
    assert "_writing-a.labels.tif" in files(tmp_path / "out")


def test_an_input_that_is_gone_keeps_its_results(tmp_path: Path) -> None:
    cells, others = save(tmp_path / "cells.png"), save(tmp_path / "others.png")
    go(cells, others, out=tmp_path / "out")
    before = {name for name in files(tmp_path / "out") if name.startswith("cells.")}
    assert "cells.labels.tif" in before
    cells.unlink()
    assert go(cells, others, out=tmp_path / "out", resume=True).count("failed") == 1
    assert before <= files(tmp_path / "out")


def test_memory_that_runs_out_in_the_engine_is_told_of_the_image(tmp_path: Path) -> None:
    sources, fails = expand([str(save(tmp_path / "cells.png"))]), FakeSegmenter(error=TooLargeError("no memory"))
    summary = run_batch(sources, tmp_path / "out", segmenter=fails, settings=BatchSettings())
    assert summary.outcomes[0].error == f"{tmp_path / 'cells.png'}: no memory"
