"""Hyper-parameter search: a study that is killed and goes on equals the unbroken one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.tables import rows_of
from tests.train.drawn import disks

from nucleate.errors import DataError, OutputError, UsageError
from nucleate.nets.build import NetConfig
from nucleate.train.config import TrainConfig, load_config
from nucleate.train.optuna_storage import open_study
from nucleate.train.sweep import SPACE, Sweep, run_sweep, varied

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.train.loop import Run

CONFIG = TrainConfig(network=NetConfig("unet", width=2, depth=2), crop=32, batch=4, steps_per_epoch=2, epochs=2)


def _rows(folder: Path) -> list[dict[str, str]]:
    return rows_of(folder / "trials.csv")


def test_a_killed_study_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    def sweep(folder: Path) -> Sweep:
        return Sweep(folder, CONFIG, disks(), disks(2, seed=1), trials=3)

    def stop(trial: int, run: Run) -> None:
        if (trial, len(run.history)) == (1, 1):
            raise KeyboardInterrupt

    best = run_sweep(sweep(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep(tmp_path / "broken"), report=stop)
    with pytest.raises(UsageError, match="--resume"):
        run_sweep(sweep(tmp_path / "broken"))
    run_sweep(sweep(tmp_path / "broken"), resume=True)
    assert _rows(tmp_path / "broken") == _rows(tmp_path / "whole")
    assert [row["trial"] for row in _rows(tmp_path / "whole")] == ["0", "1", "2"]
    settings = load_config(best)
    highest = max(_rows(tmp_path / "whole"), key=lambda row: float(row["kaggle"]))
    assert settings.lr == pytest.approx(float(highest["lr"]))
    other = Sweep(tmp_path / "whole", CONFIG.replace(epochs=3), disks(), disks(2), trials=3)
    with pytest.raises(UsageError, match="other settings"):
        run_sweep(other, resume=True)


def test_a_study_killed_while_it_draws_goes_on(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, CONFIG.replace(epochs=1, steps_per_epoch=1), disks(), disks(2, seed=1), trials=2)
    run_sweep(sweep)
    whole, journal = _rows(tmp_path), tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    second = [place for place, line in enumerate(lines) if b'"op_code":4' in line][1]  # a trial is made
    for end in (lines[second + 1][:20], lines[second + 1], lines[second + 1] + lines[second + 2][:-9]):
        journal.write_bytes(b"".join(lines[: second + 1]) + end)
        run_sweep(sweep, resume=True)
        found = _rows(tmp_path)
        assert [row.pop("trial") for row in found] == ["0", "2"]
        assert found == [{name: row[name] for name in row if name != "trial"} for row in whole]


def test_a_full_disk_is_one_line_and_the_study_goes_on(tmp_path: Path) -> None:
    full_disk = pytest.importorskip("tests.full_disk", reason="no limits on this system").full_disk
    journal = tmp_path / "study.journal"
    with full_disk(90), pytest.raises(OutputError, match=r"cannot write .*study\.journal: File too large"):
        open_study(journal, "search")
    assert open_study(journal, "search").trials == []


def test_a_study_that_is_searched_is_left_to_its_search(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, CONFIG.replace(epochs=1, steps_per_epoch=1), disks(), disks(2, seed=1), trials=1)
    refused = []

    def search_again(trial: int, run: Run) -> None:
        del trial, run
        with pytest.raises(UsageError, match="another search is at this study"):
            run_sweep(sweep, resume=True)
        refused.append(True)

    run_sweep(sweep, report=search_again)
    assert refused == [True]


def test_a_trial_whose_values_were_damaged_is_left_out(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, CONFIG.replace(epochs=1, steps_per_epoch=1), disks(), disks(2, seed=1), trials=1)
    run_sweep(sweep)
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    place = next(place for place, line in enumerate(lines) if b'"param_name":"blur"' in line)
    lines[place] = lines[place][:20] + b"\n"
    journal.write_bytes(b"".join(lines))
    run_sweep(sweep, resume=True)
    assert [row["trial"] for row in _rows(tmp_path)] == ["1"]


def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "study.journal").write_text("dear\ndiary\n")
    with pytest.raises(DataError, match=r"study\.journal: no journal of a study: .*; use another folder"):
        run_sweep(Sweep(tmp_path, CONFIG, disks(), disks(2, seed=1), trials=1), resume=True)
    assert (tmp_path / "study.journal").read_text() == "dear\ndiary\n"


def test_pictures_without_nuclei_are_refused_before_the_first_trial(tmp_path: Path) -> None:
    empty = [replace(sample, labels=np.zeros_like(sample.labels)) for sample in disks(2, seed=1)]
    for samples, held in ((disks(), empty), (empty, disks(2, seed=1))):
        with pytest.raises(DataError, match="nucle"):
            run_sweep(Sweep(tmp_path, CONFIG, samples, held, trials=2))
    assert not list(tmp_path.iterdir())


def test_what_is_drawn_reaches_the_settings() -> None:
    drawn = {"lr": 0.01, "weight_decay": 0.1, "zoom": 2.0, "light": 0.5, "noise": 0.1, "blur": 1.0}
    assert drawn.keys() == SPACE.keys()
    settings = varied(CONFIG, drawn)
    assert (settings.lr, settings.weight_decay) == (0.01, 0.1)
    assert settings.augment.zoom == (0.5, 2.0)
    assert settings.augment.gamma == pytest.approx((2 / 3, 1.5))
    assert (settings.augment.noise, settings.augment.blur) == (0.1, 1.0)
    assert settings.augment.flips is CONFIG.augment.flips
