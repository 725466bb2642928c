"""No picture is scored by a network that was trained on it, whatever a later call says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.train.drawn import disks

from nucleate.errors import DataError, UsageError
from nucleate.nets.build import NetConfig
from nucleate.run.weights import find_model, write_card
from nucleate.train.config import TrainConfig
from nucleate.train.finish import train_network
from nucleate.train.pictures import check_apart, check_same, digest_of, hashes_of, keep, part_known, taught_facts
from nucleate.train.sweep import Sweep, run_sweep

if TYPE_CHECKING:
    from pathlib import Path

    from nucleate.data.sample import Sample

TINY = TrainConfig(
    network=NetConfig(name="flagship", width=4, depth=2), crop=32, batch=4, epochs=1, steps_per_epoch=1, lr=0.02
)


def test_pictures_are_the_same_in_any_order_and_others_once_a_pixel_differs() -> None:
    samples = disks(3)
    assert digest_of(samples) == digest_of(samples[::-1])
    brighter, relabelled = samples[0].image.copy(), samples[0].labels.copy()
    brighter[0, 0] ^= 1
    relabelled[0, 0] = 1
    changed = [{"image": brighter}, {"labels": relabelled}, {"image_id": "other"}]
    others = [digest_of([replace(samples[0], **change), *samples[1:]]) for change in changed]  # type: ignore[arg-type]
    assert len({digest_of(samples), digest_of(samples[1:]), *others}) == 5


def test_a_picture_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, hashed = disks(3), []
    monkeypatch.setattr("nucleate.train.pictures._pixels", lambda one: hashed.append(one.image_id) or b"")  # type: ignore[func-returns-value]
    keep(tmp_path, samples[1:], held=samples[:1])
    check_same(tmp_path, samples[1:], held=samples[:1])
    digest_of(samples)
    assert sorted(hashed) == sorted(one.image_id for one in samples)


def test_held_out_pictures_that_are_trained_on_are_refused_whatever_they_are_called() -> None:
    samples = disks(3)
    check_apart(samples[:2], samples[2:])
    with pytest.raises(UsageError, match="1 of 2 held-out images are among those to train on, the first is again"):
        check_apart(samples[:2], [samples[2], replace(samples[1], image_id="again")])
    black = [replace(one, image=one.image * 0) for one in samples]
    check_apart(black[:2], black[2:])


def test_a_run_does_not_say_what_it_was_trained_on_until_it_does(tmp_path: Path) -> None:
    samples = disks(3)
    check_same(tmp_path, samples)
    keep(tmp_path, samples, held=samples[:1])
    check_same(tmp_path, samples[::-1])
    check_same(tmp_path, samples, held=samples[:1])
    with pytest.raises(UsageError, match="was begun on other images or folds; give the same DATA, --table and --val"):
        check_same(tmp_path, samples[1:])
    with pytest.raises(UsageError, match="was begun on other images"):
        check_same(tmp_path, samples, held=samples[1:2])


def test_pictures_are_known_by_their_pixels_alone() -> None:
    samples = disks(4)
    hashes = hashes_of(samples[:2])
    assert [len(one) for one in hashes] == [12, 12]
    again = [replace(one, image_id=f"x{index}", labels=one.labels * 0) for index, one in enumerate(samples)]
    unseen, seen = part_known(again, hashes)
    assert ([one.image_id for one in unseen], [one.image_id for one in seen]) == (["x2", "x3"], ["x0", "x1"])
    wider = replace(samples[0], image=samples[0].image.astype(np.uint16))
    assert part_known([wider], hashes)[1] == []


def test_what_a_model_was_trained_on_is_known_as_far_as_of_the_one_it_started_from(tmp_path: Path) -> None:
    samples = disks(3)
    hashes = hashes_of(samples)
    assert taught_facts(samples, init=None) == {"trained_on": hashes}
    files = find_model("nucleate")
    shutil.copy(files.onnx, tmp_path / "mine.onnx")
    one: tuple[str, ...] = ("0" * 12,)
    for known, more, told in ((one, None, None), (one, True, True), (None, None, True)):
        given = {"name": "mine", "sha256_int8": None, "trained_on": known, "trained_on_more": more}
        write_card(tmp_path / "mine.toml", files.card.model_copy(update=given))
        facts = taught_facts(samples, init=str(tmp_path / "mine.onnx"))
        assert facts == {"trained_on": tuple(sorted({*hashes, *(known or ())})), "trained_on_more": told}


def test_pictures_without_any_nucleus_are_refused_before_the_training(tmp_path: Path) -> None:
    samples = disks(4)
    empty = [replace(one, labels=one.labels * 0) for one in samples]
    with pytest.raises(DataError, match="no nucleus in 4 annotated images"):
        _train(tmp_path / "run", empty, samples, epochs=1)
    assert not list(tmp_path.iterdir())


def _train(run: Path, samples: list[Sample], held: list[Sample], *, epochs: int, balance: float = 0.0) -> None:
    config = TINY.replace(epochs=epochs, schedule="constant", balance=balance)
    train_network(run, config, samples=samples, held=held, resume=True, device="cpu", report=lambda run: None)


def test_a_run_goes_on_with_its_own_pictures_only(tmp_path: Path) -> None:
    samples = disks(6)
    _train(tmp_path / "run", samples[:4], samples[4:], epochs=1)
    with pytest.raises(UsageError, match="begun on other images"):
        _train(tmp_path / "run", samples[2:], samples[:2], epochs=1)
    _train(tmp_path / "run", samples[:4], samples[4:], epochs=1)


def test_a_run_that_draws_by_kind_goes_on_with_its_own_kinds_only(tmp_path: Path) -> None:
    samples, other = disks(6), [replace(one, kind="c") for one in disks(6)]
    _train(tmp_path / "even", samples[:4], samples[4:], epochs=1)
    _train(tmp_path / "even", other[:4], other[4:], epochs=1)
    _train(tmp_path / "run", samples[:4], samples[4:], epochs=1, balance=0.5)
    with pytest.raises(UsageError, match="was begun with other types of image; give the same --table"):
        _train(tmp_path / "run", other[:4], samples[4:], epochs=1, balance=0.5)
    _train(tmp_path / "run", samples[3::-1], other[4:], epochs=1, balance=0.5)
    known = json.loads((tmp_path / "run" / "pictures.json").read_text())
    (tmp_path / "run" / "pictures.json").write_text(json.dumps({**known, "kinds_sha256": "0"}))
    with pytest.raises(UsageError, match="other types"):
        _train(tmp_path / "run", samples[:4], samples[4:], epochs=1, balance=0.5)
    del known["kinds_sha256"]  # of an older version
    (tmp_path / "run" / "pictures.json").write_text(json.dumps(known))
    _train(tmp_path / "run", other[:4], samples[4:], epochs=1, balance=0.5)


def test_a_search_goes_on_with_its_own_pictures_only(tmp_path: Path) -> None:
    samples = disks(6)
    run_sweep(Sweep(tmp_path, TINY, samples[:4], samples[4:], trials=1))
    with pytest.raises(UsageError, match="holds a study of other images"):
        run_sweep(Sweep(tmp_path, TINY, samples[2:], samples[:2], trials=2), resume=True)


def test_a_search_that_draws_by_kind_goes_on_with_its_own_kinds_only(tmp_path: Path) -> None:
    samples, other = disks(6), [replace(one, kind="c") for one in disks(4)]
    by_kind = TINY.replace(balance=0.5)
    run_sweep(Sweep(tmp_path, by_kind, samples[:4], samples[4:], trials=1))
    with pytest.raises(UsageError, match="holds a study with other types of image"):
        run_sweep(Sweep(tmp_path, by_kind, other, samples[4:], trials=2), resume=True)
