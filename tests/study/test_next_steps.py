"""The study of the next steps, small: drawn disks of two sizes and two types, every idea, through the verb."""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tests.calls import call
from tests.tables import rows_of
from tests.train.drawn import disks

from nucleate.core.lock import locked
from nucleate.data.sample import Sample
from nucleate.data.write import write_sample
from nucleate.errors import DataError, UsageError
from nucleate.study import paper
from nucleate.study.gains import BASELINE, gain_of, row_of
from nucleate.study.next_ideas import (
    BEST,
    FLAGSHIP,
    TYPES,
    baseline_config,
    changed,
    combine,
    ideas,
    names_of,
)
from nucleate.study.next_run import choose_shown, run_study
from nucleate.study.next_steps import Outcome, Part, Study, fold_parts, type_parts
from nucleate.study.next_table import type_row
from nucleate.study.plan import NextPlan
from nucleate.train.config import load_config
from nucleate.train.detector import why_no_detector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nucleate.train.loop import Run

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = ("--width", "2", "--budget", "16", "--quiet", "--device", "cpu", "--threads", "1")
FULL = NextPlan(Path("data"), Path("out"))
NAMES = [name for name in ideas(FULL) if name != BASELINE]


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Resize to 32 instead of 256 pixels, and keep caches in the test's folder."""
    monkeypatch.setattr(paper, "SIDE", 32)
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path / "cache"))


