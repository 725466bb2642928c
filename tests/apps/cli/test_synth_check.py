"""The verbs that draw and check data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from tests.data.files import pack, png, read_samples, two_nuclei
from typer.testing import CliRunner, Result

from nucleate.apps.cli.check import check
from nucleate.apps.cli.synth import synth
from nucleate.data import write
from nucleate.data.sample import Sample
from nucleate.errors import OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.base


def run(*words: str) -> Result:
    app = typer.Typer()
    app.command("synth")(synth)
    app.command("check")(check)
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))


def test_drawn_sets_are_sound(tmp_path: Path) -> None:
    for layout in ("kaggle", "labels"):
        out = str(tmp_path / layout)
        options = ["--images", "3", "--size", "64", "--nuclei", "4", "--style", "mixed", "--layout", layout]
        done = run("synth", "-o", out, *options)
        assert done.exit_code == 0, done.output
        assert f"3 images with 12 nuclei in {out}" in done.stderr.replace("\n", "")
        assert done.stdout == ""
        checked = run("check", out)
        assert checked.exit_code == 0
        assert "3 images, 12 nuclei" in checked.stdout
    first, second = read_samples(tmp_path / "kaggle"), read_samples(tmp_path / "labels")
    assert [s.image_id for s in first] == ["brightfield-0002", "fluorescence-0001", "histology-0003"]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_an_image_does_not_depend_on_how_many_are_drawn(tmp_path: Path) -> None:
    for count in ("1", "2"):
        done = run(
            "synth", "-o", str(tmp_path / count), "--images", count, "--size", "64", "--bits", "16", "--seed", "9"
        )
        assert done.exit_code == 0, done.output
    (one,), (first, _) = read_samples(tmp_path / "1"), read_samples(tmp_path / "2")
    assert one.image.dtype == np.uint16
    np.testing.assert_array_equal(one.image, first.image)


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = run("synth", "-o", str(tmp_path))
    assert isinstance(done.exception, UsageError)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("layout", ["kaggle", "labels"])
def test_what_was_stopped_goes_on(tmp_path: Path, layout: str) -> None:
    begun, whole = tmp_path / "begun", tmp_path / "whole"
    options = ["--size", "64", "--nuclei", "4", "--style", "mixed", "--bits", "16", "--layout", layout]
    (begun / "images").mkdir(parents=True)  # a stop before the first image leaves it
    assert run("synth", "-o", str(begun), *options, "--images", "2", "--resume").exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in begun.rglob("*.*")}
    done = run("synth", "--output", str(begun), *options, "--images", "3", "--resume")
    assert done.exit_code == 0, done.output
    assert f"1 image with 4 nuclei in {begun}; 2 were there" in done.stderr.replace("\n", "")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert run("synth", "--out", str(whole), *options, "--images", "3").exit_code == 0
    for one, other in zip(read_samples(begun), read_samples(whole), strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_pictures_of_other_options_are_not_mixed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("synth", "-o", str(out), "--images", "2", "--size", "64").exit_code == 0
    for more in (["--seed", "1"], ["--style", "mixed"], ["--layout", "labels"]):
        done = run("synth", "-o", str(out), "--images", "3", "--size", "64", "--resume", *more)
        assert isinstance(done.exception, UsageError)
        assert "use those of before" in str(done.exception)
    assert len(read_samples(out)) == 2
    (tmp_path / "file").touch()
    assert "is a file; name a folder" in str(run("synth", "-o", str(tmp_path / "file")).exception)


def test_check_tells_what_it_found(tmp_path: Path) -> None:
    sound = run("check", str(pack(tmp_path / "s.zip", two_nuclei())), "--csv", str(tmp_path / "f.csv"))
    assert sound.exit_code == 0
    assert "one/masks/b.png 1 of 2 px" in sound.stdout
    assert (tmp_path / "f.csv").read_text().splitlines()[1:] == ["overlapping masks,one,one/masks/b.png,1 of 2 px"]
    small = tmp_path / "small.zip"
    assert run("check", str(tmp_path / "s.zip"), "--pack", str(small)).exit_code == 0
    assert "2 images" in run("check", str(small)).stdout
    broken = {**two_nuclei(), "two/masks/c.png": png([[1]])}
    assert run("check", str(pack(tmp_path / "b.zip", broken))).exit_code == 1


def test_what_goes_into_a_pipe_is_not_wrapped_and_tells_only_what_occurred(tmp_path: Path) -> None:
    files = {name.replace("one", "one" * 50): content for name, content in two_nuclei().items()}
    said = run("check", str(pack(tmp_path / "s.zip", files))).stdout
    assert f"{'one' * 50}/masks/b.png 1 of 2 px" in said
    assert "overlapping masks" in said
    assert "unreadable file" not in said
    run("synth", "-o", str(tmp_path / "set"), "--images", "1", "--size", "64", "--nuclei", "1", "--layout", "labels")
    assert run("check", str(tmp_path / "set")).stdout.endswith("set: 1 image, 1 nucleus, nothing odd\n")


def test_no_image_without_its_picture_can_be_used(tmp_path: Path) -> None:
    run("synth", "-o", str(tmp_path / "set"), "--images", "2", "--size", "64", "--nuclei", "2", "--layout", "labels")
    (tmp_path / "set" / "images" / "fluorescence-0001.png").unlink()
    done = run("check", str(tmp_path / "set"), "--pack", str(tmp_path / "new" / "p.zip"))
    assert done.exit_code == 1
    assert "p.zip is not written: some samples cannot be used" in done.stderr
    assert not (tmp_path / "new" / "p.zip").exists()


def test_names_in_brackets_are_shown_as_they_are(tmp_path: Path) -> None:
    files = {name.replace("one", "one[bold]"): content for name, content in two_nuclei().items()}
    (tmp_path / "w[").mkdir()
    done = run("check", str(pack(tmp_path / "w[" / "x] s[b].zip", files)))
    assert done.exit_code == 0
    assert "s[b].zip" in done.stdout
    assert "one[bold]/masks/b.png" in done.stdout


def test_findings_are_shown_where_they_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object, path: Path) -> None:
        raise OutputError(f"cannot write {path}: No space left on device")

    data = str(pack(tmp_path / "s.zip", two_nuclei()))
    monkeypatch.setattr("nucleate.data.check.Report.write_csv", full)
    done = run("check", data, "--csv", str(tmp_path / "f.csv"))
    assert isinstance(done.exception, OutputError)
    assert "one/masks/b.png 1 of 2 px" in done.stdout
    (tmp_path / "there.csv").mkdir()
    done = run("check", data, "--csv", str(tmp_path / "there.csv"))
    assert isinstance(done.exception, UsageError)
    assert done.stdout == ""


def test_check_does_not_write_over_what_it_reads(tmp_path: Path) -> None:
    data = pack(tmp_path / "s.zip", two_nuclei())
    before = data.read_bytes()
    for options in (["--csv", str(data)], ["--pack", str(data)], ["--csv", "x.csv", "--pack", "x.csv"]):
        done = run("check", str(data), *options)
        assert isinstance(done.exception, UsageError)
    assert data.read_bytes() == before


def test_check_makes_folders_only_for_what_it_writes(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = run("check", str(tmp_path / "none"), "--csv", str(tmp_path / "new" / "f.csv"))
    assert isinstance(done.exception, UsageError)
    assert not (tmp_path / "new").exists()
    data = str(pack(tmp_path / "s.zip", two_nuclei()))
    wanted = {"--csv": tmp_path / "new" / "f.csv", "--pack": tmp_path / "small" / "s.zip"}
    run("check", data, *(str(word) for pair in wanted.items() for word in pair))
    assert all(path.is_file() for path in wanted.values())


@pytest.mark.parametrize(("layout", "files"), [("kaggle", 4), ("labels", 1)])
def test_a_sample_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, files: int
) -> None:
    made: list[NDArray[Any]] = []
    encode = write._png

    def stopped(pixels: NDArray[Any]) -> bytes:
        made.append(pixels)
        if len(made) > files:  # in the second sample
            raise KeyboardInterrupt
        return encode(pixels)

    labels = np.array([[1, 1, 0], [0, 0, 2]], np.int32)
    samples = [Sample(name, labels.astype(np.uint8), labels, group=name) for name in "ab"]
    monkeypatch.setattr(write, "_png", stopped)
    write.write_sample(tmp_path, samples[0], layout=layout)
    with pytest.raises(KeyboardInterrupt):
        write.write_sample(tmp_path, samples[1], layout=layout)
    assert [sample.image_id for sample in read_samples(tmp_path)] == ["a"]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".writing-")]
