"""Changed pictures: each change keeps what a picture is, and none is scored with an ending that it had a say in."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.calls import call
from tests.train.drawn import disks

from nucleate.core.resample import resample_labels
from nucleate.data.sample import Sample
from nucleate.data.write import write_sample
from nucleate.errors import UsageError
from nucleate.post.recipe import PostRecipe
from nucleate.run.weights import find_model, write_card
from nucleate.study import stress
from nucleate.study.changes import CHANGES, Change, rescaled
from nucleate.study.crossfold_plan import ALL, CrossPlan
from nucleate.study.stress import balanced, judge, run_changes, run_stress, write_stress
from nucleate.train.config import TrainConfig
from nucleate.train.crossfit import Ending
from nucleate.train.loop import FINAL
from nucleate.train.pictures import hashes_of
from nucleate.train.tuning import parts_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class _Noted:
    """A segmenter that finds nothing and notes which pictures it is shown."""

    def __init__(self, seen: set[str]) -> None:
        self.seen = seen

    def segment_plane(self, image: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        self.seen.add(image.tobytes().hex())
        return np.zeros(image.shape[:2], np.int32), np.zeros(0, np.float32)


@pytest.mark.parametrize(
    ("folds", "known", "used"),
    [
        ((0,), ("half-0", "half-1", ALL), ("half-0", "half-1")),
        ((0,), ("fold-0", "fold-1", ALL), ("fold-0", "fold-0")),
        ((2,), ("fold-0", "fold-1", ALL), (ALL, ALL)),
    ],
)
def test_no_picture_is_scored_with_an_ending_that_it_had_a_say_in(
    folds: tuple[int, ...],
    known: tuple[str, ...],
    used: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path / "cache"))
    for sample in disks(16):
        write_sample(tmp_path / "data", sample, layout="labels")
    plan = CrossPlan(tmp_path / "data", tmp_path / "out", config=TrainConfig(), folds=folds)
    endings = {name: Ending(PostRecipe(), min_confidence=0.1 * (place + 1)) for place, name in enumerate(known)}
    plan.out.mkdir()
    text = json.dumps({name: ending.to_dict() for name, ending in endings.items()})
    (plan.out / "endings.json").write_text(text)
    (plan.out / f"fold-{folds[0]}").mkdir()
    (plan.out / f"fold-{folds[0]}" / FINAL).touch()
    seen: dict[float, set[str]] = {}

    def load(plan: CrossPlan, fold: str, *, ending: Ending) -> _Noted:
        assert fold == f"fold-{folds[0]}"
        return _Noted(seen.setdefault(ending.min_confidence, set()))

    monkeypatch.setattr(stress, "load_fold", load)
    run_stress(plan, only=["JPEG"])
    held = [one for one in plan.pictures() if one.fold in folds]
    expected: dict[float, set[str]] = {}
    for name, (places, _) in zip(used, parts_of(held), strict=True):
        pictures = {held[place].image.tobytes().hex() for place in places}
        expected.setdefault(endings[name].min_confidence, set()).update(pictures)
    assert seen.keys() == expected.keys()
    assert all(pictures <= seen[name] for name, pictures in expected.items())
    untold = {picture for pictures in expected.values() for picture in pictures}
    assert all(seen[name] & untold == pictures for name, pictures in expected.items())


def test_an_unknown_change_is_one_line_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.toml").write_text("")
    (tmp_path / "data").mkdir()
    words = ["stress", str(tmp_path / "data"), "-o", str(tmp_path), "--config", str(tmp_path / "net.toml")]
    assert call(*words, "--only", "inverted,blured") == 2
    message = capsys.readouterr().err
    assert "no change 'blured'; choose of rescaled, blurred, noised" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_model_is_looked_at_without_what_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUCLEATE_CACHE", str(tmp_path / "cache"))
    drawn = disks(6)
    for sample in drawn:
        write_sample(tmp_path / "data", sample, layout="labels")
    files = find_model(None)
    shutil.copy(files.onnx, tmp_path / "mine.onnx")
    known = {"name": "mine", "sha256_int8": None, "trained_on": hashes_of(drawn[:4]), "trained_on_more": None}
    write_card(tmp_path / "mine.toml", files.card.model_copy(update=known))
    words = ["stress", str(tmp_path / "data"), "-o", str(tmp_path / "out"), "--threads", "1"]
    by_model = [*words, "--model", str(tmp_path / "mine.onnx")]
    assert call(*words, "--model", "nobody") == 2
    (tmp_path / "none").mkdir()
    assert call("stress", tmp_path / "none", *by_model[2:]) == 2
    assert not (tmp_path / "out").exists()
    capsys.readouterr()
    assert call(*by_model, "--only", "inverted") == 0
    said = capsys.readouterr()
    assert "4 of 6 images are left out: mine was trained on them" in said.err
    assert "2 pictures unchanged" in said.err
    assert (tmp_path / "out" / "results" / "stress-part.md").read_text(encoding="utf-8") in said.out
    assert "| inverted | - | 2 |" in said.out
    told = " ".join(said.out.split())
    assert "segmented by mine as a user gets it" in told
    assert "None with these very pixels is among those that it was trained on" in told
    for wrong, why in (
        (words, "give --model, or --config of a study"),
        ([*by_model, "--config", str(tmp_path / "mine.toml")], "give --model, or --config of a study"),
        ([*by_model, "--folds", "1"], "--folds are those of a study"),
        (
            [*words, "--model", "nucleate", "--only", "blurred"],
            "already has stress-part.md, which would be overwritten",
        ),
    ):
        assert call(*wrong) == 2
        assert why in capsys.readouterr().err
    assert (tmp_path / "out" / "results" / "stress-part.md").read_text(encoding="utf-8") in said.out


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint32])
def test_pictures_in_other_numbers_are_changed_on_their_own_range(dtype: type) -> None:
    drawn = disks(1)[0]
    (brought,) = balanced([replace(drawn, image=(drawn.image / 64 - 1).astype(dtype))], 1)
    assert brought.image.dtype == np.uint16
    assert (brought.image.min(), brought.image.max()) == (0, 65535)
    for change in CHANGES:
        made = rescaled(brought.image, change.zoom)
        if change.apply is not None:
            made = change.apply(brought.image, np.random.default_rng(0))
        assert made.dtype == np.uint16
        assert made.max() > 100, change


def test_pictures_in_16_bits_are_not_called_changed_in_8() -> None:
    drawn = disks(1)[0]
    image = drawn.image.astype(np.uint16) * 257
    kept = [one for one in CHANGES if one.apply and one.apply(image, np.random.default_rng(0)) is image]
    assert {one.name for one in kept if "8 bit" in one.level} == {"dimmed"}
    assert not [one for one in CHANGES if "8 bit" in one.level and one not in kept]
    pictures = balanced([replace(drawn, image=image)], 1)
    found: Any = {drawn.image_id: _Noted(set())}
    with pytest.raises(UsageError, match="nothing to compare: JPEG leave the 1 pictures as they are"):
        run_changes(pictures, found, only=["JPEG"])
    assert len(run_changes(pictures, found, only=["dimmed"])) == 1


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.name} {change.level}")
def test_changes_keep_what_a_picture_is(change: Change) -> None:
    rng = np.random.default_rng(0)
    grey = disks(1)[0].image
    for image in (grey, np.stack([grey, grey // 2, 255 - grey], axis=-1)):
        made = image if change.apply is None else change.apply(image, rng)
        assert made.shape[:2] == image.shape[:2]
        assert made.dtype == (np.uint16 if "16 bit" in change.level else np.uint8)
        none = image.ndim == 2 and change.level.startswith(("grey", "hue"))
        if change.zoom == 1:
            assert (made is image) == none
            assert np.array_equal(made, image) == none


def test_sizes_change_alike() -> None:
    image, labels = np.zeros((10, 20), np.uint8), np.arange(200, dtype=np.int32).reshape(10, 20)
    for zoom in (0.25, 0.5, 2.0, 4.0):
        small = rescaled(image, zoom)
        assert resample_labels(labels, (small.shape[0], small.shape[1])).shape == small.shape
    assert resample_labels(labels, (20, 40))[::2, ::2].tolist() == labels.tolist()
    assert rescaled(np.zeros((4, 4, 3), np.uint8), 0.5).shape == (2, 2, 3)


def test_small_nuclei_are_left_out_of_the_judgement() -> None:
    truth = np.array([[1, 1, 1, 1, 0, 2, 0, 0]], np.int32)
    found = np.array([[1, 1, 1, 1, 0, 2, 0, 3]], np.int32)

    def score(*left_out: bool, least: int = 0) -> tuple[float, float] | None:
        judged = judge(truth, found, left_out=np.array([False, *left_out]), least=least)
        return None if judged is None else (judged.kaggle, judged.f1_50)

    assert score(False, False) == pytest.approx((2 / 3, 4 / 5))
    assert score(False, True) == pytest.approx((1 / 2, 2 / 3))
    assert score(False, True, least=2) == (1.0, 1.0)
    assert score(True, True) is None


def test_a_balanced_choice_is_cut_and_holds_each_type() -> None:
    large = np.zeros((600, 40), np.int32)
    large[300, 20] = 5
    samples = [*disks(6), Sample("large", np.zeros((600, 40), np.uint8), large, "g", kind="c")]
    samples.append(Sample("empty", np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.int32), "h", kind="c"))
    chosen = balanced(samples, 2)
    assert [one.kind for one in chosen] == ["a", "a", "b", "b", "c"]
    assert chosen[-1].labels.shape == (512, 40)
    assert chosen[-1].labels.max() == 1


def test_pictures_without_a_type_are_as_many_as_are_asked_for(tmp_path: Path) -> None:
    samples = [replace(sample, kind="") for sample in disks(30)]
    assert [len(balanced(samples, count)) for count in (12, 25, 99)] == [12, 25, 30]
    chosen = balanced(samples, 25)
    noted = dict.fromkeys((sample.image_id for sample in samples), _Noted(set()))
    rows = run_changes(chosen, noted, only=["inverted"])  # type: ignore[arg-type]
    write_stress(tmp_path, rows, how="", device="cpu", command="")
    (header, row) = (tmp_path / "stress.csv").read_text(encoding="utf-8").splitlines()
    assert header.endswith("found before,found after")
    assert row.startswith("inverted,,yes,25,")