def _pictures() -> Iterator[Sample]:
    for number, sample in enumerate([*disks(6, side=40), *disks(6, side=48, seed=1)]):
        group = number // 2
        yield Sample(f"p{number:02d}", sample.image, sample.labels, f"g{group}", "ab"[group % 2], group % 3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "stage1_train"
    rows = ["image_id,mosaic,fold,image_type"]
    for sample in _pictures():
        write_sample(folder, sample, layout="kaggle")
        rows.append(f"{sample.image_id},{sample.group},{sample.fold},type {sample.kind}")
    (tmp_path / "images.csv").write_text("\n".join(rows))
    return folder


def _plan(data: Path, out: Path) -> NextPlan:
    return NextPlan(data, out, data.parent / "images.csv", width=2, budget=16)


def test_the_verb_writes_rows_gains_and_strips(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert call("ablate", data, "-o", out, "--only", f"watershed,crops,{TYPES}", *SMALL) == 0
    table = (out / "table.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert "--only watershed,crops,leave-one-type-out --budget 16 --folds 0,1,2 --width 2 --lr 0.0003" in table
    rows = {row["idea"]: row for row in rows_of(out / "table.csv")}
    assert set(rows) == {BASELINE, "watershed", "crops", FLAGSHIP}  # types need the flagship's folds
    assert {(row["parts"], row["images"]) for row in rows.values()} == {("3", "12")}
    assert float(rows[BASELINE]["gain"]) == 0
    for row in rows.values():
        assert float(row["gain"]) == pytest.approx(float(row["kaggle"]) - float(rows[BASELINE]["kaggle"]), abs=2e-4)
    types = [(row["kind"], row["idea"], row["images"]) for row in rows_of(out / "types.csv")]
    assert types == [(f"type {kind}", idea, "6") for idea in (BASELINE, FLAGSHIP) for kind in "ab"]
    kinds = [(row["idea"], row["kind"], row["images"]) for row in rows_of(out / "kinds.csv")]
    assert kinds == [
        (idea, f"type {kind}", "6") for idea in (BASELINE, "watershed", "crops", FLAGSHIP) for kind in "ab"
    ]
    for picture in (out / "gains.png", *(out / "strips" / f"{name}.jpg" for name in ("truth", BASELINE, "crops"))):
        with Image.open(picture) as shown:
            assert np.asarray(shown.convert("L")).std() > 5


def test_rows_are_added_and_none_is_done_twice(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert call("ablate", data, "-o", out, "--only", "clean", *SMALL) == 0
    told = (out / "table.md").read_text()
    assert "not run" not in told  # nobody asked for the others
    assert BEST in told.partition("Without a row yet: ")[2].partition(".")[0]
    before = {path: path.stat().st_mtime_ns for path in [*(out / "runs").rglob("*"), *(out / "rows").iterdir()]}
    assert len(list((out / "runs").iterdir())) == 3  # cleaning shares the baseline's networks
    assert call("ablate", data, "-o", out, "--only", "hysteresis", *SMALL) == 2
    assert "--resume" in capsys.readouterr().err
    assert call("ablate", data, "-o", out, "--only", f"hysteresis,{BEST}", *SMALL, "--resume") == 0
    assert (f"{BEST}: not run" in (out / "table.md").read_text()) != (out / "strips" / f"{BEST}.jpg").is_file()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {row["idea"] for row in rows_of(out / "table.csv")} - {BEST} == {BASELINE, "clean", "hysteresis"}
    assert call("ablate", data, "-o", out, "--only", "clean", *SMALL, "--seed", "3", "--resume") == 2
    assert "other settings" in capsys.readouterr().err


def test_a_fold_that_is_not_there_is_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("ablate", data, "-o", tmp_path / "out", *SMALL, "--folds", "0,1,7") == 2
    message = capsys.readouterr().err
    assert "no fold 7" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_idea_runs(name: str, data: Path, tmp_path: Path) -> None:
    plan = _plan(data, tmp_path)
    if reason := Study(plan).obstacle(ideas(plan)[name]):
        pytest.skip(reason)
    part = fold_parts(plan, plan.pictures())[0]
    outcome = Study(plan).outcome(ideas(plan)[name], part)
    assert outcome is not None
    assert set(outcome.scores) == {sample.image_id for sample in part.held}
    assert outcome.megabytes > 0
    assert json.loads((tmp_path / "rows" / f"{name}-fold-0.json").read_text())["scores"] == outcome.scores


def test_a_detector_says_why_it_cannot_run(data: Path, tmp_path: Path) -> None:
    if not why_no_detector():
        pytest.skip("torchvision works here")
    plan = _plan(data, tmp_path / "out")
    with pytest.raises(UsageError, match="mask-rcnn: torchvision"):
        Study(plan).outcome(ideas(plan)["mask-rcnn"], fold_parts(plan, plan.pictures())[0])
    assert call("ablate", data, "-o", tmp_path / "out", "--only", "mask-rcnn", *SMALL) == 0
    assert "mask-rcnn: not run. torchvision" in (tmp_path / "out" / "table.md").read_text()


def test_a_broken_row_goes_on_to_the_same_scores(data: Path, tmp_path: Path) -> None:
    def stop(idea: str, part: str, run: Run) -> None:
        if len(run.history) == 1:
            raise KeyboardInterrupt

    plan, broken = _plan(data, tmp_path / "whole"), _plan(data, tmp_path / "broken")
    part = fold_parts(plan, plan.pictures())[1]
    idea = ideas(plan)["heavy-augment"]
    with pytest.raises(KeyboardInterrupt):
        Study(broken, report=stop).outcome(idea, part)
    before = json.loads(next((tmp_path / "broken" / "runs").rglob("seconds.json")).read_text())
    again, whole = Study(broken).outcome(idea, part), Study(plan).outcome(idea, part)
    assert again is not None
    assert whole is not None
    assert again.scores == whole.scores
    assert again.seconds > before >= 0  # what was spent before the break is not lost


def test_post_processing_costs_no_training(data: Path, tmp_path: Path) -> None:
    plan = _plan(data, tmp_path)
    part = fold_parts(plan, plan.pictures())[0]
    Study(plan).outcome(ideas(plan)[BASELINE], part)

    def fail(idea: str, part: str, run: Run) -> None:
        raise AssertionError(f"{idea} trained on {part}")

    for name in ("watershed", "hysteresis", "clean", "watershed-hysteresis-clean", "full-size-inference"):
        Study(plan, report=fail).outcome(ideas(plan)[name], part)
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_row_that_another_process_is_at_is_left_to_it(data: Path, tmp_path: Path) -> None:
    plan = _plan(data, tmp_path / "out")
    part = fold_parts(plan, plan.pictures())[0]
    study, known = Study(plan), ideas(plan)
    study.outcome(known["crops"], part)
    (lock,) = (tmp_path / "out" / "locks").iterdir()
    path = tmp_path / "out" / "rows" / "crops-fold-0.json"
    row = path.read_text()
    path.unlink()
    with locked(lock):
        assert study.outcome(known["crops"], part, wait=False) is None
        path.write_text(row)
        assert study.outcome(known["crops"], part, wait=False) == Study(plan).known(known["crops"], part.name)


def test_two_at_a_time_share_the_rows_out(data: Path, tmp_path: Path) -> None:
    done: list[tuple[str, str, int]] = []

    def run() -> None:
        plan = _plan(data, tmp_path / "out")
        run_study(plan, only=["crops", "clean"], command="", resume=True, report=note)

    def note(idea: str, part: str, run: Run) -> None:
        done.append((idea, part, len(run.history)))

    # Locks hold between threads as between processes: each opens the file for itself.
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(run) for _ in range(2)]:
            future.result()
    assert sorted(done) == [(idea, f"fold-{n}", k) for idea in (BASELINE, "crops") for n in range(3) for k in (1, 2)]
    assert {row["idea"] for row in rows_of(tmp_path / "out" / "table.csv")} == {BASELINE, "crops", "clean"}


def test_settings_that_come_later_leave_rows_as_they_are(data: Path, tmp_path: Path) -> None:
    plan = _plan(data, tmp_path)
    part = fold_parts(plan, plan.pictures())[0]
    study, idea = Study(plan), ideas(plan)["crops"]
    outcome = study.outcome(idea, part)
    path = tmp_path / "rows" / "crops-fold-0.json"
    kept = json.loads(path.read_text())
    assert kept["settings"]["augment"].pop("blur") == 0  # as if the setting had not been known then
    path.write_text(json.dumps(kept))
    assert study.known(idea, part.name) == outcome
    kept["settings"]["augment"]["blur"] = 1.0
    path.write_text(json.dumps(kept))
    assert study.known(idea, part.name) is None
    kept["settings"]["of-old"] = 1
    path.write_text(json.dumps(kept))
    assert study.known(idea, part.name) is None


def test_a_study_goes_on_with_its_own_images_and_folds_only(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "out", tmp_path / "images.csv"
    _plan(data, out).claim(_plan(data, out).pictures(), resume=False)
    table.write_text(table.read_text().replace("type a", "type c"))
    assert call("ablate", data, "-o", out, "--only", "clean", *SMALL, "--resume") == 2
    assert "study of other images, folds or types" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {"plan.json"}


def test_publishing_trains_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, told = tmp_path / "out", tmp_path / "results" / "next"
    assert call("ablate", data, "-o", out, *SMALL, "--publish", told) == 2
    assert "holds no study" in capsys.readouterr().err
    assert call("ablate", data, "-o", out, "--only", "clean", *SMALL) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert call("ablate", data, "-o", out, *SMALL, "--publish", told) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    written = {"plan.json", "rows", "table.csv", "table.md", "kinds.csv", "gains.png", "strips"}
    assert {path.name for path in told.iterdir()} == written
    assert f"{BEST}: not run." in (told / "table.md").read_text()
    assert call("ablate", data, "-o", out, "--only", "clean", *SMALL, "--publish", told) == 0
    assert "not run" not in (told / "table.md").read_text()
    assert (told / "table.csv").read_text() == (out / "table.csv").read_text()
    assert {path.stem for path in (told / "strips").iterdir()} == {"truth", BASELINE, "clean"}
    plan = json.loads((told / "plan.json").read_text())
    (told / "plan.json").write_text(json.dumps({**plan, "images_sha256": "of other images"}))
    assert call("ablate", data, "-o", out, *SMALL, "--publish", told) == 2
    assert "study of other images" in capsys.readouterr().err
    (told / "plan.json").write_text("{}")
    assert call("ablate", data, "-o", out, *SMALL, "--publish", told) == 2
    assert "study with other settings" in capsys.readouterr().err


def test_a_study_goes_on_from_what_was_published(data: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", tmp_path / "results"
    assert call("ablate", data, "-o", out, "--only", "clean", *SMALL) == 0
    assert call("ablate", data, "-o", out, *SMALL, "--publish", told) == 0
    shutil.rmtree(out)
    assert call("ablate", data, "-o", told, "--only", "crops", *SMALL, "--resume") == 0
    assert len(list((told / "runs").iterdir())) == 3  # the baseline was not trained again
    assert {row["idea"] for row in rows_of(told / "table.csv")} == {BASELINE, "clean", "crops"}


# --- the ideas ------------------------------------------------------------------------------------------------------


def test_every_bracketed_name_is_there() -> None:
    asked = {
        "full-image", "size-groups", "crops", "full-size-inference", "colour-stem", "watershed", "hysteresis", "clean",
        "large-filters", "learned-upsampling", "border-weights", "three-class", "mask-rcnn", "heavy-augment",
        "more-data", "leave-one-type-out",
    }  # fmt: skip
    assert asked <= set(names_of(FULL))


@pytest.mark.parametrize("name", NAMES)
def test_an_idea_spends_the_budget_and_keeps_the_rest(name: str) -> None:
    base = baseline_config(FULL)
    config = changed(base, ideas(FULL)[name].changes)
    assert config.steps_per_epoch is not None
    assert config.epochs * config.steps_per_epoch * config.batch == pytest.approx(FULL.budget, rel=0.002)
    assert config != base


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_settings_are_those_of_the_study(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert load_config(CONFIGS / f"next-{name}.toml") == changed(baseline_config(FULL), ideas(FULL)[name].changes)


def test_ideas_that_touch_the_same_part_are_not_combined() -> None:
    both = combine(["three-class", "clean", "watershed", "colour-stem", "more-data"], FULL)
    assert both.says == "three-class + clean + more-data"
    config = changed(baseline_config(FULL), both.changes)
    assert config.recipe is not None
    assert (config.recipe.split, config.recipe.fill_holes, config.drawn) == ("markers", True, 200)
    assert combine(["watershed-clean"], FULL).changes == {}


@pytest.mark.parametrize("first", [name for name, idea in ideas(FULL).items() if idea.touches])
def test_any_two_ideas_combine_to_settings_that_hold(first: str) -> None:
    for second in ideas(FULL):
        idea = combine([first, second], FULL)
        assert idea.name == BEST
        assert changed(baseline_config(FULL), idea.changes).lr == FULL.lr


# --- parts and sums ---------------------------------------------------------------------------------------------------


def test_a_type_left_out_shares_no_group_with_training() -> None:
    samples = [*_pictures(), Sample("odd", np.zeros((8, 8)), np.zeros((8, 8), np.int32), "g0", "b", 0)]
    for part in type_parts(samples):
        assert {s.kind for s in part.held} == {part.name.removeprefix("type-")}
        assert not {s.group for s in part.held} & {s.group for s in part.train}
        assert not {s.kind for s in part.held} & {s.kind for s in part.train}
    with pytest.raises(DataError, match="two or more"):
        type_parts([sample for sample in samples if sample.kind == "a"])


def test_types_of_like_names_have_files_of_their_own() -> None:
    kinds = ["HE", "he", "H/E", "Small round", "..", "h_e dark"]
    names = [part.name for part in type_parts([replace(disks(1)[0], kind=kind, group=kind) for kind in kinds])]
    assert len({name.lower() for name in names}) == len(kinds)
    assert not [name for name in names if "/" in name]
    assert {"type-h_e", "type-small-round"} < set(names)  # as ever where nothing speaks against it


def test_the_pictures_shown_are_of_all_types() -> None:
    samples = [Sample(f"{i}", np.zeros((2, 2)), np.zeros((2, 2), np.int32), "", k, 0) for i, k in enumerate("aaaaaaab")]
    assert [sample.image_id for sample in choose_shown(samples, [0])] == ["0", "7", "1", "2", "3", "4"]
    assert choose_shown(samples, [1]) == []


def _outcome(idea: str, part: str, scores: dict[str, float]) -> Outcome:
    return Outcome(idea, part, scores, 1.0, 2.0, 3.0)


def test_gain_is_paired_and_drawn_by_group() -> None:
    ours, theirs = {"a": 0.5, "b": 0.9, "c": 0.4}, {"a": 0.4, "b": 0.8, "c": 0.3, "d": 0.0}
    gain, low, high = gain_of(ours, theirs, groups={"a": "1", "b": "2", "c": "2"})
    assert [gain, low, high] == pytest.approx([0.1] * 3)
    gain, low, high = gain_of({"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 0.0}, groups={"a": "1", "b": "2"})
    assert (gain, low, high) == (0.5, 0.0, 1.0)
    assert math.isnan(gain_of({"a": 1.0}, {"a": 0.0}, groups={"a": "1"})[1])


def test_a_row_has_the_interval_of_student() -> None:
    baseline = [_outcome(BASELINE, f"fold-{i}", {f"p{i}": score}) for i, score in enumerate((0.2, 0.3, 0.4))]
    ours = [_outcome("clean", f"fold-{i}", {f"p{i}": score}) for i, score in enumerate((0.3, 0.5, 0.4))]
    row = row_of(ideas(FULL)["clean"], ours, baseline=baseline, groups={f"p{i}": f"{i}" for i in range(3)})
    assert row.kaggle == pytest.approx(0.4)
    assert row.high - row.kaggle == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
    assert row.gain == pytest.approx(0.1)
    assert (row.by_part, row.verdict) == ("+0.100 +0.200 +0.000", "no clear difference")
    assert (row.parts, row.images, row.seconds, row.megabytes) == (3, 3, 1.0, 3.0)


def test_a_type_is_compared_on_the_same_pictures() -> None:
    unseen = _outcome(BASELINE, "type-a", {"p0": 0.1, "p1": 0.3, "p9": 0.9})
    seen = [_outcome(BASELINE, "fold-0", {"p0": 0.5, "x": 1.0}), _outcome(BASELINE, "fold-1", {"p1": 0.5})]
    row = type_row("a", unseen, seen=seen, groups={"p0": "0", "p1": "1"})
    assert row is not None
    assert (row.images, row.seen, row.unseen) == (2, 0.5, 0.2)
    assert row.change == pytest.approx(-0.3)
    assert type_row("a", unseen, seen=[], groups={}) is None


def test_parts_hold_out_each_fold() -> None:
    plan = NextPlan(Path("data"), Path("out"), folds=(2, 0, 1))
    parts: list[Part] = fold_parts(plan, list(_pictures()))
    assert [part.name for part in parts] == ["fold-2", "fold-0", "fold-1"]
    assert all(len(part.held) == 4 and len(part.train) == 8 for part in parts)
