"""From the user's words to a list of pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nucleate.core.image import Image
from nucleate.errors import InputError, TooLargeError, UsageError
from nucleate.run.content import content_hash, local_file
from nucleate.run.inputs import Source, expand
from nucleate.run.segmentation import Segmentation

pytestmark = pytest.mark.base


def _touch(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(name.encode())
    return top


def _names(top: Path, sources: list[Source]) -> list[str]:
    return [str(source.path.relative_to(top)) + (f"!{source.member}" if source.member else "") for source in sources]


def test_a_folder_is_recursed_and_sorted(tmp_path: Path) -> None:
    _touch(tmp_path, "b.png", "a.TIF", "sub/c.jpg", "notes.txt", ".hidden.png", "._a.png", ".cache/x.png")
    assert _names(tmp_path, expand([str(tmp_path)])) == ["a.TIF", "b.png", "sub/c.jpg"]


def test_each_file_once(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "b.png")
    words = [str(tmp_path / "b.png"), str(tmp_path), f"{tmp_path}/*.png", f"{tmp_path}/./a.png"]
    assert _names(tmp_path, expand(words)) == ["b.png", "a.png"]


def test_globs_reach_into_folders(tmp_path: Path) -> None:
    _touch(tmp_path, "p1/a.png", "p1/deep/b.png", "p2/c.png", "q/d.png")
    assert _names(tmp_path, expand([f"{tmp_path}/p*"])) == ["p1/a.png", "p1/deep/b.png", "p2/c.png"]
    assert _names(tmp_path, expand([f"{tmp_path}/**/*.png"]))[:2] == ["p1/a.png", "p1/deep/b.png"]


def test_a_file_with_brackets_in_its_name_is_no_glob(tmp_path: Path) -> None:
    _touch(tmp_path, "a[1].png", "a1.png")
    assert _names(tmp_path, expand([f"{tmp_path}/a[1].png"])) == ["a[1].png"]


def test_a_pattern_takes_a_folder_with_brackets_as_it_is_called(tmp_path: Path) -> None:
    _touch(tmp_path, "p [1]/a.png", "p [1]/b1.png", "p [1]/deep/c.png", "p 1/d.png")
    assert _names(tmp_path, expand([f"{tmp_path}/p [1]/*.png"])) == ["p [1]/a.png", "p [1]/b1.png"]
    assert _names(tmp_path, expand([f"{tmp_path}/p [1]/[b]?.png"])) == ["p [1]/b1.png"]
    assert len(expand([f"{tmp_path}/p [1]/**/*.png"])) == 3
    assert len(expand([f"{tmp_path}//p [1]/./*.png"])) == 2
    assert _names(tmp_path, expand([f"{tmp_path}/p [0-9]/*.png"])) == ["p 1/d.png"]


def test_one_picture_of_an_archive_is_named_alone(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("one.png", "sub/two!.png", "sub/one.png"):
            archive.writestr(name, b"x")
    for source in expand([str(tmp_path / "a.zip")]):
        assert [one.key for one in expand([source.word])] == [source.key]
    [missing] = expand([f"{tmp_path}/a.zip!three.png"])
    assert "a.zip!three.png: no such picture in it; it holds 3" in missing.problem
    (tmp_path / "a.zip!one.png").write_bytes(b"x")
    [plain] = expand([f"{tmp_path}/a.zip!one.png"])
    assert (plain.path.name, plain.member) == ("a.zip!one.png", "")


def test_one_picture_of_a_file_of_several_is_named_alone(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif") as writer:
        for _ in range(2):
            writer.write(np.zeros((8, 9), np.uint8))
    both = expand([str(tmp_path / "two.ome.tif")])
    assert [one.picture for one in both] == [0, 1]
    assert [expand([one.word]) for one in both] == [[one] for one in both]


def test_results_of_another_run_are_no_inputs(tmp_path: Path) -> None:
    results = ("r1/a.labels.tif", "r1/a.overlay.png", "r1/.nucleate-journal.jsonl")
    _touch(tmp_path, "a.png", "kept/b.labels.tif", *results)
    assert _names(tmp_path, expand([str(tmp_path)], output=tmp_path / "r2")) == ["a.png", "kept/b.labels.tif"]


@pytest.mark.parametrize("archive", [False, True])
def test_copied_results_are_no_inputs_without_their_hidden_files(tmp_path: Path, archive: bool) -> None:
    names = ("b.png", "r/run.json", "r/summary.csv", "r/a.labels.tif", "r/a.overlay.png", "r/a.labels.ome.tif")
    if archive:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
            for name in names:
                packed.writestr(name, b"")
        assert [one.member for one in expand([str(tmp_path / "all.zip")])] == ["b.png"]
    else:
        _touch(tmp_path, *names)
        assert _names(tmp_path, expand([str(tmp_path)])) == ["b.png"]
        (tmp_path / "r" / "run.json").unlink()
        assert "r/a.labels.tif" in _names(tmp_path, expand([str(tmp_path)]))


def test_what_was_saved_from_python_is_no_input(tmp_path: Path) -> None:
    _touch(tmp_path, "data/cells.png")
    pixels = np.zeros((8, 9), np.uint8)
    found = Segmentation(pixels.astype(np.int32), np.zeros(0, np.float32), Image(pixels))
    found.save(tmp_path / "data" / "notebook", name="cells")
    assert (tmp_path / "data" / "notebook" / "cells.overlay.png").is_file()
    assert _names(tmp_path, expand([str(tmp_path)], output=tmp_path / "out")) == ["data/cells.png"]


def test_linked_folders_are_looked_through_once(tmp_path: Path) -> None:
    _touch(tmp_path, "in/a.png", "in/z/b.png", "elsewhere/c.png", "elsewhere/deep/d.png", "up.png")
    links = {"in/far": "elsewhere", "in/again": "elsewhere/deep", "in/beside": "in/z", "in/z/loop": "in", "in/up": "."}
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target, target_is_directory=True)
    (tmp_path / "elsewhere/deep/back").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = _names(tmp_path, expand([str(tmp_path / "in")]))
    assert found == ["in/a.png", "in/z/b.png", "in/again/d.png", "in/far/c.png"]


def test_patterns_take_pictures_behind_links_once(tmp_path: Path) -> None:
    _touch(tmp_path, "in/a.png", "in/z/b.png", "in/z/deep/b.png", "in/.h/h.png", "elsewhere/c.png")
    for link, target in {"in/far": "elsewhere", "in/beside": "in/z", "in/up": ".", "in/z/one": "in"}.items():
        (tmp_path / link).symlink_to(tmp_path / target, target_is_directory=True)
    (tmp_path / "elsewhere/two").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    every = ["in/a.png", "in/far/c.png", "in/z/b.png", "in/z/deep/b.png"]
    for pattern, wanted in {"**/*.png": every, "**": every, "z/**/*": every[2:], "**/z/**/b.*": every[2:]}.items():
        found = _names(tmp_path, expand([f"{tmp_path}/in/{pattern}"]))
        assert sorted(found) == wanted, pattern
    assert _names(tmp_path, expand([f"{tmp_path}/in/*/b.png"])) == ["in/beside/b.png", "in/z/b.png"]


def test_words_that_lead_to_no_image_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no image in .*empt\*"):
        expand([f"{tmp_path}/empt*"])
    with pytest.raises(UsageError, match="File name too long"):
        expand([str(tmp_path / ("x" * 300))])


def test_kaggle_folder_takes_images_and_leaves_masks(tmp_path: Path) -> None:
    _touch(tmp_path, "ab/images/ab.png", "ab/masks/1.png", "cd/images/cd.png", "cd/masks/2.png", "other/masks/m.png")
    assert _names(tmp_path, expand([str(tmp_path)])) == ["ab/images/ab.png", "cd/images/cd.png", "other/masks/m.png"]


@pytest.mark.parametrize("zipped", [False, True])
def test_label_images_of_pictures_beside_them_are_left(
    tmp_path: Path, zipped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["set/images/a.webp", "set/images/b.png", "set/labels/a.labels.tif", "set/labels/b.tif"]
    names += ["set/masks/a_cp_masks.png", "set/masks/b_mask.tif"]
    names += [f"ome/labels/{name}" for name in ("a.labels.tif", "a.labels.ome.tif", "a.ome.tif", "b_mask.tif")]
    others = ["two/images/a.png", "two/labels/a.tif", "two/labels/another.tif", "two/masks/another_mask.tif"]
    others += ["ome/images/a.ome.tif", "ome/images/b_img.tif", "one/a.ome.tif", "one/cell_mask.tif", "one/b-labels.jpg"]
    beside = ["one/a_cp_masks.png", "one/a.labels.ome.tif"]
    _touch(tmp_path, *names, *others, *beside)
    if zipped:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for name in (*names, *others, *beside):
                archive.write(tmp_path / name, name)
    left: list[str] = []
    found = expand([str(tmp_path / "all.zip" if zipped else tmp_path)], left=left)
    shown = [source.member or str(source.path.relative_to(tmp_path)) for source in found]
    assert sorted(shown) == sorted([*names[:2], *others])
    top = f"{tmp_path}/all.zip!" if zipped else f"{tmp_path}/"
    assert {name.removeprefix(top) for name in left} == {"ome/labels", "set/labels", "set/masks", *beside}
    assert "left out label images of pictures there" in caplog.text


@pytest.mark.parametrize(
    ("pictures", "left"),
    [
        (["Images/a.tif", "Images/b.tif"], ["Masks/a.tif", "Masks/b.tif"]),
        (["images/p1/a.tif", "images/p2/a.tif"], ["labels/p1/a.tif", "labels/p2/a_mask.tif"]),
        (["a.ome.tif"], ["a_mask.ome.tif"]),
        (
            ["a.tif", "lone_flows.tif"],
            ["a_flows.tif", "a_dP.tif", "a_cellprob.tif", "a_cp_outlines.png", "a_cp_output.png"],
        ),
        (["a.czi"], ["a.overlay.png", "a.probability.tif", "flows/a_flows.tif"]),
        (["a.tif", "a_label.tif", "b_mask.tif"], []),
        (["cells.overlay.png", "p1-final.overlay.png"], []),
        (["labels/a.png", "labels/c.tif"], ["labels/a_mask.tif"]),
        (["A01_w1D6A5B5B1-4C0D.tif", "left_hand.tif", "left_thumb.tif"], ["A01_w1_thumb00E1A7C0-77F2.tif"]),
    ],
)
def test_what_is_of_pictures_is_left_by_the_rule_of_training(
    tmp_path: Path, pictures: list[str], left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in (*pictures, *left):
            archive.write(_touch(tmp_path / "set", name) / name, name)
    assert sorted(_names(tmp_path / "set", expand([str(tmp_path / "set")]))) == pictures
    assert sorted(source.member for source in expand([str(tmp_path / "all.zip")])) == pictures
    said = f"left out label images of pictures there, and the like ({len({one.split('/')[0] for one in left})})"
    assert caplog.text.count(said) == 2 * bool(left)


def test_a_folder_that_is_a_picture_has_truth_and_is_truth(tmp_path: Path) -> None:
    _touch(tmp_path, "a.ome.zarr/.zattrs", "a_mask.tif", "b.tif", "b_mask.zarr/.zattrs")
    assert _names(tmp_path, expand([str(tmp_path)], apart=False)) == ["a.ome.zarr", "b.tif"]


def test_kaggle_zip_takes_images_and_leaves_masks(tmp_path: Path) -> None:
    path = tmp_path / "test.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("ab/images/ab.png", "ab/masks/1.png", "__MACOSX/ab/images/._ab.png", "readme.txt"):
            archive.writestr(name, name)
    (source,) = expand([str(path)])
    assert (source.member, source.stem) == ("ab/images/ab.png", "ab")
    with local_file(source, tmp_path) as unpacked:
        assert unpacked.read_bytes() == b"ab/images/ab.png"
    assert not unpacked.exists()
    with pytest.raises(TooLargeError, match="raise --memory"), local_file(source, tmp_path, max_bytes=3):
        pass


def test_damaged_archives_are_problems_not_crashes(tmp_path: Path) -> None:
    _touch(tmp_path, "text.zip", "good.png")
    bad = expand([str(tmp_path / "text.zip"), str(tmp_path / "good.png")])[0]
    assert "not a readable zip archive" in bad.problem
    path = tmp_path / "cut.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", os.urandom(5000))
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)
    (member,) = expand([str(path)])
    with pytest.raises(InputError, match=r"cannot be unpacked: .*; check the archive"):
        content_hash(member)


def test_own_results_are_left_out_of_the_output_folder_only(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png", "out/a.labels.tif", "out/a.overlay.png", "out/new.png", "truth/a.labels.tif")
    found = _names(tmp_path, expand([str(tmp_path)], output=tmp_path / "out"))
    assert found == ["a.png", "out/new.png", "truth/a.labels.tif"]
    assert _names(tmp_path, expand([f"{tmp_path}/out/*"], output=tmp_path / "out")) == ["out/new.png"]
    named = expand([f"{tmp_path}/out/a.labels.tif"], output=tmp_path / "out")
    assert _names(tmp_path, named) == ["out/a.labels.tif"]


def test_what_is_missing_among_others_is_a_problem_of_its_own(tmp_path: Path) -> None:
    _touch(tmp_path, "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.png").mkdir()
    words = ["a.png", "gone.png", "no*.tif", "empty", "x.png", "two\nlines.png", "zero\0byte.png"]
    problems = [source.problem for source in expand([str(tmp_path / word) for word in words])]
    assert problems[0] == ""
    assert problems[1].endswith("gone.png: no such file or folder; check the path")
    assert problems[2].endswith("no*.tif: no file matches; check the pattern")
    assert ": no image in this folder; looked for" in problems[3]
    assert ": no image in this folder; looked for" in problems[4]
    assert "two\\nlines.png" in problems[5]
    assert "\n" not in "".join(problems)
    assert "\0" not in problems[6]


@pytest.mark.parametrize("word", ["gone.png", "no*.tif", "empty", "empty.png"])
def test_nothing_at_all_is_a_wrong_call(tmp_path: Path, word: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.png").mkdir()
    with pytest.raises(UsageError, match="nothing to do: "):
        expand([str(tmp_path / word)])


def test_no_word_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="no input given"):
        expand([])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    _touch(tmp_path, "a.png")
    sources = expand([str(tmp_path / "pipe.png"), str(tmp_path / "a.png")])
    assert "not a regular file" in sources[0].problem


def test_a_pipe_in_a_folder_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    _touch(tmp_path, "a.png", "sub/b.png")
    for word in (str(tmp_path), f"{tmp_path}*"):
        plain, link, pipe, below = expand([word])
        assert [plain.problem, below.problem] == ["", ""]
        assert "pipe.png: not a regular file" in pipe.problem
        assert "gone.png: a link to nothing" in link.problem
    with pytest.raises(InputError, match="not a regular file"):
        content_hash(Source(tmp_path / "pipe.png"))


PROGRAM = f"""import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.powerless import give_up_powers; give_up_powers()
from nucleate.run.inputs import expand
for source in expand(sys.argv[1:]): print(source.path.name, source.problem, sep="|")"""


@pytest.mark.skipif(sys.platform != "linux", reason="powers of the administrator are given up on Linux")
@pytest.mark.parametrize("word", ["in", "in/*"])
def test_what_may_not_be_entered_holds_nothing_up(tmp_path: Path, word: str) -> None:
    _touch(tmp_path, "in/a.png", "in/c.png", "in/f/d.png", "in/f/deep/e.png", "in/z.png", "shut/b.png")
    (tmp_path / "in/b.png").symlink_to(tmp_path / "shut/b.png")
    (tmp_path / "in/y.labels.tif").symlink_to(tmp_path / "shut/b.png")
    (tmp_path / "in/linked").symlink_to(tmp_path / "shut/folder")
    for folder, mode in {"shut": 0o000, "in/f": 0o444}.items():
        (tmp_path / folder).chmod(mode)
    try:
        words = [sys.executable, "-c", PROGRAM, str(tmp_path / word)]
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
    finally:
        for folder in ("shut", "in/f"):
            (tmp_path / folder).chmod(0o755)
    assert ended.returncode == 0, ended.stderr
    found = dict(line.split("|") for line in ended.stdout.splitlines())
    assert [name for name in found if not found[name]] == ["a.png", "c.png", "z.png"]
    for name in ("b.png", "y.labels.tif", "d.png"):
        assert f"{name}: cannot be looked at: Permission denied" in found[name]


def test_hash_follows_content_not_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"same")
    (tmp_path / "b.png").write_bytes(b"same")
    (tmp_path / "c.png").write_bytes(b"other")
    a, b, c = (content_hash(Source(tmp_path / name)) for name in ("a.png", "b.png", "c.png"))
    assert a == b != c
    with pytest.raises(InputError, match="cannot be read"):
        content_hash(Source(tmp_path / "gone.png"))
